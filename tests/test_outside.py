"The bench outside: the generator's physics, measures whose value is known, faults that are what they say"
import sys
from pathlib import Path
import numpy as np, pandas as pd, pytest

from fwinb.earth.simulate import simulate_pairs
from fwinb.pairs.schema import STUDY, build_pairs

ROOT = Path(__file__).parents[1]

def module(folder, name):
    sys.path.insert(0, str(ROOT/folder))
    try: return pytest.importorskip(name)
    finally: sys.path.remove(str(ROOT/folder))

@pytest.fixture(scope='module')
def dirt(): return module('data', 'waves3d')

@pytest.fixture(scope='module')
def outside(): return module('bench', 'outside')

# the generator

def test_noise(dirt):
    "White acceleration has the spectral density that it is asked for"
    u = dirt.acceleration_noise(np.random.default_rng(0), 400, 2000, 2., np.full(400, -170.))
    a = np.diff(u, 2, axis=-1)/2.**2
    f = np.fft.rfftfreq(a.shape[-1], 2.)
    power = (np.abs(np.fft.rfft(a*np.hanning(a.shape[-1])))**2).mean(0)*2*2/np.sum(np.hanning(a.shape[-1])**2)
    band = (f > .008) & (f < .03)
    assert 10*np.log10(power[band].mean()) == pytest.approx(-170, abs=.5)
    louder = dirt.acceleration_noise(np.random.default_rng(0), 1, 2000, 2., np.array([-150.]))
    quiet = dirt.acceleration_noise(np.random.default_rng(0), 1, 2000, 2., np.array([-170.]))
    np.testing.assert_allclose(louder, 10*quiet)

