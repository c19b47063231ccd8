"FLEXWIN's windows: made cases, a plain second implementation, published windows"
import json
from itertools import product
from pathlib import Path
import matplotlib.pyplot as plt
import numpy as np, obspy, pandas as pd, pytest
from hypothesis import given, settings, strategies as st
from scipy.signal import hilbert

import vaults
from fwinb.earth.arrivals import group_arrival, travel_times
from fwinb.earth.simulate import simulate_pairs
from fwinb.features.windows import (
    FATES, WindowParameters, measure_windows, parameters_for, pick_windows, plot_window_section, read_parameters, schedule_windows, window_table,
    windows_at)
from fwinb.pairs.recipes import load_recipe

SHARED = vaults.SHARED/'real_2010'
DT, N, WHERE = 1., 2400, dict(distance_deg=60., depth_km=10., first_arrival=[600.])   # surface waves from 1627 to 2085 s
t = np.arange(N)*DT

def pulse(at, period=70., width=60., size=1.): return size*np.exp(-((t-at)/width)**2)*np.cos(2*np.pi*(t-at)/period)
def noise(level, seed=0): return level*np.random.default_rng(seed).normal(size=N)

def picked(obs, syn, **changes):
    w = pick_windows(obs, syn, DT, parameters=WindowParameters()._replace(**changes), **WHERE)
    return w.table, w.fates.iloc[0]

def accepted(table): return table[table.decision == 'accept']

# made cases

def test_one_pulse():
    table, fates = picked(pulse(900)+noise(1e-4), pulse(900))
    one = accepted(table)
    assert len(one) == 1 and fates.accept == 1
    r = one.iloc[0]
    assert r.start_s < 850 and r.end_s > 950 and r.correlation > .999 and abs(r.lag_s) < .05 and abs(r.dlnA) < 1e-3 and r.region == 'body'

def test_size_and_clock():
    "A factor on each trace changes nothing but dlnA; a later start of both moves the window"
    syn, obs = pulse(900) + pulse(1700, 90), pulse(905) + pulse(1703, 90) + noise(1e-3)
    a, b = picked(obs, syn)[0], picked(3e-7*obs, 2e-9*syn, dlna_acceptance_level=99.)[0]
    assert len(accepted(a)) == 2 and list(a.region.unique()) == ['body', 'surface']
    np.testing.assert_array_equal(accepted(a)[['left', 'right']], accepted(b)[['left', 'right']])
    np.testing.assert_allclose(accepted(b).dlnA - accepted(a).dlnA, np.log(150), atol=1e-9)
    late = pick_windows(obs, syn, DT, start=250., **WHERE | dict(first_arrival=[850.], distance_deg=60 + 250*3.2/111.195))
    c = accepted(late.table)
    np.testing.assert_array_equal(c.left, accepted(a).left)
    np.testing.assert_allclose(c.start_s, accepted(a).start_s + 250)

@pytest.mark.parametrize('apart, n', [(30, 1), (450, 2)])
def test_two_pulses(apart, n):
    "Closer than a period: one window; well apart: two"
    syn = pulse(850) + pulse(850+apart)
    good = accepted(picked(syn+noise(1e-4), syn)[0])
    assert len(good) == n
    assert good.start_s.iloc[0] < 820 and good.end_s.iloc[-1] > 880+apart

def test_noise():
    "From clean to hidden: accepted, then too faint, then the trace as a whole too noisy"
    fate = []
    for level in (1e-3, .15, .5):
        table, fates = picked(pulse(900)+noise(level), pulse(900))
        fate.append('accept' if fates.accept else 'quality' if fates.data_quality else 's2n' if fates.s2n else 'other')
    assert fate == ['accept', 'quality', 'quality']
    table, fates = picked(pulse(900)+noise(.5), pulse(900), check_global_data_quality=False)
    assert fates.s2n and not fates.accept

