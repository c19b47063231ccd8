"What the misfit does with traces that are not clean: a number that means something, or an error that names row, trace and reason."
from typing import NamedTuple
import numpy as np, pytest
from hypothesis import assume, example, given, settings, strategies as st
from obspy import Trace, UTCDateTime
from fwinb.labels.correlation import cross_correlation, trace_arrays, trace_faults, two_traces
from fwinb.labels.timefreq import TFGrid, check_grid, tf_grid
from fwinb.labels.misfit import WEIGHTS, add_misfit, grade, tf_difference, tf_misfit
from fwinb.pairs.schema import STUDY, TRACES, build_pairs

pytestmark = pytest.mark.filterwarnings('error')     # an overflow or a 0/0 on the way is a failure

def examples(n): return settings(deadline=None, derandomize=True, max_examples=n, database=None)

# ---- traces

def band(rng, npts, dt):
    "Noise of 50 to 500 s and nothing else, largest value 1: it fills the record"
    f = np.fft.rfftfreq(npts, dt)
    w = np.fft.irfft(np.fft.rfft(rng.standard_normal(npts))*((f >= .002) & (f <= .02)), npts)
    return w/np.abs(w).max()

def alternating(npts): return (-1.)**np.arange(npts)

def put(w, share, value):
    "`w` with one sample replaced"
    w = w.copy()
    w[int(share*(len(w)-1))] = value
    return w

def fast(w):
    "Every other sample up, every other down, faded out on both sides: nothing of it is in the band"
    x = np.arange(len(w))/len(w) - .5
    return alternating(len(w))*np.exp(-(16*x)**2/2)

share = st.floats(0, 1)
def scale(k): return lambda w: w*10.**k
EDITS = dict(                                        # name: strategy of functions that spoil a trace of peak 1
    none=st.just(lambda w: w),
    zero=st.just(lambda w: 0*w),
    constant=st.floats(1e-30, 1e30).flatmap(lambda c: st.sampled_from([lambda w: 0*w+c, lambda w: 0*w-c])),
    nan=share.map(lambda x: lambda w: put(w, x, np.nan)),
    inf=st.tuples(share, st.sampled_from([-np.inf, np.inf])).map(lambda x: lambda w: put(w, *x)),
    offset=st.floats(-6, 6).flatmap(lambda k: st.sampled_from([lambda w: w+10**k, lambda w: w-10**k])),
    clipped=st.floats(.001, 1).map(lambda x: lambda w: w.clip(-x, x)),
    integers=st.tuples(st.sampled_from([3, 1000, 30000]), st.sampled_from([np.int16, np.int32, np.int64])).map(lambda x: lambda w: np.rint(x[0]*w).astype(x[1])),
    glitch=st.tuples(share, st.floats(1, 1e4)).map(lambda x: lambda w: put(w, *x)),
    scaled=st.integers(-30, 30).map(scale),
    extreme=st.integers(-300, 300).map(scale),       # beyond single precision
    one_count=st.just(np.rint),                      # the peaks and nothing between them
    spike=share.map(lambda x: lambda w: put(0*w, x, 1)),
    alternating=st.just(lambda w: alternating(len(w))),
    fast=st.just(fast),
)
SOUND = 'none', 'offset', 'clipped', 'integers', 'glitch', 'scaled'
GRADED = *SOUND, 'extreme', 'one_count', 'spike', 'alternating'
LOCAL = {'one_count', 'spike', 'alternating'}                     # what of them is in the band sits at a few places, or at the ends

class Batch(NamedTuple):
    obs:np.ndarray           # (n, npts)
    syn:np.ndarray
    dt:float|None = None     # s
    edits:list|None = None   # what was done to the two traces of each row
    def __repr__(self): return f'Batch({self.obs.dtype} {self.obs.shape}, {self.syn.dtype}, dt={self.dt}, {self.edits})'
    def _repr_pretty_(self, p, cycle): p.text(repr(self))   # hypothesis would print every sample

