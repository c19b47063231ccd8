"Truth and features of windows: a plain loop, dead traces, any order, lazy stores"
import numpy as np, pandas as pd, pytest

from fwinb.earth.simulate import linear_error, simulate_pairs
from fwinb.features.window_features import window_error, window_features, window_feature_names
from fwinb.features.windows import whole_traces, window_table
from fwinb.pairs.recipes import load_recipe
from fwinb.pairs.store import open_pairs

@pytest.fixture(scope='module')
def pairs(): return simulate_pairs(80, seed=5, earths=1, recipe='surface', progress=False, linear=True)

@pytest.fixture(scope='module')
def table(pairs): return window_table(pairs).table

def test_truth(pairs, table):
    "Window by window"
    w, g, E = pairs.waveform.values.astype(float), pairs.linear.values.astype(float), window_error(pairs, table, chunk=13)
    assert len(table) > 100
    for e, r in zip(E, table.itertuples()):
        s = slice(r.left, r.right+1)
        assert e == pytest.approx(linear_error(w[r.pair,0,s], w[r.pair,1,s], g[r.pair,s]), rel=1e-9)
    with pytest.raises(ValueError, match=r'\(pair, time\)'): window_error(pairs, table, g[:,:-1])
    with pytest.raises(ValueError, match='left'): window_error(pairs, table[['pair', 'right']])

def test_order(pairs, table):
    "Rows in any order, chunks of any size, one index"
    some = table.sample(frac=1, random_state=0)
    a, b = window_features(pairs, table), window_features(pairs, some, chunk=7)
    assert list(a) == list(window_feature_names()) and (b.index == some.index).all()
    np.testing.assert_allclose(b.loc[a.index], a, atol=1e-9)
    np.testing.assert_array_equal(window_error(pairs, some), window_error(pairs, table)[some.index])

def test_dead(pairs, table):
    "No value from a dead trace, and none of a window in which one is silent; the others stay"
    dead = pairs.copy(deep=True)
    n = int(table.pair.iloc[0])
    dead.waveform[n,0] = 0
    last = table.iloc[-1]
    dead.waveform[int(last.pair),1,last.left:last.right+1] = 0
    a, b = window_features(pairs, table), window_features(dead, table)
    of_dead = (table.pair == n).values
    assert b[of_dead].drop(columns='windows').isna().all(axis=None)
    assert np.isnan(b.delay.iloc[-1]) and b.after_P.iloc[-1] == a.after_P.iloc[-1]
    rest = ~of_dead & (table.pair != last.pair).values
    np.testing.assert_allclose(b[rest], a[rest], atol=1e-9)

def test_store(pairs, table, tmp_path):
    lazy = simulate_pairs(80, seed=5, earths=1, recipe='surface', path=tmp_path/'p.zarr', progress=False, linear=True)
    np.testing.assert_allclose(window_features(lazy, table, chunk=32), window_features(pairs, table), atol=1e-6)
    np.testing.assert_allclose(window_error(open_pairs(tmp_path/'p.zarr'), table), window_error(pairs, table), atol=1e-6)

def test_nothing(pairs, table):
    none = table.iloc[:0]
    assert window_error(pairs, none).shape == (0,) and window_features(pairs, none).shape == (0, len(window_feature_names()))
    with pytest.raises(ValueError, match='pair 80'): window_features(pairs, table.assign(pair=80))

@pytest.mark.parametrize('recipe', ['study', 'middle', 'short'])
def test_shortest(recipe):
    "A window of four periods has a value of every feature in every recipe"
    recipe = load_recipe(recipe)._replace(components=('Z',))
    from fwinb.pairs.schema import build_pairs
    t, T = recipe.times - 1200, recipe.periods[0]
    w = sum(np.exp(-(t/(3*p))**2)*np.cos(2*np.pi*t/p) for p in np.geomspace(*recipe.periods, 9))
    w = np.stack([w, np.roll(w, 3)]) + 1e-4*np.random.default_rng(0).normal(size=(2, len(w)))
    pairs = build_pairs(w[None], None, recipe, event='e', station='N.S.00.LXZ', origin='simulated', status='ok', event_latitude=0.,
                        event_longitude=0., event_depth_km=20., event_magnitude=6., moment_tensor=np.full((1, 6), np.nan),
                        station_latitude=0., station_longitude=50., distance_deg=50., azimuth_deg=90.)
    edges = np.searchsorted(t, [-2*T, 2*T])
    one = pd.DataFrame(dict(pair=[0], left=edges[:1], right=edges[1:], decision='accept'))
    f = window_features(pairs, one)
    assert np.isfinite(f.values).all(), f.columns[f.isna().iloc[0]]
    assert f.length_shortest.iloc[0] == pytest.approx(4, abs=.2) and f.windows.iloc[0] == 1
    assert len(whole_traces(pairs)) == 1
