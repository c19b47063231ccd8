"What the functions of `fwinb.labels` refuse, and what they leave as it is."
import matplotlib.pyplot as plt, numpy as np, pytest
import xarray as xr
from matplotlib.collections import QuadMesh
from obspy import Stream, Trace
from fwinb.labels.correlation import trace_arrays, two_traces
from fwinb.labels.misfit import add_misfit, default_settings, misfit_grid, plot_tf_misfit, regrade, tf_misfit, tf_settings
from fwinb.labels.timefreq import TFGrid, gabor_plan, log_frequencies, morlet, recipe_grid, tf_grid
from fwinb.labels.truth import correlation_rule, obspy_misfit, with_grades
from fwinb.pairs.plot import pair_title, plot_pair, plot_pairs
from fwinb.pairs.recipes import load_recipe
from fwinb.pairs.store import open_pairs, save_pairs
from fwinb.pairs.schema import STUDY, build_pairs, sample_times

t = sample_times()
dt = t[1]

def pulse(delay=0., period=90., width=60.):
    "Wave train around the middle of the record, (npts,)"
    x = t - STUDY.length/2 - delay
    return np.exp(-x**2/(2*width**2))*np.cos(2*np.pi*x/period)

w = pulse(30)
fast = np.exp(-(t-900)**2/(2*60**2))*np.cos(2*np.pi*t/4)        # 4 s: nothing of it is in the band
bad = np.tile(w, (3, 1))
bad[1,7] = np.nan

# ---- arrays

@pytest.mark.parametrize('obs, syn, message', [
    (bad, bad, 'row 1: the obs trace is not finite'),
    (0*w, w, 'row 0: the obs trace is all zero'),
    (w, 0*w + 3, 'row 0: the syn trace is constant'),
    (w, w[:1000], r'\(1024,\) and syn \(1000,\)'),
    (w[:250], w[:250], 'shorter than the longest period'),
    (fast, w, r'row 0: the obs trace has no energy in the band, 50.63 to 444.4 s'),
    (np.stack([w, w]), np.stack([w, fast]), 'row 1: the syn trace has no energy'),
])
def test_misfit_of_bad_traces(obs, syn, message):
    with pytest.raises(ValueError, match=message): tf_misfit(obs, syn, dt)

@pytest.mark.parametrize('wrong, message', [
    (dict(dt=0), 'must be positive, not 0'),
    (dict(grid=tf_grid(t_min=3)), r'\(Nyquist\)'),
    (dict(weights='a'), 'weights'),
    (dict(transform='stft'), 'transform'),
    (dict(dtype=np.float16), 'float16'),
    (dict(workers=0), 'workers'),
    (dict(phase_unit=0), 'phase_unit'),
    (dict(chunk=0), 'chunk'),
    (dict(weights='b2', dtype=np.float32), 'double precision'),
])
def test_misfit_of_bad_settings(wrong, message):
    with pytest.raises(ValueError, match=message): tf_misfit(w, w, **(dict(dt=dt) | wrong))

@pytest.mark.parametrize('kinds, got', [('f4 i2', 'f4'), ('f4 i4', 'f8'), ('f4 f8', 'f8'), ('f4 g', 'f8')])
def test_precision(kinds, got):
    "Single precision only if both traces are no better"
    assert two_traces(*((100*w).astype(k) for k in kinds.split()), dt, dtype=None)[0].dtype == np.dtype(got)

@pytest.mark.parametrize('obs, syn, keys, message', [
    (np.stack([w, w, w, w, 0*w + 4]), np.tile(w, (5, 1)), {}, 'row 4: the obs trace is constant'),
    (w, 0*w, {}, 'row 0: the syn trace is all zero'),
    (w, w, dict(dt=0), 'must be positive, not 0'),
    (w, w[:1000], {}, r'\(1024,\) and syn \(1000,\)'),
    (w, w, dict(dtype=int), 'floating-point type, not int'),
    (np.ma.masked_greater(w, .5), w, {}, 'masked'),
    *((w, x, {}, 'made of real numbers') for x in (w > 0, w + 0j, w.astype(str), w.astype(object))),
])
def test_two_traces(obs, syn, keys, message):
    with pytest.raises(ValueError, match=message): two_traces(obs, syn, **(dict(dt=dt) | keys))

# ---- obspy traces