@st.composite
def batches(draw, names=tuple(EDITS), dtypes=(np.float64, np.float32), dts=(1.5, STUDY.dt, 6., 15.)):
    "One to six pairs, each trace with an edit of its own; the synthetic is anything between a copy and a stranger"
    rng, npts, dt, n = np.random.default_rng(draw(st.integers(0, 2**32))), draw(st.integers(300, 1300)), draw(st.sampled_from(dts)), draw(st.integers(1, 6))
    dt = STUDY.length/npts if dt is None else dt
    dtype, rows = draw(st.sampled_from(dtypes)), []
    edits = [tuple(draw(st.sampled_from([k for k in names if k != 'extreme' or dtype == np.float64])) for _ in TRACES) for _ in range(n)]
    for pair in edits:
        obs, other, mix = band(rng, npts, dt), band(rng, npts, dt), draw(st.sampled_from([0, .9, 1]))
        spoilt = [draw(EDITS[k])(w) for k, w in zip(pair, (obs, mix*obs + (1-mix)*other))]
        rows.append([w if w.dtype.kind == 'i' and n == 1 else w.astype(dtype) for w in spoilt])     # a batch has one dtype
    return Batch(*(np.stack([r[k] for r in rows]) for k in (0, 1)), dt, edits)

def fault(w):
    "What is wrong with a trace, sample by sample, or ''"
    if not all(np.isfinite(w)): return 'is not finite'
    return '' if any(x != w[0] for x in w) else 'is constant' if w[0] else 'is all zero'

def reason(obs, syn, edits=('none', 'none')):
    "Why a pair cannot be graded, the observation first, or ''; sound in time comes before silent in the band"
    both = list(zip(TRACES, (fault(obs), fault(syn)))) + [(k, 'has no energy in the band') for k, e in zip(TRACES, edits) if e == 'fast']
    return next((f'{k} trace {what}' for k, what in both if what), '')

def expected(b):
    "Row and reason of the error that a batch deserves, or None; unsound rows are found before silent ones"
    why = [reason(*r) for r in zip(b.obs, b.syn, b.edits)]
    order = sorted((r.endswith('band'), i) for i, r in enumerate(why) if r)
    return (order[0][1], why[order[0][1]]) if order else None

def rows_apart(b):
    "Rows whose synthetic is so much stronger that the square of the misfit is no double-precision number"
    peak = lambda x: np.log10(np.abs(x.astype(float)).max(-1))
    return np.flatnonzero(peak(b.syn) - peak(b.obs) > 150)

def check_values(m, unit=1.):
    for x in m: assert np.isfinite(x).all() and (x >= 0).all()
    assert (m.phase <= np.pi/unit*(1+1e-6)).all()
    np.testing.assert_array_equal(m.total, m.envelope + m.phase)

def close(got, want, rtol=1e-5, atol=1e-6): np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)

# ---- 1. arrays: a number, or an error with a name

anything = batches() | batches(GRADED)              # of the first, most are refused

@examples(150)
@given(anything, st.sampled_from(sorted(WEIGHTS)), st.sampled_from([1., np.pi]), st.sampled_from([None, np.float64]))
def test_value_or_named_error(b, weights, unit, dtype):
    run = lambda: tf_misfit(b.obs, b.syn, b.dt, phase_unit=unit, weights=weights, dtype=dtype)
    if wrong := expected(b):
        with pytest.raises(ValueError, match=r'^row {}: the {}'.format(*wrong)): run()
    elif len(apart := rows_apart(b)):                # too far apart for a number: then it must say so
        try: check_values(run(), unit)
        except ValueError as e: assert any(str(e).startswith(f'row {i}: ') for i in apart), e
    else: check_values(run(), unit)

@examples(50)
@given(anything)
def test_faults_of_arrays(b):
    "`trace_faults` and `two_traces` agree with a look at every sample; correlation is a number wherever they find nothing"
    why = [reason(*r) for r in zip(b.obs, b.syn)]
    assert list(trace_faults(b.obs, b.syn)) == why
    if any(why):
        i = next(i for i, r in enumerate(why) if r)
        for door in (two_traces, cross_correlation):
            with pytest.raises(ValueError, match=f'^row {i}: the {why[i]}'): door(b.obs, b.syn, b.dt)
    else:
        c = cross_correlation(b.obs, b.syn, b.dt)
        assert all(np.isfinite(x).all() for x in c)
        assert (np.abs([c.zero_lag, c.best]) <= 1).all() and (c.zero_lag <= c.best + 1e-5).all() and (np.abs(c.lag) <= 300).all()

# ---- 2. stores: a grade, or a status

