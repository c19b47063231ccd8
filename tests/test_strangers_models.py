"What strangers' data did to the models: unknown magnitudes, names instead of times, devices, precisions, cards, few events, bands."
import json, re
from pathlib import Path

import numpy as np, pandas as pd, pytest, torch
from safetensors.torch import load_file, save_file
from scipy.stats import t as student

from fwinb.earth.simulate import simulate_pairs
from fwinb.inspection.widget import classes_text
from fwinb.labels.misfit import PAPER_THRESHOLDS, add_misfit, band_words, grade, regrade, threshold_table
from fwinb.labels.timefreq import tf_grid
from fwinb.labels.truth import baseline_table
from fwinb.models import train
from fwinb.models.baselines import pair_tables
from fwinb.models.inference import file_digest
from fwinb.models.metrics import apply_platt, calibration_table, class_metrics, decision_limits, decision_table, recall_table_by
from fwinb.models.pretrained import classify, decide, describe, limits_for, load_model, predict, whole_inputs
from fwinb.models.selector import calibrate
from fwinb.models.train import choose_device, index_loaders
from fwinb.pairs.bootstrap import bootstrap_events, events_note
from fwinb.pairs.plot import pair_title
from fwinb.pairs.schema import STUDY, as_variable, check_pairs
from fwinb.pairs.signal import BAND
from fwinb.pairs.store import open_pairs, save_pairs

ROOT = Path(__file__).resolve().parent.parent

@pytest.fixture(scope='module')
def simulated():
    "16 events at the 14 stations that recorded most of them: enough neighbours in time for a history"
    pairs = simulate_pairs(1600, seed=77, earths=1, progress=False)
    often = pd.Series(pairs.station.values).value_counts().index[:14]
    return pairs.isel(pair=np.flatnonzero(np.isin(pairs.station.values, often)))

@pytest.fixture(scope='module')
def table(simulated): return describe(simulated, load_model())

# an event without magnitude, a moment tensor that nobody needs

def test_tensor_is_not_needed(simulated):
    some = simulated.isel(pair=slice(0, 60))
    none = some.assign(moment_tensor=some.moment_tensor*np.nan, snr=some.snr*np.nan)
    np.testing.assert_array_equal(predict(check_pairs(none)).usable_probability, predict(some).usable_probability)

@pytest.mark.parametrize('name', ['usable', 'paper'])
def test_unknown_magnitude(simulated, name, tmp_path):
    some = simulated.isel(pair=slice(0, 60))
    store = save_pairs(some.assign(event_magnitude=some.event_magnitude*np.nan), tmp_path/'p.zarr')
    model = load_model(name)
    found = classify(describe(open_pairs(store, dask=False), model), model)
    ok = some.status.values == 'ok'
    assert set(found.note[ok]) == {'magnitude not known'} and np.isfinite(found.usable[ok]).all()
    known = predict(some, model)
    assert not {tuple(x) for x in zip(known.decision.values, decide(found.usable.values, model))} & {('accept', 'refuse'), ('refuse', 'accept')}

def test_known_magnitude_is_checked(table):
    "Beyond the training it is judged all the same, with a remark; a rupture as long as the shortest period is not judged"
    model, first = load_model(), (table.event == table.event[0]).values
    def of(magnitude): return classify(table.assign(event_magnitude=np.where(first, magnitude, table.event_magnitude)), model)
    found, same, long = of(8.55), of(7.8), of(8.8)
    ok = first & (table.status == 'ok').values
    assert set(found.note[ok]) == {'event_magnitude 8.55 is outside of 5.2 to 8.5'} and set(same.note[ok]) == {''}
    np.testing.assert_array_equal(found.usable, same.usable)
    assert np.isfinite(found.usable[ok]).all() and (found.predicted[ok] > 0).all()
    assert set(long.note[ok]) == {'event_magnitude 8.8 is above 8.62'} and long.usable[first].isna().all() and (long.predicted[first] == 0).all()
    assert set(of(4.9).note[ok]) == {'event_magnitude 4.9 is outside of 5.2 to 8.5'}
    own = model._replace(card=dict(model.card, hard_limits=dict(event_magnitude=[5., 8.])))
    assert classify(table.assign(event_magnitude=8.4), own).note[0] == 'event_magnitude 8.4 is outside of 5 to 8'

