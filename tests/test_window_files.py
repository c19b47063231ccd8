"Files of windows: the published one, files of pyflex's versions, files that are broken, and there and back"
import json, re
from pathlib import Path
import numpy as np, pandas as pd, pytest
from hypothesis import given, settings, strategies as st
from obspy import UTCDateTime

import vaults
from fwinb.data.window_files import LAYOUTS, WindowFileError, event_times, match_windows, read_windows, write_windows
from fwinb.pairs.schema import STUDY, Recipe, build_pairs, recipe_of
from fwinb.pairs.store import open_pairs

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = vaults.SHARED/'real_2010/windows/IU.KBL..BHR.window.json'      # as pytomo3d wrote it
ENTRY = dict(
    left_index=100, right_index=300, center_index=200, channel_id='SY.ADK.00.LHZ', dt=1., min_period=50.,
    time_of_first_sample='1969-12-31T23:59:30.500000Z', max_cc_value=.9, cc_shift_in_seconds=-3., cc_shift_in_samples=-3, dlnA=.1,
    window_weight=3.6)
HALF = Recipe('half', ('Z', 'R', 'T'), -10., 500., 1000, (20., 100.))     # dt .5 s, from 10 s before the origin

def written(path, said):
    path.write_text(said if isinstance(said, str) else json.dumps(said), encoding='utf-8')
    return path

def without(*keys): return {k: v for k, v in ENTRY.items() if k not in keys}

def store(rows, recipe=HALF):
    "Pairs of (event, station, time zero); the component by the channel"
    event, station, zero = zip(*rows)
    return build_pairs(
        np.ones((len(rows), 2, recipe.npts)), recipe=recipe, event=event, station=station, event_time=zero,
        component=[s[-1] for s in station], event_latitude=0., event_longitude=0., event_depth_km=10., event_magnitude=6.,
        moment_tensor=np.full((len(rows), 6), np.nan), station_latitude=30., station_longitude=0., distance_deg=30.,
        azimuth_deg=0., origin='files', status='ok')

def a_window(station, start, length=50., first=None, dt=.25, **other):
    "As an entry: a window at `start`, of a trace that begins at `first`, both s after 1970"
    first = start - 40. if first is None else first
    left = round((start - first)/dt)
    return ENTRY | dict(channel_id=station, time_of_first_sample=str(UTCDateTime(first)), dt=dt, left_index=left, center_index=left,
                        right_index=left + round(length/dt), cc_shift_in_seconds=.5, cc_shift_in_samples=.5/dt, **other)

def table(event='A', station='XX.AA.00.LHZ', **other):
    return pd.DataFrame([dict(event=event, station=station, start_s=40., end_s=90., left=100, right=200, correlation=.9, lag_s=.5,
                              dlnA=.1, weight=2.25, decision='accept', reason='', phases='P pP') | other])

@pytest.mark.skipif(not PUBLISHED.is_file(), reason='the shared data are not here')
def test_published():
    found = read_windows(PUBLISHED)
    assert found.left.tolist() == [1789, 2169, 3200, 4370, 4921] and found.right.tolist() == [1968, 2588, 3440, 4772, 5280]
    assert (found.dt_s == .5).all() and set(found.station) == {'IU.KBL..BHR'}
    assert found.lag_s.tolist() == [.5, -.5, 2.5, .5, 2.5] and (found.min_period_s == 27).all()
    usual = (found.end - found.start)/found.min_period_s*found.correlation             # pyflex's weight
    np.testing.assert_allclose(found.weight, usual, rtol=1e-6)
    assert found.phases[0] == 'Pdiff pPdiff sPdiff' and found.phases[4] == ''