def test_noise_unknown():
    "Without noise before P nothing is refused by it, and the ratio is not known"
    w = pick_windows(pulse(300)+noise(.3), pulse(300), DT, 15., 10., first_arrival=[60.])
    assert not w.fates.data_quality.sum() and not w.fates.s2n.sum() and w.table.snr.isna().all() and len(w.table)

@pytest.mark.parametrize('late, reason', [(10, ''), (70, 'tshift'), (-70, 'tshift')])
def test_skipped_cycle(late, reason):
    "The delay of a cycle is measured, with its sign, and refused"
    table, fates = picked(pulse(900+late)+noise(1e-4), pulse(900), cc_acceptance_level=.5)
    r = table.sort_values('weight').iloc[-1]
    assert r.reason == reason and abs(r.lag_s - late) < 1

@pytest.mark.parametrize('gain, reason', [(2.5, ''), (3, 'dlna'), (1/3, 'dlna'), (-1, 'cc')])
def test_amplitude(gain, reason):
    table, fates = picked(gain*pulse(900)+noise(1e-4), pulse(900), tshift_acceptance_level=1e4)
    assert set(table.reason) - {'overlap'} == {reason}
    if gain > 0: np.testing.assert_allclose(table.dlnA, np.log(gain), atol=1e-3)

def test_end_of_the_record():
    "A wave that the record cuts off is used up to the last sample, and not beyond"
    syn = pulse(N-100, width=120)
    table = picked(syn+noise(1e-4), syn, selection_mode='all_waves')[0]
    last = accepted(table).iloc[-1]
    assert last.right == N-1 and last.left < N-200 and table.right.max() == N-1

def test_silence_in_a_window():
    obs = np.where(t > 700, 0, noise(1e-3))
    table, fates = picked(obs, pulse(900), check_global_data_quality=False)
    silent = table[table.start_s > 700]
    assert fates.accept == 0 and len(silent) and set(table.reason) == {'s2n'} and (silent.correlation == 0).all()
    table = picked(obs, pulse(900), check_global_data_quality=False, s2n_limit=0.)[0]
    assert set(table.reason[table.start_s > 700]) == {'dlna'}

@pytest.mark.parametrize('value, what', [(np.nan, 'not finite'), (0., 'all zero')])
def test_refused_traces(value, what):
    "Arrays are refused; of a set of pairs the others have their windows, and the fates say why this one has none"
    with pytest.raises(ValueError, match=f'obs trace is {what}'): picked(np.full(N, value), pulse(900))
    pairs = simulate_pairs(12, seed=3, earths=1, progress=False, defects=0)
    whole = window_table(pairs)
    spoiled = pairs.copy(deep=True)
    spoiled.waveform[4, 0] = value
    if np.isnan(value): spoiled.status[4] = 'broken'
    w = window_table(spoiled, chunk=5)
    assert w.fates.status[4] == ('obs trace is all zero' if value == 0 else 'broken') and not (w.table.pair == 4).any()
    keep = whole.table.pair != 4
    pd.testing.assert_frame_equal(w.table, whole.table[keep].reset_index(drop=True))

def test_levels_by_region():
    "A level per region acts on that region alone"
    syn = pulse(900) + pulse(1700, 90)
    obs = syn + noise(1e-3)
    both = accepted(picked(obs, syn)[0])
    some = accepted(picked(obs, syn, cc_acceptance_level=dict(body=1., surface=.8, mantle=1.))[0])
    assert list(both.region) == ['body', 'surface'] and list(some.region) == ['surface']

@pytest.mark.parametrize('mode, regions', [
    ('body_waves', {'body'}), ('surface_waves', {'surface'}), ('mantle_waves', {'mantle'}), ('all_waves', {'body', 'surface', 'mantle'})])
