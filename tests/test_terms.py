"Event, station and map terms: the sparse solve against a dense one, what must not matter, and errors that are known."
import numpy as np, pandas as pd, pytest

from fwinb.earth.simulate import draw_source, misplace, prepare, simulate_event
from fwinb.earth.structure import seeded
from fwinb.features import network_terms
from fwinb.features.network_terms import (
    DEEPEST, DELAY, distinct_paths, event_columns, event_order, event_station_terms, joint_terms, map_prior, path_means,
    running_median, source_shifts)
from fwinb.features.stations import (
    RARE, neighbours_part, network_scatter, pair_delays, pair_suspects, station_suspects, sure_of)
from fwinb.pairs.schema import build_pairs, path_geometry

def dense(y, good, event, station, columns, paths, prior=DELAY, rounds=3):
    "The same problem with one matrix of all unknowns"
    e, s = (pd.factorize(np.asarray(x))[0] for x in (event, station))
    n, k = paths.shape
    G = np.zeros((n, k + 6*(e.max()+1) + s.max()+1))
    G[:,:k] = paths
    for j in range(6): G[np.arange(n), k+6*e+j] = columns[:,j]*prior.event[j]
    G[np.arange(n), k+6*(e.max()+1)+s] = prior.station
    spread = lambda x: max(1.4826*np.median(np.abs(x[good])), prior.floor)
    w = good/spread(y)**2
    for _ in range(rounds):
        m = np.linalg.solve(G.T@(G*w[:,None]) + np.eye(G.shape[1]), G.T@(w*y))
        left = y - G@m
        scatter = spread(left)
        w = good/scatter**2/(1 + (left/(2*scatter))**2)
    a, b = k, k+6*(e.max()+1)
    return G[:,a:b]@m[a:b], G[:,b:]@m[b:], G[:,:a]@m[:a], scatter

def problem(seed, events=12, stations=9, share=.7):
    rng = np.random.default_rng(seed)
    e, s = np.nonzero(rng.random((events, stations)) < share)
    e, s = np.r_[e, e[:3]], np.r_[s, s[:3]]                                # three records come twice
    n = len(e)
    columns = event_columns(rng.uniform(0, 360, n), rng.uniform(20, 160, n))
    y = rng.normal(0, 5, n) + 40*(rng.random(n) < .1)
    good = (rng.random(n) < .8) & (e != 4)                                 # an event without records
    paths = rng.normal(0, 2, (n, int(rng.integers(0, 20))))
    return y, good, np.array([f'E{i}' for i in e]), np.array([f'S{i}' for i in s]), columns, paths

@pytest.mark.parametrize('few', [0, 10**6], ids=['conjugate gradients', 'written down'])
@pytest.mark.parametrize('seed', range(12))
def test_dense(seed, few, monkeypatch):
    monkeypatch.setattr(network_terms, 'FEW', few)
    x = problem(seed)
    terms = joint_terms(*x)
    for a, b in zip((*terms[:3], terms.scatter), dense(*x)): np.testing.assert_allclose(a, b, atol=1e-7)
    assert (terms.event[x[2] == 'E4'] == 0).all()

@pytest.mark.parametrize('seed', range(4))
def test_order_and_names(seed):
    y, good, event, station, columns, paths = problem(seed)
    terms, k = joint_terms(y, good, event, station, columns, paths), np.random.default_rng(seed).permutation(len(y))
    other = joint_terms(y[k], good[k], [e[::-1] for e in event[k]], ['other ' + s for s in station[k]], columns[k], paths[k])
    for a, b in zip(other[:4], terms[:4]): np.testing.assert_allclose(a, b[k], atol=1e-8)

def test_nothing():
    for x in (problem(0), [v[:0] for v in problem(0)]):
        none = joint_terms(x[0], np.zeros(len(x[0]), bool), *x[2:])
        assert all((v == 0).all() and len(v) == len(x[0]) for v in none[:4])

def test_running_median():
    "As `nanmedian` of each window, for every station alone"
    rng = np.random.default_rng(0)
    station, order, y = rng.integers(0, 4, 200), rng.permutation(200), rng.normal(size=(200, 2))
    y[rng.random(y.shape) < .3] = np.nan
    med, mad, count = running_median(y, station, order, 7)
    for i in range(200):
        own = np.flatnonzero(station == station[i])
        own = own[np.argsort(order[own])]
        at = int(np.flatnonzero(own == i)[0])
        w = y[own[max(at-3, 0):at+4]]
        for j in range(2):
            v = w[np.isfinite(w[:,j]),j]
            assert count[i,j] == len(v)
            if len(v) < 3: assert np.isnan(med[i,j])
            else: assert med[i,j] == np.median(v) and mad[i,j] == np.median(np.abs(v - np.median(v)))

