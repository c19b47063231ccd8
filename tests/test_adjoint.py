"Adjoint sources: derivatives of their misfits, the same as pyadjoint's where it has them, and errors that name the value."
from pathlib import Path
import numpy as np, pandas as pd, pytest, torch
from fwinb.adjoint.misfits import FORMULAS, MISFITS, adjoint_sources, gabor_transpose, window_taper
from fwinb.inversion.experiment import make_experiment
from fwinb.inversion.membrane import NODES, make_grid
from fwinb.inversion.misfit_functions import adjoint_gradient, first_step
from fwinb.labels.misfit import misfit_grid, tf_misfit
from fwinb.labels.timefreq import gabor, gabor_groups, gabor_plan
from fwinb.pairs.schema import STUDY
from fwinb.pairs.store import open_pairs

ROOT = Path(__file__).resolve().parent.parent
DT = STUDY.dt
WINDOWS = pd.DataFrame([(0, 200, 500), (1, 550, 900), (1, 610, 960), (2, 300, 701), (3, 0, 1023)], columns=['pair', 'left', 'right'])

@pytest.fixture(scope='module')
def traces():
    w = open_pairs(ROOT/'data/sample/pairs.zarr', dask=False).waveform.values[[0, 3, 5, 8]].astype(float)
    return w[:,0], w[:,1]

def smooth(shape, rng, keep=50):
    x = np.fft.irfft(np.fft.rfft(rng.standard_normal(shape))[:,:keep], shape[-1])
    return x/np.abs(x).max(-1, keepdims=True)

@pytest.mark.parametrize('misfit', MISFITS)
@pytest.mark.parametrize('settings', [{}, dict(taper=1., water=.05, period=40., longest=300.)], ids=['defaults', 'other settings'])
def test_finite_differences(traces, misfit, settings):
    obs, syn = traces
    windows, rng = WINDOWS.assign(scale=[1., 2., .5, 3., 1.]), np.random.default_rng(1)
    chi = lambda s: adjoint_sources(obs, s, DT, windows, misfit, **settings).table.misfit
    step = 1e-6                                      # a phase that passes ±π bends the curve of chi: the smaller the step the rarer
    source, taken, told = adjoint_sources(obs, syn, DT, windows, misfit, **settings).source, [], []
    for _ in range(4):
        x = smooth(syn.shape, rng)*np.abs(syn).max(-1, keepdims=True)
        change = (chi(syn + step*x) - chi(syn - step*x))/(2*step)              # of each window
        taken += [*change.groupby(windows.pair).sum()]                       # of each trace: none hides behind another
        told += [*DT*(source*x).sum(-1)]
    assert np.linalg.norm(np.subtract(taken, told)) < 1e-4*np.linalg.norm(taken)
    by_trace = np.abs(np.subtract(taken, told)).reshape(4, 4).max(0)/np.abs(taken).reshape(4, 4).max(0)
    assert (by_trace < 1e-4).all(), by_trace

@pytest.mark.parametrize('misfit', ['cc_traveltime', 'exponentiated_phase'])
@pytest.mark.parametrize('length', [200, 201])
def test_noise_up_to_nyquist(misfit, length):
    rng, windows = np.random.default_rng(2), pd.DataFrame(dict(pair=range(20), left=5, right=4+length))
    syn, x = rng.standard_normal((2, 20, 256))
    obs = syn + rng.standard_normal(syn.shape)
    chi = lambda s: adjoint_sources(obs, s, DT, windows, misfit).table.misfit.values
    a = adjoint_sources(obs, syn, DT, windows, misfit)
    taken = (chi(syn + 1e-6*x) - chi(syn - 1e-6*x))/2e-6
    np.testing.assert_allclose(taken, DT*(a.source*x).sum(-1), rtol=0, atol=1e-4*np.abs(taken).max())
    if misfit == 'cc_traveltime':                                            # a maximum, and the largest on the samples
        t = window_taper(length, np.arange(length))
        for k in range(20):
            c = np.correlate(t*obs[k,5:5+length], t*syn[k,5:5+length], 'full')
            assert abs(a.table.delay_s[k]/DT - (c.argmax() - length + 1)) < 1