def test_selection_mode(mode, regions):
    syn = pulse(900) + pulse(1800, 90) + pulse(2280, 90, 40)
    found = accepted(picked(syn+noise(1e-4), syn, selection_mode=mode, c_1=2.)[0])
    assert set(found.region) == regions

def test_merge():
    syn = pulse(850) + pulse(1050) + pulse(1750, 90)
    obs = syn + noise(1e-4)
    table, fates = picked(obs, syn, resolution_strategy='merge', c_3a=4.)
    good = accepted(table)
    assert (good.left.values[1:] > good.right.values[:-1]).all() and fates.accept == len(good)
    best = accepted(picked(obs, syn, c_3a=4.)[0])
    assert all(((good.left <= r.left) & (good.right >= r.right)).any() for r in best.itertuples())

@pytest.mark.parametrize('changes, words', [
    (dict(c_1=-1.), 'c_1 is -1.0; it cannot be negative'), (dict(min_period=200.), 'min_period is 200.0'),
    (dict(stalta_waterlevel='high'), "stalta_waterlevel is 'high'; take numbers"), (dict(c_3b=0.), 'c_3b is 0'),
    (dict(cc_acceptance_level=85), 'a correlation is at most 1'), (dict(tshift_acceptance_level=-5.), 'tshift_acceptance_level is -5'),
    (dict(s2n_limit=dict(body=1., surface='x', mantle=1.)), 's2n_limit is .*take numbers'), (dict(dlna_acceptance_level=np.nan), 'dlna'),
    (dict(min_surface_wave_velocity=5.), 'min_surface_wave_velocity is 5'), (dict(s2n_limit=dict(body=1)), 's2n_limit'),
    (dict(resolution_strategy='vote'), "resolution_strategy is 'vote'; take one of interval_scheduling, merge")])
def test_parameters(changes, words):
    with pytest.raises(ValueError, match=words): picked(pulse(900), pulse(900), **changes)

def test_parameter_files(tmp_path):
    path = tmp_path/'p.yml'
    for text, words in (('c_9: 1', 'c_9 is no parameter'), ('[1]', 'holds no names'), ('c_1: [', 'no YAML'), ('1: 2', '1 is no parameter'), ('c_1: 1\nc_1: 2', "'c_1' is there twice"),
                        ('noise_end_index: 90', 'noise_end_index is no parameter')):
        path.write_text(text)
        with pytest.raises(ValueError, match=words): read_parameters(path)
    path.write_text('"min_period": 20.0\nmax_period: 60\nnoise_end_index: null\nsignal_end_index: -1')
    assert read_parameters(path).min_period == 20 and read_parameters(path).tshift_acceptance_level == 15
    assert read_parameters(path, load_recipe('short')).c_1 == 4
    with pytest.raises(ValueError, match='no file'): read_parameters(tmp_path/'none.yml')

interval = st.tuples(st.integers(0, 30), st.integers(1, 12), st.integers(1, 20))   # start, length, weight

@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(interval, max_size=7), min_size=1, max_size=3))
def test_schedule(traces):
    "Of all subsets without overlaps none weighs more; one sample may be shared"
    row = np.array([i for i, x in enumerate(traces) for _ in x], int)
    left, length, weight = np.array([x for t in traces for x in t], int).reshape(-1, 3).T
    right, keep = left + length, schedule_windows(row, left, left+length, weight)
    def free(k):
        k = k[np.lexsort((right[k], left[k]))]
        return (left[k][1:] >= right[k][:-1]).all()
    for i in range(len(traces)):
        of = np.flatnonzero(row == i)
        subsets = (of[[k for k in range(len(of)) if bits >> k & 1]] for bits in range(1 << len(of)))
        assert free(of[keep[of]]) and weight[of[keep[of]]].sum() == max(weight[k].sum() for k in subsets if free(k))

