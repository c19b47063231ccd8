"Features, network terms and orientations in recipes of other bands, windows and components."
import numpy as np, pandas as pd, pytest

from fwinb.earth.modes import RADIUS
from fwinb.earth.structure import LATITUDE, random_earth
from fwinb.features.compare import band_names, plot_bands
from fwinb.features.network_terms import (
    TERMS, event_station_terms, network_term_table, series_of, term_names, wave_of)
from fwinb.features.orientation import sensor_angles, sensor_orientation, wrapped
from fwinb.features.pair import PAIR_FEATURES, PRODUCTS, pair_feature_names, pair_features, product_names, quality_table
from fwinb.features.stations import pair_delays, station_history, station_report
from fwinb.pairs.recipes import load_recipe
from fwinb.pairs.schema import STUDY, Recipe, build_pairs, path_geometry

LONG = Recipe('long', ('Z', 'R', 'T'), 0., 3600., 1000, (50., 250.))

def shorter(recipe, k):
    "The recipe of the same samples, read as a record that is `k` times shorter"
    return recipe._replace(
        name='short', start=recipe.start/k, length=recipe.length/k, periods=tuple(x/k for x in recipe.periods),
        edges=tuple(x/k for x in recipe.sub_bands), corners=tuple(x*k for x in recipe.band))

def waves(recipe, rng, n, delay=0., gain=1.):
    "Records (n, npts) with a wave train in every sub-band, `delay` s late and `gain` times as large; same seed, same waves"
    t, edges = recipe.times - recipe.start, np.array(recipe.sub_bands)
    out = np.zeros((n, recipe.npts))
    for period in 2/(1/edges[:-1] + 1/edges[1:]):
        size, phase, at = rng.uniform(.5, 1, n), rng.uniform(0, 2*np.pi, n), rng.uniform(.4, .6, n)*recipe.length
        x = t - at[:,None] - np.reshape(delay, (-1, 1))
        out += size[:,None]*np.exp(-.5*(x/(4*recipe.periods[0]))**2)*np.cos(2*np.pi*x/period + phase[:,None])
    return gain*out

def pairs_of(recipe, obs, syn, component=None, event='E0', **more):
    "Pairs of stations on the equator"
    n = len(obs)
    component = np.resize(recipe.components, n) if component is None else component
    place = dict(event_latitude=0., event_longitude=0., station_latitude=0., station_longitude=60., distance_deg=60., azimuth_deg=90.)
    names = dict(event=event, station=[f'XX.S{i//len(recipe.components):02d}.00.LH{c}' for i, c in enumerate(component)], component=component)
    fixed = dict(event_depth_km=10., event_magnitude=6., origin='simulated', status='ok', moment_tensor=np.ones((n, 6)))
    return build_pairs(np.stack([obs, syn], 1), recipe=recipe, **place | names | fixed | more)

@pytest.mark.parametrize('name', ['surface', 'middle', 'short'])
def test_known_delay_and_gain(name):
    "A delay comes back in every sub-band, a gain as dlnA, and the shares add up to one"
    recipe = load_recipe(name)
    d, gain = .1*recipe.periods[0], 1.3
    obs, syn = waves(recipe, np.random.default_rng(1), 6, d, gain), waves(recipe, np.random.default_rng(1), 6)
    table = pair_features(pairs_of(recipe, 1e-5*obs, 1e-5*syn))
    of = lambda k: table[[f"{k}_{b.replace('-', '_')}" for b in band_names(recipe.sub_bands)]].values
    np.testing.assert_allclose(of('delay'), d, atol=.02*recipe.periods[0])
    np.testing.assert_allclose(table.lag, d, atol=.01*recipe.periods[0])
    np.testing.assert_allclose(table.dlnA, np.log(gain), atol=1e-3)
    np.testing.assert_allclose(of('amplitude'), np.log(gain), atol=.02)
    np.testing.assert_allclose(of('share').sum(1), 1, atol=1e-9)
    assert list(table.component) == ['Z', 'R', 'T']*2
    assert set(pair_feature_names(recipe)) | set(product_names(recipe)) < set(table)
    assert not table.gap.any() and not table.clipped.any() and not table.cycle_skip.any()