@pytest.mark.parametrize('name, value', [('event_depth_km', np.nan), ('distance_deg', np.nan), ('event_magnitude', np.inf), ('moment_tensor', np.inf), ('event_time', np.nan)])
def test_what_must_be_known(simulated, name, value):
    bad = simulated.isel(pair=slice(0, 3)).copy(deep=True)
    bad[name].values[1] = value
    with pytest.raises(ValueError, match=f'pair 1 .*{name}'): check_pairs(bad)

# names of events are names, not times

def test_names_do_not_matter(simulated):
    rng = np.random.default_rng(0)
    old = list(dict.fromkeys(simulated.event.values))
    new = dict(zip(old, rng.permutation(old)))
    names = np.array([new[e] for e in simulated.event.values], object)
    rows = rng.permutation(simulated.sizes['pair'])
    base = predict(simulated).usable_probability.values
    renamed = simulated.assign(event=('pair', names))
    other = predict(renamed.isel(pair=rows)).usable_probability.values
    np.testing.assert_allclose(other, base[rows], atol=2e-5)        # sums in another order, in single precision
    blind = predict(renamed.drop_vars('event_time')).usable_probability.values
    assert np.nanmax(np.abs(blind - base)) > .01                     # else this test would test nothing

def test_store_without_times(simulated, tmp_path):
    "An older store opens, and its events are taken in the order of their names, as before"
    old = save_pairs(simulated.drop_vars('event_time'), tmp_path/'old.zarr')
    base = predict(simulated).usable_probability.values
    np.testing.assert_array_equal(predict(open_pairs(old, dask=False)).usable_probability.values, base)

def test_one_time_per_event(simulated):
    twice = simulated.isel(pair=slice(0, 3)).copy(deep=True)
    twice.event_time.values[1] += 18
    with pytest.raises(ValueError, match=r'pair 1 \(SIM77.00000, .*event_time is 18 s after that of pair 0'): check_pairs(twice)

# devices

def gpus(monkeypatch, n, current=0):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: n > 0)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: n)
    monkeypatch.setattr(torch.cuda, 'current_device', lambda: current)
    monkeypatch.setattr(torch.backends.mps, 'is_available', lambda: True)     # a Mac, as far as fastai can see
    monkeypatch.delenv('LOCAL_RANK', raising=False)

@pytest.mark.parametrize('n, current, rank, expected', [(0, 0, None, 'cpu'), (0, 0, '1', 'cpu'), (1, 0, None, 'cuda:0'), (4, 2, None, 'cuda:2'), (4, 0, '3', 'cuda:3'), (1, 0, '3', 'cuda:0')])
def test_device(monkeypatch, n, current, rank, expected):
    gpus(monkeypatch, n, current)
    if rank: monkeypatch.setenv('LOCAL_RANK', rank)
    assert choose_device() == torch.device(expected)
    assert choose_device('mps') == torch.device('mps') and choose_device('cpu') == torch.device('cpu')

def test_loaders_use_it(monkeypatch):
    "Data and loaders are where `choose_device` says; 'meta' stands for a GPU"
    monkeypatch.setattr(train, 'choose_device', lambda device=None: torch.device('meta' if device is None else device))
    dls = index_loaders(torch.zeros(8, 2, 16), ['a', 'b']*4, range(4), range(4, 8), ['a', 'b'], bs=2)
    assert {dls.device.type, dls.train.device.type, dls.valid.device.type, dls.train.dataset.x.device.type, dls.train.dataset.index.device.type} == {'meta'}

# a precision is a mean, and the calibration of a card is applied as it is written

