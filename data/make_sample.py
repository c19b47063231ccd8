"""Make data/sample: two SIMULATED earthquakes at 24 stations, raw, with instrument, noise and a few defects.

Run from the top level by `make sample`. The same seed gives the same files. The observed seismograms are PREM's for a source that is a little
off its catalogue (time, depth, moment, mechanism) and for a distance scaled by a per cent or so, which delays the waves as a slower or faster path
would. The catalogue and the synthetics know nothing of either. Everything is named as simulated: network SY (FDSN's code for synthetic data), events SIM1, SIM2.
"""
import shutil
from pathlib import Path

import numpy as np, pandas as pd
from obspy import Inventory, Stream, Trace, UTCDateTime
from obspy.core.event import (Catalog, Event, EventDescription, FocalMechanism, Magnitude, MomentTensor, Origin, ResourceIdentifier, Tensor)
from obspy.core.inventory import Channel, Network, Response, Site, Station
from obspy.signal.spectral_estimation import get_nlnm
from fwinb.earth.modes import displacement, prem_modes, write_synthetics
from fwinb.pairs.schema import path_geometry
from fwinb.pairs.store import save_pairs
from fwinb.data.events import moment_magnitude, scalar_moment
from fwinb.data.archive import index_archive, preprocess_folder

SEED = 20
SAMPLE = Path(__file__).parent/'sample'
BEFORE, AFTER = 600, 2400 # s of record around the centroid time
# Places of stations of the Global Seismographic Network (FDSN station lists), so that the geometry is real.
PLACES = dict(ADK=(51.88,-176.68), AFI=(-13.91,-171.78), ANMO=(34.95,-106.46), COLA=(64.87,-147.86), CTAO=(-20.09,146.25), GUMO=(13.59,144.87),
    HRV=(42.51,-71.56), KEV=(69.76,27.00), KIP=(21.42,-158.01), KONO=(59.65,9.60), LVC=(-22.61,-68.91), MAJO=(36.55,138.20), MIDW=(28.22,-177.37),
    NNA=(-11.99,-76.84), PAB=(39.54,-4.35), PMG=(-9.40,147.16), PTCN=(-25.07,-130.10), RAR=(-21.21,-159.77), SDV=(8.88,-70.63), SJG=(18.11,-66.15),
    SNZO=(-41.31,174.70), TATO=(24.97,121.50), TUC=(32.31,-110.78), ULN=(47.87,107.05))
# name, centroid time, latitude, longitude, depth (km), moment tensor (N m; rr tt pp rt rp tp)
EVENTS = [('SIM1', '2001-02-03T04:05:06.7', -22.4, -174.6, 28., np.array([1., -.15, -.85, .3, .7, -.2])*2e19),
          ('SIM2', '2001-06-05T04:03:02.1', 29.2, 139.1, 412., np.array([-.6, .2, .4, .5, -.8, .3])*1e19)]
# What was broken on purpose: (event, station) -> defect
DEFECTS = {('SIM1','CTAO'): 'gap', ('SIM1','RAR'): 'clipped', ('SIM1','KEV'): 'dead', ('SIM1','TATO'): 'clock', ('SIM1','KIP'): 'polarity',
           ('SIM1','PTCN'): 'glitch', ('SIM1','SNZO'): 'gain', ('SIM2','PMG'): 'gap', ('SIM2','COLA'): 'polarity', ('SIM2','ULN'): 'clock',
           ('SIM2','SJG'): 'noise only', ('SIM1','GUMO'): 'no response', ('SIM2','GUMO'): 'no response'}

def event(name, time, lat, lon, depth, m):
    ids = lambda what: ResourceIdentifier(f'smi:local/fwinb.simulated/{name}/{what}')
    origin = Origin(resource_id=ids('origin'), time=UTCDateTime(time), latitude=lat, longitude=lon, depth=depth*1e3, origin_type='centroid')
    mw = Magnitude(resource_id=ids('magnitude'), mag=round(float(moment_magnitude(m)), 2), magnitude_type='Mwc')
    tensor = Tensor(**dict(zip(('m_rr','m_tt','m_pp','m_rt','m_rp','m_tp'), map(float, m))))
    mechanism = FocalMechanism(resource_id=ids('mechanism'), moment_tensor=MomentTensor(resource_id=ids('tensor'), derived_origin_id=origin.resource_id,
                               scalar_moment=float(scalar_moment(m)), tensor=tensor))
    return Event(resource_id=ids('event'), origins=[origin], magnitudes=[mw], focal_mechanisms=[mechanism], preferred_origin_id=origin.resource_id,
        event_descriptions=[EventDescription(f'{name} (SIMULATED by fwinb)', 'region name'), EventDescription(name, 'earthquake name')])

def seismometer():
    "A very-broadband velocity sensor with a corner at 360 s and a 24-bit digitiser"
    w = 2*np.pi/360
    poles = [w*(-.7071+.7071j), w*(-.7071-.7071j), -39.2+49.1j, -39.2-49.1j]
    return Response.from_paz(zeros=[0, 0], poles=poles, stage_gain=1e9, stage_gain_frequency=.05, input_units='M/S', output_units='COUNTS')