def test_scaling():
    "The same samples read as a record of half the length and half the periods: delays halve, pure numbers stay"
    k, rng = 2., np.random.default_rng(3)
    syn = 1e-5*waves(LONG, np.random.default_rng(2), 12)
    late = waves(LONG, np.random.default_rng(2), 12, rng.normal(0, 8, 12), rng.lognormal(0, .3, (12, 1)))
    obs = 1e-5*(late + .05*rng.normal(size=syn.shape))
    obs[3, 400:500] = obs[3, 400]                                # a gap
    obs[5] = np.clip(obs[5], -.5*np.abs(obs[5]).max(), .5*np.abs(obs[5]).max())
    short = shorter(LONG, k)
    a, b = (pair_features(pairs_of(r, obs, syn)) for r in (LONG, short))
    assert list(a.status) == list(b.status) == ['ok']*12 and a.gap[3] and a.clipped[5]
    delays = [i for i, x in enumerate(pair_feature_names(LONG)) if x == 'lag' or x.startswith('delay_')]
    x, y = (t[[*pair_feature_names(r)]].astype(float).values for t, r in ((a, LONG), (b, short)))
    y[:, delays] *= k
    for i, name in enumerate(pair_feature_names(LONG)):
        np.testing.assert_allclose(y[:,i], x[:,i], rtol=1e-6, atol=1e-6, err_msg=name)
    for p, q in zip(product_names(LONG), product_names(short)):   # rates of change are k times as large
        np.testing.assert_allclose(b[q]/k**p.count('rate'), a[p], rtol=1e-6, atol=1e-12, err_msg=p)

def test_names():
    "The study's names are those of the shipped models; another band has names of its own"
    assert (pair_feature_names(), product_names(), term_names()) == (PAIR_FEATURES, PRODUCTS, TERMS)
    assert (len(PAIR_FEATURES), len(PRODUCTS), len(TERMS)) == (57, 28, 71)
    assert {'delay_50_70', 'share_250_500', 'residual_norm_linear', 'correlation_part_6'} < set(PAIR_FEATURES)
    for name in ('surface', 'middle', 'short'):
        recipe = load_recipe(name)
        assert [len(f(recipe)) for f in (pair_feature_names, product_names, term_names)] == [57, 28, 71]
        assert not set(product_names(recipe)[2:7]) & set(PRODUCTS)

def test_quality_of_the_study_by_default():
    "Pairs without a recipe in their attributes are the study's"
    recipe = STUDY._replace(components=('Z',))
    obs, syn = waves(recipe, np.random.default_rng(1), 3, 4.), waves(recipe, np.random.default_rng(1), 3)
    pairs = pairs_of(recipe, obs, syn)
    bare = pairs.copy()
    bare.attrs = {}
    pd.testing.assert_frame_equal(quality_table(bare), quality_table(pairs))

def test_figure_of_bands():
    "The axis is the window of the recipe, also of one that does not begin at the origin"
    import matplotlib.pyplot as plt
    recipe = LONG._replace(start=600.)
    obs, syn = waves(recipe, np.random.default_rng(1), 1, 4.), waves(recipe, np.random.default_rng(1), 1)
    fig = plot_bands(pairs_of(recipe, obs, syn, component=['R']).isel(pair=0))
    assert len(fig.axes) == 6 and fig.axes[0].get_xlim() == recipe.window
    plt.close(fig)

# event and station terms

@pytest.mark.parametrize('wave, component', [('Rayleigh', 'Z'), ('Love', 'T')])
def test_series_are_those_of_the_earth(wave, component):
    "Phase velocities are PREM's, the strength of the maps that of the simulated Earths"
    from fwinb.earth.structure import modes_for, highest_mhz, prem_toroidal
    recipe = load_recipe('surface')
    modes = modes_for(recipe.band) if wave == 'Rayleigh' else prem_toroidal(highest_mhz(recipe.band))
    first = modes.n == 0
    f, c = modes.omega[first]/2/np.pi, modes.omega[first]*RADIUS/1e3/(modes.l[first]+.5)
    earth = random_earth(0, recipe=recipe)
    maps = earth.slowness if component == 'Z' else earth.love
    weight = np.cos(np.radians(LATITUDE))[None,:,None]/np.cos(np.radians(LATITUDE)).sum()/maps.shape[-1]
    rms = np.sqrt((maps**2*weight).sum((1, 2)))
    for name, s in series_of(recipe, wave).items():
        assert s.speed == pytest.approx(np.interp(1/s.period, f, c), rel=.005), name
        assert s.rms == pytest.approx(np.interp(1e3/s.period, earth.frequency, rms), rel=.2), name