@pytest.mark.skipif(not PUBLISHED.is_file(), reason='the shared data are not here')
def test_published_on_a_pair(tmp_path):
    "On an axis of 1.4 s that begins with the origin, by the origin time of the catalogue; and out again"
    origin = UTCDateTime('2010-09-03T16:35:47.77Z')
    recipe = Recipe('r', ('Z', 'R', 'T'), 0., 4200., 3000, (27., 60.))
    pairs = store([('Darfield', f'IU.KBL..BH{c}', origin.timestamp + 12.5) for c in 'ZRT'], recipe)  # the centroid's time
    found = read_windows(PUBLISHED, origin_time=str(origin))
    on, lost = match_windows(found, pairs)
    assert not len(lost) and on.pair.tolist() == [1]*5 and set(on.component) == {'R'}
    np.testing.assert_allclose(on.start_s, found.start_s - 12.5, atol=recipe.dt/2)
    np.testing.assert_allclose(on.end_s, found.end_s - 12.5, atol=recipe.dt/2)
    again = match_windows(read_windows(write_windows(on, event_times(pairs), recipe, tmp_path/'w.json')['Darfield']), pairs).table
    for k in ('left', 'right', 'correlation', 'dlnA', 'weight', 'phases'): assert again[k].tolist() == on[k].tolist(), k
    other, late = match_windows(found, pairs.assign(event_time=pairs.event_time + 100))
    assert not len(other) and set(late.reason) == {'no event within 60 s; the nearest is 112.5 s away'}

def test_before_1970(tmp_path):
    found = read_windows(written(tmp_path/'w.json', {'windows': [ENTRY]}), origin_time=UTCDateTime(-9.5))
    assert found.start[0] == 70.5 and found['first'][0] == -29.5 and found.lag_s[0] == -3
    assert found.origin[0] == -9.5 and found.start_s[0] == 80. and found.end_s[0] == 280.

@pytest.mark.parametrize('keys', [['center_index'], ['window_weight'], ['cc_shift_in_samples'], ['center_index', 'window_weight']])
def test_older(tmp_path, keys):
    "What a file may lack; weight and centre are pyflex's own"
    found = read_windows(written(tmp_path/'w.json', [without(*keys)]))
    assert (found.center[0], found.phases[0]) == (200, '') and found.weight[0] == pytest.approx(3.6)

@pytest.mark.parametrize('said, n', [
    ([], 0), ({}, 0), ({'windows': []}, 0), ({'XX.AA': None, 'SY.ADK': {'SY.ADK.00.LHZ': [ENTRY, ENTRY]}}, 2),
    ({'20100903': {'SY.ADK': {'SY.ADK.00.LHZ': [ENTRY]}}}, 1), ({'SY.ADK.00.LHZ': {'windows': [ENTRY]}}, 1)])
def test_layouts(tmp_path, said, n):
    found = read_windows(written(tmp_path/'w.json', said))
    assert len(found) == n and found.left.dtype.kind == 'i' and found.start.dtype.kind == 'f'

def test_byte_order_mark(tmp_path):
    (tmp_path/'w.json').write_bytes(b'\xef\xbb\xbf' + json.dumps([ENTRY]).encode())
    assert len(read_windows(tmp_path/'w.json')) == 1

@pytest.mark.parametrize('said, words', [
    ('', 'is no JSON'), ('[{"left_index": 1', 'is no JSON'), ('7', '7 is no list of windows'), ('null', 'None is no list of windows'),
    ('["a"]', "entry 0 is 'a'"), ('[[]]', 'entry 0 is []'), (ENTRY, 'is no list of windows'),
    ('{"IU.KBL": {"IU.KBL..BHR": "all"}}', "IU.KBL, IU.KBL..BHR: 'all'"), ('{"IU.KBL": [], "IU.KBL": []}', "the key 'IU.KBL' is there twice"),
    ([{}], 'channel_id, time_of_first_sample, left_index, right_index, dt'), ([without('dlnA')], 'SY.ADK.00.LHZ: dlnA missing'),
    ({'SY.ADK.10.LHZ': [ENTRY]}, 'in the list of SY.ADK.10.LHZ, but channel_id is SY.ADK.00.LHZ'),
    ({'SY.AFI': {'SY.ADK.00.LHZ': [ENTRY]}}, 'in the list of SY.AFI, but')])
def test_broken_file(tmp_path, said, words):
    with pytest.raises(WindowFileError, match=re.escape(words)) as e: read_windows(written(tmp_path/'w.json', said))
    assert 'w.json' in str(e.value)

def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='w.json'): read_windows(tmp_path/'w.json')
    (tmp_path/'w.json').write_bytes(b'["\xff"]')
    with pytest.raises(WindowFileError, match='w.json is no JSON.*utf-8'): read_windows(tmp_path/'w.json')