def inventory():
    start = UTCDateTime('2000-01-01')
    def station(code, lat, lon):
        response = None if code == 'GUMO' else seismometer()
        channel = Channel('LHZ', '00', lat, lon, 0., 0., azimuth=0., dip=-90., sample_rate=1., start_date=start, response=response)
        return Station(code, lat, lon, 0., [channel], Site(f'{code} (SIMULATED)'), start_date=start)
    network = Network('SY', [station(c, *p) for c,p in PLACES.items()], description='SIMULATED by fwinb', start_date=start)
    return Inventory([network], source='fwinb, simulated')

def counts(u, noise_db, rng):
    "What the seismometer writes of displacement `u` (m, 1 Hz), with noise `noise_db` above the low-noise model"
    n = 2*len(u)
    f = np.fft.rfftfreq(n, 1.)[1:]
    period, level = get_nlnm()
    acceleration = 10**((np.interp(1/f, period[::-1], level[::-1]) + noise_db)/20)          # (m/s2)/sqrt(Hz)
    spectrum = (rng.normal(size=len(f)) + 1j*rng.normal(size=len(f)))*acceleration/(2*np.pi*f)**2*np.sqrt(n)/2
    ground = np.fft.rfft(u, n); ground[1:] += spectrum
    response = seismometer().get_evalresp_response_for_frequencies(np.r_[0., f], output='DISP')
    return np.fft.irfft(ground*response, n)[:len(u)]

def spoil(x, defect, rng):
    if defect == 'dead': x[:] = 12
    if defect == 'clipped': x = np.clip(x, -.4*np.abs(x).max(), .4*np.abs(x).max())
    if defect == 'polarity': x = -x
    if defect == 'gain': x = 3*x
    if defect == 'glitch': x[1500:] += .8*np.abs(x).max()*np.exp(-np.arange(len(x)-1500)/120)
    return np.rint(x).astype(np.int32)

def observed(modes, ev, places, rng):
    "Raw traces of one event: true source, true paths, instrument, noise, defects"
    name, time, lat, lon, depth, m = ev
    shift, deeper, stronger = rng.normal(0, 1.2), rng.normal(0, 5), np.exp(rng.normal(0, .1))
    tilt = rng.normal(size=6)*np.linalg.norm(m)*.14/np.sqrt(6)                              # about 8 degrees of mechanism
    t = np.arange(BEFORE+AFTER+1.)
    for code, (slat, slon) in places.items():
        distance, azimuth = path_geometry(lat+rng.normal(0, .02), lon+rng.normal(0, .02), slat, slon)
        defect = DEFECTS.get((name, code), '')
        late, first = shift + (25. if defect == 'clock' else 0.), rng.uniform(-.5, .5)-BEFORE
        u = displacement(modes, max(depth+deeper, 5), m*stronger+tilt, distance*(1+rng.normal(0, .012)), azimuth, t+first-late, 2.26e-6*scalar_moment(m)**(1/3))[0]
        x = spoil(counts(u*(defect != 'noise only'), rng.uniform(0, 15) + 20*(defect == 'noise only'), rng), defect, rng)
        head = dict(network='SY', station=code, location='00', channel='LHZ', sampling_rate=1., starttime=UTCDateTime(time)+first)
        yield Stream([Trace(x, head)]), defect

def make():
    rng, modes, raw = np.random.default_rng(SEED), prem_modes(), SAMPLE/'raw'
    for old in (raw, SAMPLE/'synt', SAMPLE/'pairs.zarr'): shutil.rmtree(old, ignore_errors=True)
    for folder in ('obsd', 'stationxml', 'quakeml'): (raw/folder).mkdir(parents=True)
    rows = []
    for ev in EVENTS:
        Catalog([event(*ev)], resource_id='smi:local/fwinb.simulated', creation_info=None).write(raw/'quakeml'/f'{ev[0]}.xml', 'QUAKEML')
        for st, defect in observed(modes, ev, PLACES, rng):
            tr = st[0]
            if defect == 'gap': st = Stream([tr.slice(endtime=tr.stats.starttime+1400), tr.slice(tr.stats.starttime+1550)])
            st.write(raw/'obsd'/f'{ev[0]}.{tr.id}.mseed', 'MSEED', reclen=512, encoding='STEIM2')
            rows.append(dict(event=ev[0], station=tr.id, defect=defect or 'none'))
    inv = inventory(); inv.created = UTCDateTime('2001-01-01')
    inv.write(raw/'stationxml'/'SY.xml', 'STATIONXML')
    pd.DataFrame(rows).to_csv(SAMPLE/'defects.csv', index=False)
    archive = index_archive(raw)
    inv, events = archive.inventory, archive.events
    write_synthetics(events, inv, SAMPLE/'synt', modes, dt=2.)
    pairs, ledger = preprocess_folder(raw, SAMPLE/'synt', origin='simulated')
    save_pairs(pairs, SAMPLE/'pairs.zarr')
    return ledger

if __name__ == '__main__': print(make().groupby(['status','reason']).size())
