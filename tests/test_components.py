"Records of three components: sensors of any orientation, rate and start give the ground's Z, R and T, or a reason."
import struct, warnings
from io import BytesIO
from pathlib import Path
import numpy as np, obspy, pytest
from obspy import Stream, Trace, UTCDateTime
from obspy.core.inventory import Channel, Inventory, Network, Site, Station
from obspy.geodetics import gps2dist_azimuth
from small_world import CMT, counts, paz
from fwinb.data.archive import index_archive, own_synthetics, preprocess_folder
from fwinb.data.events import Rejected, read_source
from fwinb.data.files import read_records, read_stations
from fwinb.data.instruments import channel_axes, find_channel, find_orientation, orientation, radial_transverse, rotate_to_zrt
from fwinb.data.preprocess import component_values, make_pair, make_pairs
from fwinb.data.records import window_of
from fwinb.pairs.recipes import load_recipe
from fwinb.pairs.schema import STUDY, Recipe, path_geometry, recipe_of
from vaults import SHARED

RECIPE = Recipe('zrt', ('Z', 'R', 'T'), 0., 2400., 1024, (50., 250.))
EVENT, = obspy.read_events(BytesIO(CMT.encode()))
SOURCE = read_source(EVENT)
T0, PLACE = SOURCE.time, (35., 20.)
BACK = float(path_geometry(*PLACE, SOURCE.latitude, SOURCE.longitude)[1])
GALPERIN = dict(zip('UVW', ((0., -35.2644), (120., -35.2644), (240., -35.2644))))
NORTH_EAST = dict(N=(0., 0.), E=(90., 0.))

def packet(t, t0, period): return .1*np.exp(-((t-t0)/(1.5*period))**2)*np.cos(2*np.pi*(t-t0)/period)

def ground(t):
    "(3, n) displacement Z, R, T, m: a Rayleigh and a Love wave"
    return np.stack([packet(t, 1100, 70.), packet(t, 1120, 70.), packet(t, 900, 90.)])

def unrest(t, n=60):
    "(3, n) displacement Z, R, T, m, at periods of 2 to 10 s: a record is never at rest"
    rng = np.random.default_rng(0)
    return sum(np.sin(2*np.pi*f*t + phases[:,None]) for f, phases in zip(rng.uniform(.1, .5, n), rng.uniform(0, 6.3, (n, 3))))*1e-6

def along(t, azimuth, dip, noise=0.):
    "(n,) displacement along a channel"
    z, r, t = ground(t) + noise*unrest(t)
    east, north = radial_transverse(BACK).T @ np.stack([r, t])
    return channel_axes(azimuth, dip) @ np.stack([east, north, z])

def record(code, azimuth, dip, rate=1., start=-900., end=3600.):
    "Counts of a velocity sensor"
    t = start + np.arange(0, end-start, 1/rate)
    tr = Trace(along(t, azimuth, dip, 1.), dict(network='XX', station='AAA', delta=1/rate, starttime=T0+start))
    return counts(tr, gain=6e9, cha=code, noise=0)

def metadata(channels):
    "`channels`: code -> azimuth and dip, degrees"
    made = [Channel(code, '', *PLACE, 0., 0., azimuth=a, dip=d, response=paz(gain=15000.), start_date=UTCDateTime(2010, 1, 1))
            for code, (a, d) in channels.items()]
    station = Station('AAA', *PLACE, 0., channels=made, site=Site('x'), creation_date=UTCDateTime(2010, 1, 1))
    return Inventory([Network('XX', stations=[station])], source='x')

def synthetic(part, parts='ZRT', dt=.5):
    "The ground's motion along Z, R, T, N or E; None if it is not of `parts`"
    t = np.arange(-5., 3600., dt)
    ways = dict(Z=(0, -90), N=(0, 0), E=(90, 0), R=(BACK+180, 0), T=(BACK+270, 0))
    if part not in parts: return None
    return Trace(along(t, *ways[part]), dict(network='XX', station='AAA', channel=f'MX{part}', delta=dt, starttime=T0-5.))

def rotated(true, stated=None, parts='ZRT', recipe=RECIPE, change=lambda x: x, **more):
    "What a sensor gives: `true`: last letter -> azimuth and dip; `stated`: those of the metadata"
    records = {f'XX.AAA..BH{c}': record(f'BH{c}', *way, **more.get(c, {})) for c, way in true.items()}
    inv = metadata({f'BH{c}': way for c, way in (stated or true).items()})
    return component_values(change(records), lambda part: synthetic(part, parts), EVENT, inv, recipe=recipe)

def waves(out):
    "Component -> (2, npts), of what became a pair"
    return {s[-1]: x[0]['waveform'] for s, x in out.items() if not isinstance(x, Rejected)}

def close(a, b, tolerance=1e-6): return np.abs(a-b).max() < tolerance*np.abs(b).max()

# what a sound sensor gives
USUAL = waves(rotated(NORTH_EAST))

def test_usual():
    "R and T are the ground's, observed as synthetic, in the band"
    assert set(USUAL) == {'R', 'T'} and all(w.shape == (2, RECIPE.npts) for w in USUAL.values())
    for k, part in enumerate('RT', 1):
        obs, syn = USUAL[part]
        assert close(obs, syn, 1e-4)
        peak = ground(RECIPE.times)[k]
        assert np.corrcoef(obs, peak)[0, 1] > .97                      # the packet without what is outside of the band