def test_waves_have_terms_of_their_own():
    "An origin time that is late on T only moves the event terms of T, and the terms of Z and R are those without T"
    rng, recipe, n = np.random.default_rng(5), load_recipe('surface'), 400
    place = lambda k: (np.degrees(np.arcsin(rng.uniform(-.9, .9, k))), rng.uniform(-180, 180, k))
    (ea, eo), (sa, so) = place(20), place(20)
    e, s = np.repeat(np.arange(20), 20), np.tile(np.arange(20), 20)
    d, a = path_geometry(ea[e], eo[e], sa[s], so[s])
    base = pd.DataFrame(dict(event=[f'E{i:02d}' for i in e], earth=0, azimuth_deg=a, distance_deg=d, status='ok', correlation=.9))
    base = base.assign(event_latitude=ea[e], event_longitude=eo[e], station_latitude=sa[s], station_longitude=so[s])
    def on(c, late): return base.assign(component=c, station=[f'XX.S{i:02d}.00.LH{c}' for i in s], lag=rng.normal(0, .5, n) + late*(e == 3))
    table = pd.concat([on('Z', 4.), on('R', 4.), on('T', -4.)], ignore_index=True)
    t = event_station_terms(table, recipe=recipe)
    wave, hit = wave_of(table.component), np.tile(e == 3, 3)
    assert np.median(t.event[hit & (wave == 'Rayleigh')]) > 2.5 and np.median(t.event[hit & (wave == 'Love')]) < -2.5
    assert np.abs(t.event[~hit]).max() < 1.5
    upright = event_station_terms(table[wave == 'Rayleigh'], recipe=recipe)
    np.testing.assert_array_equal(t[wave == 'Rayleigh'].values, upright.values)

def test_table_of_terms():
    "Names and sizes; two waves are two groups of records"
    recipe = load_recipe('surface')
    parts = []
    for i in range(4):
        rng = np.random.default_rng(i)
        obs, syn = waves(recipe, np.random.default_rng(i), 30, rng.normal(0, 3, 30)), waves(recipe, np.random.default_rng(i), 30)
        more = dict(station_longitude=np.repeat(np.linspace(20, 120, 10), 3), distance_deg=np.repeat(np.linspace(20, 120, 10), 3))
        parts.append(pair_features(pairs_of(recipe, obs, syn, event=f'E{i}', **more)))
    table = pd.concat(parts, ignore_index=True)
    terms = network_term_table(table, recipe=recipe)
    assert list(terms) == list(term_names(recipe)) and np.isfinite(terms.source_norm_measured).all()
    love = (table.component == 'T').values
    assert (terms.group_records[love] == 40).all() and (terms.group_records[~love] == 80).all()
    assert (terms.event_records[love] == 10).all() and (terms.event_records[~love] == 20).all()

# orientation of sensors

def toy_network(defects, events=24, recipe=load_recipe('surface'), noise=.05, seed=0):
    "Three components of sensors S00, S01, ... with the defect `f(z = R + iT, azimuth of R, number of the event)` each"
    rng, t = np.random.default_rng(seed), recipe.times
    train = lambda at, phase: np.exp(-((t-at)/200)**2)*np.exp(2j*np.pi*((t-at)/90 + ((t-at)/450)**2) + 1j*phase)
    hum = lambda: noise*np.convolve(rng.normal(size=len(t)+40), np.hanning(41)/4, 'valid')
    obs, syn, about = [], [], {k: [] for k in ('event', 'station', 'component', 'event_longitude')}
    for i in range(events):
        for s, defect in enumerate(defects):
            longitude, size = rng.uniform(-180, 180), rng.normal(size=2)
            r, l = size[0]*train(2500, 0), size[1]*train(2100, 1.)
            late, size = rng.normal(0, 6, 2), size*rng.normal(1, .1, 2)
            r0, l0 = size[0]*train(2500+late[0], 0), size[1]*train(2100+late[1], 1.)
            z = (.7*r0.imag + hum() + 1j*(l0.real + hum()))*np.exp(-1j*np.radians(rng.normal(0, 4)))
            # the station is next to the north pole: R leaves it along the meridian opposite to the event
            z = defect(z, path_geometry(89.999, 0., 30., longitude)[1] + 180, i)
            syn += [r.real, .7*r.imag, l.real]
            obs += [r0.real + hum(), z.real, z.imag]
            for c in 'ZRT':
                for k, x in zip(about, (f'E{i:02d}', f'XX.S{s:02d}.00.LH{c}', c, longitude)): about[k].append(x)
    component = about.pop('component')
    return pairs_of(recipe, 1e-5*np.array(obs), 1e-5*np.array(syn), component, station_latitude=89.999, station_longitude=0.,
                    event_latitude=30., distance_deg=60., azimuth_deg=0., **about)