@pytest.mark.parametrize('name', ['usable', 'paper'])
def test_limits_by_precision(name):
    model = load_model(name)
    c = model.card['calibration']
    at = {float(k): v for k, v in c['accept_from'].items()}
    for precision in (.5, .8, .9, .93, .95, .951, .98):
        limits = limits_for(model, precision)
        rank = min(k for k in at if k >= precision)
        assert limits == (c['refuse_below'], max(at[rank], c['refuse_below'])), precision
    assert limits_for(model, .5) == (c['refuse_below'], c['refuse_below'])       # every pair is decided, none against the model
    assert limits_for(model, .98).accept_from > limits_for(model, .95).accept_from > c['refuse_below']
    assert list(decide([at[.5], np.nextafter(c['refuse_below'], 0), c['refuse_below'], np.nan], model, .5)) == ['refuse', 'refuse', 'accept', 'cannot say']

@pytest.mark.parametrize('name', ['usable', 'paper'])
def test_default_limits(name):
    "Those of the card"
    c = load_model(name).card['calibration']
    assert limits_for(load_model(name)) == (c['refuse_below'], max(c['accept_from']['0.95'], c['refuse_below']))

def test_threshold_is_taken_as_it_is():
    assert limits_for(load_model(), threshold=1e-9) == (1e-9, 1e-9) and limits_for(load_model(), threshold=.9).accept_from == .9

def carded(model, **calibration):
    "A model with another calibration, and no prevalence to shift to"
    kept = {k: v for k, v in model.card['calibration'].items() if k != 'prior'}
    return model._replace(card=dict(model.card, calibration=kept | calibration))

@pytest.mark.parametrize('name', ['usable', 'paper'])
def test_calibration_of_a_card(simulated, name):
    "Slope 2, offset -.7 and temperature 3, against the formulas (Platt 1999; Guo et al. 2017) written out"
    model = load_model(name)
    table = describe(simulated, model)
    plain = classify(table, carded(model, platt=[1., 0.], temperature=1.))
    found = classify(table, carded(model, platt=[2., -.7], temperature=3.))
    p = plain[['p_I', 'p_II', 'p_III', 'p_IV']].values
    odds = (p[:,0] + p[:,1])/(p[:,2] + p[:,3])
    inside = (odds > 1e-5) & (odds < 1e5)                                        # where the odds are known to six digits
    assert inside.sum() > 10 and np.ptp(np.log(odds[inside])) > 3                # else a slope would not show
    np.testing.assert_allclose(plain.usable[inside], (odds/(1 + odds))[inside], rtol=1e-6)
    sharper = odds**2*np.exp(-.7)
    np.testing.assert_allclose(found.usable[inside], (sharper/(1 + sharper))[inside], rtol=1e-6)
    softer = p**(1/3)
    np.testing.assert_allclose(found[['p_I', 'p_II', 'p_III', 'p_IV']].values, softer/softer.sum(1, keepdims=True), atol=1e-4)
    assert (found.predicted == plain.predicted).all()

def test_calibrate():
    "Probabilities that are too sure by a slope of 1/2 and too high by .7, and classes too sure by a temperature of 3"
    rng = np.random.default_rng(0)
    true = rng.beta(.4, .9, 60_000)                                              # of being usable
    u = rng.random(len(true)) < true
    shown = apply_platt(true, 2., .7)                                            # logit(true) = (logit(shown) - .7)/2
    p = np.stack([.7*shown, .3*shown, .6*(1-shown), .4*(1-shown)], 1)
    truth = np.where(u, np.where(rng.random(len(u)) < .7, 1, 2), np.where(rng.random(len(u)) < .6, 3, 4))
    c = calibrate(p, truth, u)
    np.testing.assert_allclose(c['platt'], [.5, -.35], atol=.02)                 # four standard errors of 60,000 pairs
    assert c['temperature'] > 1.3                                                # too sure: softer
    q = apply_platt(shown, *c['platt'])
    for k in ('0.8', '0.95', '0.98'):
        taken = q >= c['accept_from'][k]
        assert float(k) <= u[taken].mean() < float(k) + .002
    refused = q < c['refuse_below']
    assert .99 <= (~u[refused]).mean() < .992

