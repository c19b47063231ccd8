"The next iteration: the same synthetics, later ones, better ones; and selections that cannot be compared"
import numpy as np, obspy, pandas as pd, pytest

pytest.importorskip('fwinb.models.pretrained')
from test_select import SAMPLE, SYNT, weights
from fwinb.adjoint.iteration import (
    check_previous, compare_iterations, compare_selections, compare_windows, iteration_table, old_windows, plot_iteration, read_selection)
from fwinb.commands import select_main as main
from fwinb.pairs.recipes import load_recipe
from fwinb.select import again_files, plan_archive, select, window_settings, write_selection
from fwinb.pairs.schema import STUDY

pytestmark = pytest.mark.skipif(weights() is None, reason='there are no weights of the model `usable`')
PERIOD = STUDY.periods[0]

@pytest.fixture(scope='module')
def first(tmp_path_factory):
    "The sample's selection with windows, as a command wrote it"
    out = tmp_path_factory.mktemp('first')/'old.csv'
    assert main([str(SAMPLE), str(SYNT), '--windows', '--out', str(out)]) == 0
    return out

def changed(folder, change):
    "The synthetics after `change(event, NET.STA, trace)`"
    for p in SYNT.glob('*/*.sac'):
        tr = obspy.read(p)[0]
        change(p.parent.name, f'{tr.stats.network}.{tr.stats.station}', tr)
        (folder/p.parent.name).mkdir(parents=True, exist_ok=True)
        tr.write(str(folder/p.parent.name/p.name), 'SAC')
    return folder

def delay(tr, seconds):
    "A trace later by some seconds, on the same samples"
    n = 2*tr.stats.npts
    f = np.fft.rfftfreq(n, tr.stats.delta)
    tr.data = np.fft.irfft(np.fft.rfft(tr.data.astype(float), n)*np.exp(-2j*np.pi*f*seconds), n)[:tr.stats.npts].astype(np.float32)

def tables(out): return [pd.read_csv(p, keep_default_na=False) for p in again_files(out)[:2]]

# what changes with the synthetics

def test_same_synthetics(first, tmp_path):
    "Nothing is lost, nothing is new, and each window is as probable as it was"
    out = tmp_path/'new.csv'
    assert main([str(SAMPLE), str(SYNT), '--windows', '--again', str(first), '--out', str(out)]) == 0
    traces, windows = tables(out)
    assert traces.change.value_counts().to_dict() == {'kept': 30, 'neither': 18}
    assert set(windows.change) == {'kept', 'neither'}
    kept = windows[windows.change == 'kept']
    assert (kept.valid == 'yes').all() and (windows.valid[windows.change != 'kept'] == '').all()
    for k in ('lag_s', 'usable_window'): np.testing.assert_allclose(kept[f'{k}_again'].astype(float), kept[f'{k}_old'].astype(float), rtol=1e-5, atol=1e-5)

def test_rules(few, tmp_path):
    "Windows by the rules are judged by the rules"
    write_selection(select(few, SYNT, windows='rules'), tmp_path/'old.csv')
    old = read_selection(tmp_path/'old.csv')
    for folder, same in ((SYNT, True), (changed(tmp_path/'late', lambda event, station, tr: delay(tr, 2*PERIOD)), False)):
        new = select(few, folder, windows='rules', again=old)
        w = compare_windows(old.windows, new.windows, new.again)
        mine = w[w.decision_old == 'accept']
        assert len(mine) > 3 and (mine.valid == ('yes' if same else 'no')).all() and (mine.change == 'kept').all() == same
        assert same or mine.reason_again.isin(['tshift', 'cc', 's2n']).all()