def test_measures():
    "A known delay, gain and sign; windows outside of the trace are refused"
    obs, syn = 2*pulse(907)[None], pulse(900)[None]
    cc, zero, lag, dlnA = measure_windows(obs, syn, DT, [0, 0], [700, 0], [1100, N-1])
    np.testing.assert_allclose(lag, 7, atol=.02); np.testing.assert_allclose(dlnA, np.log(2), atol=1e-3); assert (zero < cc).all()
    with pytest.raises(ValueError, match='does not lie'): measure_windows(obs, syn, DT, [0], [5], [N])

def test_phases():
    "Beyond the core's shadow P is not PKIKP; T holds SH waves alone"
    pairs = simulate_pairs(12, seed=3, earths=1, recipe=load_recipe('surface'), progress=False, defects=0)
    pairs['distance_deg'][:], pairs['event_depth_km'][:] = 150., 100.
    arrivals = [travel_times(150., 100., (k,))[0,0] for k in ('PKIKP', 'SS')]
    dt = 5400/2048
    for t, name, z in ((arrivals[0], 'PKIKP', True), (arrivals[1], 'SS', False)):
        left = np.full(12, int(t/dt)-30)
        found = windows_at(pairs, np.arange(12), left, left+60)
        for c, phases in zip(found.component, found.phases): assert (name in phases.split()) == (c != 'T' or not z)
    with pytest.raises(ValueError, match='window 1 is on pair 99 of 12'): windows_at(pairs, [0, 99], [1, 1], [9, 9])

def test_section():
    "One event and component; a pair alone; windows of other pairs are not drawn; a decision by hand"
    pairs = simulate_pairs(30, seed=3, earths=1, recipe=load_recipe('surface'), progress=False, defects=0)
    z = pairs.isel(pair=np.flatnonzero((pairs.component.values == 'Z') & (pairs.event.values == pairs.event.values[0])))
    with pytest.raises(ValueError, match='a section is of one component; these pairs have 3'): plot_window_section(pairs, window_table(pairs))
    whole, own = window_table(pairs), window_table(z)
    boxes = [len(plot_window_section(z, w).patches) for w in (whole, own, own.table)]
    assert boxes[0] == boxes[1] == boxes[2] > 0
    one = z.isel(pair=[0])
    table = window_table(one).table
    table.loc[table.index[0], ['decision', 'reason']] = 'refuse', 'by hand'
    plot_window_section(one, table)
    plt.close('all')

# a plain second implementation: one trace, one candidate after the other