@pytest.mark.parametrize('what', ['phase', 'envelope'])
def test_autograd(traces, what):
    "The closed form in time and frequency against torch and the dense definition of the transform"
    obs, syn = (w[1:2] for w in traces)
    grid, t = misfit_grid(1024, DT), window_taper(351, np.arange(1024)-550)
    g = torch.from_numpy(gabor(np.eye(1024), DT, *grid).reshape(1024, -1))
    s = torch.from_numpy(syn[0]*1e6).requires_grad_()                        # µm: torch divides by squares of moduli
    u, v = ((torch.from_numpy(t)*x).to(g.dtype)@g for x in (s, torch.from_numpy(obs[0]*1e6)))
    a, b = u.abs(), v.abs()
    chi = ((a-b)**2).sum()/(b**2).sum()/2 if what == 'envelope' else (a*b*(u*v.conj()).angle()**2).sum()/(a*b).sum()/2
    chi.backward()
    found = adjoint_sources(obs, syn, DT, pd.DataFrame(dict(pair=[0], left=[550], right=[900])), f'tf_{what}')
    assert np.isclose(found.table.misfit[0], chi.item(), rtol=1e-9)
    np.testing.assert_allclose(found.source[0], 1e6*s.grad.numpy()/DT, rtol=0, atol=1e-8*np.abs(found.source).max())
    labels = tf_misfit(t*obs, t*syn, DT, dtype=np.float64)
    assert np.isclose(found.table.misfit[0], getattr(labels, what)[0]**2/2, rtol=1e-10)

@pytest.mark.parametrize('npts, dt, period', [(1024, DT, 50.), (700, 12., 40.), (4096, .88, 17.)])
def test_transpose(npts, dt, period):
    "<g, T x> = <T* g, x>; the second plan is at the full rate"
    plan, rng = gabor_plan(npts, dt, misfit_grid(npts, dt, recipe=STUDY._replace(periods=(period, 3*period))), 2*period, float), np.random.default_rng(0)
    assert (plan.shift is None) == (dt == 12.)
    x = rng.standard_normal((2, npts))
    g = [(rng.standard_normal(a.shape), rng.standard_normal(b.shape)) for a, b in gabor_groups(x, plan)]
    there = sum((a*c + b*d).sum() for (a, b), (c, d) in zip(gabor_groups(x, plan), g))
    assert np.isclose((x*gabor_transpose(g, plan)).sum(), there, rtol=1e-11)

@pytest.mark.parametrize('misfit', ['waveform', 'cc_traveltime', 'exponentiated_phase'])
def test_pyadjoint(misfit):
    "Against the numbers of pyadjoint 0.2.2: python bench/adjoint.py --reference"
    ref = pd.read_csv(ROOT/'tests/expected/pyadjoint_sources.csv')
    windows = pd.DataFrame(dict(pair=0, left=[4, 60], right=[58, 115]))
    f = adjoint_sources(ref[['obs']].values.T, ref[['syn']].values.T, 5., windows, misfit, formula='pyadjoint').source[0]
    assert np.corrcoef(f, ref[misfit])[0,1] > .9999
    assert abs(np.linalg.norm(f)/np.linalg.norm(ref[misfit]) - 1) < 1e-3
    np.testing.assert_allclose(f, ref[misfit], rtol=1e-5, atol=1e-5*np.abs(f).max())

def pulse(delay=0., period=90.):
    x = np.arange(1024)*DT - 900 - delay
    return (np.exp(-x**2/(2*70**2))*np.cos(2*np.pi*x/period))[None]

WHOLE = pd.DataFrame(dict(pair=[0], left=[150], right=[870]))

def test_formulas_agree_on_a_delayed_copy():
    "The familiar formula is the derivative if the observation is the synthetic, delayed and scaled"
    k = 8
    f, p = (adjoint_sources(3*pulse(k*DT, 200), pulse(0, 200), DT, WHOLE, 'cc_traveltime', taper=0, formula=x).source for x in FORMULAS)
    assert np.corrcoef(f[0], p[0])[0,1] > .9999 and abs(np.linalg.norm(p)/np.linalg.norm(f) - 1) < .005   # central differences

@pytest.mark.parametrize('misfit', [m for m in MISFITS if m != 'tf_envelope'])
@pytest.mark.parametrize('delay', [-12.3, 7.1])
def test_downhill_is_towards_the_observation(misfit, delay):
    "Shifting the synthetic towards the observation goes down; the sign of the delay is that of the observation"
    a = adjoint_sources(pulse(delay), pulse(), DT, WHOLE, misfit)
    later = np.fft.irfft(-2j*np.pi*np.fft.rfftfreq(1024, DT)*np.fft.rfft(pulse()))   # derivative with respect to a delay
    assert np.sign((a.source*later).sum()) == -np.sign(delay)
    if misfit == 'cc_traveltime':
        assert abs(a.table.delay_s[0] - delay) < 1e-6
        assert np.isclose(DT*(a.source*later).sum(), -delay, rtol=1e-6)      # d(1/2 ΔT²) = -ΔT d(delay)

@pytest.mark.parametrize('misfit', MISFITS)
def test_size(misfit):
    "Displacement in nm: phases and delays do not change, their sources scale inversely; nothing under- or overflows"
    a, b = (adjoint_sources(c*pulse(9.), 2*c*pulse(), DT, WHOLE, misfit) for c in (1., 1e-12))
    power = 2 if misfit == 'waveform' else 0
    assert np.isclose(b.table.misfit[0], a.table.misfit[0]*1e-12**power, rtol=1e-9)
    np.testing.assert_allclose(b.source*1e-12**(1-power), a.source, rtol=0, atol=1e-9*np.abs(a.source).max())
    assert np.isclose(a.table.dlnA[0], -np.log(2), atol=1e-3)                # positive: the observation is larger
    assert not a.source[:,:151].any() and not a.source[:,870:].any()         # zero on the ends of the window and outside