def test_late_synthetics(first, tmp_path, capsys):
    "Two periods late, as from another origin time: nothing can stay, and the reasons are delays"
    out = tmp_path/'new.csv'
    late = changed(tmp_path/'late', lambda event, station, tr: delay(tr, 2*PERIOD))
    main([str(SAMPLE), str(late), '--windows', '--again', str(first), '--out', str(out)])
    traces, windows = tables(out)
    lost = traces[traces.change == 'lost']
    assert not (traces.change == 'kept').any() and len(lost) == (traces.decision_old == 'accept').sum() == 30
    assert lost.why.isin(['refused: late or early', 'refused: cycle skip']).mean() > .8
    assert lost.detail.str.contains('lag_s|correlation').all()
    mine = windows[windows.decision_old == 'accept']
    assert (mine.valid == 'no').mean() > .95 and not (mine.change == 'kept').any()
    said = capsys.readouterr().out
    assert 'against' in said and '0 kept, 30 lost' in said and 'selection' not in said.split('comparison: ')[0].split('against')[1]
    assert all(p.is_file() for p in again_files(out))

def test_better_synthetics(first, tmp_path):
    "Synthetics with the delays and sizes of the observations: misfits fall, and more is accepted"
    old = read_selection(first)
    known = old.traces[old.traces.lag_s.notna()]
    known = {(r.event, '.'.join(r.station.split('.')[:2])): (r.lag_s, r.dlnA) for r in known.itertuples()}
    def nearer(event, station, tr):
        lag, dlnA = known.get((event, station), (0., 0.))
        delay(tr, lag)
        tr.data = tr.data*np.float32(np.exp(dlnA))
    new = select(SAMPLE, changed(tmp_path/'near', nearer), windows=True, again=old)
    c = compare_iterations(old, new.traces, new.windows, new.again)
    assert (c.traces.change == 'kept').sum() >= 29 and (c.traces.change == 'new').sum() > (c.traces.change == 'lost').sum()
    t = iteration_table(c.traces, 0).query("of == 'old'").set_index('measure')
    assert t.reduction['misfit'] > 30 and t.reduction['|lag|'] > 90 and t.reduction['|dlnA|'] > 90
    w = iteration_table(c.windows, 0).query("of == 'old' and component == 'all'").set_index('measure')
    assert w.reduction['|lag|'] > 50 and w.n_old['|lag|'] == (old.windows.decision == 'accept').sum()
    came = c.traces[c.traces.change == 'new']
    assert came.why.str.startswith('was ').all() and came.detail.str.contains('lag_s|dlnA').all()
    assert len(plot_iteration(*c).axes) == 9

# what changes with the archive

def test_gone_and_come(few, tmp_path):
    old = select(few, SYNT)
    names = old.station.tolist()
    bad = names[1]
    next(few.glob(f'obsd/*{names[0]}*')).unlink()
    st = obspy.read(path := next(few.glob(f'obsd/*{bad}*')))
    st[0].data[:] = 7                                                       # a dead channel
    st.write(str(path), 'MSEED')
    accepted = set(old.station[old.decision == 'accept'])
    assert {names[0]} <= accepted
    c = compare_selections(old, select(few, SYNT)).set_index('station')
    assert (c.change[names[0]], c.why[names[0]]) == ('lost', 'station no longer in the archive')
    assert c.decision_new[bad] == 'dropped' and (bad not in accepted or c.why[bad].startswith('dropped: '))
    back = compare_selections(select(few, SYNT), old).set_index('station')
    assert (back.change[names[0]], back.why[names[0]]) == ('new', 'new station')

def row(station, decision='accept', reason='', event='E', component='Z', **more):
    return dict(event=event, station=station, component=component, decision=decision, reason=reason, misfit=1.) | more

def test_events_and_horizontals():
    "Reasons of whole events and of the channels that R and T are made of"
    old = pd.DataFrame([row('II.A.00.BHR', component='R'), row('II.A.00.BHZ', event='F'), row('II.A.00.BHZ', event='G'), row('II.A.00.BHZ'),
                        row('', 'dropped', 'unreadable', event='')])
    new = pd.DataFrame([row('II.A.00.BHE', 'dropped', 'gap', component=''), row('', 'dropped', 'no moment tensor', event='F', component=''),
                        row('II.A.10.BHZ'), row('', 'dropped', 'unreadable', event='')])
    c = compare_selections(old, new).set_index(['event', 'station'])
    assert c.why['E', 'II.A.00.BHR'] == 'dropped: gap' and c.why['F', 'II.A.00.BHZ'] == 'dropped: no moment tensor'
    assert c.why['G', 'II.A.00.BHZ'] == 'event no longer in the archive'
    assert c.why['E', 'II.A.00.BHZ'] == 'record no longer in the archive' and c.why['E', 'II.A.10.BHZ'] == 'new record'