def network(events=24, stations=60, seed=0, source=(1.2, 3.4, 3.4), noise=1.5, structure=1.):
    "Delays whose parts are known: random map of degree 4, sources, noise"
    rng = np.random.default_rng(seed)
    def places(n): return np.degrees(np.arcsin(rng.uniform(-.9, .9, n))), rng.uniform(-180, 180, n)
    (ea, eo), (sa, so) = places(events), places(stations)
    e, s = np.nonzero(rng.random((events, stations)) < .8)
    t = pd.DataFrame(dict(event=[f'E{i:03d}' for i in e], station=[f'XX.S{i:02d}..LHZ' for i in s], component='Z', earth=0))
    t = t.assign(event_latitude=ea[e], event_longitude=eo[e], station_latitude=sa[s], station_longitude=so[s], correlation=.9)
    t['distance_deg'], t['azimuth_deg'] = path_geometry(ea[e], eo[e], sa[s], so[s])
    l, means = path_means(t, 4)
    wrong = rng.normal(size=(events, 3))*source
    lag = structure*means@(rng.normal(size=len(l))*map_prior(l, .014))*np.radians(t.distance_deg)*6371/3.9
    lag = lag + (event_columns(t.azimuth_deg, t.distance_deg)[:,:3]*wrong[e]).sum(1) + rng.normal(0, noise, len(t))
    return t.assign(lag=lag, dlnA=rng.normal(0, .1, len(t))), wrong*(1, -3.9, -3.9)

def test_paths_once():
    t = network(5, 8)[0]
    l, means, path = distinct_paths(pd.concat([t, t.assign(component='R')]))
    assert len(means) == len(t) == path.max()+1
    np.testing.assert_array_equal(path[:len(t)], path[len(t):])
    np.testing.assert_allclose(means[path[:len(t)]], path_means(t)[1], atol=1e-12)
    back = t.rename(columns=lambda k: k.replace('event_l', 'x_l').replace('station_l', 'event_l').replace('x_l', 'station_l'))
    np.testing.assert_allclose(path_means(back)[1], path_means(t)[1], atol=1e-9)       # a path has no direction

def test_sum_rule():
    t = network()[0]
    x = event_station_terms(t)
    np.testing.assert_allclose(x[['event', 'station', 'structure', 'history', 'residual']].sum(axis=1), t.lag, atol=1e-9)

def test_clock_term():
    "A station that is always late by 6 s is late by as much more in its terms, and no other station is"
    t = network()[0]
    late = (t.station == 'XX.S07..LHZ').values
    a, b = (event_station_terms(x)[['station', 'history']].sum(axis=1) for x in (t, t.assign(lag=t.lag + 6*late)))
    assert (b-a)[late].median() == pytest.approx(6, abs=1)
    assert (b-a)[~late].abs().median() < .3

def test_source_shifts():
    "A source that is moved 30 km to the north in the truth is found farther north, within its error, by its own event alone"
    t, wrong = network()
    a = source_shifts(t).set_index('event')
    north = np.where(t.event == 'E003', -30/3.9*np.cos(np.radians(t.azimuth_deg)), 0)
    b = source_shifts(t.assign(lag=t.lag + north)).set_index('event')
    moved = (b-a)[['time_s', 'north_km', 'east_km']]
    assert 12 < moved.north_km['E003'] < 32 and abs(moved.east_km['E003']) < 8
    assert moved.drop('E003').north_km.abs().max() < 5
    for i, (k, e) in enumerate((('time_s', 'time_error_s'), ('north_km', 'north_error_km'), ('east_km', 'east_error_km'))):
        assert np.corrcoef(a[k], wrong[:,i])[0, 1] > .7
        assert (np.abs(a[k] - wrong[:,i]) < 2*a[e]).mean() > .85
    k = np.random.default_rng(0).permutation(len(t))
    pd.testing.assert_frame_equal(source_shifts(t.iloc[k]).set_index('event').loc[a.index], a, rtol=1e-7, atol=1e-7)

def test_shifts_without_records():
    t = network()[0]
    none = source_shifts(t.assign(correlation=0.))
    assert (none.records == 0).all() and (none[['time_s', 'north_km', 'east_km']] == 0).all(axis=None)
    np.testing.assert_allclose(none.time_error_s, DELAY.event[0])                      # nothing known but the prior
    some = source_shifts(t.assign(event_depth_km=np.where(t.event < 'E010', DEEPEST+50, 10.)))
    assert some.north_km.isna().sum() == 10 and some.time_s.notna().all()
    assert len(source_shifts(t[:0])) == 0