def test_directions():
    "R leads away from the source, T turns clockwise from it, on the ellipsoid"
    for place in ((35., 20.), (-50., 120.), (80., -170.)):
        back = float(path_geometry(*place, SOURCE.latitude, SOURCE.longitude)[1])
        assert abs((back - gps2dist_azimuth(*place, SOURCE.latitude, SOURCE.longitude)[1] + 180) % 360 - 180) < .3
        def distance(east, north):
            lat, lon = place[0] + north, place[1] + east/np.cos(np.radians(place[0]))
            return float(path_geometry(SOURCE.latitude, SOURCE.longitude, lat, lon)[0])
        (r, t), step = radial_transverse(back), 1e-3
        assert abs(distance(*step*r) - distance(0, 0) - step) < 1e-2*step and abs(distance(*step*t) - distance(0, 0)) < 1e-2*step
        assert abs(r[0]*t[1] - r[1]*t[0] + 1) < 1e-12                  # clockwise seen from above

@pytest.mark.parametrize('true', [
    {'1': (33., 0.), '2': (123., 0.)}, {'1': (200., 0.), '2': (110., 0.)}, {'N': (10., 0.), 'E': (85., 0.)}, GALPERIN,
    {c: (a, -d) for c, (a, d) in GALPERIN.items()}, {'1': (5., 2.), '2': (98., -3.), '3': (0., -85.)}])
def test_orientations(true):
    "Turned, left-handed, skew, symmetric and reversed sensors give the same ground motion"
    out = rotated(true)
    found = waves(out)
    assert set(found) == set('RT' if len(true) == 2 else 'ZRT')
    for part in 'RT': assert close(found[part][0], USUAL[part][0]) and close(found[part][1], USUAL[part][1])
    if 'Z' in found:
        z = record('LHZ', 0, -90)
        usual = make_pair(z, synthetic('Z'), EVENT, metadata(dict(LHZ=(0., -90.))), recipe=RECIPE)
        assert close(found['Z'], usual.waveform.values[0], 2e-6)
    remark = next(iter(out.values()))[2]
    assert ('degrees apart instead of 90' in remark) == (true.get('N') == (10., 0.)) and 'degrees' in remark

def test_wrong_azimuth():
    "A sensor whose metadata are wrong by 30 degrees gives R and T that are turned by 30 degrees, and the same synthetic"
    found = waves(rotated({'1': (0., 0.), '2': (90., 0.)}, {'1': (30., 0.), '2': (120., 0.)}))
    c, s = np.cos(np.radians(30)), np.sin(np.radians(30))
    (r, syn_r), (t, syn_t) = USUAL['R'], USUAL['T']
    assert close(found['R'][0], c*r - s*t, 2e-6) and close(found['T'][0], s*r + c*t, 2e-6)
    assert close(found['R'][1], syn_r, 2e-6) and close(found['T'][1], syn_t, 2e-6)

def test_wrong_dips():
    "Metadata that turn a symmetric sensor upside down turn the vertical over, and the horizontals not"
    found = waves(rotated(GALPERIN, {c: (a, -d) for c, (a, d) in GALPERIN.items()}))
    right = waves(rotated(GALPERIN))
    assert close(found['Z'][0], -right['Z'][0]) and close(found['R'][0], right['R'][0])

@pytest.mark.parametrize('stated, text', [
    ({'N': (0., 0.), 'E': (0., 0.)}, 'BHN 0, BHE 0 degrees, which leave an angle of 0.0 degrees'),
    ({'N': (0., 0.), 'E': (20., 0.)}, 'an angle of 20.0 degrees'),
    ({'N': (0., -90.), 'E': (90., 0.)}, 'no two horizontals')])
def test_impossible_azimuths(stated, text):
    out = rotated(NORTH_EAST, stated)
    assert {s: e.reason for s, e in out.items()} == dict.fromkeys(('XX.AAA..BHN', 'XX.AAA..BHE'), 'metadata')
    assert all(text in e.detail for e in out.values())

def test_missing_azimuth():
    "N and E point north and east by definition; 1 and 2 do not"
    found = waves(rotated(NORTH_EAST, {'N': (None, None), 'E': (None, None)}))
    assert close(found['R'], USUAL['R'])
    out = rotated({'1': (0., 0.), '2': (90., 0.)}, {'1': (None, 0.), '2': (90., 0.)})
    one, two = out['XX.AAA..BH1'], out['XX.AAA..BH2']
    assert one.reason == 'metadata' and 'nobody states the azimuth of BH1' in one.detail
    assert two.reason == 'lone horizontal' and 'BH1 was dropped: metadata' in two.detail

def test_rates_and_starts():
    "The channels of a sensor need neither the same rate nor the same start"
    found = waves(rotated(NORTH_EAST, N=dict(rate=4., start=-700.13), E=dict(rate=1., start=-900.)))
    for part in 'RT':
        assert close(found[part][0], USUAL[part][0], 3e-4)             # other samples before the origin, no interpolation
        assert close(found[part][0], found[part][1], 3e-4)

def test_gap():
    "A gap in one channel is its own fault, and its partner is alone"
    def gap(records):
        tr = records['XX.AAA..BHE']
        return records | {'XX.AAA..BHE': Stream([tr.slice(T0-900, T0+500), tr.slice(T0+700, T0+3600)])}
    out = rotated(NORTH_EAST, change=gap)
    assert out['XX.AAA..BHE'].reason == 'gap' and 'BHE was dropped: gap' in out['XX.AAA..BHN'].detail
    assert out['XX.AAA..BHN'].reason == 'lone horizontal'

