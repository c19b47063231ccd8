"What a pair must be to be usable, worlds that are drawn anew, and windows that the selector judges."
import numpy as np, pandas as pd, pytest

from fwinb.earth.simulate import (
    STATIONS_PER_EVENT, SourceError, World, draw_source, linear_error, misplace, phase_error, prepare, random_world, simulate_event, simulate_pairs,
    simulate_world, waveform_error)
from fwinb.earth.structure import seeded
from fwinb.features.window_features import window_error
from fwinb.features.windows import whole_traces
from fwinb.models.pretrained import describe, load_model, whole_features
from fwinb.pairs.store import save_pairs
from fwinb.select import decide_pairs, disagreeing_sensors, select

@pytest.fixture(scope='module')
def clean(): return simulate_pairs(200, seed=41, earths=1, noise=0, defects=0, linear=True, progress=False, world=World(source=0.))

# the definition

@pytest.mark.parametrize('gain', [2, 3, 1/2, 1/3])
def test_wrong_gain_is_not_usable(clean, gain):
    "Whatever else is right; the number of version 0.1 let half of them pass, and those who fit phases need not care"
    obs, syn, g = *clean.waveform.values.astype(float).transpose(1, 0, 2), clean.linear.values.astype(float)
    good = linear_error(obs, syn, g) < .3
    assert good.sum() > 20 and (linear_error(gain*obs, syn, g)[good] > .7).all() and (waveform_error(gain*obs, syn, g)[good] < .7).mean() > .5
    b = clean.perturbed.values.astype(float)
    np.testing.assert_allclose(phase_error(gain*obs, syn, g, b), phase_error(obs, syn, g, b), rtol=1e-6, atol=1e-6)

@pytest.mark.parametrize('lnA', [-.3, .3])
def test_focused_path_is_usable(clean, lnA):
    obs, syn, g = *clean.waveform.values.astype(float).transpose(1, 0, 2), clean.linear.values.astype(float)
    good = (linear_error(obs, syn, g) < .2) & (np.abs(np.log(np.linalg.norm(obs, axis=-1)/np.linalg.norm(syn, axis=-1))) < .05)
    assert good.sum() > 10 and (linear_error(np.exp(lnA)*obs, syn, g)[good] < .7).all()

def test_roles_and_scale(clean):
    "The amplitude counts alike whichever trace is the larger, and units do not count"
    obs, syn, g = *clean.waveform.values.astype(float).transpose(1, 0, 2), clean.linear.values.astype(float)
    np.testing.assert_allclose(linear_error(2.**30*obs, 2.**30*syn, 2.**30*g), linear_error(obs, syn, g))
    np.testing.assert_allclose(linear_error(4*syn, syn, 0*g), linear_error(syn/4, syn, 0*g))
    assert (linear_error(-obs, syn, g) > .7).all()

def test_window_of_a_trace(clean):
    whole = whole_traces(clean)
    np.testing.assert_allclose(window_error(clean, whole), clean.linear_error.values[whole.pair], rtol=1e-4, atol=1e-5)
    loud = clean.assign(waveform=clean.waveform*np.array([2.5, 1], np.float32)[None,:,None])
    assert (window_error(loud, whole) > .7).all()

# worlds

def test_default_world_is_that_of_version_01():
    one, other = (simulate_pairs(60, seed=3, earths=1, progress=False, world=w) for w in (World(), World(magnitudes=(5.8, 7.6), clock=(8., 126.))))
    np.testing.assert_array_equal(one.waveform, other.waveform)

def test_worlds_differ_and_repeat():
    drawn = [random_world(np.random.default_rng(k)) for k in range(300)]
    for d in drawn:
        w = d['world']
        assert 5.2 <= w.magnitudes[0] < w.magnitudes[1] <= 8.5 and 1 <= w.fewest <= d['per_event'] <= 150 + w.more and d['n'] >= 1
        assert sum(d['defects'].values()) <= 1.7 and 0 <= w.poor <= 1
    assert {d['world'].source == 0 for d in drawn} == {True, False} and {d['world'].crust for d in drawn} == {True, False}
    events = [d['n']/d['per_event'] for d in drawn]
    assert min(events) <= 1 and max(events) > 30 and max(d['per_event'] for d in drawn) > 400
    a, b, c = simulate_world(7, 200), simulate_world(7, 200), simulate_world(8, 200)
    np.testing.assert_array_equal(a.waveform, b.waveform)
    assert a.attrs['world'] != c.attrs['world']

def test_source_errors_scale():
    "Twice the factor, twice the error of time; with all of them poor three times as much; no error at all"
    zones = prepare(0, earths=1).zones
    source = draw_source(seeded(0, 3, 0), zones)
    def late(world): return np.array([misplace(source, seeded(1, 5, k), world.error, world.poor).delay for k in range(200)])
    one = late(World(poor=0.))
    np.testing.assert_allclose(late(World(source=2., poor=0.)), 2*one)
    np.testing.assert_allclose(late(World(poor=1.)), 3*one)
    assert (late(World(source=0.)) == 0).all() and World().error == SourceError()

@pytest.mark.parametrize('world', [World(focusing=1.), World(scattered=.4), World(strength=1.6), World(crust=False), World(source=1.5)], ids=str)
def test_what_changes_the_observation(world):
    "The synthetic is PREM's in every world; focusing and scattering leave the linear effect of the path average alone"
    keys = dict(earths=1, noise=0, defects=0, linear=True, progress=False)
    plain, other = simulate_pairs(100, 5, **keys), simulate_pairs(100, 5, world=world, **keys)
    np.testing.assert_array_equal(plain.waveform.values[:,1], other.waveform.values[:,1])
    assert not np.array_equal(plain.waveform.values[:,0], other.waveform.values[:,0])
    same = world.strength == 1 and world.crust
    assert np.array_equal(plain.linear.values, other.linear.values) == same