def trace(data=w, station='AAK', delta=dt, **stats):
    return Trace(np.array(data), dict(network='II', station=station, channel='LHZ', delta=delta, **stats))

def gappy():
    tr = trace()
    tr.data = np.ma.masked_greater(tr.data, .9)
    return tr

@pytest.mark.parametrize('syn, message', [
    (trace(station='ADK'), 'station II.AAK against II.ADK'),
    (trace(w[:9]), '1024 samples against 9'),
    (gappy(), 'the syn trace has a gap'),
    (trace(starttime=2*dt), 'obs trace starts -3.5'),
    (trace(delta=2), 'sampling interval 1.75781 s against 2 s'),
])
def test_traces_of_a_row(syn, message):
    with pytest.raises(ValueError, match=message): trace_arrays([trace(), trace()], [trace(), syn])

def test_traces_of_two_rows():
    with pytest.raises(ValueError, match=r'row 1 \(II.AAK..LHZ, II.AAK..LHZ\): 9 samples against 1024'):
        trace_arrays([trace(), trace(w[:9])], Stream([trace(), trace(w[:9])]))
    with pytest.raises(ValueError, match='1 observed and 2 synthetic'): trace_arrays(trace(), [trace()]*2)

# ---- stores: a new Dataset, the caller's as it was

@pytest.fixture
def pairs():
    "Twenty pairs with delays from 0 to 19 s"
    n = 20
    waves = np.stack([[pulse(d), pulse()] for d in range(n)])
    return build_pairs(
        1e-5*waves, event='toy', station=[f'XX.A{i:02d}.00.LHZ' for i in range(n)], event_latitude=0, event_longitude=0,
        event_depth_km=15, event_magnitude=6.5, moment_tensor=np.tile([1e18, 0, -1e18, 0, 0, 0], (n, 1)),
        station_latitude=0, station_longitude=np.arange(n)+20., distance_deg=np.arange(n)+20., azimuth_deg=90,
        origin='simulated', status='ok')

@pytest.mark.parametrize('change', [
    add_misfit, with_grades, lambda p: with_grades(add_misfit(p)), lambda p: regrade(add_misfit(p), (.1, .5, 1))])
def test_input_is_unchanged(pairs, change):
    before = pairs.copy(deep=True)
    change(pairs)
    xr.testing.assert_identical(pairs, before)

def test_regrade(pairs):
    graded = add_misfit(pairs)
    before = graded.copy(deep=True)
    strict = regrade(graded, (.1, .5, 1.))
    xr.testing.assert_identical(graded, before)
    xr.testing.assert_identical(strict.drop_attrs().drop_vars('grade'), graded.drop_attrs().drop_vars('grade'))
    xr.testing.assert_identical(strict, add_misfit(pairs, (.1, .5, 1.)))
    with pytest.raises(ValueError, match='increasing'): regrade(graded, (1., .5, .1))
    with pytest.raises(ValueError, match="lack .'misfit'"): regrade(pairs, (.1, .5, 1.))

# ---- transforms

GRID = tf_grid()

@pytest.mark.parametrize('wrong, message', [
    (dict(grid=tf_grid(t_min=3)), r'below 0.284444 Hz \(Nyquist\)'),
    (dict(npts=200), 'a record of 351.562 s is shorter'),
    (dict(s=0), 'not 0 s'),
    (dict(grid=TFGrid([3., 2.], [.01])), 'increasing'),
    (dict(grid=TFGrid([-1500.], [.01])), 'do not overlap a record'),
    (dict(dtype=np.float16), 'not float16'),
])
def test_gabor_plan(wrong, message):
    with pytest.raises(ValueError, match=message): gabor_plan(**(dict(npts=1024, dt=dt, grid=GRID) | wrong))

@pytest.mark.parametrize('wrong, message', [
    (dict(npts=1), 'from 2 on, not 1'),
    (dict(dt=0), 'not 0 s'),
    (dict(w0=-6), 'w0 must be positive, not -6'),
    (dict(freqs=[.01, 0]), 'frequency 0 Hz'),
    (dict(freqs=[-.01]), 'frequency -0.01 Hz'),
    (dict(freqs=[.01, .3]), '0.3 Hz is not between 0 and the Nyquist frequency of 0.284444 Hz'),
    (dict(dtype=np.int64), 'not int64'),
])
def test_morlet(wrong, message):
    with pytest.raises(ValueError, match=message): morlet(**(dict(npts=60, dt=dt, freqs=log_frequencies()) | wrong))