def made(n=360, nt=700, dt=2.):
    "A wave packet at every station of a shallow and a deep earthquake"
    t, rng = dt*np.arange(nt), np.random.default_rng(0)
    u = np.exp(-((t-700)/60)**2)*np.cos(2*np.pi*(t-700)/70)*1e-3
    return u, dict(observed=np.tile(u, (n, 1)), time_s=t, event_index=np.repeat([0, 1], n//2), network=np.full(n, 'XX'), event_depth_km=np.array([20., 600.]),
                   azimuth_deg=rng.uniform(0, 360, n), station=np.array([f'{k:03d}' for k in range(n//2)]*2))

def delays(obs, u, dt=2.): return np.array([np.argmax(np.correlate(x, u, 'same')) - len(u)//2 for x in obs])*dt

@pytest.mark.parametrize('world, wrong', [('mild', 1), ('bad', 3)])
def test_sources(dirt, world, wrong):
    "So many parts of every earthquake have a wrong source; the same seed, the same observations"
    u, z = made()
    obs, group = dirt.dirty(z, wrong=dirt.WORLDS[world])
    np.testing.assert_array_equal(obs, dirt.dirty(z, wrong=dirt.WORLDS[world])[0])
    assert not np.array_equal(obs, dirt.dirty(z, seed=6, wrong=dirt.WORLDS[world])[0]) and set(group) == {0, 1, 2}
    lag = delays(obs, u)
    sound = np.abs(lag) < 8                                       # neither clock error nor flip
    spread = pd.DataFrame(dict(e=z['event_index'], g=group, lag=np.abs(lag)))[sound].groupby(['e', 'g']).lag.mean()
    assert (spread > .8).groupby('e').sum().tolist() == [wrong, wrong], spread

def test_source_delays(dirt):
    "An origin that is late, and a place that is wrong: a constant, and one period of the azimuth; body waves of deep events feel the place less"
    azimuth = np.arange(0., 360, 5)
    for depth, slowness in ((20., 1/4), (600., 1/10)):
        x = np.array([dirt.source_delays(np.random.default_rng(k), azimuth, depth) for k in range(50)])
        shift, place = np.abs(x.mean(1)), np.sqrt(2)*x.std(1)/slowness
        assert 1 <= shift.min() and shift.max() <= 3 and 13 <= place.min() and place.max() <= 45

def test_delayed(dirt):
    u, _ = made()
    late = dirt.delayed(np.array([u, u]), 2., np.array([20., -13.]))
    np.testing.assert_allclose(late[0,10:], u[:-10], atol=1e-9)
    t = 2.*np.arange(len(u))
    np.testing.assert_allclose(late[1][50:-50], np.interp(t+13, t, u)[50:-50], atol=2e-5)

def test_defects(dirt):
    "Some stations in fifty are flipped in all their records, three in a hundred have a gain or a clock"
    size, late = dirt.station_defects(np.random.default_rng(0), 20_000)
    assert [(size == -1).mean(), np.isin(size, (.4, 2.5)).mean(), (late != 0).mean()] == pytest.approx([.02, .03, .03], abs=.004)
    assert np.abs(late[late != 0]).min() >= 8 and np.abs(late).max() <= 30 and not ((size != 1) & (late != 0)).any()
    u, z = made(3600)
    obs, _ = dirt.dirty(z)
    flipped = (obs @ u)/(u @ u) < -.9
    station = pd.Series(flipped).groupby(z['station']).sum()
    assert 10 < station.gt(0).sum() < 80 and (station > 0).mean() == pytest.approx(.02, abs=.01)
    assert (station[station > 0] == 2).mean() > .8                # but for broken records and wrong sources

# measures

def answers(outside, n=4000, seed=0):
    rng = np.random.default_rng(seed)
    usable, blind = rng.random(n) < .3, rng.random(n)
    of = outside.Answer
    return usable, rng.integers(0, 40, n), {
        'misfit': of(blind, blind > .5, np.full(n, np.nan)), 'oracle': of(usable*1., usable, usable*1.), 'none': of(blind, np.zeros(n, bool), np.full(n, .3))}

def test_known_values(outside):
    "Who knows the truth finds all of it; the blind have the base rate; who says .3 where .3 are usable is calibrated"
    usable, event, a = answers(outside)
    t = outside.with_intervals(a, usable, event, event, 50).set_index(['selector', 'measure'])
    v = t.value
    assert v['oracle', outside.RECALL] == v['oracle', 'precision at the limit'] == v['oracle', 'recall at the limit'] == v['oracle', 'known'] == 1 and v['oracle', 'ECE'] == 0
    assert v['misfit', 'precision at the limit'] == pytest.approx(.3, abs=.03) and v['misfit', 'recall at the limit'] == pytest.approx(.5, abs=.04)
    assert v['misfit', outside.RECALL] < .02 and v['oracle', outside.MORE] == v['oracle', outside.RECALL] - v['misfit', outside.RECALL]
    assert v['none', 'ECE'] == pytest.approx(.3 - usable.mean(), abs=1e-9) or v['none', 'ECE'] == pytest.approx(usable.mean()-.3, abs=1e-9)
    assert ('misfit', 'ECE') not in v and ('none', 'precision at the limit') not in v     # there is none
    assert (t.low <= t.value + 1e-9).all() and (t.high >= t.value - 1e-9).all() and t.loc['oracle'].low.min() >= 0

def test_pairing(outside):
    "A difference is taken on the same resamples: nothing where both are the same, and the interval of the whole where one is constant"
    usable, event, a = answers(outside)
    score = a['misfit'].score + .5*usable                         # better than blind, worse than knowing
    better = outside.Answer(score, score > 1, score/1.5)
    t = outside.with_intervals({'misfit': better, 'same': better, 'same' + outside.ALONE: better}, usable, event, event, 50)
    gone = t[t.measure.isin((outside.MORE, outside.LOST))]
    assert len(gone) == 3 and (gone[['value', 'low', 'high', 'part low', 'part high']].values == 0).all()
    few = outside.with_intervals({'misfit': better}, usable, event % 4, event, 50)
    width, parts = (few.high-few.low)[0], (few['part high']-few['part low'])[0]
    assert few.clusters[0] == 4 and few.parts[0] == 40 and width > 0 < parts and width != parts

def test_judged(outside):
    "A sample of two sets: their answers one after the other; a selector that does not know the recipe has no rows"
    pairs = simulate_pairs(160, seed=1, earths=2, per_event=40, progress=False)
    event = pairs.event.values.astype(str)
    samples = [outside.Sample(pairs.isel(pair=s), dict(own=pairs.usable.values[s]), event[s], event[s]) for s in (slice(0, 80), slice(80, 160))]
    known = outside.SELECTORS | {'oracle': lambda p: outside.Answer(*[p.usable.values*1.]*1, p.usable.values, p.usable.values*1.), 'mute': lambda p: None}
    t = outside.judge(samples, known).set_index(['selector', 'measure'])
    assert set(t.index.levels[0]) == {*known} - {'mute'} and (t.pairs == 160).all() and t.value['oracle', outside.RECALL] == 1
    whole = outside.judge([outside.Sample(pairs, dict(own=pairs.usable.values), event, event)], {'misfit': outside.by_misfit}).set_index(['selector', 'measure'])
    pd.testing.assert_series_equal(t.value.loc[['misfit']], whole.value, rtol=1e-9)

def test_worlds(outside):
    "Worlds drawn anew: as many answers as pairs, no event in two worlds, another world each"
    a, b = outside.random_worlds(2, 60)
    for s in (a, b):
        assert len(s.cluster) == len(s.part) == len(s.truths['own']) == s.pairs.sizes['pair'] <= 60 and len(set(s.cluster)) == 1
        np.testing.assert_array_equal(s.truths['own'], s.pairs.linear_error.values < .7)
    assert not set(a.part) & set(b.part) and a.cluster[0] != b.cluster[0] and a.pairs.attrs['world'] != b.pairs.attrs['world']

# faults in real records

@pytest.fixture(scope='module')
def archive(outside, simulated_vaults): return outside.Archive(simulated_vaults.folder, 'PREM', STUDY)

def files(archive): return sorted((archive.folder/'obsd').glob('*.P.mseed'))

def test_faults_are_what_they_say(outside, archive):
    clean = outside.read_pairs(archive, files(archive))
    assert outside.sound_pairs(clean).all() and clean.sizes['pair'] == 2
    obs, t = clean.waveform.values[:,0].astype(float), clean.time.values
    def read(fault=None, late=0.): return outside.read_pairs(archive, files(archive), '*Z', fault, late).waveform.values[:,0]
    for name, k in (('gain x3', 3), ('gain x1/2', .5), ('polarity', -1)):
        np.testing.assert_allclose(read(outside.PLANTED[name]), k*obs, atol=2e-3*np.abs(obs).max())
    for s in outside.CLOCKS['clock 10 s']:
        moved = np.array([np.interp(t - s, t, x) for x in obs])[:,20:-20]
        assert np.linalg.norm(read(late=s)[:,20:-20] - moved) < .03*np.linalg.norm(obs)
    step = read(outside.PLANTED['glitch']) - obs
    assert (np.abs(step[:,t < 600]).max(-1) < .2*np.abs(step).max(-1)).all() and (np.abs(step).max(-1) > np.abs(obs).max(-1)).all()
    assert not outside.sound_pairs(clean.assign(waveform=clean.waveform*np.array([1., 3.])[None,:,None])).any()

def test_own_noise(outside):
    "As strong in the band as the record in the half hour, of its spectrum, and unlike it"
    u, _ = made()
    x, t = np.r_[np.zeros(300), u, np.zeros(500)], 2.*np.arange(-300, 1200)
    n = outside.own_noise(x, t, 2.)
    a, b = (outside.in_study(v, 2.)[(t > 0) & (t < 1800)] for v in (x, n))
    assert a.std() == pytest.approx(b.std()) and abs(np.corrcoef(a, b)[0,1]) < .3
    size = np.abs(np.fft.rfft(n))[5:50]/np.abs(np.fft.rfft(x))[5:50]
    assert size.std()/size.mean() < .05

def test_one_at_a_time(outside, archive):
    "A fault changes the records of one sensor, and a record that the reading drops is no accepted one"
    clean = outside.read_pairs(archive, files(archive))
    other = clean.copy(deep=True)
    other.waveform.values[:,0] *= -1
    new, now = outside.replaced(clean, other, np.array([1]))
    assert now.tolist() == [1] and np.array_equal(new.waveform.values[0], clean.waveform.values[0])
    np.testing.assert_array_equal(new.waveform.values[1], other.waveform.values[1])
    fewer, now = outside.replaced(clean, other.isel(pair=[0]), np.array([0, 1]))
    assert now.tolist() == [0, -1] and fewer.sizes['pair'] == 1 and clean.sizes['pair'] == 2
    np.testing.assert_array_equal(fewer.waveform.values[0], other.waveform.values[0])

def test_counts(outside, archive):
    "A selector that looks at the amplitude refuses the gains and nothing else; one that takes all takes all"
    def amplitude(p):
        ok = np.abs(np.log(np.divide(*np.linalg.norm(p.waveform.values, axis=-1).T))) < .3
        return outside.Answer(ok*1., ok, ok*1.)
    def every(p): return outside.Answer(*[np.ones(p.sizes['pair'])]*1, np.ones(p.sizes['pair'], bool), np.ones(p.sizes['pair']))
    t = outside.judge_real([archive], dict(amplitude=amplitude, every=every))
    t = t.set_index(['selector', 'fault', 'witnesses'])
    every = t.loc['every']
    assert (every.accepted + every.dropped == every.tried).all() and every.loc[('clock 10 s', 'event')].tried == 2*every.loc[('nothing', 'event')].tried
    mine = t.loc['amplitude']
    gains = mine[mine.index.get_level_values(0).str.startswith('gain')]
    assert (gains.accepted == 0).all() and len(gains) == 4
    same = ['nothing', 'Mw 8.3', 'polarity', 'clock 20 s', 'clock 5 s']
    assert (mine.loc[same].accepted + mine.loc[same].dropped == mine.loc[same].tried).all()

def test_larger(outside):
    "A larger earthquake has the waves of the smaller one, and the moment that its magnitude says"
    w = np.random.default_rng(0).normal(size=(3, 2, STUDY.npts))
    tensor = 1e18*np.array([1., -.4, -.6, .2, .1, .3])
    place = dict(event_latitude=0., event_longitude=0., event_depth_km=20., station_latitude=0., station_longitude=[40., 50., 60.], distance_deg=[40., 50., 60.],
                 azimuth_deg=90.)
    moment = np.sqrt((tensor**2*[1, 1, 1, 2, 2, 2]).sum()/2)
    p = build_pairs(1e-6*w, None, STUDY, event='a', station=['X.A.00.LHZ', 'X.B.00.LHZ', 'X.C.00.LHZ'], origin='simulated', status='ok', moment_tensor=np.tile(tensor, (3, 1)),
                    event_magnitude=2/3*(np.log10(moment) - 9.1), **place)
    q = outside.great(p)
    np.testing.assert_allclose(q.waveform/q.waveform.values.std(), p.waveform/p.waveform.values.std(), rtol=1e-4, atol=1e-5)
    large = np.sqrt((q.moment_tensor.values[0]**2*[1, 1, 1, 2, 2, 2]).sum()/2)
    assert 2/3*(np.log10(large) - 9.1) == pytest.approx(8.3) and (q.event_magnitude == 8.3).all()

def test_other_lanes_stay(outside, tmp_path):
    a = pd.DataFrame(dict(lane=['simulated', 'waves'], value=[.1, .2]))
    outside.save(a, tmp_path/'x.csv')
    outside.save(pd.DataFrame(dict(lane=['simulated'], value=[.5])), tmp_path/'x.csv', ['simulated'])
    assert pd.read_csv(tmp_path/'x.csv').value.tolist() == [.5, .2]
