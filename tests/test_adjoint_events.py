"Adjoint sources of a selection: what the solver is given is the derivative of what was measured, through response, filter, rotation and file."
import json, signal, subprocess, sys, time
import numpy as np, pandas as pd, pytest
from fwinb.adjoint.events import MEASURED, accepted_measurements, window_samples, write_adjoints
from fwinb.adjoint.files import read_adj, read_asdf
from fwinb.adjoint.misfits import MISFITS, WindowFault
from fwinb.data.archive import index_archive
from fwinb.data.instruments import radial_transverse
from test_components import BACK, EVENT, PLACE, RECIPE, ground, metadata, record

WAYS = dict(Z=(0., -90.), **{'1': (25., 0.), '2': (115., 0.)})
WINDOWS = dict(Z=(1000., 1225.), R=(1000., 1251.5625), T=(700., 1100.))
T = np.arange(-5., 3600., .8)

def ground_zne(t):
    z, r, t = ground(t)
    east, north = radial_transverse(BACK).T @ np.stack([r, t])
    return dict(Z=z, N=north, E=east)

def write_synthetics(folder, change={}):
    "Late by 4 s and too strong, so that every misfit has something to measure; `change`: component -> m"
    folder.mkdir(exist_ok=True)
    for k, x in ground_zne(T-4).items():
        np.savetxt(folder/f'XX.AAA.MX{k}.sem.ascii', np.c_[T, 1.1*x + change.get(k, 0)], fmt=['%.4f', '%.17e'])

def write_selection(path, windows=True, decision='accept'):
    rows = pd.DataFrame([dict(event=NAME, station=f'XX.AAA..BH{c}', component=c, decision=decision, reason='') for c in 'ZRT'])
    rows.to_csv(path, index=False)
    if not windows: return path
    steps = {c: [round(t/RECIPE.dt)*RECIPE.dt for t in span] for c, span in WINDOWS.items()}
    more = [dict(start_s=a, end_s=b, window=1, region='surface', trace=decision) for a, b in steps.values()]
    pd.concat([rows, pd.DataFrame(more)], axis=1).to_csv(path.with_name('sel_windows.csv'), index=False, float_format='%.6g')
    return path

NAME = '201803040506A'

@pytest.fixture(scope='module')
def world(tmp_path_factory):
    "One sensor whose horizontals look 25 degrees off north and east"
    top = tmp_path_factory.mktemp('zrt')
    for c, way in WAYS.items(): record(f'BH{c}', *way).write(str(top/f'{c}.mseed'), 'MSEED')
    metadata({f'BH{c}': way for c, way in WAYS.items()}).write(str(top/'inv.xml'), 'STATIONXML')
    EVENT.write(str(top/'event.xml'), 'QUAKEML')
    write_synthetics(top/'synt')
    archive = index_archive(top, top/'synt', recipe=RECIPE)
    assert [n for n, _ in archive.events] == [NAME]
    return top, archive

def total(table): return float((table.chi*table.weight).sum())

def files(folder): return {p.name[-5]: read_adj(p) for p in sorted((folder/NAME/'SEM').glob('*.adj'))}

@pytest.mark.parametrize('misfit', MISFITS)
def test_the_derivative_through_everything(world, tmp_path, misfit):
    "Central difference of the sum of all misfits along a change of the synthetics' files, against the files of the adjoint source"
    top, archive = world
    selection, rng = write_selection(tmp_path/'sel.csv'), np.random.default_rng(1)
    found = write_adjoints(selection, archive, tmp_path/'out', misfit)
    assert list(found.columns) == list(MEASURED) and (found.reason == '').all() and len(found) == 3 and (found.chi > 0).all()
    adjoint = files(tmp_path/'out')
    assert sorted(adjoint) == ['E', 'N', 'Z']
    shape = lambda t0: np.exp(-((T-t0)/150)**2)*np.cos(2*np.pi*T/rng.uniform(70, 110) + rng.uniform(0, 6))*2e-5
    change, chi = {k: shape(rng.uniform(950, 1150)) for k in 'ZNE'}, {}
    for sign in (1, -1):
        write_synthetics(tmp_path/f'syn{sign}', {k: sign*x for k, x in change.items()})
        moved = index_archive(top, tmp_path/f'syn{sign}', recipe=RECIPE)
        chi[sign] = total(write_adjoints(selection, moved, tmp_path/f'out{sign}', misfit))
    for k, a in adjoint.items(): assert len(a.x) == len(T) and abs(a.start - T[0]) < 1e-6 and abs(a.dt - .8) < 1e-9, k
    by_files = sum(.8*a.x @ change[k] for k, a in adjoint.items())
    assert abs((chi[1] - chi[-1])/2/by_files - 1) < 1e-4