def test_synthetics():
    "N and E, or R and T, are the same synthetic; one of them alone is none"
    found = waves(rotated(NORTH_EAST, parts='NE'))
    for part in 'RT': assert close(found[part][1], USUAL[part][1])
    for parts, text in (('N', 'component E'), ('R', 'component T'), ('', 'component N')):
        out = rotated(NORTH_EAST, parts=parts)
        assert {e.reason for e in out.values()} == {'no synthetic'} and all(text in e.detail for e in out.values())
    def uneven(part): return synthetic(part, dt=.5 if part == 'R' else .25)
    records = {f'XX.AAA..BH{c}': record(f'BH{c}', *way) for c, way in NORTH_EAST.items()}
    out = component_values(records, uneven, EVENT, metadata(dict(BHN=(0., 0.), BHE=(90., 0.))), recipe=RECIPE)
    assert {e.reason for e in out.values()} == {'bad synthetic'} and 'with 0.25 and 0.5 s' in out['XX.AAA..BHE'].detail

def test_noise():
    "A component without signal is dropped by its own signal-to-noise ratio"
    rng = np.random.default_rng(0)
    walk = {c: np.cumsum(rng.normal(size=4500))*3e5 for c in 'NE'}
    def noisy(records):                                                # a noise that is large along T alone
        for c, x in zip('NE', (np.sin(np.radians(BACK)), -np.cos(np.radians(BACK)))):
            tr = records[f'XX.AAA..BH{c}']
            tr.data = tr.data.astype(float) + x*walk['N']*60
        return records
    out = rotated(NORTH_EAST, change=noisy)
    assert isinstance(out['XX.AAA..BHT'], Rejected) and out['XX.AAA..BHT'].reason in ('snr', 'unit')
    assert not isinstance(out['XX.AAA..BHR'], Rejected) and out['XX.AAA..BHR'][0]['snr'] > 3

@pytest.mark.parametrize('factor', [1e-3, 40.])
def test_gain_of_one_horizontal(factor):
    "A wrong gain of one channel is its own fault, before it goes into both R and T"
    def faulty(records):
        tr = records['XX.AAA..BHE']
        tr.data = tr.data.astype(float)*factor
        return records
    out = rotated(NORTH_EAST, change=faulty)
    assert out['XX.AAA..BHE'].reason == 'unit' and f'{factor:g} times the synthetic' in out['XX.AAA..BHE'].detail
    assert out['XX.AAA..BHN'].reason == 'lone horizontal' and 'BHE was dropped: unit' in out['XX.AAA..BHN'].detail

@pytest.mark.parametrize('parts, zero', [('RT', 'T'), ('NE', 'E')])
def test_explosion(parts, zero):
    "A component at rest drops T alone: T of an explosion, or E where the source is in the north or south"
    def still(part):
        tr = synthetic(part, parts)
        if part == zero: tr.data *= 0
        return tr
    event = EVENT.copy()
    for o in event.origins if zero == 'E' else (): o.longitude = PLACE[1]
    records = {f'XX.AAA..BH{c}': record(f'BH{c}', *way) for c, way in NORTH_EAST.items()}
    out = component_values(records, still, event, metadata({f'BH{c}': way for c, way in NORTH_EAST.items()}), recipe=RECIPE)
    assert out['XX.AAA..BHT'].reason == 'bad synthetic' and 'component T: zero in the band' in out['XX.AAA..BHT'].detail
    assert not isinstance(out['XX.AAA..BHR'], Rejected)

def test_pole_zero_files(tmp_path):
    "Azimuth and dip of SAC's pole-zero files; without them 1 and 2 have none"
    text = """* NETWORK : XX\n* STATION : AAA\n* LOCATION :\n* CHANNEL : BH1\n* START : 2010-01-01T00:00:00\n* LATITUDE : 35.0
* LONGITUDE : 20.0\n* ELEVATION : 10.0\n* DEPTH : 0.0\n* DIP : 90.0\n* AZIMUTH : 33.0\n* INPUT UNIT : M\n* OUTPUT UNIT : COUNTS
ZEROS 3\nPOLES 2\n-0.037 0.037\n-0.037 -0.037\nCONSTANT 6e8\n"""
    path = tmp_path/'SAC_PZs_XX_AAA_BH1'
    path.write_text(text)
    sensor = find_channel(read_stations(path), 'XX.AAA..BH1', T0, T0+1)
    assert (sensor.azimuth, sensor.dip) == (33., 0.)
    path.write_text(text.replace('* AZIMUTH : 33.0\n', ''))
    with pytest.raises(Rejected, match='azimuth of BH1'): find_channel(read_stations(path), 'XX.AAA..BH1', T0, T0+1)
    sensor = find_channel(read_stations(path), 'XX.AAA..BH1', T0, T0+1, stated=(34., None))
    assert (sensor.azimuth, sensor.dip) == (34., 0.)

