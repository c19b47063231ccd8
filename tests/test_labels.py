"What the functions of `fwinb.labels` refuse, and what they leave as it is."
import numpy as np, pytest
import xarray as xr
from obspy import Stream, Trace
from fwinb.labels.correlation import trace_arrays, two_traces
from fwinb.labels.misfit import add_misfit, regrade, tf_misfit
from fwinb.labels.timefreq import TFGrid, gabor_plan, log_frequencies, morlet, tf_grid
from fwinb.labels.truth import with_grades
from fwinb.pairs.schema import RECORD_LENGTH, build_pairs, sample_times

t = sample_times()
dt = t[1]

def pulse(delay=0., period=90., width=60.):
    "Wave train around the middle of the record, (npts,)"
    x = t - RECORD_LENGTH/2 - delay
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