@pytest.mark.parametrize('key, value, words', [
    ('dt', '1', "dt is '1', no finite number"), ('dt', 0, 'dt is 0 s'), ('dt', -1., 'dt is -1 s'), ('min_period', 0, 'min_period is 0 s'),
    ('dt', float('inf'), 'dt is inf, no finite number'), ('dlnA', float('nan'), 'dlnA is nan, no finite number'),
    ('max_cc_value', None, 'max_cc_value is None, no finite number'), ('max_cc_value', -1.5, 'max_cc_value is -1.5, no correlation'),
    ('right_index', 100, 'samples 100 to 100 are no window'), ('right_index', 10, 'samples 100 to 10 are no window'),
    ('left_index', -4, 'samples -4 to 300'), ('left_index', True, 'left_index is True'), ('left_index', 100.5, '100.5, no whole number'),
    ('left_index', None, 'left_index is None'), ('center_index', 99, 'center_index is 99, outside of the samples 100 to 300'),
    ('window_weight', 'heavy', "window_weight is 'heavy', no finite number"), ('window_weight', float('nan'), 'window_weight is nan'),
    ('channel_id', None, 'channel_id is None, not NET.STA.LOC.CHA'), ('channel_id', 'ADK', "channel_id is 'ADK'"),
    ('channel_id', 'SY.ADK.00.', 'not NET.STA.LOC.CHA'), ('time_of_first_sample', None, 'time_of_first_sample is None, no time'),
    ('time_of_first_sample', 0, 'time_of_first_sample is 0, no time'), ('time_of_first_sample', 'noon', "'noon', no time"),
    ('time_of_first_sample', '', "'', no time"), ('absolute_endtime', '1970-13-01T00:00:00Z', 'no time'),
    ('phase_arrivals', 'P', "phase_arrivals is 'P', no list of phases"), ('phase_arrivals', ['P'], "phase_arrivals is ['P']"),
    ('relative_starttime', 100.3, 'relative_starttime is 100.3 s, by the samples 100 s'),
    ('relative_endtime', 299., 'relative_endtime is 299 s, by the samples 300 s'), ('relative_endtime', 'x', "relative_endtime is 'x'"),
    ('absolute_starttime', '1970-01-01T00:01:10.6Z',
     'absolute_starttime is 1970-01-01T00:01:10.600000Z, by the samples 1970-01-01T00:01:10.500000Z'),
    ('absolute_endtime', '1970-01-02T00:04:30.5Z', 'by the samples 1970-01-01T00:04:30.500000Z'),
    ('cc_shift_in_samples', 3, 'cc_shift_in_seconds is -3 s, by the samples 3 s')])
def test_broken_window(tmp_path, key, value, words):
    "The error names the file, the window, its channel, and both values of a contradiction"
    path = written(tmp_path/'w.json', [ENTRY, ENTRY | {key: value}])
    with pytest.raises(WindowFileError, match=re.escape(words)) as e: read_windows(path)
    assert f'{path}: window 1 of ' in str(e.value) and (key == 'channel_id' or 'SY.ADK.00.LHZ: ' in str(e.value))

def test_strange_origin(tmp_path):
    with pytest.raises(ValueError, match='origin_time is nan'): read_windows(written(tmp_path/'w.json', [ENTRY]), origin_time=np.nan)

# onto pairs

T0 = 1.3e9

@pytest.mark.parametrize('station, start, length, reason', [
    ('XX.BB.00.LHZ', 100, 50, 'no pair of this station'), ('YY.AA.00.LHZ', 100, 50, 'no pair of this station'),
    ('XX.AA.00.LHN', 100, 50, 'no pair of this station has the component N'),
    ('XX.AA.10.LHZ', 100, 50, 'no pair of this station has the location 10'),
    ('XX.AA.00.LHZ', 900, 50, 'no pair of this station has its time'), ('XX.AA.00.LHZ', -900, 50, 'no pair of this station has its time'),
    ('XX.AA.00.LHZ', -15, 50, 'begins 5 s before the first sample'), ('XX.AA.00.LHZ', 460, 50, 'ends 20.5 s after the last sample'),
    ('XX.AA.00.LHZ', -20, 600, 'begins 10 s before the first sample'), ('XX.AA.00.LHZ', 100, .25, 'shorter than a sample of the pair'),
    ('XX.AA.00.LHZ', 100, 50, ''), ('XX.AA..LHZ', 100, 50, ''), ('XX.AA.00.BHZ', 100, 50, ''),        # another band, no location
    ('XX.AA.00.LHZ', -10.2, 50, ''), ('XX.AA.00.LHZ', 439.75, 50, ''), ('XX.AA.00.LHZ', -10, 499.5, '')])
