"What strangers' data did to the models: unknown magnitudes, names instead of times, devices, precisions, cards, few events, bands."
import numpy as np, pandas as pd, pytest, torch
from pathlib import Path

from fwinb.earth.simulate import simulate_pairs
from fwinb.models import selector, train
from fwinb.models.pretrained import classify, decide, describe, load_model, predict
from fwinb.models.train import choose_device, index_loaders
from fwinb.pairs.schema import as_variable, check_pairs
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
    model = load_model()
    found = classify(table.assign(event_magnitude=np.where(table.event == table.event[0], 8.4, table.event_magnitude)), model)
    assert found.note[0] == 'event_magnitude 8.4 is outside of 5.6 to 7.8' and found.usable[table.event == table.event[0]].isna().all()

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

def test_selector_uses_it(monkeypatch, simulated):
    part = selector.selector_data(simulated.isel(pair=slice(0, 120)), 64)
    asked, loaders = [], []
    def choose(device=None): asked.append(device); return torch.device('meta')
    def stop(dls, *args, **keys): loaders.append(dls); raise InterruptedError
    monkeypatch.setattr(selector, 'choose_device', choose)
    monkeypatch.setattr(selector, 'make_learner', stop)
    for device in (None, 'cuda:1'):
        with pytest.raises(InterruptedError): selector.train_selector(part, part, 1, bs=32, filters=(4,), embedding=4, width=8, progress=False, device=device)
    assert asked == [None, 'cuda:1']
    for dls in loaders:
        sets = [dls.train.dataset, dls.valid.dataset]
        assert {dls.device.type, dls.train.device.type, dls.valid.device.type, *(t.device.type for s in sets for t in (s.x, s.f, s.y, s.index))} == {'meta'}