def test_stations_of_an_event():
    setup = prepare(2, earths=1, per_event=60, world=World(fewest=5))
    sizes = [len(simulate_event(setup, i)['waveform']) for i in range(8)]
    assert 5 <= min(sizes) < max(sizes) <= 60 < STATIONS_PER_EVENT
    many = prepare(2, earths=1, per_event=400, world=World(more=600))
    assert len(many.stations) == len(setup.stations) + 600 and 250 < len(simulate_event(many, 0)['waveform']) <= 400

# the selector

def test_place_beside_a_dead_pair(clean):
    "Features of whole traces keep their rows if a pair in between cannot be compared"
    some = clean.isel(pair=slice(0, 6)).copy(deep=True)
    before = whole_features(some)
    some.waveform.values[2] = 0
    some.status.values[2] = 'dead'
    after = whole_features(some)
    assert after.iloc[2].isna().all()
    pd.testing.assert_frame_equal(after.drop(index=2), before.drop(index=2))
    assert describe(some, load_model()).whole_correlation.isna().tolist() == [False, False, True, False, False, False]

@pytest.fixture(scope='module')
def judged(tmp_path_factory):
    pairs = simulate_pairs(400, seed=43, earths=1, per_event=50, linear=True, progress=False)
    store = save_pairs(pairs, tmp_path_factory.mktemp('w')/'p.zarr')
    return pairs, select(store, windows=True), select(store, windows='rules')

def test_windows_by_the_selector(judged):
    "More usable seconds than by the rules, most of what is accepted is usable, and accepted windows do not overlap"
    pairs, ours, rules = judged
    rank = {k: i for i, k in enumerate(zip(pairs.event.values, pairs.station.values))}
    good = {}
    for name, s in (('ours', ours), ('rules', rules)):
        w = s.windows[s.windows.decision == 'accept']
        t = pd.DataFrame(dict(pair=[rank[k] for k in zip(w.event, w.station)], left=np.round(w.start_s/s.recipe.dt).astype(int).values,
                              right=np.round(w.end_s/s.recipe.dt).astype(int).values))
        seconds, usable = (w.end_s - w.start_s).values, window_error(pairs, t) < .7
        good[name] = seconds[usable].sum(), seconds[usable].sum()/seconds.sum()
        for _, g in t.groupby('pair'):
            g = g.sort_values('left')
            assert (g.left.values[1:] >= g.right.values[:-1]).all()         # neighbours may share a sample
    assert good['ours'][0] > 1.2*good['rules'][0] and good['ours'][1] > .88, good
    w = ours.windows
    assert w.usable_window[w.decision == 'accept'].min() > w.usable_window[w.reason == 'low probability'].max()
    assert rules.windows.usable_window.isna().all()

def test_every_trace_has_a_row(judged):
    pairs, ours, rules = judged
    for s in (ours, rules): assert set(zip(s.windows.event, s.windows.station)) == set(zip(pairs.event.values, pairs.station.values))

def test_reversed_record_has_no_window(judged, tmp_path):
    pairs, ours, _ = judged
    one = pairs.isel(pair=slice(0, 50))
    turned = one.assign(waveform=one.waveform*np.array([-1, 1], np.float32)[None,:,None])
    w = select(save_pairs(turned, tmp_path/'t.zarr'), windows=True).windows
    assert (w.decision == 'accept').sum() < .05*(ours.windows.decision[ours.windows.event == one.event.values[0]] == 'accept').sum() + 3

# two sensors in one vault

@pytest.mark.parametrize('late, gain, said', [(0, 1, ''), (2, 1, ''), (10, 1, 'differ by 10.0 s'), (-10, 1, 'differ by 10.0 s'), (0, 2, 'in ln A'), (0, 1.2, '')])
def test_sensors_that_disagree(clean, late, gain, said):
    "A clock or a gain that is wrong in one of two sensors: neither is accepted; records of other stations and events are not concerned"
    table = describe(clean.isel(pair=slice(0, 40)), load_model())
    good = table.index[(table.correlation > .95) & (table.dlnA.abs() < .2)][:2]
    twin = table.loc[good].assign(station=[s.replace('..', '.10.') for s in table.station[good]])
    both = pd.concat([table, twin], ignore_index=True)
    both.loc[len(both)-1, 'lag'] += late
    both.loc[len(both)-1, 'dlnA'] += np.log(gain)
    plain, found = (decide_pairs(t, load_model()) for t in (table, both))
    words = disagreeing_sensors(both)
    concerned = [good[1], len(both)-1]
    assert all(said in words[i] and bool(words[i]) == bool(said) for i in concerned) and (np.delete(words, concerned) == '').all()
    assert plain.decision[good[1]] == 'accept'
    assert (found.decision[concerned] == 'accept').all() == (not said)
    if said: assert set(found.reason[concerned]) == {'sensors disagree'} and said in found.note[good[1]]

def test_no_sensor_to_compare(clean):
    table = describe(clean.isel(pair=slice(0, 3)), load_model())
    for t in (table.assign(correlation=.1), table.assign(status='dead'), table.iloc[:0]): assert (disagreeing_sensors(t) == '').all()