def store(b, status='ok'):
    "A store with these traces, bad ones too: only what is not yet 'ok' may hold them"
    n = len(b.obs)
    pairs = build_pairs(np.stack([b.obs, b.syn], axis=1), event='toy', station=[f'XX.A{i:02d}.00.LHZ' for i in range(n)], event_latitude=0, event_longitude=0,
        event_depth_km=15, event_magnitude=6.5, moment_tensor=np.tile([1e18, 0, -1e18, 0, 0, 0], (n, 1)), station_latitude=0, station_longitude=np.arange(n)+20.,
        distance_deg=np.arange(n)+20., azimuth_deg=90, origin='simulated', status='not looked at')
    return pairs.assign(status=('pair', np.array(np.broadcast_to(status, n), object)))

NUMBERS = 'envelope_misfit', 'phase_misfit', 'misfit', 'lag', 'correlation', 'zero_lag_correlation'
def in_store(names): return batches([k for k in names if k != 'extreme'], dts=(None,))   # single precision, 1800 s
stores = in_store(EDITS) | in_store(GRADED)

@examples(40)
@given(stores, st.lists(st.sampled_from(['ok', 'ok', 'gap']), min_size=6, max_size=6))
def test_grade_or_status(b, before):
    got = add_misfit(store(b, before[:len(b.obs)]))
    waves = got.waveform.values
    for i, was in enumerate(before[:len(b.obs)]):
        row, why = got.isel(pair=i), was if was != 'ok' else reason(*waves[i], b.edits[i]) or 'ok'
        numbers = np.array([row[k].item() for k in NUMBERS])
        assert row.status.item() == why
        if why == 'ok':
            assert np.isfinite(numbers).all() and (numbers[:3] >= 0).all() and row.grade.item() in (1, 2, 3, 4)
            assert row.grade.item() == grade(row.misfit.item())
            assert (np.abs(numbers[4:]) <= 1).all()
        else: assert np.isnan(numbers).all() and row.grade.item() == 0 and not row.cycle_skip.item()

def meeting(b):
    "Rows whose two signals are somewhere in the record at one time; the phase of the others is rounding"
    return np.array([not set(e) <= LOCAL for e in b.edits])

def same_rows(a, b, rows):
    "Two graded stores agree"
    assert list(a.status.values) == list(b.status.values)
    for k in NUMBERS[:3]: close(a[k].values[rows], b[k].values[rows])
    for k in NUMBERS[4:]: close(a[k].values, b[k].values, atol=1e-5)

@examples(18)
@given(stores, st.randoms(use_true_random=False), st.sampled_from([1, 2, 1024]))
def test_rows_do_not_meet(b, random, chunk):
    "A pair's grade is its own: alone, in another order, in chunks of another size"
    pairs, meet = store(b), meeting(b)
    whole, order = add_misfit(pairs), random.sample(range(len(b.obs)), len(b.obs))
    same_rows(add_misfit(pairs.isel(pair=order), chunk=chunk), whole.isel(pair=order), meet[order])
    for i in range(len(b.obs)): same_rows(add_misfit(pairs.isel(pair=[i])), whole.isel(pair=[i]), meet[[i]])

@examples(15)
@given(stores)
def test_store_is_arrays(b):
    "The store's misfit is the one of `tf_misfit` on its rows, and the input stays as it was"
    pairs = store(b)
    before, got = pairs.copy(deep=True), add_misfit(pairs)
    assert pairs.identical(before)
    ok = np.flatnonzero((got.grade.values > 0) & meeting(b))
    m = tf_misfit(*(pairs.waveform.values[ok, k] for k in (0, 1)), STUDY.length/pairs.sizes['time'])
    close(got.misfit.values[ok], m.total)

# ---- 3. what must not matter

sound = batches(SOUND, dts=(1.5, STUDY.dt, 6.))

@examples(18)
@given(sound, st.integers(-100, 100), st.integers(1, 6), st.booleans())
def test_common_factor_and_chunks(b, k, chunk, negative):
    "Nothing depends on the unit of displacement, on its sign, or on how many pairs are done at a time"
    m, unit = tf_misfit(b.obs, b.syn, b.dt), (-1 if negative else 1)*10.**k
    for other in (tf_misfit(b.obs*np.float64(unit), b.syn*np.float64(unit), b.dt), tf_misfit(b.obs, b.syn, b.dt, chunk=chunk), tf_misfit(b.obs, b.syn, b.dt, chunk=chunk, workers=2)):
        close(other.envelope, m.envelope); close(other.phase, m.phase)