def test_epochs_that_turn():
    "A sensor was turned, and the metadata do not say when: two epochs are valid"
    inv = metadata({'BH1': (0., 0.), 'BH2': (90., 0.)})
    again = metadata({'BH1': (40., 0.), 'BH2': (130., 0.)})
    inv[0][0].channels += again[0][0].channels
    records = {f'XX.AAA..BH{c}': record(f'BH{c}', *way) for c, way in {'1': (40., 0.), '2': (130., 0.)}.items()}
    out = component_values(records, synthetic, EVENT, inv, recipe=RECIPE)
    assert {e.reason for e in out.values()} == {'metadata'} and 'azimuths 0.0 dip 0.0, 40.0 dip 0.0 degrees' in out['XX.AAA..BH1'].detail
    with pytest.raises(Rejected, match='2 epochs valid: azimuths 0 dip 0, 40 dip 0 degrees'):
        find_orientation(inv, 'XX.AAA..BH1', T0, T0+1)

def test_stated_orientation():
    "A header states what the metadata do not; no dip is beyond 90 degrees"
    inv = metadata({'BH1': (None, 3.)})
    assert find_orientation(inv, 'XX.AAA..BH1', T0, T0+1, (33., 0.))[:2] == (33., 3.)
    assert orientation('XX.AAA..BHN', 10., 360.)[:2] == (10., 0.)
    with pytest.raises(Rejected, match='the dip of BHU'): orientation('XX.AAA..BHU', 10., 200.)
    with pytest.raises(Rejected, match='two or three channels'): rotate_to_zrt(['BHN'], [0.], [0.], 30.)

# folders

def folder(path, codes=('BHZ', 'BHN', 'BHE'), synt='ZNE', ways=None):
    "An archive of one sensor: miniSEED, StationXML, CMTSOLUTION, SAC"
    ways = dict(Z=(0., -90.), **NORTH_EAST, **{'1': (33., 0.), '2': (123., 0.)}) | GALPERIN | (ways or {})
    for d in ('obsd', 'synt'): (path/d).mkdir(parents=True)
    (path/'CMTSOLUTION').write_text(CMT)
    metadata({c: ways[c[-1]] for c in codes if c[-1] in ways}).write(str(path/'inv.xml'), 'STATIONXML')
    for c in codes: record(c, *ways.get(c[-1], (0., 0.))).write(str(path/f'obsd/{c}.mseed'), 'MSEED')
    for part in synt: synthetic(part, 'ZNERT').write(str(path/f'synt/XX.AAA.MX{part}.sac'), 'SAC')
    return path

def reasons(ledger): return {s.split('.')[-1]: r for s, r in zip(ledger.station, ledger.reason)}

def test_folder(tmp_path):
    "Three pairs of a sensor, each with its component; the study's recipe takes the vertical as before"
    top = folder(tmp_path/'a')
    pairs, ledger = preprocess_folder(top, recipe=RECIPE)
    assert reasons(ledger) == dict.fromkeys(('BHZ', 'BHR', 'BHT'), 'ok') and recipe_of(pairs) == RECIPE
    assert [*pairs.station.values] == ['XX.AAA..BHZ', 'XX.AAA..BHR', 'XX.AAA..BHT'] and [*pairs.component.values] == [*'ZRT']
    row = ledger.set_index('station').loc['XX.AAA..BHT']
    assert row.file == 'obsd/BHN.mseed; obsd/BHE.mseed' and 'from BHN 0, BHE 90 degrees' in row.detail
    for w, part in zip(pairs.waveform.values[1:], 'RT'): assert close(w[0], USUAL[part][0], 1e-5)
    pairs, ledger = preprocess_folder(top, recipe=STUDY)
    assert reasons(ledger) == dict(BHZ='ok', BHN='not vertical', BHE='not vertical') and [*pairs.component.values] == ['Z']
    pairs, ledger = preprocess_folder(top, recipe=RECIPE._replace(components=('T',)))
    assert reasons(ledger) == dict(BHZ='other component', BHT='ok') and [*pairs.component.values] == ['T']

@pytest.mark.parametrize('codes, expected', [
    (('BHZ', 'BHN'), dict(BHZ='ok', BHN='lone horizontal')),
    (('LHZ', 'LH1', 'LH2', 'BHN', 'BHE'), dict(LHZ='ok', LHR='ok', LHT='ok', BHN='other band', BHE='other band')),
    (('BHU', 'BHV', 'BHW'), dict(BHZ='ok', BHR='ok', BHT='ok')),
    (('LHZ', 'BHU', 'BHV', 'BHW'), dict(LHZ='ok', BHR='ok', BHT='ok')),
    (('BHZ', 'BHN', 'BHE', 'BHR', 'BHT'), dict(BHZ='ok', BHR='ok', BHT='ok')),
    (('BHX', 'BHY', 'BHN', 'BHE'), dict(BHX='not vertical', BHY='not vertical', BHR='ok', BHT='ok')),
    (('BHN', 'BHE', 'BH1', 'BH2'), {'BHR': 'ok', 'BHT': 'ok', 'BH1': 'other component', 'BH2': 'other component'})])
def test_codes(tmp_path, codes, expected):
    _, ledger = preprocess_folder(folder(tmp_path/'a', codes), recipe=RECIPE)
    assert reasons(ledger) == expected and ledger.station.is_unique
    for s, d in zip(ledger.station, ledger.detail):
        assert ('as recorded is not used' in d) == ('BHR' in codes and s[-1] in 'RT')
        if s.endswith('BHN') and expected.get('BHN') == 'lone horizontal': assert d == 'no BHE beside BHN'