# a broken card is a sentence that names the file and the key

def broken_card(folder, name, change=None, weights=None):
    "A copy of a shipped model with a changed card, and with weights that the card belongs to"
    card = json.loads((ROOT/f'data/weights/{name}.json').read_text())
    path, data = folder/'mine.json', folder/'mine.safetensors'
    tensors = load_file(ROOT/f'data/weights/{name}.safetensors')
    save_file(weights(tensors) if weights else tensors, data)
    card['weights'] = file_digest(data)
    path.write_text(json.dumps(change(card) or card if change else card))
    return path

def without(*keys):
    def change(card):
        for k in keys[:-1]: card = card[k]
        del card[keys[-1]]
    return change

def put(value, *keys):
    def change(card):
        for k in keys[:-1]: card = card[k]
        card[keys[-1]] = value
    return change

CARDS = {
    **{f'no {k}': (without(k), k) for k in ('name', 'architecture', 'arguments', 'npts', 'limits', 'calibration', 'weights')},
    **{f'no {k} of the calibration': (without('calibration', k), f'calibration.{k}') for k in ('temperature', 'platt', 'accept_from', 'refuse_below')},
    'list': (lambda card: [card], 'not the object'),
    'npts text': (put('128', 'npts'), "'npts' is '128'"), 'npts fraction': (put(128.5, 'npts'), "'npts' is 128.5"), 'npts true': (put(True, 'npts'), "'npts' is True"), 'npts 0': (put(0, 'npts'), "'npts' is 0"),
    'weights number': (put(7, 'weights'), "'weights' is 7"),
    'other features': (put(['lag'], 'features'), 'other features'), 'features number': (put(3, 'features'), "'features' is 3"),
    'unknown limit': (put([0, 1], 'limits', 'colour'), 'limits.colour'), 'a limit of one number': (put([15.], 'limits', 'distance_deg'), 'limits.distance_deg'),
    'limits turned': (put([165., 15.], 'limits', 'distance_deg'), 'limits.distance_deg'), 'limits NaN': (put([float('nan')]*2, 'limits', 'distance_deg'), 'limits.distance_deg'),
    'temperature 0': (put(0, 'calibration', 'temperature'), 'calibration.temperature'), 'temperature NaN': (put(float('nan'), 'calibration', 'temperature'), 'calibration.temperature'),
    'temperature null': (put(None, 'calibration', 'temperature'), 'calibration.temperature'),
    'band of two': (put([.01, .02], 'band_hz'), "'band_hz' is [0.01, 0.02], not four rising corners"), 'band in words': (put('T > 50 s', 'band_hz'), "'band_hz' is"),
    'slope alone': (put([1.], 'calibration', 'platt'), 'calibration.platt'), 'slope negative': (put([-1., 0.], 'calibration', 'platt'), 'calibration.platt'),
    'offset text': (put([1., '0'], 'calibration', 'platt'), 'calibration.platt'), 'offset infinite': (put([1., float('inf')], 'calibration', 'platt'), 'calibration.platt'),
    'refusal NaN': (put(float('nan'), 'calibration', 'refuse_below'), 'calibration.refuse_below'),
    'a list of limits': (put([.5], 'calibration', 'accept_from'), 'calibration.accept_from'), 'a limit above 1': (put(1.5, 'calibration', 'accept_from', '0.95'), 'calibration.accept_from.0.95'),
    'precision in words': (put(.6, 'calibration', 'accept_from', 'high'), 'calibration.accept_from.high'), 'precision NaN': (put(.6, 'calibration', 'accept_from', 'nan'), 'calibration.accept_from.nan'),
    'unknown network': (put('Transformer', 'architecture'), 'architecture'), 'version 0.1': (put('SelectorNet', 'architecture'), 'version 0.1: train it anew'),
    'others number': (put(3, 'others'), "'others' is 3"), 'others of numbers': (put([3], 'others'), "'others' is [3]"), 'another recipe that is none': (put([dict(recipe=3)], 'others'), "'recipe' is none"),
    'another calibration that is none': (put([dict(calibration=dict(temperature=1.))], 'others'), 'calibration.platt'),
}

