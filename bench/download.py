"""1,000 traces from a data centre of this machine: throughput, requests, requests in flight, memory. Run by hand: python bench/download.py [traces] [connections]

The records are simulated noise of 3,000 s at 1 Hz, served by portable-fdsnws-dataselect; what is timed is everything that `download` does: questions, answers, checks, files, ledgers.
The rate limit is lifted; at the default of 5 requests per second the number of requests below would take a fifth of its value in seconds at least.
"""
import resource, sys, tempfile, time
from pathlib import Path
import numpy as np
from obspy import Inventory, Trace, UTCDateTime

from fwinb.data.download import DownloadRequest, choose_events, download, get_events
from fwinb.data.files import read_stations
from fwinb.data.mock_fdsn import data_centre
from fwinb.pairs.store import share_path

def serve_many(folder, n, stations=200):
    "A folder of `n` records: LHZ of `stations` stations for each of so many events; the events"
    raw, base = share_path('data', 'sample', 'raw'), Path(folder)
    channel = next(c for net in read_stations(raw/'stationxml/SY.xml') for s in net for c in s if c.response and c.response.response_stages)
    net = read_stations(raw/'stationxml/SY.xml')[0]
    one, rng, events = next(s for s in net if any(c is not None and c.response for c in s)), np.random.default_rng(0), []
    net.stations = []
    for k in range(stations):
        s = type(one)(f'S{k:03d}', rng.uniform(-80, 80), rng.uniform(-180, 180), 0.)
        c = type(channel)('LHZ', '00', s.latitude, s.longitude, 0., 0., azimuth=0., dip=-90., sample_rate=1., start_date=UTCDateTime(1990, 1, 1), response=channel.response)
        s.channels, s.start_date = [c], c.start_date
        net.stations.append(s)
    base.mkdir(parents=True, exist_ok=True)
    Inventory([net]).write(str(base/'stations.xml'), 'STATIONXML')
    first = get_events(str(raw), None, None)[0]
    for i in range(-(-n//stations)):
        e = first.copy()
        for o in e.origins: o.time += 86400*i
        e.event_descriptions[0].text = f'EVENT{i}'
        e.write(str(base/f'event{i}.xml'), 'QUAKEML')
        events.append(e)
        for k in range(min(stations, n-i*stations)):
            x = np.cumsum(rng.integers(-50, 50, 3200)).astype(np.int32)
            Trace(x, dict(network='SY', station=f'S{k:03d}', location='00', channel='LHZ', starttime=e.preferred_origin().time-700)).write(str(base/f'{i}.{k}.mseed'), 'MSEED')
    return choose_events(events, UTCDateTime(0), UTCDateTime(4e9), mw=(0, 10))[0]

def measure(n=1000, threads=3):
    with tempfile.TemporaryDirectory() as tmp:
        events = serve_many(f'{tmp}/served', n)
        with data_centre(f'{tmp}/served') as centre:
            begun, cpu = time.perf_counter(), time.process_time()
            ledger = download(events, f'{tmp}/raw', [centre.url], DownloadRequest(networks=('SY',)), threads=threads, rate=1e6)
            seconds, cpu = time.perf_counter()-begun, time.process_time()-cpu
            got = int((ledger.status == 'fetched').sum())
            return dict(traces=got, events=len(events), seconds=round(seconds, 1), cpu_s=round(cpu, 1), traces_per_s=round(got/seconds, 1), requests=sum('/query' in a.path for a in centre.asked),
                        most_in_flight=centre.most_in_flight, allowed=threads, peak_MB=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss//1024)

if __name__ == '__main__':
    for k, v in measure(*map(int, sys.argv[1:])).items(): print(f'{k:>16} {v}')