def test_only_what_is_accepted_is_sent_back(world, tmp_path):
    "With the vertical alone, north and east are there and zero; a wrong window is another source"
    top, archive = world
    rows = pd.read_csv(write_selection(tmp_path/'sel.csv', windows=False))
    rows[rows.component == 'Z'].to_csv(tmp_path/'sel.csv', index=False)
    write_adjoints(tmp_path/'sel.csv', archive, tmp_path/'out')
    found = files(tmp_path/'out')
    assert not found['N'].x.any() and not found['E'].x.any() and found['Z'].x.any()
    line, = (tmp_path/'out'/NAME/'DATA/STATIONS_ADJOINT').read_text().splitlines()
    assert line.split()[:4] == ['AAA', 'XX', f'{PLACE[0]:.6f}', f'{PLACE[1]:.6f}']

def test_transverse_has_no_radial_part(world, tmp_path):
    "T of an adjoint source, turned back to R and T, has nothing on R"
    top, archive = world
    rows = pd.read_csv(write_selection(tmp_path/'sel.csv', windows=False))
    rows[rows.component == 'T'].to_csv(tmp_path/'sel.csv', index=False)
    write_adjoints(tmp_path/'sel.csv', archive, tmp_path/'out', 'cc_traveltime')
    found = files(tmp_path/'out')
    radial, transverse = radial_transverse(BACK) @ np.stack([found['E'].x, found['N'].x])
    assert np.abs(radial).max() < 1e-6*np.abs(transverse).max() and not found['Z'].x.any()

def test_asdf_holds_the_same(world, tmp_path):
    top, archive = world
    selection = write_selection(tmp_path/'sel.csv')
    write_adjoints(selection, archive, tmp_path/'text')
    write_adjoints(selection, archive, tmp_path/'asdf', code='asdf')
    info, (station,) = read_asdf(tmp_path/'asdf'/NAME/'SEM/adjoint.h5')
    assert station.station == 'XX.AAA' and abs(info.dt - .8) < 1e-9
    for k, a in files(tmp_path/'text').items(): np.testing.assert_allclose(station.sources[k], a.x, rtol=1e-6, atol=1e-6*abs(a.x).max())

def test_every_row_has_its_reason(world, tmp_path):
    "A station that is not there, an event that is not there, a record that is no pair any more: rows, and the rest is measured"
    top, archive = world
    rows = pd.read_csv(write_selection(tmp_path/'sel.csv', windows=False))
    more = [('E2', 'XX.AAA..BHZ', 'Z'), (NAME, 'XX.ZZZ..BHZ', 'Z'), (NAME, 'XX.AAA.99.BHZ', 'Z')]
    more = pd.DataFrame(more, columns=['event', 'station', 'component']).assign(decision='accept', reason='')
    pd.concat([rows, more]).to_csv(tmp_path/'sel.csv', index=False)
    found = write_adjoints(tmp_path/'sel.csv', archive, tmp_path/'out').set_index(['event', 'station'])
    assert found.reason['E2', 'XX.AAA..BHZ'] == 'no event of this name in the archive'
    assert 'no record' in found.reason[NAME, 'XX.ZZZ..BHZ'] and 'no record' in found.reason[NAME, 'XX.AAA.99.BHZ']
    assert (found.reason == '').sum() == 3 and found.chi.notna().sum() == 3
    again = pd.read_csv(tmp_path/'out/misfits.csv', keep_default_na=False)
    assert list(again.columns) == list(MEASURED) and len(again) == 6

def test_a_folder_of_another_run_is_refused(world, tmp_path):
    top, archive = world
    selection = write_selection(tmp_path/'sel.csv')
    write_adjoints(selection, archive, tmp_path/'out')
    with pytest.raises(ValueError, match='another misfit .waveform, not tf_phase'): write_adjoints(selection, archive, tmp_path/'out', 'tf_phase')
    (tmp_path/'mine').mkdir()
    (tmp_path/'mine/thesis.tex').write_text('x')
    with pytest.raises(ValueError, match='not empty'): write_adjoints(selection, archive, tmp_path/'mine')
    with pytest.raises(ValueError, match="'phase' is none of waveform"): write_adjoints(selection, archive, tmp_path/'new', 'phase')
    assert not (tmp_path/'new').exists()

def test_what_is_finished_is_not_made_again(world, tmp_path):
    top, archive = world
    selection, said = write_selection(tmp_path/'sel.csv'), []
    whole = write_adjoints(selection, archive, tmp_path/'out')
    (tmp_path/'out/misfits.csv').unlink()
    made = (tmp_path/'out'/NAME/'misfits.csv').stat().st_mtime_ns
    again = write_adjoints(selection, archive, tmp_path/'out', say=said.append)
    assert (tmp_path/'out'/NAME/'misfits.csv').stat().st_mtime_ns == made and '1 of 1 events were finished' in said[-1]
    pd.testing.assert_frame_equal(whole, again, rtol=1e-7)

