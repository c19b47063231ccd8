"Seconds at a precision: against a plain loop and by hand"
from itertools import combinations
import numpy as np, pandas as pd, pytest

from fwinb.earth.simulate import simulate_pairs
from fwinb.features.network_terms import network_term_table, with_times
from fwinb.features.pair import pair_features
from fwinb.features.windows import parameters_for, sta_lta, trace_limits, window_table
from fwinb.models.selector import kind_weights, random_windows
from fwinb.models.windows import (
    admitted_seconds, admitted_windows, best_level, rules_with_terms, score_levels, seconds_difference, seconds_row, station_faults, window_seconds)
from fwinb.pairs.schema import STUDY

def made(n=60, seed=0):
    "Windows of ten traces of three events"
    rng = np.random.default_rng(seed)
    pair, left = rng.integers(10, size=n), rng.integers(80, size=n)
    right = left + rng.integers(5, 20, size=n)
    return pd.DataFrame(dict(pair=pair, event=[f'e{k % 3}' for k in pair], left=left, right=right, seconds=(right-left+1)*2., error=rng.random(n)))

def test_admitted():
    "The best set of each trace at each level, against all sets"
    t, rng = made(), np.random.default_rng(1)
    score, weight = rng.random(len(t)), rng.random(len(t))
    levels = [.2, .6, 2.]
    sums = admitted_seconds(t, admitted_windows(t, score, levels, weight), ['e0', 'e1', 'e2'])
    def best(rows):
        sets = [s for k in range(len(rows)+1) for s in combinations(rows, k)
                if all(t.right[a] <= t.left[b] or t.right[b] <= t.left[a] for a, b in combinations(s, 2))]
        return list(max(sets, key=lambda s: sum(weight[k] for k in s)))
    for k, level in enumerate(levels):
        chosen = [i for p in range(10) for i in best(np.flatnonzero((t.pair == p) & (score >= level)))]
        for e in range(3):
            own = t.loc[chosen][t.event[chosen] == f'e{e}']
            assert sums[e,k,0] == own.seconds.sum() and sums[e,k,1] == own.seconds[own.error < .7].sum()

def test_levels():
    "By hand: two events, three levels"
    sums = np.array([[[100, 90], [50, 49], [0, 0]], [[100, 95], [60, 58], [10, 10]]], float)
    assert best_level(sums) == 1 and best_level(sums, .9) == 0 and best_level(sums, .999) == 2 and best_level(sums[:1], .99) == -1
    r = seconds_row(sums, np.array([4, 6]))
    assert r['seconds'] == pytest.approx(10.7) and r['precision'] == pytest.approx(107/110) and np.isnan(r['seconds low'])   # no interval from two events
    assert seconds_row(sums, np.array([4, 6]), level=0)['precision'] == pytest.approx(.925)
    assert seconds_row(sums, np.array([4, 6]), level=-1)['seconds'] == 0
    many = np.tile(sums, (6, 1, 1))
    r = seconds_row(many, np.tile([4, 6], 6), level=1, seed=3)
    assert r == seconds_row(many, np.tile([4, 6], 6), level=1, seed=3)
    assert r['seconds low'] <= r['seconds'] <= r['seconds high'] and r['precision high'] <= 1
    d = seconds_difference(many, many*.5, np.tile([4, 6], 6), (1, 1))
    assert d[0] == pytest.approx(5.35) and d[1] <= d[0] <= d[2]      # half of 10.7 s
    assert score_levels([np.nan, np.nan]) == [np.inf] and (np.diff(score_levels(np.random.default_rng(0).random(500))) > 0).all()

def test_weights():
    w = kind_weights([1, 3, 10, 10, 20], list('aabbb'))
    np.testing.assert_allclose(w, 2.5*np.array([.25, .75, .25, .25, .5]))

@pytest.fixture(scope='module')
def pairs(): return simulate_pairs(120, seed=8, earths=1, per_event=30, recipe='study', progress=False)

def test_signal(pairs):
    "Sample by sample, and random windows where windows may be"
    t = random_windows(pairs, 3, seed=2)
    assert len(t) == 3*120 and t.equals(random_windows(pairs, 3, seed=2, chunk=17)) and not t.equals(random_windows(pairs, 3, seed=3))
    limits = trace_limits(pairs.distance_deg.values, pairs.event_depth_km.values, STUDY)
    assert (t.left >= limits.low[t.pair]).all() and (t.right <= limits.high[t.pair]).all() and ((t.right-t.left)*STUDY.dt >= 199).all()
    s = window_seconds(pairs, t, chunk=50)
    ratio = sta_lta(pairs.waveform.values[:,1].astype(float), STUDY.dt, 50.)
    for r, x in zip(t.itertuples(), s.itertuples()):
        inside = ratio[r.pair,r.left:r.right+1] > parameters_for().stalta_waterlevel
        assert x.signal == pytest.approx(inside.sum()*STUDY.dt) and x.seconds == pytest.approx((r.right-r.left+1)*STUDY.dt)

def test_terms(pairs):
    "A station that is upside down, and an event that is late, are refused; corrected delays are those that the terms leave"
    table = with_times(pair_features(pairs), pairs)
    terms, windows = network_term_table(table), window_table(pairs).table
    calm = terms*0
    plain = rules_with_terms(windows, calm, np.full(120, '', object))
    np.testing.assert_array_equal(np.isfinite(plain), windows.reason.isin(['', 'cc', 'overlap']))
    late = calm.assign(event_delay_lag=8.)
    assert np.isnan(rules_with_terms(windows, late, np.full(120, ''), correct=False)).all()
    moved = windows.assign(lag_s=windows.lag_s+8)
    np.testing.assert_array_equal(rules_with_terms(moved, late, np.full(120, '')), plain)
    flipped = station_faults(table.assign(zero_lag_correlation=-.8), calm)
    assert (flipped[pd.Series(table.station).groupby(table.station).transform('size') >= 3] == 'polarity').all()
    assert np.isnan(rules_with_terms(windows, calm, np.full(120, 'clock', object))).all()