@pytest.mark.parametrize('case', CARDS)
def test_broken_card(case, tmp_path):
    change, why = CARDS[case]
    with pytest.raises(ValueError, match=re.escape(why)) as e: load_model(broken_card(tmp_path, 'usable', change))
    assert 'mine.json' in str(e.value) and '\n' not in str(e.value) and len(str(e.value)) < 400

@pytest.mark.parametrize('case, change', [('descending thresholds', put([1.3, 1.2, 1.1], 'thresholds')), ('two thresholds', put([1.1, 1.2], 'thresholds')), ('thresholds text', put(['1', '2', '3'], 'thresholds'))])
def test_broken_card_of_grades(case, change, tmp_path):
    with pytest.raises(ValueError, match="mine.json: 'thresholds' is"): load_model(broken_card(tmp_path, 'paper', change))

@pytest.mark.parametrize('text', ['', '{"name": "x"', '\ufeff{}', '[', '['*100_000, 'null', '3', '{"name": NaN}'], ids=['empty', 'cut', 'byte order mark', 'bracket', 'deep', 'null', 'number', 'NaN'])
def test_card_that_is_none(text, tmp_path):
    path = broken_card(tmp_path, 'usable')
    path.write_text(text, encoding='utf-8')
    with pytest.raises(ValueError, match='mine.json') as e: load_model(path)
    assert len(str(e.value)) < 400

def test_card_in_another_code(tmp_path):
    path = broken_card(tmp_path, 'usable')
    path.write_bytes(path.read_bytes().replace(b'"usable"', b'"\xfcsable"'))
    with pytest.raises(ValueError, match='mine.json is not JSON in UTF-8'): load_model(path)

def changed(name, f):
    def change(tensors): return {k: f(v) if k == name else v for k, v in tensors.items()}
    return change

NETS = {
    'NaN': (changed('trees.value', lambda v: v*np.nan), "'trees.value' has values that are not finite"), 'infinite knots': (changed('knots', lambda v: v/0), "'knots' has values"),
    'an array missing': (lambda t: {k: v for k, v in t.items() if k != 'trees.left'}, "lack ['left']"), 'an array cut': (changed('trees.value', lambda v: v[:2].clone()), 'the arrays of the trees have the shapes'),
    'a way back': (changed('trees.left', lambda v: 0*v), 'lead nowhere'), 'a way beyond': (changed('trees.right', lambda v: v + 10**6), 'lead nowhere'), 'a feature beyond': (changed('trees.feature', lambda v: v + 100), 'ask for more than'),
    'two classes': (lambda t: changed('trees.baseline', lambda v: v[:2].clone())(changed('trees.root', lambda v: v[:,:2].clone())(t)), 'the trees are of 2 classes'),
    'no scale': (lambda t: {k: v for k, v in t.items() if k != 'knots'}, "lack ['knots']"), 'scale cut': (changed('knots', lambda v: v[:5].clone()), 'knots and missing')}

@pytest.mark.parametrize('case', NETS)
def test_broken_weights(case, tmp_path):
    change, why = NETS[case]
    with pytest.raises(ValueError, match=re.escape(why)) as e: load_model(broken_card(tmp_path, 'usable', weights=change))
    assert 'mine.' in str(e.value) and '\n' not in str(e.value)

@pytest.mark.parametrize('size', [0, 4, 100, 3000, -1])
def test_truncated_weights(size, tmp_path):
    "Cut after the card was written, and a cut file to which somebody made a card"
    path = broken_card(tmp_path, 'usable')
    data = path.with_suffix('.safetensors')
    data.write_bytes(data.read_bytes()[:size])
    with pytest.raises(ValueError, match='mine.safetensors is not the file that mine.json was written with'): load_model(path)
    path.write_text(json.dumps(dict(json.loads(path.read_text()), weights=file_digest(data))))
    with pytest.raises(ValueError, match='mine.safetensors is not a whole safetensors file'): load_model(path)