def test_location_code():
    old, new = pd.DataFrame([row('II.A..BHZ')]), pd.DataFrame([row('II.A.00.BHZ')])
    c = compare_selections(old, new)
    assert c[['station', 'change', 'detail']].values.tolist() == [['II.A.00.BHZ', 'kept', 'before II.A..BHZ']]
    assert set(compare_selections(old, pd.DataFrame([row('II.A.10.BHZ')])).change) == {'lost', 'new'}

def window(start, end, decision='accept', reason='', number=1, station='II.A.00.BHZ', **more):
    return row(station, decision, reason) | dict(window=number, start_s=start, end_s=end, region='body', lag_s=1.) | more

def test_windows_by_overlap():
    old = pd.DataFrame([window(0, 100), window(100, 200, number=2), window(300, 400, number=3)])
    new = pd.DataFrame([window(10, 105), window(180, 290, number=2), window(300, 420, 'refuse', 'cc', number=3)])
    c = compare_windows(old, new).sort_values('start_s_old')
    assert c.change.tolist() == ['kept', 'lost', 'lost', 'new'] and c.why.tolist() == ['', 'not picked', 'refused: cc', 'not picked before']
    assert c.overlap.iloc[0] == pytest.approx(90/105)
    again = pd.DataFrame([dict(window(100, 200, 'accept', number=2), station_old='II.A.00.BHZ'), dict(window(300, 400, 'refuse', 'tshift', number=3), station_old='II.A.00.BHZ')])
    c = compare_windows(old, new, again).sort_values('start_s_old')
    assert c.valid.tolist() == ['', 'yes', 'no', ''] and c.why.iloc[1] == 'not picked, but valid'
    gone = compare_windows(old, pd.DataFrame([dict(window(np.nan, np.nan, 'none', 'clipped', 0))]))
    assert set(gone.why) == {'trace without windows: clipped'}

def test_misfits():
    "A row that was not measured is not accepted; misfit functions are not mixed; a whole trace meets itself"
    def table(chi, start=np.nan): return pd.DataFrame([
        dict(event=e, station='II.A.00.BHZ', component='Z', window=0, region='whole', start_s=start, end_s=start, misfit_function=m, chi=x,
             weight=.5, delay_s=x, dlnA=0., reason='' if x == x else 'silent') for (e, m), x in chi.items()])
    events = [f'E{i}' for i in range(12)]
    a = table({(e, m): k for e in events for m, k in (('waveform', 4.), ('cc_traveltime', 1.))})
    b = table({(e, m): k for e in events for m, k in (('waveform', 1.), ('cc_traveltime', .5 if e != 'E3' else np.nan))})
    c = compare_windows(a, b)
    assert c.change.value_counts().to_dict() == {'kept': 23, 'lost': 1}
    t = iteration_table(c).query("of == 'both'").set_index(['misfit_function', 'measure'])
    assert t.reduction['waveform', 'chi'] == 75 and t.reduction['cc_traveltime', 'chi'] == 50
    assert t.n_old['cc_traveltime', 'chi'] == 11 and t.high['waveform', 'weight x chi'] == pytest.approx(-1.5)

# the work in between

def test_key(few, first, tmp_path):
    "A finished event depends on the contents of the old windows, and is read back with what was measured again"
    def settings(old): return plan_archive(few, SYNT, windows=window_settings(True, STUDY), every=True, old=old_windows(old)).settings
    old = read_selection(first)
    text = old.windows_path.read_text().replace('641.602', '653.906', 1)
    for name, t in (('other.csv', first.read_text()), ('other_windows.csv', text), ('copy.csv', first.read_text()),
                    ('copy_windows.csv', old.windows_path.read_text())): (tmp_path/name).write_text(t)
    keys = [settings(x) for x in (None, old, read_selection(tmp_path/'other.csv'), read_selection(tmp_path/'copy.csv'))]
    assert len(set(map(str, keys[:3]))) == 3 and keys[1] == keys[3]
    kept = tmp_path/'parts'
    one = select(few, SYNT, windows=True, again=old, checkpoint=kept)
    assert len(one.again) > 5 and [*kept.iterdir()]
    said = []
    more = select(few, SYNT, windows=True, again=old, checkpoint=kept, say=said.append)
    assert any('finished by an earlier run' in line for line in said)
    pd.testing.assert_frame_equal(one.again.reset_index(drop=True), more.again.reset_index(drop=True), check_dtype=False)

