"""CPU time of `fwinb-select` by part, per trace, on a simulated archive of raw records; one process, one thread.

    python bench/selection.py                                        # 40 events x 50 stations: two minutes
    python bench/selection.py --events 1000 --layout day             # one file per station and day
    python bench/selection.py --events 1000 --write FOLDER           # only write the archive, for `fwinb-select FOLDER --out ...`

The records are PREM's motion of a few sources, repeated at the times of all events, through a velocity sensor of 120 s, with noise. Every part is
timed without the parts that it calls. 'obspy' is what obspy's own readers take; the goal for all the rest of the process, its start included, is 20 ms
per trace.
"""
import argparse, os, subprocess, sys, tempfile
for k in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'): os.environ[k] = '1'   # before numpy is loaded

from io import BytesIO
from pathlib import Path
from time import perf_counter, process_time

import numpy as np, obspy
from obspy import Stream, Trace, UTCDateTime
from obspy.core.inventory import Channel, Inventory, Network, Site, Station
from obspy.core.inventory.response import CoefficientsTypeResponseStage, InstrumentSensitivity, PolesZerosResponseStage, Response

GOAL = 20.                                         # ms per trace beyond obspy's own reading
POLES, GAIN = (-.0370+.0370j, -.0370-.0370j), 6e8  # rad/s, counts per m/s
BEFORE, AFTER = 2400, 4200                         # s of record around the centroid time
CMT = ''' PDEW{t} {lat:8.4f} {lon:9.4f} {depth:5.1f} 0.0 6.8 SIMULATED
event name:     {name}
time shift:      0.0000
half duration:   6.0000
latitude:     {lat:8.4f}
longitude:   {lon:9.4f}
depth:        {depth:8.4f}
''' + ''.join(f'M{k}:      {{m[{i}]:.4e}}\n' for i, k in enumerate(('rr', 'tt', 'pp', 'rt', 'rp', 'tp')))

# the archive

def when(t): return f'{t.year} {t.month:02d} {t.day:02d} {t.hour:02d} {t.minute:02d} {t.second:02d}.00'

def response():
    "A velocity sensor of 120 s with a digitiser"
    sensor = PolesZerosResponseStage(1, 1500., .1, 'M/S', 'V', 'LAPLACE (RADIANS/SECOND)', .1, [0j, 0j], list(POLES), normalization_factor=1.)
    digitiser = CoefficientsTypeResponseStage(2, GAIN/1500, .1, 'V', 'COUNTS', 'DIGITAL', numerator=[], denominator=[], decimation_input_sample_rate=1.,
                                              decimation_factor=1, decimation_offset=0, decimation_delay=0, decimation_correction=0)
    return Response(instrument_sensitivity=InstrumentSensitivity(GAIN, .1, 'M/S', 'COUNTS'), response_stages=[sensor, digitiser])

def inventory(places):
    "Metadata of stations, NET.STA -> (latitude, longitude)"
    def station(code, at):
        channel = Channel('LHZ', '00', *at, 0., 0., azimuth=0., dip=-90., sample_rate=1., response=response(), start_date=UTCDateTime(2000, 1, 1))
        return Station(code, *at, 0., channels=[channel], site=Site('simulated'), creation_date=UTCDateTime(2000, 1, 1))
    return Inventory([Network('XX', stations=[station(k.split('.')[1], v) for k, v in places.items()])], source='fwinb')

def through_sensor(u):
    "Displacement (n, npts), m, at 1 Hz, to counts of the sensor"
    n = 1 << int(np.ceil(np.log2(2*u.shape[-1])))
    s = 2j*np.pi*np.fft.rfftfreq(n, 1.)
    return np.fft.irfft(np.fft.rfft(u, n)*GAIN*s**3/np.prod([s-p for p in POLES], axis=0), n)[:, :u.shape[-1]]

def sources(n, places, rng):
    "Text of a CMTSOLUTION without time and name, and the counts of each station, for `n` earthquakes"
    from fwinb.earth.modes import synthesize
    for _ in range(n):
        m = rng.normal(size=6)*1e26
        m[:3] -= m[:3].mean()
        at = dict(lat=rng.uniform(-50, 50), lon=rng.uniform(-180, 180), depth=rng.uniform(12, 60), m=m)
        event = obspy.read_events(BytesIO(CMT.format(t=when(UTCDateTime(2018, 1, 1)), name='X', **at).encode()))[0]
        yield at, through_sensor(np.stack([tr.data.astype(float) for tr in synthesize(event, places, before=BEFORE, after=AFTER)]))