def test_sound_cards_load(tmp_path):
    for name in ('usable', 'paper'): assert load_model(name).name == name
    model = load_model(broken_card(tmp_path, 'paper', lambda c: put({}, 'limits')(c) or put({}, 'calibration', 'accept_from')(c)))    # no limits, nothing to accept
    with pytest.raises(ValueError, match="no limit of 'paper' reaches a precision of 0.95; its best is none"): limits_for(model)

# intervals from few events

def by_percentiles(statistic, event, *arrays, resamples=200, level=.95, seed=0):
    "What `bootstrap_events` was, and from ten events on still is"
    rng, arrays = np.random.default_rng(seed), [np.asarray(a) for a in arrays]
    rows = [np.flatnonzero(np.asarray(event) == e) for e in dict.fromkeys(event)]
    def once():
        i = np.concatenate([rows[k] for k in rng.integers(0, len(rows), len(rows))])
        return statistic(*(a[i] for a in arrays))
    return tuple(map(float, np.nanquantile([once() for _ in range(resamples)], [(1-level)/2, (1+level)/2])))

def events_of(n, seed=0):
    rng = np.random.default_rng(seed)
    size = rng.integers(3, 60, n)
    return np.repeat([f'e{i}' for i in range(n)], size), np.repeat(rng.normal(size=n), size) + rng.normal(size=size.sum())

@pytest.mark.parametrize('n', [10, 11, 30])
def test_many_events_as_before(n):
    event, x = events_of(n)
    for f in (np.mean, np.median, lambda v: (v > .3).mean()): assert bootstrap_events(f, event, x, seed=n) == by_percentiles(f, event, x, seed=n)
    assert events_note(n) == ''

@pytest.mark.parametrize('n', [1, 2])
def test_no_interval(n):
    event, x = events_of(n)
    assert np.isnan(bootstrap_events(np.mean, event, x)).all() and events_note(n).startswith(f'no interval from {n} event')
    low, high = bootstrap_events(lambda v: np.array([[v.mean(), v.max()]]), event, x)
    assert low.shape == high.shape == (1, 2) and np.isnan([low, high]).all()

@pytest.mark.parametrize('n', [3, 4, 5, 9])
def test_few_events(n):
    "Student's interval; equal events: that of the n means, to the scatter of the standard error from 2,000 resamples (2 %)"
    rng = np.random.default_rng(n)
    means = rng.normal(size=n)
    event, x = np.repeat(np.arange(n), 20), np.repeat(means, 20)
    half = student.ppf(.975, n-1)*means.std(ddof=1)/np.sqrt(n)
    low, high = bootstrap_events(np.mean, event, x, resamples=2000)
    np.testing.assert_allclose([low, high], [means.mean() - half, means.mean() + half], atol=.06*half)
    wide = np.subtract(*bootstrap_events(np.mean, event, x)[::-1])/np.subtract(*by_percentiles(np.mean, event, x)[::-1])
    assert wide > 1.1 and events_note(n) == f'few events ({n})'
    assert bootstrap_events(np.mean, event, x, within=(means.mean(), 9))[0] == means.mean()

def test_one_large_event_widens():
    "500 pairs of one event and 5 of each of four: little more than one event"
    size = [500, 5, 5, 5, 5]
    event, x = np.repeat(np.arange(5), size), np.repeat([0., 1., -1., 2., -2.], size)
    ends = bootstrap_events(np.mean, event, x, resamples=1000)
    rng = np.random.default_rng(0)
    sums, sizes = np.bincount(event, x), np.array(size)
    w = rng.multinomial(5, np.ones(5)/5, 1000)
    assert ends[1] - ends[0] > 3*2*student.ppf(.975, 4)*np.sqrt(5/4)*(w@sums/(w@sizes)).std()   # one degree of freedom, not four: 4.6 times