def plain(obs, syn, dt, start, first, distance, p):
    "Fates and accepted windows of one trace, straight from the paper"
    npts, fates = len(obs), dict.fromkeys(FATES, 0)
    env, s, l, ratio = np.abs(hilbert([*syn, *syn[::-1]]))[:npts], 0., 0., []
    env = env/env.max()
    cs, cl = 10**(-dt/p.min_period), 10**(-dt/(12*p.min_period))
    for x in np.concatenate([np.zeros(1000), env]):
        s, l = cs*s + x + 1e-5, cl*l + x + 1e-5
        ratio.append(s/l)
    ratio = np.array(ratio[1000:])
    peaks = [i for i in range(1, npts-1) if ratio[i-1] < ratio[i] > ratio[i+1]]
    troughs = [i for i in range(1, npts-1) if ratio[i-1] > ratio[i] < ratio[i+1]]
    if peaks and (not troughs or peaks[0] < troughs[0]): troughs = [0, *troughs]
    if peaks and peaks[-1] > troughs[-1]: troughs = [*troughs, npts-1]
    slow, fast = group_arrival(distance, p.min_surface_wave_velocity), group_arrival(distance, p.max_surface_wave_velocity)
    sample = lambda x: int(np.clip((x-start)/dt, 0, npts-1))
    low, high = sample(first-p.max_time_before_first_arrival), sample(slow+p.max_period)
    inner = [i for i in troughs if low <= i <= high]
    if inner: troughs = sorted({*inner, *([low] if troughs[0] < low else []), *([high] if troughs[-1] > high else [])})
    else: troughs = []
    peaks = [i for i in peaks if troughs and troughs[0] < i < troughs[-1]]
    before, after, known = obs[:low], obs[low:high+1], low >= max(int(p.min_period/dt), 1)
    poor = known and ((after**2).mean() < p.snr_integrate_base*(before**2).mean() or np.abs(after).max() < p.snr_max_base*np.abs(before).max())
    shaped = []
    for c in peaks:
        if ratio[c] <= p.stalta_waterlevel: continue
        for a, b in product([i for i in troughs if i < c], [i for i in troughs if i > c]):
            time, inside = start+c*dt, [i for i in troughs if a < i < b]
            beside = max(ratio[max(i for i in troughs if i < c)], ratio[min(i for i in troughs if i > c)])
            if not first-2*p.min_period <= time <= slow+2*p.min_period: fates['region'] += 1
            elif poor: fates['data_quality'] += 1
            elif b-a < p.c_1*p.min_period/dt: fates['min_length'] += 1
            elif any(ratio[i] <= p.c_0*p.stalta_waterlevel for i in inside): fates['water_level'] += 1
            elif ratio[c]-beside < p.c_2*ratio[c]: fates['prominence'] += 1
            elif holds_another(ratio, peaks, [a, *inside, b], a, b, c, dt, p): fates['phase_sep'] += 1
            else:
                within = [i for i in peaks if a <= i <= b]
                if within[0]-a > p.c_4a*p.min_period/dt: a = int(within[0]-p.c_4a*p.min_period/dt)
                if b-within[-1] > p.c_4b*p.min_period/dt: b = int(within[-1]+p.c_4b*p.min_period/dt)
                if (a, b) in shaped: fates['duplicate'] += 1
                else: shaped.append((a, b))
    fit = []
    for a, b in shaped:
        o, s = obs[a:b+1], syn[a:b+1]
        cc = np.correlate(o, s, 'full')/np.sqrt((o**2).sum()*(s**2).sum())
        lag, dlnA = (cc.argmax()-len(o)+1)*dt, .5*np.log((o**2).sum()/(s**2).sum())
        if b-a < p.c_1*p.min_period/dt: fates['min_length'] += 1
        elif known and np.abs(o).max()/np.abs(before).max() < p.s2n_limit: fates['s2n'] += 1
        elif abs(lag) >= p.tshift_acceptance_level: fates['tshift'] += 1
        elif abs(dlnA) >= p.dlna_acceptance_level: fates['dlna'] += 1
        elif cc.max() < p.cc_acceptance_level: fates['cc'] += 1
        else: fit.append((a, b, (b-a)*dt/p.min_period*cc.max()))
    def best(rest):
        if not rest: return 0, []
        x, others = rest[0], rest[1:]
        with_x = best([y for y in others if y[0] >= x[1] or y[1] <= x[0]])
        return max((x[2]+with_x[0], [x, *with_x[1]]), best(others), key=lambda z: z[0])
    chosen = best(fit)[1]
    return fates | dict(accept=len(chosen), overlap=len(fit)-len(chosen)), sorted(x[:2] for x in chosen)

def holds_another(ratio, peaks, troughs, a, b, c, dt, p):
    floor = min(ratio[i] for i in troughs)
    for m in peaks:
        if not a <= m <= b or m == c: continue
        away = abs(m-c)*dt/p.min_period
        fall = np.exp(-((away-p.c_3b)/p.c_3b)**2) if away >= p.c_3b else 1
        if ratio[m]-floor > p.c_3a*(ratio[c]-floor)*fall: return True
    return False