@pytest.mark.parametrize('codes, parts, expected', [
    ('ZNE', 'ZRT', 'ZRT'), ('ZUVW', 'ZRT', 'ZRT'), ('UVW', 'ZRT', 'ZRT'), ('ZNE12', 'ZRT', 'ZRT'), ('Z', 'ZRT', 'Z'),
    ('ZNE', 'Z', 'Z'), ('ZN', 'ZRT', None), ('NE', 'T', 'T')])
def test_make_pairs(codes, parts, expected):
    "Channels of one sensor that give the recipe's components, each once"
    ways = dict(Z=(0., -90.), **NORTH_EAST, **GALPERIN, **{'1': (33., 0.), '2': (123., 0.)})
    recipe, read = RECIPE._replace(components=tuple(parts)), Stream([record(f'BH{c}', *ways[c]) for c in codes])
    args = read, Stream([synthetic(c) for c in ('Z' if parts == 'Z' else 'ZRT')]), EVENT, metadata({f'BH{c}': ways[c] for c in codes})
    if expected: assert [*make_pairs(*args, recipe=recipe).component.values] == [*expected]
    else:
        with pytest.raises(Rejected, match='lone horizontal'): make_pairs(*args, recipe=recipe)

def cut_files(top, *spans):
    "Give the miniSEED files of a folder parts in files of their own"
    for path in [*(top/'obsd').iterdir()]:
        tr, = obspy.read(path)
        path.unlink()
        for k, (a, b) in enumerate(spans): tr.slice(T0+a, T0+b).write(str(path.with_name(f'{path.stem}_{k}.mseed')), 'MSEED')
    return top

@pytest.mark.parametrize('at', [570., -300.])
def test_split_before_the_window(tmp_path, at):
    "A record in two files, the first of which ends between the quiet time before the origin and the window"
    late = RECIPE._replace(start=600., length=1800.)
    whole, _ = preprocess_folder(folder(tmp_path/'a'), recipe=late)
    pairs, ledger = preprocess_folder(cut_files(folder(tmp_path/'b'), (-900, at-1), (at, 3600)), recipe=late)
    assert reasons(ledger) == dict.fromkeys(('BHZ', 'BHR', 'BHT'), 'ok') and len(ledger) == 3
    assert close(pairs.waveform.values, whole.waveform.values, 1e-5) and close(pairs.snr.values, whole.snr.values, 1e-3)

def test_late_windows(tmp_path):
    "Reading begins before the origin, wherever the window is; a record that only precedes the window is of no event"
    top, late = folder(tmp_path/'a'), RECIPE._replace(start=1950., length=1000.)
    pairs, _ = preprocess_folder(top, recipe=late, min_snr=0)
    assert pairs.sizes['pair'] == 3 and pairs.snr.notnull().all()
    _, ledger = preprocess_folder(cut_files(top, (-900, 1900)), recipe=late)
    assert reasons(ledger) == {'BHZ': 'no event', 'BHN': 'no event', 'BHE': 'no event', 'AAA': 'no record'}

def test_too_short_for_the_taper():
    "A record that ends with the window is too short for any taper"
    out = rotated(NORTH_EAST, recipe=RECIPE._replace(margin=(0., .1)), N=dict(end=2400.6), E=dict(end=2400.6))
    assert {e.reason for e in out.values()} == {'too short'}

@pytest.mark.parametrize('parts', ['T', 'NE', 'ZNE'])
def test_unrecorded(tmp_path, parts):
    "One row for a station that has synthetics and no record, whatever their components"
    top = folder(tmp_path/'a')
    for c in parts:
        tr = synthetic(c, 'ZNERT')
        tr.stats.station = 'BBB'
        tr.write(str(top/f'synt/XX.BBB.MX{c}.sac'), 'SAC')
    _, ledger = preprocess_folder(top, recipe=RECIPE)
    row, = ledger[ledger.station == 'XX.BBB'].itertuples()
    assert row.reason == 'no record' and row.file.count('XX.BBB.MX') == len(parts)

def test_synthetic_of_another_place(tmp_path):
    "Each synthetic of a sensor is of its place"
    top = folder(tmp_path/'a')
    tr = synthetic('E', 'ZNE')
    tr.stats.sac = dict(stla=10., stlo=20.)
    tr.write(str(top/'synt/XX.AAA.MXE.sac'), 'SAC')
    _, ledger = preprocess_folder(top, recipe=RECIPE)
    assert reasons(ledger) == dict(BHZ='ok', BHN='bad synthetic', BHE='bad synthetic')
    assert ledger.detail[1:].str.contains('component E: .*24.88 degrees from the station').all()