@pytest.mark.parametrize('n', [1, 2, 3, 12])
def test_tables_of_few_events(n):
    "The tables of the models, for events of any number: NaN from two, ends that a share can have from three"
    event, x = events_of(n)
    rng = np.random.default_rng(1)
    u, p = x > 0, 1/(1 + np.exp(-x - rng.normal(size=len(x))))
    tables = [recall_table_by(p, u, {}, event)[['recall low', 'recall high']], class_metrics(u + 1, np.stack([1-p, p], 1), event).overall[['low', 'high']],
              decision_table(np.where(p > .5, 'accept', 'refuse').astype(object), u, event)[['low', 'high']].dropna(how='all') if n > 2 else pd.DataFrame([np.nan]),
              calibration_table(dict(p=p), u, event)[['low', 'high']], baseline_table(dict(p=p), {}, u, event)[['low', 'high']], threshold_table(x - x.min(), event)[['low', 'high']]]
    for t in tables:
        ends = t.values.astype(float)
        assert np.isnan(ends).all() if n < 3 else np.isfinite(ends).all()
    for t in tables[:5]: assert n < 3 or ((t.values >= 0) & (t.values <= 1)).all()
    assert recall_table_by(p, u, {}, event).events.tolist() == [n]

# every table of the pairs uses the times

def test_tables_use_the_times(simulated):
    rng = np.random.default_rng(0)
    old = list(dict.fromkeys(simulated.event.values))
    new = dict(zip(old, rng.permutation(old)))
    renamed = simulated.assign(event=('pair', np.array([new[e] for e in simulated.event.values], object)))
    a, b = (whole_inputs(describe(p, load_model()), STUDY) for p in (simulated, renamed))
    np.testing.assert_allclose(a, b, atol=1e-6)
    a, b = (pair_tables(p).history_delay_lag for p in (simulated, renamed))
    np.testing.assert_allclose(a, b, atol=1e-6)
    assert np.nanmax(np.abs(a - pair_tables(renamed.drop_vars('event_time')).history_delay_lag)) > .1

# a class says what it is; a band that nobody knows is refused

@pytest.mark.parametrize('name', ['usable', 'paper'])
def test_predicted_says_its_classes(simulated, name, tmp_path):
    store = open_pairs(save_pairs(predict(simulated.isel(pair=slice(0, 5)), name), tmp_path/'p.zarr'), dask=False)
    said = dict(usable='linear error below .5', paper='misfit below 0.651: Class I; below 1.12: II; below 1.54: III; above: IV')[name]
    assert said in store.attrs['predicted_classes'] and store.predicted.attrs['comment'] == store.attrs['predicted_classes']
    assert (store.attrs['decision_refuse_below'], store.attrs['decision_accept_from']) == limits_for(load_model(name))

def test_grades_say_their_thresholds(simulated, tmp_path):
    graded = regrade(add_misfit(simulated.isel(pair=slice(0, 5))), (.5, .9, 1.4))
    store = open_pairs(save_pairs(graded, tmp_path/'p.zarr'), dask=False)
    assert store.attrs['misfit_thresholds'] == [.5, .9, 1.4] and store.grade.attrs['comment'] == 'misfit below 0.5: Class I; below 0.9: II; below 1.4: III; above: IV'
    assert 'below 0.5: Class I' in classes_text(store) and 'Classes of the network' not in classes_text(store)
    both = classes_text(predict(store))
    assert 'Classes of the misfit: misfit below 0.5' in both and 'Classes of the network: linear error below .5' in both
    assert 'limits not known' in classes_text(store.drop_attrs()) and classes_text(simulated) == ''

