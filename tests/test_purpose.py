"Selection by purpose: what may be used where phases are fitted and not waveforms, and the model that is taken for it."
import numpy as np, pandas as pd, pytest

from fwinb.commands import select_main, train_main
from fwinb.earth.simulate import USABLE, phase_error, simulate_pairs
from fwinb.features.window_features import window_phase_error
from fwinb.features.windows import whole_traces
from fwinb.labels.correlation import dominant_period
from fwinb.models.pretrained import PURPOSES, choose_model, describe, fitting_model, load_model, purpose_of
from fwinb.models.recipe_model import train_recipe
from fwinb.pairs.recipes import load_recipe
from fwinb.pairs.schema import STUDY
from fwinb.pairs.store import save_pairs
from fwinb.select import decide_pairs, disagreeing_sensors, refusal, select, summary, window_settings

@pytest.fixture(scope='module')
def pairs(): return simulate_pairs(400, seed=2790, earths=2, defects=0, progress=False)   # a seed of no training

def decided(pairs):
    "Which pairs each shipped selector accepts"
    table = describe(pairs, load_model('usable'))
    return {k: decide_pairs(table, load_model(name)).decision.values == 'accept' for k, name in PURPOSES.items()}

@pytest.fixture(scope='module')
def accepted(pairs): return decided(pairs)

def shifted(x, periods, dt):
    f = np.fft.rfftfreq(4*x.shape[-1], dt)
    return np.fft.irfft(np.fft.rfft(x, 4*x.shape[-1])*np.exp(-2j*np.pi*f*periods[:,None]), 4*x.shape[-1])[:,:x.shape[-1]]

# the truth

def test_truth_for_phases():
    "Gains do not count, up to half a period of structure does not, a clock and a reversed record do"
    t = np.arange(2000)*1.5
    envelope = np.exp(-((t-1500)/500)**2)
    wave = lambda late: envelope*np.cos(2*np.pi*(t-late)/80)
    s, slope = wave(0), envelope*2*np.pi/80*np.sin(2*np.pi*t/80)            # d(wave)/d(late) at 0
    error = lambda obs, late: phase_error(obs, s, late*slope, wave(late))
    for gain in (.1, 1, 7): assert error(gain*wave(30), 30) < USABLE < error(gain*wave(42), 42)
    assert error(-wave(5), 5) > 1.9 and error(wave(5+30), 5) > USABLE > error(wave(5+5), 5)
    assert error(wave(79), 79) > 1.3                                         # looks like no delay at all

def test_truth_of_windows_and_pairs():
    p = simulate_pairs(60, seed=3, earths=1, linear=True, progress=False)
    whole = whole_traces(p)
    np.testing.assert_allclose(window_phase_error(p, whole), p.phase_error.values[whole.pair], atol=2e-4)
    kept = p.assign(waveform=p.waveform*np.array([3, 1], np.float32)[None,:,None])
    np.testing.assert_allclose(window_phase_error(kept, whole), window_phase_error(p, whole), atol=1e-5)
    used = [(p[k].values < USABLE) for k in ('linear_error', 'phase_error')]
    assert (used[1] & ~used[0]).sum() > 3 and (used[0] & ~used[1]).sum() == 0

# the selectors

def test_phase_accepts_more(pairs, accepted):
    wave, phase = accepted['waveform'], accepted['phase']
    assert phase.sum() > 1.1*wave.sum() and (wave & ~phase).sum() <= .02*wave.sum()
    for name, error in (('waveform', 'linear_error'), ('phase', 'phase_error')): assert (pairs[error].values[accepted[name]] < USABLE).mean() > .88

FAULTS = {'x3': lambda x, T, dt: 3*x, 'x1/3': lambda x, T, dt: x/3, 'polarity': lambda x, T, dt: -x, 'skipped': lambda x, T, dt: shifted(x, .7*T, dt),
          'noise': lambda x, T, dt: np.roll(np.random.default_rng(0).permuted(x, axis=1), 1, 0)}

@pytest.mark.parametrize('fault, phases', [('x3', True), ('x1/3', True), ('polarity', False), ('skipped', False), ('noise', False)])
def test_planted_faults(pairs, accepted, fault, phases):
    "In one record of ten; a wrong gain is for phases alone, the others for nobody"
    some = np.flatnonzero(accepted['waveform'] & accepted['phase'])[::4]
    w = pairs.waveform.values.astype(float)
    period = dominant_period(w[some,1], STUDY.dt, *STUDY.periods)
    w[some,0] = FAULTS[fault](w[some,0], period, STUDY.dt)
    now = decided(pairs.assign(waveform=(pairs.waveform.dims, w.astype(np.float32), pairs.waveform.attrs)))
    assert len(some) > 20 and now['waveform'][some].mean() < .05
    assert now['phase'][some].mean() > .85 if phases else now['phase'][some].mean() < .05

# the choice