@pytest.mark.parametrize('name', ['study', 'surface'])
def test_plain(name):
    "The same windows, and the same fates of all candidates, as the plain implementation"
    recipe = load_recipe(name)
    pairs = simulate_pairs(45, seed=7, earths=2, recipe=recipe, progress=False)
    p = parameters_for(recipe, stalta_waterlevel=.1, c_1=2.5)
    w, x = window_table(pairs, p), pairs.waveform.values.astype(float)
    first = travel_times(pairs.distance_deg.values, pairs.event_depth_km.values, ('P',))[:,0]
    near = []
    for i in range(len(x)):
        fates, chosen = plain(x[i,0], x[i,1], recipe.dt, recipe.start, first[i], pairs.distance_deg.values[i], p)
        mine = accepted(w.table[w.table.pair == i])
        found = w.fates.loc[i, [*FATES]].to_dict()
        if found != fates: near.append(i)          # the lag of the plain one is that of a sample
        else: assert [*zip(mine.left, mine.right)] == chosen
    assert len(near) <= 3 and w.fates.accept.sum() > 10

# published windows

@pytest.mark.skipif(not SHARED.is_dir(), reason='the shared data are not here')
def test_published():
    "Windows that pyflex chose on the radial component at 27-60 s: edges, correlation, delay and amplitude"
    p = read_parameters(SHARED/'windows'/'27_60.BHZ.config.yaml')
    traces = [obspy.read(str(SHARED/'proc'/f'IU.KBL.{k}.proc.mseed')) for k in ('obs', 'syn')]
    event = obspy.read_events(str(SHARED/'quakeml'/'C201009031635A.xml'))[0].preferred_origin()
    site = obspy.read_inventory(str(SHARED/'stationxml'/'IU.KBL.xml'))[0][0]
    distance = obspy.geodetics.locations2degrees(event.latitude, event.longitude, site.latitude, site.longitude)
    n = {}
    for c in 'ZRT':
        obs, syn = (st.select(component=c)[0] for st in traces)
        w = pick_windows(obs.data, syn.data, obs.stats.delta, distance, event.depth/1e3, p, start=obs.stats.starttime-event.time)
        n[c] = accepted(w.table)
    assert {c: len(x) for c, x in n.items()} == dict(Z=2, R=5, T=4)
    published = pd.DataFrame(json.loads((SHARED/'windows'/'IU.KBL..BHR.window.json').read_text()))
    np.testing.assert_array_equal(n['R'].left, published.left_index)
    np.testing.assert_array_equal(n['R'].right, published.right_index)
    np.testing.assert_allclose(n['R'].correlation, published.max_cc_value, atol=2e-3)      # ours between the samples
    np.testing.assert_allclose(n['R'].lag_s, published.cc_shift_in_seconds, atol=.26)      # half a sample
    np.testing.assert_allclose(n['R'].dlnA, published.dlnA, atol=1e-6)
    np.testing.assert_allclose(n['R'].weight, published.window_weight, rtol=2e-3)

# the command

ROOT = Path(__file__).resolve().parent.parent

@pytest.fixture(scope='module')
def chosen(tmp_path_factory):
    "Tables and JSON of `fwinb-select --windows` on the sample"
    from fwinb.commands import select_main
    out = tmp_path_factory.mktemp('select')/'s.csv'
    assert select_main([str(ROOT/'data/sample/raw'), '--out', str(out), '--windows']) == 0
    return out

def tables(out): return pd.read_csv(out), pd.read_csv(out.with_name('s_windows.csv'))

def test_command(chosen):
    "A row for every trace, windows without overlaps inside the record, and the decision on their trace"
    traces, windows = tables(chosen)
    assert set(zip(traces.event.fillna(''), traces.station)) == set(zip(windows.event.fillna(''), windows.station))
    whole = traces.set_index(['event', 'station']).decision
    assert [whole[k] for k in zip(windows.event, windows.station)] == windows.trace.tolist()
    some = windows[windows.window > 0]
    assert ((some.start_s >= 0) & (some.end_s < 1800) & (some.end_s > some.start_s)).all()
    for _, t in some.groupby(['event', 'station']):
        assert t.window.tolist() == [*range(1, len(t)+1)] and (t.start_s.values[1:] >= t.end_s.values[:-1] - .01).all()
    none = windows[windows.window == 0]
    assert (none.decision == 'none').all() and none.reason.notna().all() and none.start_s.isna().all()
    assert (some.decision == 'accept').sum() > 50 and {'accept', 'refuse'} == set(some.decision)