@pytest.fixture(scope='module')
def simulated():
    "A simulated network without defects, and the true errors of its sources"
    setup, out, truth = prepare(seed=31, earths=1, defects=0, per_event=150), [], []
    for i in range(30):
        e = simulate_event(setup, i)
        for k in ('linear', 'perturbed'): e.pop(k)
        out.append(pair_delays(build_pairs(e.pop('waveform'), **e)).assign(event_depth_km=e['event_depth_km']))
        given, true = (s := draw_source(seeded(31, 3, i), setup.zones)), misplace(s, seeded(31, 5, i))
        truth.append(dict(event=out[-1].event[0], north_true=111.2*(true.latitude-given.latitude)))
    return pd.concat(out, ignore_index=True), pd.DataFrame(truth)

def test_simulated_sources(simulated):
    table, truth = simulated
    m = source_shifts(table).merge(truth, on='event').dropna()
    m = m[m.records > 0]
    assert m.north_km.corr(m.north_true) > .4
    assert ((m.north_km - m.north_true).abs() < 2*m.north_error_km).mean() > .7

def made_history(seed=0, stations=60, records=30):
    "Station parts as `station_history` gives them: 2 s between stations, 3 s within"
    rng = np.random.default_rng(seed)
    s, i = np.divmod(np.arange(stations*records), records)
    h = pd.DataFrame(dict(event=[f'E{k:03d}' for k in i], station=[f'XX.S{k:02d}..LHZ' for k in s], component='Z', order=i, vote=1))
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1, 1, stations))), rng.uniform(-180, 180, stations)
    delay = rng.normal(0, 2, stations)[s] + rng.normal(0, 3, len(s))
    return h.assign(station_latitude=lat[s], station_longitude=lon[s], delay=delay, gain=rng.normal(0, .1, len(s)))

def test_scatter():
    h = made_history(stations=400)
    within, between = network_scatter(h.delay, h.station, RARE['clock'])
    assert within == pytest.approx(3, rel=.1) and between == pytest.approx(2, rel=.25)

@pytest.mark.parametrize('kind,column,size', [('clock', 'delay', 18.), ('clock', 'delay', -18.), ('gain', 'gain', 1.2), ('gain', 'gain', -1.2)])
def test_suspects(kind, column, size):
    h = made_history()
    bad = (h.station == 'XX.S20..LHZ') & (h.order >= 10)
    s = station_suspects(h.assign(**{column: h[column] + size*bad}))
    row = s[s.station == 'XX.S20..LHZ'].iloc[0]
    assert row.kind == kind and row.sure > .8 and abs(row.value - size) < 2.5*row.error
    assert abs(int(row['from'][1:]) - 10) <= 2 and row['to'] == 'E029' and 15 <= row.records <= 22
    known = pair_suspects(h, s[s.station == row.station])
    assert (known.station_suspect[~bad] != '').sum() <= 2 and (known.station_suspect[bad] != '').sum() >= 18
    if kind == 'clock': assert known.station_delay_s[bad].median() == row.value
    else: assert known.station_gain[bad].median() == pytest.approx(np.exp(row.value))

def test_polarity():
    h = made_history()
    s = station_suspects(h.assign(vote=np.where(h.station == 'XX.S05..LHZ', -1, 1)))
    assert s[s.kind == 'polarity'].station.tolist() == ['XX.S05..LHZ'] and s.sure[s.kind == 'polarity'].iloc[0] > .99

def test_sound_network():
    "Sound stations are not accused, nor is anyone with two records"
    assert sum(len(station_suspects(made_history(k))) for k in range(8)) <= 5           # of 480 stations
    h = made_history(records=2)
    assert len(station_suspects(h.assign(delay=h.delay + 20*(h.station == 'XX.S05..LHZ')))) == 0
    assert len(station_suspects(h[:0])) == 0

def test_neighbours():
    "What a region has in common is structure; the other channels of a vault are no neighbours"
    h = made_history(stations=12)
    h['station_latitude'], h['station_longitude'] = 0., h.station.str[4:6].astype(int)*4.
    far = (h.station < 'XX.S06').values
    common = neighbours_part(np.where(far, 12., 0.), h)
    assert (common[h.station == 'XX.S02..LHZ'] > 8).all() and (common[h.station == 'XX.S10..LHZ'] == 0).all()
    assert (neighbours_part(np.full(len(h), 12.), h.assign(station_longitude=0.)) == 0).all()

def test_sure():
    sure = [sure_of(x, 2., RARE['clock']) for x in (0, 4, 8, 16, -16)]
    assert 0 < sure[0] < sure[1] < sure[2] < sure[3] < 1 and sure[3] == pytest.approx(sure[4])

def test_event_order():
    assert event_order(['b', 'a', 'c', 'a']).tolist() == [1, 0, 2, 0]
    assert event_order(['b', 'a', 'c'], [3., 9., 1.]).tolist() == [1, 2, 0]