def turn(angle): return lambda z, azimuth, i: z*np.exp(-1j*np.radians(angle))
def mirror(axis): return lambda z, azimuth, i: z.conj()*np.exp(2j*np.radians(axis-azimuth))

@pytest.fixture(scope='module')
def turned():
    "Sensors: sound, turned by 23, -50 and 180 degrees, E, N reversed, exchanged, T, R reversed, Z reversed, turned since event 12"
    flips = lambda z, azimuth, i: z.conj(), lambda z, azimuth, i: -z.conj()
    since = lambda z, azimuth, i: turn(35*(i >= 12))(z, azimuth, i)
    pairs = toy_network([turn(0), turn(23), turn(-50), turn(180), mirror(0), mirror(90), mirror(45), *flips, turn(0), since])
    upside = (pairs.station == 'XX.S09.00.LHZ').values
    pairs.waveform.values[upside, 0] *= -1
    return pairs

def test_turned_sensors(turned):
    found = sensor_orientation(turned)
    print(found[['angle_deg', 'scatter_deg', 'angle_events', 'polar_deg', 'polar_events', 'suspect']].round(1).to_string())
    assert list(found.index) == [f'XX.S{k:02d}.00.LH' for k in range(11)]
    np.testing.assert_allclose(found.angle_deg.iloc[:3], [0, 23, -50], atol=4)
    np.testing.assert_allclose(found.turn_deg.iloc[1:3], [23, -50], atol=4)
    assert abs(wrapped(found.turn_deg.iloc[3] - 180)) < 4 and found.suspect.iloc[0] == ''
    said = [x.split(' (')[0] for x in found.mirror.iloc[4:9]]
    assert said == ['E reversed', 'N reversed', 'N and E exchanged', 'T reversed', 'R reversed']
    assert (found.mirror.iloc[:4] == '').all() and found.turn_deg.iloc[4:9].isna().all()
    last = found.iloc[10]
    assert last.turn_deg == pytest.approx(35, abs=4) and last.turn_from in ('E11', 'E12', 'E13', 'E14') and last.turn_to > 'E20'

def test_upside_down_vertical(turned):
    "The horizontals of a sensor whose vertical is reversed are not turned, though its polarisation is"
    upside = sensor_orientation(turned).loc['XX.S09.00.LH']
    assert upside.suspect == '' and abs(upside.angle_deg) < 4 and abs(wrapped(upside.polar_deg - 180)) < 15

def test_orientation_in_the_report(turned):
    "Both horizontals of a turned sensor say so, its vertical does not; polarity and gain stand beside it"
    some = turned.isel(pair=turned.station.str.slice(3, 6).isin(['S00', 'S01', 'S05']).values)
    history = station_history(pair_delays(some), recipe=load_recipe('surface'))
    report = station_report(history, orientation=sensor_orientation(some))
    print(report[['votes', 'against', 'angle_deg', 'angle_events', 'suspect']].to_string())
    for c in 'RT': assert 'turned by +23 degrees from E0' in report.suspect[f'XX.S01.00.LH{c}']
    for c in 'RT': assert 'N reversed' in report.suspect[f'XX.S05.00.LH{c}']
    assert (report.suspect[[f'XX.{s}.00.LHZ' for s in ('S00', 'S01', 'S05')]] == '').all()
    assert (report.suspect[['XX.S00.00.LHR', 'XX.S00.00.LHT']] == '').all()
    assert report.angle_deg['XX.S01.00.LHR'] == report.angle_deg['XX.S01.00.LHT'] and np.isnan(report.angle_deg['XX.S01.00.LHZ'])

def test_orientation_of_little(turned):
    "Two events accuse nobody; a broken trace is left out; without T there is no sensor"
    two = turned.isel(pair=turned.event.isin(['E00', 'E01']).values)
    assert (sensor_orientation(two).suspect == '').all()
    broken = two.copy(deep=True)
    at = int(np.flatnonzero((broken.station == 'XX.S00.00.LHT').values)[0])
    broken.waveform.values[at, 0] = 0
    a, b = sensor_angles(two), sensor_angles(broken)
    lost = b.turn.isna()
    assert lost.sum() == 1 and b.sensor[lost].item() == 'XX.S00.00.LH'
    pd.testing.assert_frame_equal(a[~lost], b[~lost])
    assert len(sensor_orientation(turned.isel(pair=(turned.component != 'T').values))) == 0
    names = {f'E{i:02d}': -i for i in range(24)}
    backwards = sensor_orientation(turned, time=names).loc['XX.S10.00.LH']
    assert backwards.turn_to in ('E11', 'E12', 'E13', 'E14') and backwards.turn_from > 'E20'