def test_command_store_and_workers(chosen, tmp_path):
    "A store of the same pairs gives the same windows, and so do two workers"
    from fwinb.commands import select_main
    for k, args in enumerate(([str(ROOT/'data/sample/pairs.zarr')], [str(ROOT/'data/sample/raw'), '--workers', '2'])):
        assert select_main([*args, '--out', str(tmp_path/f'{k}'/'s.csv'), '--windows']) == 0
        a, b = (t[t.window > 0].reset_index(drop=True) for t in (tables(chosen)[1], tables(tmp_path/f'{k}'/'s.csv')[1]))
        assert a[['event', 'station', 'window', 'decision', 'reason', 'region']].equals(b[['event', 'station', 'window', 'decision', 'reason', 'region']])
        np.testing.assert_allclose(a[['start_s', 'end_s', 'correlation', 'dlnA']], b[['start_s', 'end_s', 'correlation', 'dlnA']], rtol=1e-3)

def test_command_parameters(chosen, tmp_path, capsys):
    "A file of parameters; one of another band, one that is none, and a folder with other files are refused"
    from fwinb.commands import select_main
    path, out = tmp_path/'p.yml', tmp_path/'s.csv'
    args = [str(ROOT/'data/sample/pairs.zarr'), '--out', str(out), '--window-parameters', str(path)]
    path.write_text('cc_acceptance_level: .98\nc_1: 3')
    assert select_main(args) == 0
    strict = tables(out)[1]
    assert (strict.correlation[strict.decision == 'accept'] >= .98).all() and (strict.reason == 'cc').any()
    for text, words in (('min_period: 27', 'min_period is 27 s'), ('cc_level: 1', 'cc_level is no parameter')):
        path.write_text(text)
        assert select_main(args) == 2 and words in capsys.readouterr().err
    path.write_text('c_1: 3')
    for name in ('mine.txt', 'my_picks.json'):                                      # nothing of somebody else is replaced
        (tmp_path/'s_windows').mkdir(exist_ok=True); (tmp_path/'s_windows'/name).write_text('x')
        assert select_main(args) == 2 and name in capsys.readouterr().err
        (tmp_path/'s_windows'/name).unlink()
    out.with_name('s_windows.csv').write_text('a,b')
    assert select_main(args) == 2 and 'no table of windows' in capsys.readouterr().err
    assert select_main(args[:3]) == 0 and 'is of an earlier run' in capsys.readouterr().err

def test_windows_that_fail(monkeypatch):
    "A trace keeps its decision where its windows fail; the row says why, and the others have theirs"
    import fwinb.select as engine
    def picky(pairs, parameters):
        if 'SY.ADK.00.LHZ' in pairs.station.values: raise RuntimeError('no')
        return window_table(pairs, parameters)
    whole = engine.select(ROOT/'data/sample/pairs.zarr', windows=True)
    monkeypatch.setattr(engine, 'window_table', picky)
    some = engine.select(ROOT/'data/sample/pairs.zarr', windows=True)
    pd.testing.assert_frame_equal(some.traces, whole.traces)
    mine = some.windows.station == 'SY.ADK.00.LHZ'
    assert mine.any() and some.windows[mine].reason.str.startswith('error: RuntimeError').all() and (some.windows[mine].decision == 'none').all()
    kept = whole.windows[whole.windows.station != 'SY.ADK.00.LHZ'].reset_index(drop=True)
    pd.testing.assert_frame_equal(some.windows[~mine].reset_index(drop=True), kept)