def test_class_of_the_table(simulated):
    "`class` is the store's if its misfit is ours, the card's where the network has learned one, else the study's"
    some = simulated.isel(pair=slice(0, 30))
    chi = add_misfit(some).misfit.values
    def classes(pairs, name='usable'): return describe(pairs, load_model(name)).grade.values
    own = regrade(add_misfit(some), (.5, .9, 1.4))
    np.testing.assert_array_equal(classes(some), grade(chi, PAPER_THRESHOLDS))
    np.testing.assert_array_equal(classes(own), own.grade.values)
    np.testing.assert_array_equal(classes(regrade(add_misfit(some, phase_unit=np.pi), (.5, .9, 1.4))), grade(chi, PAPER_THRESHOLDS))
    np.testing.assert_array_equal(classes(own, 'paper'), grade(chi, load_model('paper').card['thresholds']))
    assert len({*map(tuple, (classes(some), classes(own), classes(own, 'paper')))}) == 3

BANDS = {'wide': (.0015, .002, .018, .021), 'short': (.004, .0055, .03, .04), 'long': (.001, .0012, .003, .004)}

@pytest.mark.parametrize('name', ['usable', 'paper'])
@pytest.mark.parametrize('band', BANDS)
def test_band_of_a_model(simulated, band, name):
    some = simulated.isel(pair=slice(0, 2)).assign_attrs(band_hz=list(BANDS[band]))
    for f in (lambda: predict(some, name), lambda: describe(some, load_model(name))):
        with pytest.raises(ValueError, match=re.escape(band_words(BANDS[band]))) as e: f()
        assert f'the model {name!r} knows 55.6 to 182 s' in str(e.value)

@pytest.mark.parametrize('band, graded', [(BAND, True), (BANDS['wide'], True), (BANDS['short'], False), (BANDS['long'], False)])
def test_band_of_the_misfit(simulated, band, graded):
    some = simulated.isel(pair=slice(0, 2)).assign_attrs(band_hz=list(band))
    if graded:
        add_misfit(some)
        return
    with pytest.raises(ValueError, match=re.escape(f'{band_words(band)}, but the misfit compares 50 to 500 s')): add_misfit(some)
    periods = 1/band[2], 1/band[1]
    add_misfit(some, grid=tf_grid(t_min=.9*periods[0], t_max=1.1*periods[1]))        # a grid of one's own is welcome

def test_bands_of_today(simulated, tmp_path):
    "The bands of sample and simulation are those of the models, also from a store; without one nothing is checked; a card may name its own"
    assert simulated.attrs['band_hz'] == list(BAND) == open_pairs(ROOT/'data/sample/pairs.zarr', dask=False).attrs['band_hz']
    some = simulated.isel(pair=slice(0, 2))
    store = open_pairs(save_pairs(some, tmp_path/'p.zarr'), dask=False)
    for pairs in (some, store, some.drop_attrs()): assert np.isfinite(predict(pairs).usable_probability).any()
    wide, model = some.assign_attrs(band_hz=list(BANDS['wide'])), load_model()
    own = dict(model.card, recipe=dict(model.card['recipe'], corners=list(BANDS['wide'])))
    predict(wide, model._replace(card=own))
    with pytest.raises(ValueError, match='four rising corners'): predict(some.assign_attrs(band_hz=[.1, .01]))

def test_title_without_magnitude(simulated):
    pair = simulated.isel(pair=0)
    assert pair_title(pair.assign(event_magnitude=np.nan)).endswith('km   Mw not known') and f'Mw {pair.event_magnitude.item():.1f}' in pair_title(pair)

@pytest.mark.parametrize('precision, npv, strict', [(.4, .95, 'refuse_below'), (.95, .6, 'accept_from'), (.4, .6, None)])
def test_overlapping_limits(precision, npv, strict):
    "A lax requirement on one side gives way to the strict one of the other; two lax ones meet at one half"
    rng = np.random.default_rng(0)
    p = rng.beta(.6, 1.2, 40_000)
    u = rng.random(len(p)) < p
    limits = decision_limits(p, u, precision, npv)
    meet = getattr(decision_limits(p, u), strict) if strict else .5
    assert limits == (meet, meet)
    assert u[p >= meet].mean() >= precision and (~u[p < meet]).mean() >= npv