def test_an_error_of_an_event_is_a_reason(world, tmp_path, monkeypatch):
    top, archive = world
    monkeypatch.setattr('fwinb.adjoint.events.event_pairs', lambda *a, **k: 1/0)
    found = write_adjoints(write_selection(tmp_path/'sel.csv'), archive, tmp_path/'out')
    assert found.reason.str.contains('ZeroDivisionError').all() and not (tmp_path/'out'/NAME).exists()

def test_one_bad_window_leaves_the_others(world, tmp_path, monkeypatch):
    from fwinb.adjoint import events
    right = events.adjoint_sources
    def picky(obs, syn, dt, windows, *more):
        if (windows.right - windows.left > 160).any(): raise WindowFault('window 0', 'a window that is too long')
        return right(obs, syn, dt, windows, *more)
    monkeypatch.setattr(events, 'adjoint_sources', picky)
    found = write_adjoints(write_selection(tmp_path/'sel.csv'), world[1], tmp_path/'out').set_index('component')
    assert found.reason['T'] == 'a window that is too long'
    assert found.reason['Z'] == found.reason['R'] == '' and np.isnan(found.chi['T'])

def test_windows_of_another_run_are_refused(tmp_path):
    selection = write_selection(tmp_path/'sel.csv')
    windows = pd.read_csv(tmp_path/'sel_windows.csv')
    windows.assign(trace='refuse').to_csv(tmp_path/'sel_windows.csv', index=False)
    with pytest.raises(ValueError, match='of another run'): accepted_measurements(selection)
    assert len(accepted_measurements(selection, whole=True)) == 3
    windows.drop(columns='start_s').to_csv(tmp_path/'sel_windows.csv', index=False)
    with pytest.raises(ValueError, match='lacks the column start_s'): accepted_measurements(selection)
    with pytest.raises(ValueError, match='accepts nothing'): accepted_measurements(write_selection(tmp_path/'none.csv', False, 'refuse'))
    with pytest.raises(ValueError, match='there is no table'): accepted_measurements(tmp_path/'nowhere.csv')

def test_weights_scale_what_is_sent_back(world, tmp_path, monkeypatch):
    "chi is without its weight; the adjoint source has it; the derivative of the weighted sum"
    from fwinb.adjoint import events
    top, archive = world
    selection = write_selection(tmp_path/'sel.csv')
    plain = write_adjoints(selection, archive, tmp_path/'plain', 'cc_traveltime')
    same = write_adjoints(selection, archive, tmp_path/'balance', 'cc_traveltime', balance=True)
    assert abs(same.weight.mean() - 1) < 1e-9 and np.allclose(same.chi, plain.chi)
    monkeypatch.setattr(events, 'balanced_weights', lambda measured, archive: pd.Series([2., 3., .5], measured.index))
    found = write_adjoints(selection, archive, tmp_path/'three', 'cc_traveltime', balance=True)
    assert np.allclose(found.chi, plain.chi) and sorted(found.weight) == [.5, 2., 3.]
    one, two = files(tmp_path/'plain'), files(tmp_path/'three')
    np.testing.assert_allclose(two['Z'].x, 2*one['Z'].x, rtol=1e-6, atol=1e-7*abs(two['Z'].x).max())