# ---- recipes

RECIPES = 'study', 'surface', 'middle', 'short'

def trains(recipe, late=.2, gain=1.):
    "A pair for each component: a wave train of 1.8 shortest periods, the observation `late` of them late and `gain` as strong"
    x = (recipe.times - recipe.start - recipe.length/2)/recipe.periods[0]
    train, n = lambda x: np.exp(-(x/1.2)**2/2)*np.cos(2*np.pi*x/1.8), len(recipe.components)
    return build_pairs(
        np.tile(1e-5*np.stack([gain*train(x-late), train(x)]), (n, 1, 1)), recipe=recipe, component=np.array(recipe.components, object), event='E',
        station=[f'XX.A.00.LH{c}' for c in recipe.components], event_latitude=0, event_longitude=0, event_depth_km=15, event_magnitude=6.5,
        moment_tensor=np.full((n, 6), np.nan), station_latitude=0, station_longitude=60, distance_deg=60, azimuth_deg=90, origin='simulated', status='ok')

def test_grid_of_the_study():
    for grid in (recipe_grid(), recipe_grid(load_recipe('study')), misfit_grid(STUDY.npts, STUDY.dt)):
        for a, b in zip(grid, tf_grid()): np.testing.assert_array_equal(a, b)

@pytest.mark.parametrize('name', RECIPES)
def test_grid_fills_window_and_band(name):
    r = load_recipe(name)
    times, freqs = recipe_grid(r)
    np.testing.assert_allclose([times[0]+times[-1], freqs[0]+freqs[-1]], [r.length, 1/r.periods[0] + 1/r.periods[1]])
    np.testing.assert_allclose(np.diff(times)/r.gabor_window, .5625, rtol=.02)
    np.testing.assert_allclose(np.diff(freqs)*r.gabor_window, .05, rtol=.02)

@pytest.mark.parametrize('k', [.01, .37, 3., 10.])
@pytest.mark.parametrize('how', [{}, dict(weights='b2'), dict(transform='morlet', weights='b2')])
def test_stretched_time_leaves_the_misfit(k, how):
    "Times and periods k times as long: every number without a unit stays"
    rng = np.random.default_rng(5)
    noise = np.cumsum(rng.standard_normal((6, 2, STUDY.npts)), -1)
    grid = recipe_grid() if 'transform' not in how else TFGrid(STUDY.times, log_frequencies())
    m = tf_misfit(noise[:,0], noise[:,1], STUDY.dt, grid, 100., **how)
    longer = tf_misfit(noise[:,0], noise[:,1], k*STUDY.dt, TFGrid(k*grid.times, grid.freqs/k), k*100., **how)
    for a, b in zip(m, longer): np.testing.assert_allclose(b, a, rtol=1e-6 if how else 1e-5)

@pytest.mark.parametrize('k', [.2, 1.7, 4.])
def test_stretched_recipe_leaves_the_grade(k):
    "The lag grows with the periods; misfit, correlation and flag do not"
    longer = STUDY._replace(length=k*STUDY.length, periods=tuple(k*x for x in STUDY.periods), corners=(), edges=())
    for late, gain in ((.2, 1.), (1., .7), (2.5, 3.)):
        a, b = (add_misfit(trains(r, late, gain)).isel(pair=0) for r in (STUDY, longer))
        for v in ('envelope_misfit', 'phase_misfit', 'correlation', 'zero_lag_correlation'): np.testing.assert_allclose(b[v], a[v], rtol=1e-4)
        np.testing.assert_allclose(b.lag, k*a.lag, rtol=1e-4)
        assert (a.grade, a.cycle_skip) == (b.grade, b.cycle_skip)

@pytest.mark.parametrize('name', RECIPES)
def test_known_numbers_in_every_recipe(name):
    "Gain: (|k-1|, 0); reversed: (0, pi); a delay of .2 shortest periods: the closed form, of which the band holds nearly all"
    r = load_recipe(name)
    for late, gain, e, p in ((0, .5, 1, 0), (0, 2, .5, 0), (0, -1, 0, np.pi), (.2, 1, .060606, .705408)):
        m = add_misfit(trains(r, late, gain))
        np.testing.assert_allclose(m.envelope_misfit, e, atol=2e-5)
        np.testing.assert_allclose(m.phase_misfit, p, atol=.025)
    np.testing.assert_allclose(m.lag, .2*r.periods[0], rtol=1e-3)
    assert not m.cycle_skip.any() and (m.grade == 1).all()
    far = add_misfit(trains(r, 2.))
    assert far.cycle_skip.all() and np.allclose(far.lag, 2*r.periods[0], rtol=1e-3)

