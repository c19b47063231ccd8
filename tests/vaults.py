"""Records of four vaults with two sensors each, simulated: their ground motion is that of another code (AxiSEM3D, `facts/axisem_430km.npz`).

One station has a gap, one sensor a glitch, and the rest is sound: what the real records of 2009 have, which are not ours to ship."""
from pathlib import Path
from types import SimpleNamespace
import numpy as np, obspy
from obspy import Trace, UTCDateTime
from obspy.core.event import Event, EventDescription, FocalMechanism, Magnitude, MomentTensor, Origin, SourceTimeFunction, Tensor
from small_world import counts, inventory, paz

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent/'shared/data'                  # real records of other projects; not ours to ship
REAL = SHARED/'real_2009'
FACTS = np.load(Path(__file__).parent/'facts/axisem_430km.npz')
ZERO = UTCDateTime(2012, 3, 4, 5, 6, 7)
STATIONS = dict(zip(('AX.P', 'AX.Q', 'AX.R', 'AX.GAP'), FACTS['distance_deg']))
SLOW = (-.01234+.01234j, -.01234-.01234j)             # a 360-s sensor at location 00, one of 120 s at 10
SENSORS = {'00': dict(poles=SLOW, gain=2400.*4e5), '10': dict(gain=1500.*4e5)}

def event():
    "At 0 N 0 E, 430 km"
    tensor = Tensor(**dict(zip(('m_rr', 'm_tt', 'm_pp', 'm_rt', 'm_rp', 'm_tp'), map(float, FACTS['moment_tensor']))))
    place = Origin(time=ZERO, latitude=0., longitude=0., depth=1e3*float(FACTS['depth_km']), origin_type='centroid')
    stf = SourceTimeFunction(type='triangle', duration=2*float(FACTS['half_duration_s']))
    moment = MomentTensor(tensor=tensor, derived_origin_id=place.resource_id, source_time_function=stf)
    return Event(origins=[place], preferred_origin_id=place.resource_id, magnitudes=[Magnitude(mag=7.4, magnitude_type='Mw')],
                 focal_mechanisms=[FocalMechanism(moment_tensor=moment)], event_descriptions=[EventDescription('AXISEM', 'earthquake name')])

def places():
    "NET.STA -> geographic latitude and longitude (the facts are on a sphere)"
    azimuth, out = np.radians(float(FACTS['azimuth_deg'])), {}
    for code, distance in STATIONS.items():
        d = np.radians(float(distance))
        latitude = np.arcsin(np.sin(d)*np.cos(azimuth))
        longitude = np.degrees(np.arctan2(np.sin(azimuth)*np.sin(d), np.cos(d)))
        out[code] = float(np.degrees(np.arctan(np.tan(latitude)/(1 - 1/298.257223563)**2))), float(longitude)
    return out

def displacement(k, before=900, after=3300):
    "Ground displacement, m, a sample per second, from `before` s before the centroid time on"
    u, dt = FACTS['samples'][k]*FACTS['scale'][k], int(FACTS['dt'])
    u[-75:] *= np.cos(np.linspace(0, np.pi/2, 75))**2                     # to zero within 300 s, after what is kept
    f = np.fft.rfft(np.r_[np.zeros(before//dt), u, np.zeros(before//dt)])
    n = dt*(2*(before//dt) + len(u))
    return dt*np.fft.irfft(np.pad(f, (0, n//2 + 1 - len(f))), n)[:before+after]

def vaults(folder):
    "A folder with the records, StationXML and QuakeML"
    for name in ('obsd', 'quakeml', 'stationxml'): (folder/name).mkdir(parents=True)
    event().write(str(folder/'quakeml/AXISEM.xml'), 'QUAKEML')
    where, rate = places(), dict(cha='LHZ', rate=1.)
    for k, code in enumerate(STATIONS):
        network, station = code.split('.')
        tr = Trace(displacement(k), dict(network=network, station=station, delta=1., starttime=ZERO - 900))
        one = {code: where[code]}
        inv = inventory(one, paz(gain=2400., poles=SLOW), loc='00', **rate)
        inv[0][0].channels += inventory(one, paz(), loc='10', **rate)[0][0].channels
        inv.write(str(folder/f'stationxml/{code}.xml'), 'STATIONXML')
        st = obspy.Stream([counts(tr, loc=loc, seed=2*k+i, **of) for i, (loc, of) in enumerate(SENSORS.items())])
        if code == 'AX.GAP': st = st[:1]; st.cutout(ZERO + 1000, ZERO + 1120)       # 119 s without a sample
        if code == 'AX.Q':
            t = st[1].times() - 900
            st[1].data = (st[1].data + .02*np.ptp(st[1].data)*np.where(t > 1850, np.exp(-np.clip(t-1850, 0, None)/30), 0)).astype(np.int32)
        st.write(str(folder/f'obsd/{code}.mseed'), 'MSEED')
    return folder

def simulated(folder):
    "The vaults as a world: where the files are, and what is wrong with which record"
    from fwinb.earth.modes import write_synthetics
    write_synthetics([('AXISEM', event())], places(), folder.parent/'synt')
    # The noise planted is twice as strong as the signal: where both Earths are PREM, nothing else is wrong with the pair.
    return SimpleNamespace(folder=vaults(folder), syn=folder.parent/'synt', event='AXISEM', gap='AX.GAP.00.LHZ', glitch='AX.Q.10.LHZ',
                           two=['AX.P', 'AX.Q', 'AX.R'], channel='LHZ', glitch_at=(1800, 1900), noise=2.)

def real():
    "The records of 2009, where they are: II.ABKT has a true gap, IU.ADK at location 10 a true glitch; None elsewhere"
    if not REAL.is_dir(): return None
    return SimpleNamespace(folder=REAL, syn=REAL/'synt', event='C200912240023A', gap='II.ABKT.00.BHZ', glitch='IU.ADK.10.BHZ',
                           two=['II.AAK', 'IU.ADK', 'IU.AFI'], channel='BHZ', glitch_at=(1500, 1900), noise=1.)