def test_a_killed_run_goes_on(world, tmp_path):
    "The command, killed by -9 at some moment, then run again: the same table and files"
    top, _ = world
    (tmp_path/'recipe.yml').write_text('zrt: {components: Z R T, length: 2400, npts: 1024, periods: [50, 250]}')
    selection = write_selection(tmp_path/'sel.csv')
    program = 'import sys; from fwinb.commands import adjoint_main; sys.exit(adjoint_main())'
    def run(out): return [sys.executable, '-c', program, str(selection), str(top), '--out', str(out), '--recipe', str(tmp_path/'recipe.yml')]
    whole = subprocess.run(run(tmp_path/'whole'), capture_output=True, text=True)
    assert whole.returncode == 0 and '3 measurements of 3 traces and 1 event,' in whole.stdout, whole.stderr
    killed = subprocess.Popen(run(tmp_path/'out'), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not (tmp_path/'out/adjoint.json').exists() and time.monotonic() < end: time.sleep(.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert subprocess.run(run(tmp_path/'out'), capture_output=True).returncode == 0
    for p in sorted((tmp_path/'whole').rglob('*')):
        if p.is_file() and p.name not in ('.lock', 'adjoint.json'):
            assert (tmp_path/'out'/p.relative_to(tmp_path/'whole')).read_bytes() == p.read_bytes(), p

def test_what_a_selection_says_of_itself(world, tmp_path):
    "Its recipe is taken and another refused; a selection for phases and a misfit of amplitudes get a remark"
    from fwinb.adjoint.events import purpose_remark, selection_recipe
    from fwinb.pairs.recipes import load_recipe
    from fwinb.pairs.schema import recipe_dict
    selection, said = write_selection(tmp_path/'sel.csv'), []
    assert selection_recipe(selection).name == 'study' and purpose_remark(selection, 'waveform') == ''
    (tmp_path/'sel_settings.json').write_text(json.dumps(dict(recipe=recipe_dict(RECIPE), purpose='phase', windows='selector')))
    assert selection_recipe(selection) == RECIPE
    with pytest.raises(ValueError, match='made with the recipe zrt, not surface'): selection_recipe(selection, 'surface')
    write_adjoints(selection, world[1], tmp_path/'out', code='none', say=said.append)
    assert 'for an inversion of phases' in said[1] and purpose_remark(selection, 'cc_traveltime') == ''
    assert sorted(p.name for p in (tmp_path/'out'/NAME).iterdir()) == ['misfits.csv']
    (tmp_path/'sel_settings.json').write_text(json.dumps(dict(recipe=recipe_dict(load_recipe('surface')), windows='')))
    assert (accepted_measurements(selection).window == 0).all()          # the windows are of an earlier run
    (tmp_path/'sel_settings.json').write_text('{"recipe"')
    with pytest.raises(ValueError, match='cannot be read'): accepted_measurements(selection)

def test_tables_that_were_edited(tmp_path):
    selection = write_selection(tmp_path/'sel.csv')
    windows = pd.read_csv(tmp_path/'sel_windows.csv')
    with pytest.raises(ValueError, match='is a table of windows'): accepted_measurements(tmp_path/'sel_windows.csv', whole=True)
    pd.concat([windows, windows[:1]]).to_csv(tmp_path/'sel_windows.csv', index=False)
    with pytest.raises(ValueError, match='BHZ of 201803040506A is there twice'): accepted_measurements(selection)
    windows.assign(start_s=windows.start_s.where(windows.component != 'T')).to_csv(tmp_path/'sel_windows.csv', index=False)
    with pytest.raises(ValueError, match='BHT from nan .* does not end after it begins'): window_samples(accepted_measurements(selection), RECIPE)
    rows = pd.read_csv(write_selection(tmp_path/'two.csv', windows=False))
    rows.assign(component=rows.component.where(rows.component != 'R')).to_csv(tmp_path/'two.csv', index=False)
    with pytest.raises(ValueError, match='never became a pair'): accepted_measurements(tmp_path/'two.csv')

def test_two_sensors_share_the_weight_of_their_station():
    from fwinb.adjoint.events import shared_weights
    rows = [('A', 'XX.AAA.00.BHZ'), ('A', 'XX.AAA.00.BHR'), ('A', 'XX.AAA.10.BHZ'), ('A', 'XX.BBB.00.BHZ'), ('B', 'XX.AAA.10.BHZ')]
    assert shared_weights(pd.DataFrame(rows, columns=['event', 'station'])).tolist() == [.5, .5, .5, 1., 1.]

def test_against_the_last_iteration(world, tmp_path):
    "Half of the delay, a quarter of its square; a run of another misfit is refused"
    from fwinb.adjoint.events import earlier_misfits, write_against
    top, archive = world
    selection = write_selection(tmp_path/'sel.csv')
    late = write_adjoints(selection, archive, tmp_path/'one', 'cc_traveltime', code='none')
    (tmp_path/'syn').mkdir()
    for k, x in ground_zne(T-2).items():
        np.savetxt(tmp_path/'syn'/f'XX.AAA.MX{k}.sem.ascii', np.c_[T, 1.1*x], fmt=['%.4f', '%.17e'])
    found = write_adjoints(selection, index_archive(top, tmp_path/'syn', recipe=RECIPE), tmp_path/'two', 'cc_traveltime', code='none')
    assert np.allclose(late.delay_s, -4, atol=.1) and np.allclose(found.delay_s, -2, atol=.06)          # windows with tapers
    lines = write_against(earlier_misfits(tmp_path/'one', 'cc_traveltime'), found, tmp_path/'two')
    assert len(lines) == 2 and all('3 -> 3, mean chi 7.' in s and '(-75 %)' in s for s in lines), lines
    assert (tmp_path/'two/against.png').stat().st_size > 5000 and len(pd.read_csv(tmp_path/'two/against.csv'))
    with pytest.raises(ValueError, match='is of cc_traveltime, not of waveform'): earlier_misfits(tmp_path/'one', 'waveform')
    with pytest.raises(ValueError, match='there is no table'): earlier_misfits(tmp_path/'nowhere', 'waveform')
