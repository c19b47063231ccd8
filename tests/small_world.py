"A small world for tests: one earthquake, three stations, PREM's own motion through a 120-s velocity sensor."
from functools import lru_cache
from io import BytesIO
import numpy as np, obspy
from obspy import Stream, Trace, UTCDateTime
from obspy.core.inventory import Channel, Inventory, Network, Site, Station
from obspy.core.inventory.response import (
    CoefficientsTypeResponseStage, InstrumentSensitivity, PolesZerosResponseStage, Response)
from fwinb.earth.modes import synthesize

T0 = UTCDateTime(2018, 3, 4, 5, 6, 7)    # centroid time
PLACES = {'XX.AAA': (35., 20.), 'XX.BBB': (-20., 60.), 'XX.CCC': (50., -30.)}
ONE = {'XX.AAA': PLACES['XX.AAA']}
CMT = ''' PDEW2018 03 04 05 06 03.00  10.0000 -70.0000  20.0 0.0 6.8 NOWHERE
event name:     201803040506A
time shift:      4.0000
half duration:   6.0000
latitude:       10.0000
longitude:     -70.0000
depth:          20.0000
Mrr:       2.0e+26
Mtt:      -0.5e+26
Mpp:      -1.5e+26
Mrt:       0.6e+26
Mrp:       0.2e+26
Mtp:       0.4e+26
'''
POLES, ZEROS = (-.0370+.0370j, -.0370-.0370j), (0j, 0j)    # rad/s

# the same sensor in a RESP file, which knows no place
RESP = """B050F03     Station:     AAA
B050F16     Network:     XX
B052F03     Location:    ??
B052F04     Channel:     LHZ
B052F22     Start date:  2010,001,00:00:00
B052F23     End date:    No Ending Time
B053F03     Transfer function type: A [Laplace Transform (Rad/sec)]
B053F04     Stage sequence number: 1
B053F05     Response in units lookup: M/S - Velocity in Meters Per Second
B053F06     Response out units lookup: COUNTS - Digital Counts
B053F07     A0 normalization factor: 1.0
B053F08     Normalization frequency: 0.1
B053F09     Number of zeroes: 2
B053F14     Number of poles: 2
B053F10-13    0  0.0 0.0 0.0 0.0
B053F10-13    1  0.0 0.0 0.0 0.0
B053F15-18    0 -3.7E-02  3.7E-02 0.0 0.0
B053F15-18    1 -3.7E-02 -3.7E-02 0.0 0.0
B058F03     Stage sequence number: 1
B058F04     Gain: 6.0E+08
B058F05     Frequency of gain: 1.000000E-01 HZ
B058F06     Number of calibrations: 0
B058F03     Stage sequence number: 0
B058F04     Gain: 6.0E+08
B058F05     Frequency of gain: 1.000000E-01 HZ
B058F06     Number of calibrations: 0
"""

def paz(unit='M/S', gain=1500., poles=POLES, zeros=ZEROS, ad=4e5, total=None, a0=1.):
    "Response of a velocity sensor with a digitiser; `total` is the stated sensitivity, if it shall differ from the stages'"
    sensor = PolesZerosResponseStage(1, gain, .1, unit, 'V', 'LAPLACE (RADIANS/SECOND)', .1, list(zeros), list(poles),
                                     normalization_factor=a0)
    digitiser = CoefficientsTypeResponseStage(
        2, ad, .1, 'V', 'COUNTS', 'DIGITAL', numerator=[], denominator=[], decimation_input_sample_rate=1.,
        decimation_factor=1, decimation_offset=0, decimation_delay=0, decimation_correction=0)
    overall = InstrumentSensitivity(gain*ad if total is None else total, .1, unit, 'COUNTS')
    return Response(instrument_sensitivity=overall, response_stages=[sensor, digitiser])

def inventory(places=PLACES, response=None, loc='', cha='LHZ', dip=-90., start=UTCDateTime(2010, 1, 1), end=None, rate=1.):
    networks = {}
    for code, (latitude, longitude) in places.items():
        net, sta = code.split('.')
        channel = Channel(cha, loc, latitude, longitude, 0., 0., azimuth=0., dip=dip, sample_rate=rate,
                          response=paz() if response is None else response, start_date=start, end_date=end)
        station = Station(sta, latitude, longitude, 0., channels=[channel], site=Site('x'),
                          creation_date=UTCDateTime(2010, 1, 1))
        networks.setdefault(net, []).append(station)
    return Inventory([Network(n, stations=s) for n, s in networks.items()], source='x')

@lru_cache(None)
def _motion(places, cmt, before, after, dt):
    return synthesize(obspy.read_events(BytesIO(cmt.encode()))[0], dict(places), before=before, after=after, dt=dt)

def motion(places=PLACES, cmt=CMT, before=2400., after=4200., dt=1.):
    "Displacement of PREM, m, up"
    return _motion(tuple(places.items()), cmt, before, after, dt).copy()

def counts(tr, gain=6e8, poles=POLES, loc='', cha='LHZ', noise=2e-8, seed=0, kind=0):
    "Displacement (m) as counts of the sensor; kind 1: of an accelerometer, flat"
    rng = np.random.default_rng(seed)
    u = tr.data.astype(float) + noise*np.cumsum(rng.normal(size=tr.stats.npts))*.05
    n = 1 << int(np.ceil(np.log2(2*len(u))))
    s = 2j*np.pi*np.fft.rfftfreq(n, tr.stats.delta)
    h = gain*s**2 if kind else gain*s*s**2/np.prod([s-p for p in poles], axis=0)
    x = np.fft.irfft(np.fft.rfft(u, n)*h, n)[:len(u)]
    header = dict(network=tr.stats.network, station=tr.stats.station, location=loc, channel=cha, delta=tr.stats.delta,
                  starttime=tr.stats.starttime)
    return Trace(np.round(x).astype(np.int32), header)

def world(folder, places=PLACES, cmt=CMT, inv=None, **more):
    "A folder with the event, the metadata and the counts of each station"
    folder.mkdir(exist_ok=True, parents=True)
    (folder/'CMTSOLUTION').write_text(cmt)
    (inv or inventory(places)).write(str(folder/'inv.xml'), 'STATIONXML')
    for k, tr in enumerate(motion(places)):
        counts(tr, seed=k, **more).write(str(folder/f'{tr.stats.network}.{tr.stats.station}.mseed'), 'MSEED')
    return folder

def table_of(obs, syn=None, **more):
    "The table of `fwinb-select`"
    from fwinb.select import select
    return select(obs, syn, **more)