@pytest.mark.parametrize('recipe', ['study', 'surface', 'middle'])
def test_both_know_every_recipe(recipe):
    for purpose, name in PURPOSES.items():
        model = fitting_model(name, load_recipe(recipe))
        assert model.name == name and purpose_of(model) == purpose and 'window_calibration' in model.card
    assert fitting_model('phase', load_recipe('short')).net is None

def test_choice_of_a_model():
    assert [choose_model(p) for p in (None, 'waveform', 'phase')] == ['usable', 'usable', 'phase']
    assert choose_model(None, 'phase') == choose_model('phase', 'phase') == 'phase'
    with pytest.raises(ValueError, match='phase was trained for phase, not for waveform'): choose_model('waveform', 'phase')
    with pytest.raises(ValueError, match="'gain' is no purpose"): choose_model('gain')

@pytest.fixture(scope='module')
def store(pairs, tmp_path_factory):
    path = tmp_path_factory.mktemp('purpose')/'pairs.zarr'
    w = pairs.waveform.values[:100].copy()
    w[::10,0] *= 3
    save_pairs(pairs.isel(pair=slice(100)).assign(waveform=(pairs.waveform.dims, w, pairs.waveform.attrs)), path)
    return path

def test_select_by_purpose(store):
    wave, phase, same = select(store), select(store, purpose='phase', windows=True), select(store, model='phase')
    pd.testing.assert_frame_equal(phase.traces, same)
    assert (wave.reason == 'amplitude').any() and not (same.reason == 'amplitude').any()
    assert (same.decision[::10] == 'accept').sum() > (wave.decision[::10] == 'accept').sum() == 0
    assert not (phase.windows.reason == 'dlna').any() and 'for an inversion of phases' in summary(phase) and 'phases' not in summary(wave)
    gains = phase.windows[phase.windows.decision == 'accept'].dlnA.abs()
    assert (gains > 1).any() and (phase.windows.reason == 'low probability').any()
    with pytest.raises(ValueError, match='trained for waveform, not for phase'): select(store, model='usable', purpose='phase')

def test_rules_of_windows_for_phases(store):
    wave, phase = (select(store, purpose=p, windows='rules').windows for p in PURPOSES)
    assert (wave.reason == 'dlna').any() and not (phase.reason == 'dlna').any()
    assert window_settings('rules', STUDY).dlna_acceptance_level == 1

def test_command(store, tmp_path, capsys):
    out = str(tmp_path/'s.csv')
    assert select_main([str(store), '--out', out, '--for', 'phase', '--model', 'usable']) == 2
    assert 'trained for waveform, not for phase' in capsys.readouterr().err
    assert select_main([str(store), '--out', out, '--for', 'phase']) == 0 and 'for an inversion of phases' in capsys.readouterr().out
    with pytest.raises(SystemExit): select_main([str(store), '--out', out, '--for', 'amplitude'])

def test_training_for_a_purpose(tmp_path, monkeypatch):
    "Trained, calibrated and judged by the truth of the purpose"
    judged, taught = [], []
    def judge(model, pairs, truth, say): return judged.append((pairs, truth)) or (model, pd.DataFrame(), None)
    monkeypatch.setattr('fwinb.models.recipe_model.judge_model', judge)
    monkeypatch.setattr('fwinb.models.recipe_model.train_selector', lambda sets, seed: taught.append(sets) or load_model('phase')[2:])
    recipe = load_recipe('study')._replace(name='mine')
    card = train_recipe(recipe, 500, tmp_path/'model', say=lambda line: None, purpose='phase')
    model = load_model(card)
    assert purpose_of(model) == 'phase' and 'phase error' in model.card['target'] and choose_model('phase', card.parent) == card.parent
    (test, truth), = judged
    np.testing.assert_array_equal(test.usable.values, test.phase_error.values < USABLE)
    np.testing.assert_array_equal(test.usable.values, truth <= 2)
    np.testing.assert_array_equal(taught[0]['mine'].error, taught[0]['mine'].phase)
    with pytest.raises(ValueError, match='trained for phase, not for waveform'): choose_model('waveform', card)
    with pytest.raises(ValueError, match='purpose is waveform, was phase'): train_recipe(recipe, 500, tmp_path/'model')
    assert train_main(['--recipe', 'study', '--pairs', '20', '--for', 'phase', '--out', str(tmp_path/'few')]) == 2

# reasons

def test_amplitudes_are_no_reason_for_phases():
    facts = pd.DataFrame(dict(zero_lag_correlation=[.9], correlation=[.9], signal_to_noise=[9.], dlnA=[2.], lag=[1.], cycle_skip=[False]))
    assert [refusal(facts, purpose=p)[0] for p in PURPOSES] == ['amplitude', 'low probability']
    two = pd.DataFrame(dict(event='E', station=['XX.A.00.LHZ', 'XX.A.10.LHZ'], component='Z', lag=[0., 1.], dlnA=[0., 1.], status='ok', correlation=.95))
    said = [disagreeing_sensors(two, purpose=p)[0] for p in PURPOSES]
    assert 'in ln A' in said[0] and said[1] == ''
    assert ' s' in disagreeing_sensors(two.assign(lag=[0., 9.]), purpose='phase')[0]