@pytest.mark.parametrize('misfit', MISFITS)
def test_identical_traces(misfit):
    a = adjoint_sources(pulse(), pulse(), DT, WHOLE, misfit)
    far = adjoint_sources(pulse(9.), pulse(), DT, WHOLE, misfit)
    assert a.table.misfit[0] < 1e-15*max(far.table.misfit[0], 1) and np.abs(a.source).max() < 1e-6*np.abs(far.source).max()

def test_windows_add_up_in_any_order(traces):
    obs, syn = traces
    for m in MISFITS:
        whole = adjoint_sources(obs, syn, DT, WINDOWS.iloc[::-1], m)
        parts = [adjoint_sources(obs, syn, DT, WINDOWS[i:i+1], m) for i in range(len(WINDOWS))]
        total = sum(p.source for p in parts)
        np.testing.assert_allclose(whole.source, total, rtol=0, atol=1e-9*np.abs(total).max())
        pd.testing.assert_frame_equal(whole.table.sort_index(), pd.concat([p.table for p in parts]), rtol=1e-9)

NOT_WHOLE = WHOLE.assign(left=150.)
@pytest.mark.parametrize('change, words', [
    (dict(misfit='phase'), "misfit is 'phase', not one of waveform"), (dict(formula='theirs'), "formula is 'theirs'"),
    (dict(misfit='tf_phase', formula='pyadjoint'), "no misfit 'tf_phase'"), (dict(dt=0.), 'not 0.0 s'),
    (dict(windows=WHOLE.assign(right=1024)), 'samples 150 to 1024.*leaves a trace of 1024'), (dict(windows=WHOLE.assign(left=-1)), 'samples -1 to'),
    (dict(windows=WHOLE.assign(right=150)), 'it is empty'), (dict(windows=WHOLE.assign(pair=1)), 'pair 1.*there are 1 pairs'),
    (dict(windows=WHOLE.drop(columns='left')), 'no column left'), (dict(windows=NOT_WHOLE), 'left of the windows is of kind float64'),
    (dict(windows=WHOLE.assign(scale=np.nan)), 'scale is nan'), (dict(obs=0*pulse()), 'obs trace is zero in it'), (dict(syn=0*pulse()), 'syn trace is zero in it'),
    (dict(syn=np.where(np.arange(1024) == 500, np.inf, pulse())), 'window 0 .*syn trace is not finite'), (dict(obs=pulse()[0]), r'obs has shape \(1024,\)'),
    (dict(misfit='tf_envelope', obs=(-1.)**np.arange(1024)[None]*np.exp(-((np.arange(1024)-512)/30)**2/2)), 'no energy in the band, 50 to 500 s'),
])
def test_refusals(change, words):
    given = dict(obs=pulse(5.), syn=pulse(), dt=DT, windows=WHOLE, misfit='waveform') | change
    with pytest.raises(ValueError, match=words): adjoint_sources(**given)

def test_no_windows():
    a = adjoint_sources(pulse(), pulse(), DT, WHOLE[:0], 'cc_traveltime')
    assert not a.source.any() and len(a.table) == 0 and 'misfit' in a.table

@pytest.fixture(scope='module')
def experiment(): return make_experiment(3, 'none', n_events=1, n_stations=12)

@pytest.mark.parametrize('misfit', MISFITS)
def test_gradient_through_the_wave_solver(experiment, misfit):
    "The adjoint source, carried back by the waves, is the derivative along a direction in the space of models"
    grid = make_grid(dtype=torch.float64)
    point, direction = .02*np.random.default_rng(7).standard_normal((2, NODES, NODES))
    slope = (adjoint_gradient(point, experiment, grid, misfit)[1]*direction).sum()
    ahead, back = (adjoint_gradient(point + h*direction, experiment, grid, misfit, gradient=False)[0] for h in (.002, -.002))
    assert np.isclose((ahead-back)/.004, slope, rtol=3e-3)      # the solver keeps every fourth step for its derivative

@pytest.mark.parametrize('misfit', MISFITS)
def test_line_search_goes_downhill(experiment, misfit):
    "From a skipped start each misfit falls; delay and envelope lead to the truth, the phase does not"
    row, nodes = first_step(experiment, make_grid(), misfit, bias=.05)
    assert row['after'] < .95*row['before'] and np.isclose(np.abs(nodes).max(), row['step'])
    if misfit in ('cc_traveltime', 'tf_phase'): assert (row['error_after'] < row['error_before']) == (misfit == 'cc_traveltime')