def write_archive(folder, events=40, stations=50, layout='trace', distinct=8, seed=0, synthetics=False):
    "CMTSOLUTIONs, StationXML and miniSEED below `folder`; layout: one file per 'trace', per 'event', or per station and 'day'"
    folder, rng = Path(folder), np.random.default_rng(seed)
    for name in ('events', 'records'): (folder/name).mkdir(parents=True, exist_ok=True)
    latitude, longitude = np.degrees(np.arcsin(rng.uniform(-1, 1, stations))), rng.uniform(-180, 180, stations)
    places = {f'XX.S{k:03d}': (float(a), float(b)) for k, (a, b) in enumerate(zip(latitude, longitude))}
    inventory(places).write(str(folder/'stations.xml'), 'STATIONXML')
    kinds = list(sources(min(distinct, events), places, rng))
    day = {}
    for i in range(events):
        zero, (at, counts) = UTCDateTime(2018, 1, 1, 3) + 43200*i, kinds[i % len(kinds)]   # two a day
        (folder/f'events/CMTSOLUTION_E{i:05d}').write_text(CMT.format(t=when(zero), name=f'E{i:05d}', **at))
        noise = rng.normal(size=counts.shape)*60*rng.uniform(.3, 1.7, (stations, 1))
        data = np.round(counts + noise).astype(np.int32)
        if synthetics: write_synthetics(folder/f'synt/E{i:05d}', zero, places, at, i)
        if layout != 'day': write_records(folder/'records', [trace(k, x, zero-BEFORE) for k, x in zip(places, data)], f'E{i:05d}', layout)
        else:
            if zero.date not in day: write_days(folder/'records', day, rng); day = {zero.date: {k: [] for k in places}}
            for k, x in zip(places, data): day[zero.date][k].append((zero, x))
    write_days(folder/'records', day, rng)
    return folder

def trace(code, x, start):
    net, sta = code.split('.')
    return Trace(x, dict(network=net, station=sta, location='00', channel='LHZ', delta=1., starttime=start))

def write_records(folder, traces, name, layout):
    if layout == 'event': return Stream(traces).write(str(folder/f'{name}.mseed'), 'MSEED')
    for tr in traces: tr.write(str(folder/f'{name}.{tr.stats.station}.mseed'), 'MSEED')

def write_days(folder, day, rng):
    "A file per station that holds the whole day"
    for date, by_station in day.items():
        for code, parts in by_station.items():
            x, midnight = np.round(rng.normal(size=86400)*60).astype(np.int32), UTCDateTime(date)
            for zero, part in parts: x[int(zero-midnight)-BEFORE:][:len(part)] = part
            trace(code, x, midnight).write(str(folder/f'{code}.{date}.mseed'), 'MSEED')

def write_synthetics(folder, zero, places, at, i):
    from fwinb.earth.modes import write_synthetics as write
    event = obspy.read_events(BytesIO(CMT.format(t=when(zero), name=folder.name, **at).encode()))[0]
    write([(folder.name, event)], places, folder.parent, dt=4.)

# the parts

class Clock:
    "CPU time of functions without that of the other functions that they call"
    def __init__(self): self.spent, self.calls, self.stack, self.last = {}, {}, ['rest'], process_time()
    def tick(self):
        now = process_time()
        self.spent[self.stack[-1]] = self.spent.get(self.stack[-1], 0) + now - self.last
        self.last = now
    def wrap(self, part, f):
        def timed(*a, **k):
            self.tick(); self.stack.append(part)
            self.calls[part] = self.calls.get(part, 0) + 1
            try: return f(*a, **k)
            finally: self.tick(); self.stack.pop()
        return timed
    def patch(self, part, *places):
        for module, name in places: setattr(module, name, self.wrap(part, getattr(module, name)))