# selections that cannot be compared

def test_wrong_old(few, first, tmp_path, capsys):
    def refused(old, *more, text=''):
        status = main([str(few), str(SYNT), '--windows', '--again', str(old), '--out', str(tmp_path/'new.csv'), *more])
        said = capsys.readouterr().err
        assert status == 2 and text in said and 'Traceback' not in said, said
        assert not (tmp_path/'new.csv').exists()
    def written(change, windows=False):
        out = tmp_path/'t.csv'
        change(pd.read_csv(first, keep_default_na=False)).to_csv(out, index=False)
        (tmp_path/'t_windows.csv').unlink(missing_ok=True)
        if windows: windows(pd.read_csv(first.with_name('old_windows.csv'), keep_default_na=False)).to_csv(tmp_path/'t_windows.csv', index=False)
        return out
    refused(tmp_path/'none.csv', text='there is no table')
    (tmp_path/'x.csv').write_bytes(bytes(range(256)))
    refused(tmp_path/'x.csv', text='cannot be read as a table')
    refused(first.with_name('old_windows.csv'), text='is a table of windows')
    refused(written(lambda t: t.drop(columns='decision')), text='lacks the column decision')
    refused(written(lambda t: t.assign(decision='maybe')), text="'maybe' is none of")
    refused(written(lambda t: t.assign(misfit='large')), text='column misfit holds text')
    refused(written(lambda t: t.assign(component='R')), text='has the components R, the recipe study Z')
    refused(written(lambda t: t.assign(event='X')), text='none of the events')
    same = lambda t: t
    refused(written(same, lambda w: w.assign(usable=.5)), text='is of another run')
    refused(written(same, lambda w: w.assign(start_s=pd.to_numeric(w.start_s)*1.37)), text='they are of another recipe')
    with pytest.raises(SystemExit): main([str(few), '--out', str(first), '--again', str(first)])
    (tmp_path/'new_again.csv').write_text('a,b\n1,2\n')
    refused(first, text='is no comparison of two selections')

def test_older_version(few, first, tmp_path, capsys):
    "Of an older table the decisions are compared, and the measures that it has"
    pd.read_csv(first)[['event', 'station', 'decision', 'reason', 'misfit']].to_csv(tmp_path/'v1.csv', index=False)
    assert main([str(few), str(SYNT), '--windows', '--again', str(tmp_path/'v1.csv'), '--out', str(tmp_path/'new.csv')]) == 0
    said = capsys.readouterr()
    assert 'lacks correlation, lag_s, dlnA, usable' in said.err and 'has no windows beside it' in said.err
    assert 'are not here, such as SIM2' in said.err
    t = pd.read_csv(again_files(tmp_path/'new.csv')[0], keep_default_na=False)
    assert set(t[t.event == 'SIM2'].why) <= {'', 'event no longer in the archive'} and (t.change == 'kept').any()
    assert not again_files(tmp_path/'new.csv')[1].exists()

def test_other_samples(first):
    "A recipe of another length, and a part of the components"
    old = read_selection(first)
    assert old.settings['recipe']['name'] == 'study' and old.settings['purpose'] == 'waveform'
    with pytest.raises(ValueError, match='is of the recipe study, not surface'):
        check_previous(old, ['SIM1', 'SIM2'], load_recipe('surface'))
    assert 'may be the purpose' in check_previous(old, ['SIM1', 'SIM2'], STUDY, 'phase')[0]
    old = old._replace(settings={})                                         # of an older version
    with pytest.raises(ValueError, match='old_windows.csv: the windows do not lie on the samples of the recipe surface'):
        check_previous(old, ['SIM1', 'SIM2'], load_recipe('surface'))
    assert check_previous(old, ['SIM1', 'SIM2'], STUDY) == []