@pytest.mark.parametrize('fault', ['gap', 'unreadable'])
def test_third_channel_lost(tmp_path, fault):
    "1 and 2 give R and T without 3"
    top = folder(tmp_path/'a', ('BH1', 'BH2', 'BH3'), ways={'3': (0., -85.)})
    path = top/'obsd/BH3.mseed'
    if fault == 'gap':
        tr, = obspy.read(path)
        Stream([tr.slice(T0-900, T0+500), tr.slice(T0+700, T0+3600)]).write(str(path), 'MSEED')
    else:
        raw = path.read_bytes()
        path.write_bytes(raw[:len(raw)//3] + bytes(len(raw)//3*2))
    _, ledger = preprocess_folder(top, recipe=RECIPE)
    found = reasons(ledger)
    assert found['BH3'] == fault and found['BHR'] == found['BHT'] == 'ok'

def test_headers_of_horizontals(tmp_path):
    "CMPINC 0, where SAC's programs begin, is no vertical N; azimuths of headers stand in for those that metadata lack"
    top, way = ground_folder(tmp_path/'a', 'NE'), dict(N=0., E=90.)
    for p in top.glob('*.d.sac'):
        tr, = read_records(p)[0]
        tr.stats.sac.update(dict(cmpaz=way[tr.stats.channel[-1]], cmpinc=0.))
        tr.write(str(p), 'SAC')
    pairs, ledger = preprocess_folder(top, top, recipe=RECIPE)
    assert reasons(ledger) == dict(BHR='ok', BHT='ok')
    for p in top.glob('*.d.sac'):
        tr, = read_records(p)[0]
        tr.stats.channel = tr.stats.channel.replace('N', '1').replace('E', '2')
        tr.stats.sac.kcmpnm = tr.stats.channel
        p.unlink()
        tr.write(str(top/f'XX.AAA..{tr.stats.channel}.d.sac'), 'SAC')
    inv = metadata({'BH1': (None, 0.), 'BH2': (None, 0.)})
    for c in inv[0][0]: c.response = None
    inv.write(str(top/'inv.xml'), 'STATIONXML')
    again, ledger = preprocess_folder(top, own_synthetics(top) or top, recipe=RECIPE)
    assert reasons(ledger) == dict(BHR='ok', BHT='ok') and close(again.waveform.values, pairs.waveform.values)

@pytest.mark.parametrize('form', ['text', 'one file', 'R and T', 'asdf'])
def test_formats_of_synthetics(tmp_path, form):
    "SPECFEM's text, one miniSEED file or one ASDF file of all components, and R and T give the same pairs"
    top = folder(tmp_path/'a')
    read, _ = preprocess_folder(top, recipe=RECIPE)
    for p in (top/'synt').iterdir(): p.unlink()
    traces = Stream([synthetic(c, 'ZNERT') for c in ('ZRT' if form == 'R and T' else 'ZNE')])
    if form == 'text':
        for tr in traces: np.savetxt(top/f'synt/XX.AAA.{tr.stats.channel}.sem.ascii', np.c_[tr.times()-5., tr.data])
    elif form == 'one file': traces.write(str(top/'synt/all.mseed'), 'MSEED', encoding='FLOAT64')
    elif form == 'R and T':
        for tr in traces: tr.write(str(top/f'synt/{tr.stats.channel}.sac'), 'SAC')
    else:
        pyasdf = pytest.importorskip('pyasdf')
        with pyasdf.ASDFDataSet(str(top/'synt/all.h5'), mpi=False) as ds: ds.add_waveforms(traces, tag='synthetic')
    pairs, ledger = preprocess_folder(top, recipe=RECIPE)
    assert reasons(ledger) == dict.fromkeys(('BHZ', 'BHR', 'BHT'), 'ok') and close(pairs.waveform.values, read.waveform.values, 1e-5)

def test_text_as_records(tmp_path):
    "A checkerboard test: SPECFEM's text files of three components as records, placed by STATIONS"
    for d in ('obs', 'syn'):
        (tmp_path/d).mkdir()
        for c in 'ZNE':
            tr = synthetic(c, 'ZNE')
            np.savetxt(tmp_path/f'{d}/XX.AAA.MX{c}.semd', np.c_[tr.times()-5., tr.data])
    (tmp_path/'obs/CMTSOLUTION').write_text(CMT)
    (tmp_path/'obs/STATIONS').write_text('AAA XX 35.0 20.0 0.0 0.0\n')
    pairs, ledger = preprocess_folder(tmp_path/'obs', tmp_path/'syn', recipe=RECIPE)
    assert reasons(ledger) == dict.fromkeys(('MXZ', 'MXR', 'MXT'), 'ok')
    for k, part in enumerate('ZRT'):
        obs, syn = pairs.waveform.values[k]
        assert close(obs, syn, 1e-5) and np.corrcoef(obs, ground(RECIPE.times)[k])[0, 1] > .97
    assert 'azimuth of MXE: not stated, 90 by its code' in ledger.detail.iloc[1]

def test_computed(tmp_path):
    "Synthetics that are computed come by component"
    def compute(event, places): return {code: {c: synthetic(c) for c in 'ZRT'} for code in places}
    top = folder(tmp_path/'a')
    read, _ = preprocess_folder(top, recipe=RECIPE)
    for p in (top/'synt').iterdir(): p.unlink()
    (top/'synt').rmdir()
    pairs, _ = preprocess_folder(top, recipe=RECIPE, compute=compute)
    assert close(pairs.waveform.values, read.waveform.values, 1e-5)
    with pytest.raises(ValueError, match='modes of PREM'): preprocess_folder(top, recipe=load_recipe('short'), compute=compute)

def sac_version(path, version, order):
    "Give a file of SAC another version: 7 has a footer of doubles"
    raw = bytearray(path.read_bytes())
    struct.pack_into(f'{order}i', raw, 304, version)
    path.write_bytes(bytes(raw) + struct.pack(f'{order}22d', *[-12345.]*22)*(version == 7))

def ground_folder(path, parts='ZNE'):
    "Displacement in SAC files that begin 9.3 s before the origin, of several versions, X.d.sac beside X.s.sac"
    path.mkdir()
    t = np.arange(-9.3, 2800., .5)
    ways = dict(Z=(0, -90), N=(0, 0), E=(90, 0), R=(BACK+180, 0), T=(BACK+270, 0))
    for k, c in enumerate(parts):
        for letter, channel in (('d', f'BH{c}'), ('s', f'BH{c}')):
            tr = Trace(along(t, *ways[c], letter == 'd').astype(np.float32), dict(network='XX', station='AAA', channel=channel, delta=.5, starttime=T0-9.3))
            tr.stats.sac = dict(idep=6, o=9.3, stla=PLACE[0], stlo=PLACE[1], evla=10., evlo=-70., evdp=20., kevnm='A', stel=0., stdp=0.)
            tr.write(str(path/f'XX.AAA..{channel}.{letter}.sac'), 'SAC', byteorder='<>'[k % 2])
            sac_version(path/f'XX.AAA..{channel}.{letter}.sac', 6 + (k+(letter == 's')) % 2, '<>'[k % 2])
    return path

@pytest.mark.parametrize('parts', ['ZNE', 'ZRT'])
def test_ground_motion(tmp_path, parts):
    "Displacement in SAC files of versions 6 and 7, big- and little-endian, told apart from the synthetics by name"
    top = ground_folder(tmp_path/'a', parts)
    assert own_synthetics(top) == top
    pairs, ledger = preprocess_folder(top, top, recipe=RECIPE)
    assert reasons(ledger) == dict.fromkeys(('BHZ', 'BHR', 'BHT'), 'ok') and np.isnan(ledger.snr).all()
    for k, part in enumerate('ZRT'):
        obs, syn = pairs.waveform.values[k]
        assert close(obs, syn, 1e-6) and np.corrcoef(obs, ground(RECIPE.times)[k])[0, 1] > .97

def test_units_of_two_horizontals(tmp_path):
    "N in nanometres beside E in metres: each by the amplitude of its own synthetic"
    top = ground_folder(tmp_path/'a', 'NE')
    usual, _ = preprocess_folder(top, top, recipe=RECIPE)
    path = top/'XX.AAA..BHN.d.sac'
    tr, = read_records(path)[0]
    tr.data = tr.data*np.float32(1e9)
    tr.write(str(path), 'SAC')
    pairs, ledger = preprocess_folder(top, own_synthetics(top), recipe=RECIPE)
    assert reasons(ledger) == dict(BHR='ok', BHT='ok') and close(pairs.waveform.values, usual.waveform.values, 1e-5)
    assert ledger.detail.str.contains('BHN in nm, by the amplitude of the synthetic; BHE in m, by').all()

@pytest.mark.parametrize('parts', ['RT', 'NE'])
def test_own_synthetics_without_verticals(tmp_path, parts):
    "Synthetics beside the records are told apart by name where the folder has no Z"
    assert own_synthetics(ground_folder(tmp_path/'a', parts)) == tmp_path/'a'

def test_cut_short(tmp_path):
    "A file of version 7 that lacks samples is unreadable, whatever its footer"
    top = ground_folder(tmp_path/'a')
    path = top/'XX.AAA..BHN.s.sac'
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(Rejected, match='unreadable'): read_records(path)

# recipes

def test_windows():
    "A window that begins late needs no record before it, and a band beyond the study's keeps the synthetic"
    late = RECIPE._replace(start=600., length=1200., npts=600, margin=(60., 300.))
    assert window_of(T0, None, late) == (T0 + 540, T0 + 2100)
    found = waves(rotated(NORTH_EAST, recipe=late, N=dict(end=2200.), E=dict(end=2200.)))
    for k, part in enumerate('RT', 1): assert np.corrcoef(found[part][0], ground(late.times)[k])[0, 1] > .97
    short = Recipe('s', ('R', 'T'), 0., 2400., 4096, (17., 250.))
    found = waves(rotated(NORTH_EAST, recipe=short))
    for k, part in enumerate('RT', 1):
        assert close(found[part][0], found[part][1], 1e-3) and np.corrcoef(found[part][1], ground(short.times)[k])[0, 1] > .9

def test_modes(tmp_path):
    "Records of PREM on a turned sensor give the R and T that are computed; T of a strike-slip source vanishes at its nodes"
    toroidal = pytest.importorskip('fwinb.earth.toroidal')
    event = EVENT.copy()
    recipe = RECIPE._replace(length=1800.)
    found = toroidal.prem_components(event, {'XX.AAA': PLACE}, recipe)['XX.AAA']
    (r, t), ways = (found[c].data.astype(float) for c in 'RT'), {'1': (33., 0.), '2': (123., 0.)}
    en = radial_transverse(BACK).T @ np.stack([r, t])
    records = {}
    for c, way in ways.items():
        tr = Trace(channel_axes(*way)[:2] @ en, dict(network='XX', station='AAA', delta=found['R'].stats.delta, starttime=found['R'].stats.starttime))
        tr = counts(tr, gain=6e12, cha=f'BH{c}', noise=0)
        records[f'XX.AAA..BH{c}'] = tr
    inv = metadata({f'BH{c}': way for c, way in ways.items()})
    for n in inv[0][0]: n.response = paz(gain=15e6)
    out = component_values(records, found.get, event, inv, recipe=recipe._replace(margin=(0., 300.)))
    for w in waves(out).values(): assert close(w[0], w[1], .02)
    tensor = event.focal_mechanisms[0].moment_tensor.tensor
    for k in ('m_rr', 'm_tt', 'm_pp', 'm_rt', 'm_rp', 'm_tp'): setattr(tensor, k, 1e19 if k == 'm_tp' else 0.)
    here = SOURCE.latitude, SOURCE.longitude
    places = {f'XX.S{k}': (here[0] + 20*np.cos(np.radians(45*k)), here[1] + 20*np.sin(np.radians(45*k))) for k in range(8)}
    size = {k: {c: np.abs(tr.data).max() for c, tr in x.items()} for k, x in toroidal.prem_components(event, places, recipe).items()}
    azimuth = {k: path_geometry(*here, *p)[1] for k, p in places.items()}
    for k, x in size.items():                                          # M_tp: R goes as sin 2 azimuth, T as cos 2 azimuth
        a = np.radians(2*azimuth[k])
        assert x['T'] < 1.2*abs(np.cos(a))*size['XX.S0']['T'] + .03*size['XX.S0']['T'] and x['R'] < 1.2*abs(np.sin(a))*max(
            y['R'] for y in size.values()) + .03*max(y['R'] for y in size.values())

# real records

def real(name): return SHARED/name if (SHARED/name).is_dir() else pytest.skip(f'there is no {name}')

def correlations(pairs): return {s: float(a@b/np.sqrt((a@a)*(b@b))) for s, (a, b) in zip(pairs.station.values, pairs.waveform.values.astype(float))}

def only(path, parts, out):
    for p in parts: (out/p).symlink_to(path/p)
    return out

def test_real_2010(tmp_path):
    "Raw counts of three channels, rotated here, are what ObsPy made of them for another project"
    path = real('real_2010')
    (tmp_path/'raw').mkdir(); (tmp_path/'done').mkdir()
    recipe = Recipe('27-60 s', ('Z', 'R', 'T'), 0., 4200., 2048, (27., 60.))
    raw, ledger = preprocess_folder(only(path, ('obsd', 'quakeml', 'stationxml', 'synt'), tmp_path/'raw'), recipe=recipe)
    assert reasons(ledger) == dict.fromkeys(('BHZ', 'BHR', 'BHT'), 'ok')
    top = only(path, ('proc', 'quakeml', 'stationxml'), tmp_path/'done')
    done, ledger = preprocess_folder(top, own_synthetics(top), recipe=recipe, units='displacement')
    assert reasons(ledger) == dict.fromkeys(('BHZ', 'BHR', 'BHT'), 'ok') and [*raw.station.values] == [*done.station.values]
    a, b = raw.waveform.values.astype(float), done.waveform.values.astype(float)
    assert ((a*b).sum(-1)/np.linalg.norm(a, axis=-1)/np.linalg.norm(b, axis=-1)).min() > .99999
    assert np.abs(np.linalg.norm(a, axis=-1)/np.linalg.norm(b, axis=-1) - 1).max() < 1e-3
    surface, _ = preprocess_folder(tmp_path/'raw', recipe=load_recipe('surface')._replace(length=4200.))
    assert min(correlations(surface).values()) > .89

def test_real_2009():
    "Vertical synthetics only: horizontals say which component they lack, and one of three channels has its own gap"
    path = real('real_2009')
    pairs, ledger = preprocess_folder(path, recipe=load_recipe('middle')._replace(length=3600.))
    assert (pairs.component == 'Z').all() and pairs.sizes['pair'] == 6 and min(correlations(pairs).values()) > .79
    lost = ledger[ledger.reason == 'no synthetic']
    assert len(lost) == 12 and (lost.detail == 'component N: the files of this station hold Z only').all()

def test_real_computed(tmp_path):
    "PREM's R and T have the sign of the real ones, by channels N and E and by channels 1 and 2"
    toroidal, path, recipe = pytest.importorskip('fwinb.earth.toroidal'), real('real_2009'), load_recipe('surface')
    top = only(path, ('obsd', 'quakeml', 'stationxml'), tmp_path)
    def compute(event, places): return toroidal.prem_components(event, places, recipe)
    pairs, ledger = preprocess_folder(top, recipe=recipe, compute=compute)
    cc = correlations(pairs)
    assert cc['II.AAK.00.BHZ'] > .8 and cc['II.AAK.00.BHR'] > .7 and cc['II.AAK.00.BHT'] > .5 and cc['IU.ADK.00.BHR'] > .3
    detail = ledger.set_index('station').detail
    assert 'from BHN 4.8, BHE 95.5 degrees' in detail['II.AAK.00.BHT'] and 'from BH1' in detail['IU.ADK.00.BHR']

def test_real_south_america():
    "Displacement in SAC files without metadata or catalogue, nineteen stations"
    path = real('real_south_america/event2')
    recipe = Recipe('32-60 s', ('Z', 'R', 'T'), 0., 2400., 1024, (32., 60.), margin=(0., 300.))
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')                                # ObsPy on the rounding of DELTA
        pairs, ledger = preprocess_folder(path, own_synthetics(path), recipe=recipe)
    assert (ledger.reason == 'ok').all() and len(ledger) == 57 and pairs.snr.isnull().all()
    tiny = ledger.station[ledger.detail.str.contains('in nm, by the amplitude of the synthetic')]     # all headers say nm
    assert {x[:7] for x in tiny} == {'XE.LAJO', 'XE.SICA'} and ledger.detail.str.contains('in n?m, by the amplitude').all()
    cc = correlations(pairs)
    assert np.median([*cc.values()]) > .5