PARTS = {  # part -> (module, function) of fwinb, and what it is
    'obspy': ("obspy's own readers", [('data.files', 'obspy.read'), ('data.files', 'obspy.read_inventory'), ('data.files', 'obspy.read_events')]),
    'index': ('headers, metadata, events: which files there are', [('select', 'index_archive')]),
    'read': ('records of an event, cut to the window', [('data.archive', 'read_near')]),
    'PREM': ('synthetics', [('select', 'prem_components')]),
    'record': ('one sound piece of a channel', [('data.preprocess', k) for k in ('contiguous', 'check_counts', 'check_finite')]),
    'instrument': ('response and place', [('data.preprocess', 'find_instrument'), ('data.archive', 'find_instrument'), ('data.preprocess', 'displacement_response')]),
    'band': ('record and synthetic in the band', [('data.preprocess', 'band_limited'), ('data.preprocess', 'synthetic_displacement')]),
    'snr': ('signal-to-noise ratio', [('data.preprocess', 'signal_to_noise')]),
    'pairs': ('channels to pairs, ledger', [('select', 'event_pairs'), ('select', 'pair_dataset')]),
    'misfit': ('time-frequency misfit', [('models.pretrained', 'add_misfit')]),
    'features': ('features of the pairs', [('models.pretrained', 'pair_features')]),
    'selector': ('traces as windows, for the trees; or through the network', [('models.pretrained', 'whole_features'), ('models.pretrained', '_read_all')]),
    'decide': ('event and station terms, probabilities, reasons', [('select', 'decide_pairs'), ('select', 'join_ledger')]),
    'write': ('table and station lists', [('commands', 'write_selection')]),
}

CHILD = """
import runpy, sys
from time import process_time
bench = runpy.run_path(sys.argv[1], run_name='bench')
sys.exit(bench['run'](sys.argv[2:]))
"""

def run(args):
    "The command in this process, timed by part; prints a line per part: seconds and calls"
    from importlib import import_module
    from fwinb.commands import select_main
    import fwinb.select                             # its import is 'start'
    started, clock = process_time(), Clock()
    for part, (_, places) in PARTS.items():
        for module, name in places:
            module = import_module(f'fwinb.{module}')
            if '.' in name: module, name = getattr(module, name.split('.')[0]), name.split('.')[1]
            if module.__name__ == 'fwinb.commands': module = fwinb.select    # the command imports it when it is called
            clock.patch(part, (module, name))
    status = select_main(args)
    clock.tick()
    print('PARTS', dict(start=(started, 1), **{k: (v, clock.calls.get(k, 0)) for k, v in clock.spent.items()}))
    return status

def measure(folder, syn=None):
    "CPU seconds and calls of each part, wall time, and the last lines of the command"
    import ast
    with tempfile.TemporaryDirectory() as tmp:
        args = [sys.executable, '-c', CHILD, os.path.abspath(__file__), str(folder), *([str(syn)] if syn else []), '--out', f'{tmp}/s.csv']
        begun = perf_counter()
        p = subprocess.run(args, capture_output=True, text=True)
        if p.returncode: raise RuntimeError(p.stderr[-2000:])
        lines = p.stdout.strip().splitlines()
        return ast.literal_eval(lines[-1].removeprefix('PARTS ')), perf_counter()-begun, lines[:-1]

def show(parts, n):
    total = sum(v for v, _ in parts.values())
    print(f'{"part":12} {"ms per trace":>12} {"share":>6} {"calls":>8}')
    for k, (v, calls) in sorted(parts.items(), key=lambda x: -x[1][0]):
        what = PARTS[k][0] if k in PARTS else dict(start='imports', rest='the rest').get(k, '')
        print(f'{k:12} {v/n*1e3:12.2f} {v/total:6.0%} {calls:8d}  {what}')
    ours = (total - parts.get('obspy', (0, 0))[0])/n*1e3
    print(f'whole process {total/n*1e3:.1f} ms per trace, {ours:.1f} beyond obspy\'s own reading; goal {GOAL:g}: {"yes" if ours <= GOAL else "NO"}')

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--events', type=int, default=40)
    p.add_argument('--stations', type=int, default=50)
    p.add_argument('--layout', choices=['trace', 'event', 'day'], default='trace')
    p.add_argument('--synthetics', action='store_true', help='write synthetics, too, and use them in place of those computed from PREM')
    p.add_argument('--write', metavar='FOLDER', help='write the archive there, and stop')
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as d:
        begun = perf_counter()
        folder = write_archive(a.write or d, a.events, a.stations, a.layout, synthetics=a.synthetics)
        print(f'{a.events} events x {a.stations} stations, one file per {a.layout}, written in {perf_counter()-begun:.0f} s')
        if not a.write:
            parts, wall, said = measure(folder, folder/'synt' if a.synthetics else None)
            print(*said[:3], f'{wall:.0f} s of wall time', sep='\n')
            show(parts, a.events*a.stations)