def test_on_a_pair(tmp_path, station, start, length, reason):
    pairs = store([('A', 'XX.AA.00.LHZ', T0), ('A', 'XX.AA.00.LHT', T0)])
    on, lost = match_windows(read_windows(written(tmp_path/'w.json', [a_window(station, T0+start, length)])), pairs)
    assert lost.reason.tolist() == [reason]*bool(reason) and len(on) == (not reason)
    if not reason:
        assert (on.pair[0], on.event[0], on.station[0]) == (0, 'A', 'XX.AA.00.LHZ') and 0 <= on.left[0] < on.right[0] < HALF.npts
        assert abs(on.start_s[0] - start) <= HALF.dt/2 and abs(on.end_s[0] - start - length) <= HALF.dt/2
        assert on.start_s[0] == HALF.times[on.left[0]] and on.end_s[0] == HALF.times[on.right[0]]

def test_same_place(tmp_path):
    "Two sensors, and an aftershock 100 s later: by the channel, the axis of the file, or the origin time; else by none"
    pairs = store([('A', 'XX.AA.00.LHZ', T0), ('A', 'XX.AA.10.LHZ', T0), ('B', 'XX.AA.00.LHZ', T0+100)])
    def found(entry, **kw): return match_windows(read_windows(written(tmp_path/'w.json', [entry]), **kw), pairs)
    assert found(a_window('XX.AA.10.LHZ', T0+200)).table.pair.tolist() == [1]
    lost = found(a_window('XX.AA.00.LHZ', T0+200)).lost
    assert lost.reason[0] == 'several pairs hold it: XX.AA.00.LHZ, XX.AA.00.LHZ' and lost.station[0] == 'XX.AA.00.LHZ'
    assert found(a_window('XX.AA.00.LHZ', T0+200, first=T0-10)).table.pair.tolist() == [0]
    assert found(a_window('XX.AA.00.LHZ', T0+200, first=T0+90)).table.pair.tolist() == [2]
    assert found(a_window('XX.AA.00.LHZ', T0+200), origin_time=T0+3).table.event.tolist() == ['A']
    assert found(a_window('XX.AA.00.LHZ', T0+200), origin_time=T0+98).table.event.tolist() == ['B']
    for origin, event in ((T0+49, 'A'), (T0+51, 'B')):                                    # both within a minute
        assert found(a_window('XX.AA.00.LHZ', T0+200), origin_time=origin).table.event.tolist() == [event]
    assert found(a_window('XX.AA..LHZ', T0+200), origin_time=T0).lost.reason[0] == 'several pairs hold it: XX.AA.00.LHZ, XX.AA.10.LHZ'

def test_without_location(tmp_path):
    "A pair without a location takes a window of any"
    path = written(tmp_path/'w.json', [a_window('XX.AA.10.LHZ', T0+100)])
    assert len(match_windows(read_windows(path), store([('A', 'XX.AA..LHZ', T0)])).table) == 1

def test_twice(tmp_path):
    pairs = store([('A', 'XX.AA.00.LHZ', T0)])
    on, lost = match_windows(read_windows(written(tmp_path/'w.json', [a_window('XX.AA.00.LHZ', T0+100)]*2)), pairs)
    assert len(on) == 1 and lost.reason.tolist() == ['the same samples as a window before it']

def test_pair_without_a_comparison(tmp_path):
    pairs = store([('A', 'XX.AA.00.LHZ', T0)]).assign(status=('pair', np.array(['gap'], object)))
    on, lost = match_windows(read_windows(written(tmp_path/'w.json', [a_window('XX.AA.00.LHZ', T0+100)])), pairs)
    assert not len(on) and lost.reason.tolist() == ['its pair cannot be compared: gap']

def test_no_event_time():
    with pytest.raises(ValueError, match='lack event_time'):
        match_windows(pd.DataFrame(), store([('A', 'XX.AA.00.LHZ', T0)]).drop_vars('event_time'))