@pytest.mark.parametrize('name', ['surface', 'short'])
def test_from_store_to_figure(name, tmp_path):
    "Graded eagerly, lazily and from a checkpoint; settings in the attributes; axes and titles by recipe"
    r = load_recipe(name)
    pairs = trains(r)
    save_pairs(pairs, tmp_path/'p.zarr')
    eager, lazy = add_misfit(pairs), add_misfit(open_pairs(tmp_path/'p.zarr', dask=True), checkpoint=tmp_path/'kept')
    np.testing.assert_array_equal(eager.misfit, lazy.misfit)
    assert default_settings(r).items() <= lazy.attrs.items() and eager.attrs['misfit_max_lag_s'] == 6*r.periods[0]
    how, unit = tf_settings(eager)
    for a, b in zip(how['grid'], recipe_grid(r)): np.testing.assert_array_equal(a, b)
    assert (how['s'], unit) == (2*r.periods[0], 1.)
    band = f'{r.periods[0]:g}-{r.periods[1]:g} s'
    for i, c in enumerate(r.components):
        one = eager.isel(pair=i)
        assert f'   {c}, {band}   ' in pair_title(one) and pair_title(one) in plot_pair(one).get_title()
        fig = plot_tf_misfit(one)
        assert f'{c}, {band}' in fig.get_suptitle() and f'{one.misfit.item():.2f}: Class I' in fig.get_suptitle()
    for ax in plot_pairs(eager, ncols=1).axes: assert ax.get_xlim() == r.window
    plt.close('all')

def test_window_that_begins_late():
    "The grid counts from the first sample, the figures from the origin"
    r = load_recipe('surface')._replace(start=700., length=2000., npts=1000)
    m = add_misfit(trains(r))
    assert m.attrs['misfit_times_s'][0] < 60 and not m.cycle_skip.any()
    fig = plot_tf_misfit(m.isel(pair=0))
    planes = [ax for ax in fig.axes if any(isinstance(c, QuadMesh) for c in ax.collections) and ax.get_xlim() == (700, 2700)]
    assert len(planes) == 2
    for ax in planes: np.testing.assert_allclose(ax.collections[0].get_coordinates()[0, [0, -1], 0], [700, 2700])
    plt.close('all')

def test_title_of_the_study_has_no_band():
    assert pair_title(trains(STUDY).isel(pair=0)) == 'XX.A.00.LHZ   E   60.0°   15 km   Mw 6.5'
    few = STUDY._replace(npts=512)                               # fewer samples are the study's still
    assert '50-500 s' not in pair_title(trains(few).isel(pair=0))

def test_rules_by_recipe():
    for name in RECIPES:
        r = load_recipe(name)
        near, far = (add_misfit(trains(r, x)) for x in (.15, .25))   # the limit is .2 shortest periods
        assert correlation_rule(near).all() and not correlation_rule(far).any() and correlation_rule(far, lag=r.periods[0]).all()
    short = trains(load_recipe('short'))
    noise = 1e-6*np.random.default_rng(0).standard_normal(short.sizes['time'])   # in silence obspy divides zero by zero
    short = short.assign(waveform=(short.waveform.dims, np.tile(np.stack([-.5*noise, noise]), (3, 1, 1)).astype(np.float32)))
    np.testing.assert_allclose(obspy_misfit(short, [0]), 1 + 1, rtol=1e-5)       # |b - a|/b, and half a turn

def test_band_beyond_the_grid():
    short = trains(load_recipe('short')).assign_attrs(band_hz=list(load_recipe('short').band))
    assert (add_misfit(short).grade > 0).all()
    with pytest.raises(ValueError, match='but the misfit compares 50 to 500 s'): add_misfit(short, grid=tf_grid(3600.))
    wide = trains(STUDY).assign_attrs(band_hz=[.02, .03, .05, .06])
    with pytest.raises(ValueError, match='but the misfit compares 50 to 500 s'): add_misfit(wide)