@examples(25)
@given(sound)
def test_precision(b):
    "Single precision is enough: 1e-4, or 1e-5 where the misfit is next to nothing"
    single, double = (tf_misfit(b.obs, b.syn, b.dt, dtype=d) for d in (np.float32, np.float64))
    close(single.envelope, double.envelope, rtol=1e-4, atol=1e-5); close(single.phase, double.phase, rtol=1e-4, atol=1e-5)

@examples(25)
@given(sound)
def test_swap(b):
    "Which of the two is early changes the sign of the phase, not its size"
    close(tf_misfit(b.obs, b.syn, b.dt).phase, tf_misfit(b.syn, b.obs, b.dt).phase)

@examples(20)
@given(sound, st.integers(-30, 30))
def test_gain(b, k):
    "u = k u0: (|k-1|, 0), whatever the trace looks like"
    obs = b.obs.astype(float)
    m = tf_misfit(obs, obs*10.**k, b.dt, dtype=np.float64)
    close(m.envelope, np.full(len(b.obs), abs(10.**k - 1)), rtol=1e-9, atol=1e-9); close(m.phase, 0*m.phase, atol=1e-6)

# ---- 4. the fast sums against the definition

@st.composite
def definitions(draw):
    "White noise and a way to compare it: window, weights, an irregular grid that may look a window beyond both ends"
    npts, dt, s, nt, nf = draw(st.integers(300, 1300)), draw(st.sampled_from([1.5, STUDY.dt, 6., 15.])), draw(st.floats(40, 200)), draw(st.integers(1, 20)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    times = np.sort(rng.uniform(-s, npts*dt+s, nt))
    grid = TFGrid(times, rng.uniform(max(.002, 1/(npts*dt)), min(.06, .49/dt), nf))
    obs, other = rng.standard_normal((2, draw(st.integers(1, 3)), npts))
    return obs, 10**rng.uniform(-3, 3)*(draw(st.sampled_from([0, .9]))*obs + other), dt, dict(grid=grid, s=s, weights=draw(st.sampled_from(sorted(WEIGHTS))))

@examples(60)
@given(definitions())
def test_fast_is_dense(case):
    obs, syn, dt, how = case
    m, d = tf_misfit(obs, syn, dt, dtype=np.float64, **how), tf_difference(obs, syn, dt, **how)
    close(m.envelope, np.sqrt(d.envelope_part.sum((-2,-1))), rtol=1e-9, atol=1e-9)
    close(m.phase, np.sqrt(d.phase_part.sum((-2,-1))), rtol=1e-9, atol=1e-9)

@examples(10)
@given(definitions(), st.floats(4, 10))
def test_wavelet_is_dense(case, w0):
    obs, syn, dt, how = case
    how = dict(how, transform='morlet', w0=w0)
    m, d = tf_misfit(obs, syn, dt, **how), tf_difference(obs, syn, dt, **how)
    close(m.envelope, np.sqrt(d.envelope_part.sum((-2,-1))), rtol=1e-9, atol=1e-9)
    close(m.phase, np.sqrt(d.phase_part.sum((-2,-1))), rtol=1e-9, atol=1e-9)

# ---- 5. two records that do not fit, a band that does not fit

DAY = UTCDateTime(2020, 1, 1)
def trace(w, start=0., dt=1., station='AAK'): return Trace(w, dict(network='II', station=station, channel='LHZ', delta=dt, starttime=DAY+start))

@examples(30)
@given(st.integers(2, 400), st.integers(2, 400), st.integers(0, 3))
def test_lengths(n, m, before):
    assume(n != m)
    rng = np.random.default_rng(n)
    a, b = rng.standard_normal(n), rng.standard_normal(m)
    good = [trace(a)]*before
    with pytest.raises(ValueError, match=rf'^row {before} \(II.AAK..LHZ, II.AAK..LHZ\): {n} samples against {m}'): trace_arrays(good+[trace(a)], good+[trace(b)])
    for door in (two_traces, tf_misfit, tf_difference, cross_correlation):
        with pytest.raises(ValueError, match=rf'\({n},\) and syn \({m},\)'): door(a, b, 1.)

@examples(30)
@given(st.integers(-10**6, 10**6), st.sampled_from([.5, 1., 1.5]), st.integers(0, 3))
@example(600, 1., 0)
@example(-501, 1., 1)
def test_starts(ms, dt, before):
    "Half a sample is forgiven, more is not, and the message says how late"
    late, w = ms/1000, np.random.default_rng(abs(ms)).standard_normal(300)
    good = [trace(w, dt=dt)]*before
    run = lambda: trace_arrays(good+[trace(w, late, dt)], good+[trace(w, 0, dt)])
    if abs(late) <= dt/2: assert run()[0].shape == (before+1, 300) and run()[2] == dt
    else:
        with pytest.raises(ValueError, match=rf'^row {before} .*the obs trace starts {late:+g} s'.replace('+', r'\+')): run()

@examples(30)
@given(st.integers(300, 1300), st.floats(26, 200))
def test_band_above_nyquist(npts, dt):
    "At 26 s and more the band of 50 s and longer is not sampled twice a period"
    grid, w = tf_grid(npts*dt), np.random.default_rng(npts).standard_normal(npts)
    for run in (lambda: check_grid(npts, dt, grid), lambda: tf_misfit(w, -w, dt), lambda: tf_difference(w, -w, dt)):
        with pytest.raises(ValueError, match=rf'reaches {grid.freqs.max():g} Hz.* {dt:g} s .* {.5/dt:g} Hz'.replace('+', r'\+')): run()

@examples(30)
@given(st.integers(2, 400), st.floats(.1, 1.1))
def test_too_short(npts, dt):
    "The longest period of the grid must fit into the record"
    grid, w = tf_grid(npts*dt), np.random.default_rng(npts).standard_normal(npts)
    longest = 1/grid.freqs.min()
    assume(npts*dt < longest)
    for run in (lambda: check_grid(npts, dt, grid), lambda: tf_misfit(w, -w, dt), lambda: tf_difference(w, -w, dt)):
        with pytest.raises(ValueError, match=f'record of {npts*dt:g} s is shorter than .* {longest:g} s'): run()

# ---- 6. an offset

@examples(10)
@given(st.integers(0, 2**32), st.integers(600, 1300), st.sampled_from([-1, 1]))
def test_offset(seed, npts, sign):
    "A windowed constant has energy at 500 s and beyond the ends of the record: an offset counts like a signal of its size"
    obs, syn = band(rng := np.random.default_rng(seed), npts, 1.5), band(rng, npts, 1.5)
    run = lambda c0, c: tf_misfit(obs + sign*c0, syn + sign*c, 1.5, dtype=np.float64)
    clean, large, huge = run(0, 0), run(0, 1e3), run(0, 1e6)
    assert large.envelope > 10*clean.envelope                  # of the synthetic: too strong, in proportion
    close(huge.envelope, 1e3*large.envelope, rtol=2e-2)
    close(run(1e6, 0).envelope, 1., rtol=1e-3)                 # of the observation: the synthetic is as good as nothing
    assert run(1e4, 1e4).total < 1e-2*clean.total              # of both: it hides that they differ; demean first
    for m in (large, huge, run(1e6, 0), run(1e6, -1e6)): check_values(m)

# ---- 7. what a person would try next

def a_pair(npts=1024, seed=0): return band(rng := np.random.default_rng(seed), npts, STUDY.length/npts), band(rng, npts, STUDY.length/npts)

@pytest.mark.parametrize('door', [two_traces, cross_correlation, tf_difference, tf_misfit])
def test_masked(door):
    "What is under the mask of a gap is not data"
    obs, syn = a_pair()
    with pytest.raises(ValueError, match='obs has masked samples'): door(np.ma.masked_greater(obs, .5), syn, STUDY.dt)
    with pytest.raises(ValueError, match='syn has masked samples'): door(syn, np.ma.masked_greater(obs, .5), STUDY.dt)

@pytest.mark.parametrize('kind', [bool, complex, str, object])
@pytest.mark.parametrize('door', [two_traces, cross_correlation, tf_difference, tf_misfit])
def test_kinds(door, kind):
    "What is not a real number is named by its trace"
    obs, syn = a_pair()
    with pytest.raises(ValueError, match='syn is of kind'): door(obs, syn.astype(kind), STUDY.dt)

@pytest.mark.parametrize('dtype', [None, np.float32, np.float64])
@pytest.mark.parametrize('kind', ['f2', '>f4', '>f8', 'g', '>i2', '>i4', 'u1'])
def test_other_numbers(kind, dtype):
    "Half and extended precision, the byte order of miniSEED, unsigned counts"
    obs, syn = (np.rint(100*w + 128).astype(kind) for w in a_pair())
    m, plain = (tf_misfit(u0, u, STUDY.dt, dtype=dtype) for u0, u in ((obs, syn), (obs.astype(float), syn.astype(float))))
    close(m.total, plain.total)

@pytest.mark.parametrize('kinds', [('f4', 'f4'), ('f4', 'f8'), ('f8', 'f4'), ('f8', 'f8')])
def test_mixed_precision(kinds):
    "What single precision leaves in the band of a trace is its rounding, whatever the precision of the other trace"
    _, w = a_pair()
    for pair, name in (((fast(w), w), 'obs'), ((w, fast(w)), 'syn')):
        with pytest.raises(ValueError, match=f'^row 0: the {name} trace has no energy'): tf_misfit(*(x.astype(k) for x, k in zip(pair, kinds)), STUDY.dt)

UNRELATED = np.pi/np.sqrt(3)      # root mean square of a phase that is anything

@pytest.mark.parametrize('npts', [128, 300, 1024])
@pytest.mark.parametrize('dtype', [None, np.float64])
@pytest.mark.parametrize('weights', sorted(WEIGHTS))
def test_nothing_in_common(npts, dtype, weights):
    "One at the start, one at the end, no window that sees both: all of the misfit is envelope, and the phase is that of strangers"
    first, last = (put(np.zeros(npts), x, 1) for x in (0, 1))
    m = tf_misfit(first, last, STUDY.length/npts, dtype=dtype, weights=weights)
    check_values(m)
    assert m.envelope > 1
    close(m.phase, UNRELATED, rtol=.02 if weights == 'log' else 1e-6)      # the tails of both are not nothing to a logarithm

@pytest.mark.parametrize('weights', sorted(WEIGHTS))
@pytest.mark.parametrize('centre', [900., 300.])
def test_quiet_synthetic(centre, weights):
    "One wave train against noise: where the synthetic is silent its phase is that of strangers, not the rounding of the transform"
    obs, _ = a_pair()
    t, dt = np.arange(1024)*STUDY.dt - centre, STUDY.length/1024
    syn = np.where(np.abs(t) < 150, np.cos(np.pi*t/300)**2*np.cos(2*np.pi*t/90), 0)
    m, d = tf_misfit(obs, syn, dt, weights=weights, dtype=np.float64), tf_difference(obs, syn, dt, weights=weights)
    close(m.phase, np.sqrt(d.phase_part.sum()))
    if weights == 'ab': close(tf_misfit(obs, syn, dt).phase, m.phase)

@pytest.mark.parametrize('weights', ['b2', 'log', '1'])
def test_single_precision_is_refused(weights):
    "These weights count cells in which a trace is silent, where single precision has no phase"
    with pytest.raises(ValueError, match=f"weights '{weights}' .* need double precision"): tf_misfit(*a_pair(), STUDY.dt, weights=weights, dtype=np.float32)

def test_nothing_in_common_in_a_store():
    b = Batch(*(put(np.zeros(128), x, 1)[None] for x in (0, 1)))
    got = add_misfit(store(b))
    assert (got.grade.item() > 0) == (got.status.item() == 'ok') == np.isfinite(got.misfit.item()), (got.grade.item(), got.status.item(), got.misfit.item())

@pytest.mark.parametrize('k', [100, 160, 300, 600])
def test_far_apart(k):
    "A synthetic 10^k times too strong has the misfit 10^k, or is refused by name where that is no number"
    obs, _ = a_pair()
    half = 10.**(k//2)
    run = lambda: tf_misfit(np.stack([obs, obs/half]), np.stack([obs, obs*half]), STUDY.dt)
    if k > 308:
        with pytest.raises(ValueError, match='^row 1: '): run()
    else: close(np.log10(run().envelope[1]), k, atol=1e-3)

@pytest.mark.parametrize('k', [160, 300, 600])
def test_far_apart_the_other_way(k):
    "A synthetic 10^k times too weak is as good as none"
    obs, _ = a_pair()
    m = tf_misfit(obs*10.**(k//2), obs/10.**(k//2), STUDY.dt)
    close(m.envelope, 1.); close(m.phase, 0.)

@pytest.mark.parametrize('unit', [0., -1., np.nan, np.inf])
def test_phase_unit(unit):
    "A phase cannot be counted in nothing, backwards, or in NaN"
    obs, syn = a_pair()
    with pytest.raises(ValueError, match='phase_unit'): tf_misfit(obs, syn, STUDY.dt, phase_unit=unit)
    with pytest.raises(ValueError, match='phase_unit'): add_misfit(store(Batch(obs[None], syn[None])), phase_unit=unit)