def test_nothing_is_lost(tmp_path):
    "Every window of a file is on a pair or in the list of the others; nothing of what is on none is written"
    pairs = open_pairs(ROOT/'data/sample/pairs.zarr').load()
    zero = {e: 1e9 + 1e5*k for k, e in enumerate(dict.fromkeys(pairs.event.values))}
    pairs = pairs.assign(event_time=('pair', [zero[e] for e in pairs.event.values]))
    rng, said = np.random.default_rng(0), []
    for k in range(60):
        i = rng.integers(pairs.sizes['pair'])
        first = np.datetime64(int((zero[pairs.event.values[i]] + rng.uniform(-500, 2500))*1e6), 'us')
        net, sta, loc, cha = pairs.station.values[i].split('.')
        name = '.'.join([net, sta, rng.choice([loc, '', '99']), rng.choice([cha, 'BHZ', 'BHN'])])
        said.append(ENTRY | dict(channel_id=name, time_of_first_sample=f'{first}Z'))
    found = read_windows(written(tmp_path/'w.json', said))
    on, lost = match_windows(found, pairs)
    assert len(on) + len(lost) == 60 and len(on) > 5 and (lost.reason != '').all()
    assert set(lost.reason) >= {'no pair of this station has the component N', 'no pair of this station has its time'}
    assert (on.left >= 0).all() and (on.right < STUDY.npts).all()
    with pytest.raises(ValueError, match='time of the event'): write_windows(on, {}, STUDY, tmp_path/'out')
    files = write_windows(on, event_times(pairs), STUDY, tmp_path/'out')
    assert sum(len(match_windows(read_windows(p), pairs).table) for p in files.values()) == len(on)
    none, _ = match_windows(found[:0], pairs)
    assert not len(none) and list(none) == list(on)
    numbers = on.select_dtypes('number')
    assert (none[[*numbers]].dtypes == numbers.dtypes).all()

# writing

@pytest.mark.parametrize('other, words', [
    (dict(correlation=np.nan), 'correlation is nan'), (dict(dlnA=np.inf), 'dlnA is inf'), (dict(start_s=np.nan), 'start_s is nan'),
    (dict(weight=np.nan), 'weight is nan'), (dict(left=101), 'left is 101, by start_s 100'), (dict(right=np.nan), 'right is nan, by end_s 200'),
    (dict(start_s=-20., left=-20), 'samples -20 to 200 are no window of 1000'), (dict(end_s=490., right=1000), 'samples 100 to 1000 are no'),
    (dict(end_s=40., right=100), 'samples 100 to 100 are no window'), (dict(event='B'), 'the time of the event B is not known')])
def test_broken_table(tmp_path, other, words):
    "An error, which names event and station, before any file is written"
    rows = pd.concat([table(), table(**other)])
    with pytest.raises(ValueError, match=re.escape(words)) as e: write_windows(rows, dict(A=T0), HALF, tmp_path/'out')
    assert not (tmp_path/'out').exists() and ('B' in other.values() or 'A, XX.AA.00.LHZ' in str(e.value))
    write_windows(pd.concat([table(), table(decision='refuse', **other)]), dict(A=T0), HALF, tmp_path/'out')   # not written

def test_written(tmp_path):
    rows = pd.concat([table(), table(decision='refuse', start_s=200., end_s=300., left=420, right=620), table(station='XX.AA.00.LHT')])
    out = write_windows(rows, dict(A=T0), HALF, tmp_path/'new'/'w.json')
    assert out == {'A': tmp_path/'new'/'w.json'} and [p.name for p in (tmp_path/'new').iterdir()] == ['w.json']
    said = json.loads(out['A'].read_text())
    assert {k: list(v) for k, v in said.items()} == {'XX.AA': ['XX.AA.00.LHZ', 'XX.AA.00.LHT']}
    w, = said['XX.AA']['XX.AA.00.LHZ']
    assert UTCDateTime(w['time_of_first_sample']) == UTCDateTime(T0-10) and UTCDateTime(w['absolute_starttime']) == UTCDateTime(T0+40)
    assert (w['phase_arrivals'], w['phases'], w['min_period'], w['cc_shift_in_samples']) == ([], 'P pP', 20., 1)
    for layout in LAYOUTS:
        both, = write_windows(rows, dict(A=T0), HALF, tmp_path/layout, layout, decisions=('accept', 'refuse')).values()
        assert len(read_windows(both)) == 3 and (layout == 'pytomo3d') == ('XX.AA' in json.loads(both.read_text()))
    assert write_windows(rows[:0], {}, HALF, tmp_path/'none') == {} and not list((tmp_path/'none').iterdir())
    with pytest.raises(ValueError, match='windows of 2'): write_windows(
        pd.concat([rows, table('B')]), dict(A=T0, B=T0), HALF, tmp_path/'w.json')
    with pytest.raises(ValueError, match="layout 'asdf' is none of pytomo3d, pyflex"): write_windows(rows, {}, HALF, tmp_path, 'asdf')

EVENTS = ['A', 'a', 'A/1', '../up', 'é è', 'CON']
layouts = {
    'pytomo3d': lambda ws: ws, 'pyflex': lambda ws: ws, 'list': lambda ws: ws['windows'], 'windows': lambda ws: {'windows': ws['windows']},
    'channels': lambda ws: {c: [w for w in ws['windows'] if w['channel_id'] == c] for c in {w['channel_id'] for w in ws['windows']}}}

def entries_of(said):
    if isinstance(said, dict) and 'dt' in said: yield said
    else:
        for x in said.values() if isinstance(said, dict) else said: yield from entries_of(x)

@st.composite
def worlds(draw):
    "A store of up to six events, some of them within seconds of each other, with windows"
    dt, start, npts = draw(st.sampled_from([.1, .5, 1/3, 1.7578125, 5.27])), draw(st.sampled_from([0., -10., 33.3])), draw(st.integers(8, 200))
    recipe = Recipe('any', ('Z', 'R', 'T'), start, dt*npts, npts, (20., 100.))
    zero = draw(st.integers(-2_500_000_000_000_000, 2_000_000_000_000_000))/1e6            # microseconds: 1890 to 2033
    n = draw(st.integers(1, len(EVENTS)))
    zeros = zero + np.cumsum([2*dt + 1e-6*draw(st.integers(0, 10**draw(st.integers(0, 10)))) for _ in range(n)])
    channels = ['XX.AA.00.LHZ', 'XX.AA.10.LHZ', 'XX.AA.00.LHR', 'YY.AA..BHT']
    pairs = store([(e, c, z) for e, z in zip(EVENTS, zeros) for c in channels], recipe)
    rows, number = [], st.floats(-1, 1)
    for i in draw(st.lists(st.integers(0, pairs.sizes['pair']-1), min_size=1, max_size=12)):
        left = draw(st.integers(0, npts-2)); right = draw(st.integers(left+1, npts-1))
        if any(r['pair'] == i and (r['left'], r['right']) == (left, right) for r in rows): continue
        rows.append(dict(pair=i, event=str(pairs.event.values[i]), station=str(pairs.station.values[i]), left=left, right=right,
                         start_s=recipe.times[left], end_s=recipe.times[right], correlation=draw(number), dlnA=4*draw(number),
                         lag_s=30*draw(number), weight=9*draw(number), phases=draw(st.sampled_from(['', 'P', 'P pP SKKS'])), decision='accept'))
    return pairs, pd.DataFrame(rows)

@settings(deadline=None, max_examples=60)
@given(world=worlds(), layout=st.sampled_from(list(layouts)), told=st.booleans())
def test_there_and_back(tmp_path_factory, world, layout, told):
    "With or without the origin time, whatever the layout"
    pairs, rows = world
    recipe, folder, found = recipe_of(pairs), tmp_path_factory.mktemp('w'), []
    times = event_times(pairs)
    files = write_windows(rows, times, recipe, folder, layout if layout in LAYOUTS else 'pyflex')
    assert set(files) == set(rows.event) and {p.parent for p in files.values()} == {folder}
    for e, p in files.items():
        written(p, layouts[layout](json.loads(p.read_text(encoding='utf-8'))))
        first = {UTCDateTime(w['time_of_first_sample']).timestamp for w in entries_of(json.loads(p.read_text(encoding='utf-8')))}
        assert len(first) == 1 and abs(first.pop() - times[e] - recipe.start) < 1.5e-6        # a microsecond is not lost
        found.append(read_windows(p, origin_time=times[e] if told else None))
    on, lost = match_windows(pd.concat(found), pairs)
    assert not len(lost), lost.reason.tolist()
    order = ['pair', 'left', 'right']
    on, rows = (t.sort_values(order, ignore_index=True) for t in (on, rows))
    for k in (*order, 'event', 'station', 'correlation', 'dlnA', 'weight', 'phases', 'start_s', 'end_s'): assert on[k].tolist() == rows[k].tolist(), k
    assert (np.abs(on.lag_s - rows.lag_s) <= recipe.dt/2*(1+1e-9)).all()
