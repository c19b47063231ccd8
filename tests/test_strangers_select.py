"fwinb-select with the data and the habits of strangers: one bad item loses nothing, nothing half is written, a killed run goes on, Ctrl-C ends it, every reason reaches the table."
import errno, os, runpy, shutil, signal, subprocess, sys, time
from functools import partial
from pathlib import Path
import numpy as np, obspy, pandas as pd, pytest

pytest.importorskip('fwinb.models.pretrained')
import fwinb.select as engine
from fwinb.commands import select_main as main, select_parser
from fwinb.data.archive import as_ledger
from fwinb.data.events import REASONS
from fwinb.labels.misfit import PAPER_THRESHOLDS
from fwinb.models.pretrained import load_model
from fwinb.pairs.schema import STUDY
from fwinb.pairs.store import locked_file, open_pairs, save_pairs
from fwinb.pairs.table import COLUMNS, PAGE, WINDOW_PAGE
from fwinb.select import Plan, checkpoint_folder, run_plan, select, station_lines
from small_world import CMT, ONE, POLES, RESP, inventory, motion, paz, world

ROOT = Path(__file__).resolve().parent.parent
SAMPLE, SYNT = ROOT/'data/sample/raw', ROOT/'data/sample/synt'
COMMAND = [sys.executable, '-c', 'import sys; from fwinb.commands import select_main; sys.exit(select_main())']

@pytest.fixture
def few(tmp_path):
    "Six records of each event of the sample"
    for p in [*sorted(SAMPLE.glob('obsd/SIM1*'))[:6], *sorted(SAMPLE.glob('obsd/SIM2*'))[:6], *SAMPLE.glob('quakeml/*'), SAMPLE/'stationxml/SY.xml']:
        (tmp_path/'obs'/p.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(p, tmp_path/'obs'/p.parent.name)
    return tmp_path/'obs'

@pytest.fixture(scope='module')
def archive(tmp_path_factory):
    "Twelve events at sixteen stations: more than two processes do in a second"
    return runpy.run_path(str(ROOT/'bench/selection.py'), run_name='bench')['write_archive'](tmp_path_factory.mktemp('archive'), 12, 16, 'event', distinct=2)

def files(folder): return sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob('*') if not p.is_dir())

# Ctrl-C

def alive(group):
    "Processes of a group that still run"
    out = subprocess.run(['ps', '-eo', 'pgid=,stat=,pid='], capture_output=True, text=True, check=True).stdout
    return [l for l in out.splitlines() if l.split()[0] == str(group) and not l.split()[1].startswith('Z')]

def interrupt(args, when, cwd, cache=None, group=True, code=COMMAND[-1]):
    "Ctrl-C, as a terminal sends it to all processes of a command, as soon as `when` says so: seconds to the end of them all, status, what was said"
    def young(): signal.signal(signal.SIGINT, signal.SIG_DFL)    # a test run in the background ignores it, and so would its children
    env = dict(os.environ, **({'FWINB_CACHE': str(cache)} if cache else {}))
    p = subprocess.Popen([*COMMAND[:-1], code, *map(str, args)], cwd=cwd, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=young, start_new_session=True)
    begun = time.monotonic()
    while not when(p, time.monotonic()-begun):
        assert p.poll() is None, p.communicate()[1]
        time.sleep(.01)
    begun = time.monotonic()
    (os.killpg if group else os.kill)(p.pid, signal.SIGINT)
    said = p.communicate(timeout=60)[1]
    while alive(p.pid) and time.monotonic()-begun < 5: time.sleep(.05)
    return time.monotonic()-begun, p.returncode, said

def processes(pid): return len(alive(pid))
MOMENTS = {  # of a run with two workers in `cwd`
    'while it starts': lambda cwd, p, s: s > .8,
    'while it imports': lambda cwd, p, s: s > 1.6,
    'while the workers start': lambda cwd, p, s: processes(p.pid) >= 3,
    'while they work': lambda cwd, p, s: len(list(cwd.glob('s.csv.parts/*.json'))) >= 1}

@pytest.mark.parametrize('moment', MOMENTS)
def test_ctrl_c(archive, tmp_path, moment):
    "Three seconds at most, with workers, at any moment; one line, no table; the same command goes on"
    seconds, status, said = interrupt([archive, '--out', 's.csv', '--workers', 2], partial(MOMENTS[moment], tmp_path), tmp_path)
    print(moment, round(seconds, 2), said)
    assert seconds < 3 and status == 130
    assert said.splitlines()[-1].startswith('fwinb-select: interrupted; ') and 'Traceback' not in said
    assert not (tmp_path/'s.csv').exists() and not (tmp_path/'s_stations').exists()
    assert set(p.name for p in tmp_path.iterdir()) <= {'s.csv.parts', '.s.csv.lock'}
    if moment == 'while they work': assert 'finished events are kept' in said

DEGREES = """from pathlib import Path
import fwinb.earth.modes as m
solve = m.modes_of_degree
def count(system, l, fmax): Path('degree').write_text(str(l)); return solve(system, l, fmax)
m.modes_of_degree = count
"""
@pytest.mark.parametrize('group', [True, False], ids=['terminal', 'kill -INT'])
def test_ctrl_c_during_modes(archive, tmp_path, group):
    "The modes of PREM are computed once; Ctrl-C does not wait for them, and no half of them is kept"
    seconds, status, said = interrupt([archive, '--out', 's.csv'], lambda p, s: (tmp_path/'degree').is_file(), tmp_path, tmp_path/'cache', group, DEGREES + COMMAND[-1])
    print(round(seconds, 2), said)
    assert seconds < 3 and status == 130 and 'Traceback' not in said
    assert not [f for f in files(tmp_path) if 'prem_modes' in f]

SWALLOWS = """
import time
from fwinb.commands import interruptible
with interruptible(.5):
    while True:
        try:
            print('ready', flush=True)
            time.sleep(60)
        except KeyboardInterrupt: pass       # as compiled code does that calls back
"""
def test_ctrl_c_that_is_swallowed(tmp_path):
    p = subprocess.Popen([sys.executable, '-c', SWALLOWS], stdout=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert p.stdout.readline() == b'ready\n'
    p.send_signal(signal.SIGINT)
    assert p.wait(timeout=3) == 130

# an error of one event, of one pair, of one process

ANSWERS = ['event', 'station', 'decision', 'reason', 'usable', 'misfit', 'lag_s']

def same(a, b): pd.testing.assert_frame_equal(a[ANSWERS].reset_index(drop=True), b[ANSWERS].reset_index(drop=True), rtol=1e-5, atol=1e-6)

def break_one(monkeypatch, name, where, e=RuntimeError('it broke here')):
    "Function `name` of the engine raises where `where(*args)` says so"
    f = getattr(engine, name)
    def broken(*args, **more):
        if where(*args): raise e
        return f(*args, **more)
    monkeypatch.setattr(engine, name, broken)

@pytest.mark.parametrize('e', [RuntimeError('it broke here'), KeyError('it broke here'), MemoryError('it broke here'), OSError(errno.EIO, 'it broke here'), ZeroDivisionError('it broke here')], ids=lambda e: type(e).__name__)
def test_error_of_an_event(few, tmp_path, monkeypatch, e):
    "The table names class and text for each of its traces, and the other event is as it was"
    expected = select(few)
    break_one(monkeypatch, 'event_pairs', lambda name, *_: name == 'SIM2', e)
    assert main([str(few), '--out', str(tmp_path/'s.csv')]) == 0
    table = pd.read_csv(tmp_path/'s.csv', keep_default_na=False)
    bad = table.event == 'SIM2'
    assert bad.sum() == 6 and set(table.reason[bad]) == {'error'} and set(table.decision[bad]) == {'dropped'}
    assert table.detail[bad].str.contains('it broke here').all() and table.detail[bad].str.startswith(type(e).__name__).all()
    assert sorted(table.file[bad]) == sorted(expected.file[expected.event == 'SIM2'])
    assert table.decision[~bad].tolist() == expected.decision[expected.event != 'SIM2'].tolist()

def test_error_of_an_event_without_a_time(few, monkeypatch):
    break_one(monkeypatch, 'event_pairs', lambda name, *_: name == 'SIM2')
    break_one(monkeypatch, 'centroid', lambda event: 'SIM2' in str(event.event_descriptions))
    table = select(few)
    assert table[table.event == 'SIM2'][['station', 'reason']].values.tolist() == [['', 'error']]

@pytest.mark.parametrize('route', ['folder', 'store'])
def test_error_of_a_pair(few, tmp_path, monkeypatch, route):
    "One pair that cannot be described costs no other, and keeps its remark"
    obs = few
    if route == 'store':
        from fwinb.data.archive import preprocess_folder
        from fwinb.earth.modes import prem_traces
        obs = save_pairs(preprocess_folder(few, compute=prem_traces)[0], tmp_path/'pairs.zarr')
    expected = select(obs)
    station = expected.station[expected.decision != 'dropped'].iloc[1]
    break_one(monkeypatch, 'describe', lambda pairs, model: station in pairs.station.values)
    table = select(obs)
    bad = table.station == station
    assert bad.sum() and set(table.reason[bad]) == {'error'} and (table.detail[bad] == 'RuntimeError: it broke here').all()
    pd.testing.assert_frame_equal(table[~bad][['event', 'station', 'reason', 'misfit']], expected[~bad][['event', 'station', 'reason', 'misfit']], rtol=1e-5, atol=1e-6) if route == 'folder' else None
    assert (table.decision[~bad] != 'dropped').sum() == (expected.decision[~bad] != 'dropped').sum()

def test_chunk_of_a_store_that_cannot_be_read(tmp_path):
    "A damaged file of a store (its size is as it was) drops the pairs that lie in it"
    sample = open_pairs(ROOT/'data/sample/pairs.zarr', dask=False).load()
    store = save_pairs(sample, tmp_path/'pairs.zarr', chunk=8)
    chunk = store/'waveform/c/1/0/0'
    chunk.write_bytes(b'x'*chunk.stat().st_size)
    table = select(store)
    bad = np.arange(len(table))//8 == 1
    assert len(table) == sample.sizes['pair'] and (table.reason[bad] == 'error').all() and not (table.reason[~bad] == 'error').any()

def _crash(task, model):
    if task == 'bad': os.kill(os.getpid(), signal.SIGSEGV)
    return as_ledger([dict(event=task, status='kept', reason='ok')]), pd.DataFrame(dict(lag=[1.]))
def _crash_once(task, model):
    "As where memory was short while others ran"
    if task != 'a' and not Path(task).exists():
        Path(task).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return as_ledger([dict(event=task, status='kept', reason='ok')]), pd.DataFrame(dict(lag=[1.]))
def _lost(task, text): return as_ledger([dict(event=task, status='dropped', reason='error', detail=text)])

def test_event_that_kills_its_process(tmp_path):
    "A crash in compiled code, as a lack of memory, takes one event"
    plan = Plan(_crash, ['a', 'bad', 'b', 'c'], _lost, [], [])
    results = run_plan(plan, load_model(), dict, 2, False, (), tmp_path/'parts', print)
    assert [r[0].status[0] for r in results] == ['kept', 'dropped', 'kept', 'kept'] and results[1][0].detail[0] == 'a worker process ended with status -11'
    assert [p.name for p in sorted((tmp_path/'parts').iterdir())] == ['000000.json', '000002.json', '000003.json']

def test_event_whose_process_was_killed_once(tmp_path):
    "It is tried again, alone"
    plan = Plan(_crash_once, [str(tmp_path/'marker'), 'a'], _lost, [], [])
    assert [r[0].status[0] for r in run_plan(plan, load_model(), dict, 2, False, (), None, print)] == ['kept', 'kept']

def test_one_event_of_eleven(tmp_path):
    "An event of Mw 11.5 (dyne cm taken for N m) beside a good one"
    obs = world(tmp_path/'obs', ONE)
    (obs/'CMTSOLUTION_2').write_text(CMT.replace('201803040506A', 'BAD').replace('05 06 03.00', '05 09 03.00').replace('latitude:       10.0000', 'latitude:       30.0000').replace('e+26', 'e+33'))
    assert main([str(obs), '--out', str(tmp_path/'s.csv')]) == 0
    table = pd.read_csv(tmp_path/'s.csv', keep_default_na=False).set_index('event')
    assert table.decision['201803040506A'] == 'accept' and table.decision['BAD'] == 'dropped'

# finished events

DIES = """import os, signal, sys
import fwinb.select as s
from fwinb.commands import select_main
save, n = s.Checkpoint.save, [0]
def save_and_die(self, i, result):
    save(self, i, result)
    n[0] += 1
    if n[0] == 2: os.kill(os.getpid(), signal.SIGKILL)
s.Checkpoint.save = save_and_die
sys.exit(select_main())"""

@pytest.mark.parametrize('workers', [1, 2])
def test_killed_and_finished(archive, tmp_path, workers, monkeypatch, capsys):
    "kill -9 after two events: the same command does the others only, and writes the same bytes as a run in one go"
    args = [str(archive), '--out', str(tmp_path/'s.csv'), '--workers', str(workers)]
    p = subprocess.run([sys.executable, '-c', DIES, *args], capture_output=True, text=True)
    assert p.returncode == -signal.SIGKILL and len(list(tmp_path.glob('s.csv.parts/*.json'))) == 2 and not (tmp_path/'s.csv').exists()
    done = []
    f = engine.run_tasks
    monkeypatch.setattr(engine, 'run_tasks', lambda job, tasks, *more: done.append(len(tasks)) or f(job, tasks, *more))
    assert main(args) == 0 and done == [10] and '2 of 12 parts were finished by an earlier run' in capsys.readouterr().err
    assert main([str(archive), '--out', str(tmp_path/'whole.csv')]) == 0 and done == [10, 12]
    assert (tmp_path/'s.csv').read_bytes() == (tmp_path/'whole.csv').read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {'s.csv', 's_settings.json', 's_stations', 'whole.csv', 'whole_settings.json', 'whole_stations'}

def keep_parts(few, tmp_path, monkeypatch, *more):
    "A run that fails when it writes its table"
    with monkeypatch.context() as m:
        m.setattr(pd.DataFrame, 'to_csv', full)
        assert main([str(few), '--out', str(tmp_path/'s.csv'), *more]) == 1
    return checkpoint_folder(tmp_path/'s.csv')

def full(*args, **more): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

CHANGES = {
    'nothing': (2, lambda few, m: []),
    'precision': (2, lambda few, m: ['--precision', '.9']),
    'a file is newer': (0, lambda few, m: os.utime(next(few.glob('obsd/*')), (1, 1)) or []),
    'a file is new': (0, lambda few, m: (few/'new.xml').write_text('<a/>') and []),
    'another model': (0, lambda few, m: ['--model', 'paper']),
    'synthetics': (0, lambda few, m: [str(SYNT)]),
    'another version': (0, lambda few, m: m.setattr(engine, '__version__', '0') or []),
}
@pytest.mark.parametrize('change', CHANGES)
def test_parts_of_the_same_input_only(few, tmp_path, monkeypatch, capsys, change):
    n, do = CHANGES[change]
    folder = keep_parts(few, tmp_path, monkeypatch)
    assert len(list(folder.iterdir())) == 2
    args = do(few, monkeypatch)
    capsys.readouterr()
    args = [*args, '--model', 'usable'] if '--model' not in args else args
    assert main([str(few), *[a for a in args if not a.startswith('-') and a == str(SYNT)], '--out', str(tmp_path/'s.csv'), *[a for a in args if a != str(SYNT)]]) == 0
    said = capsys.readouterr().err
    assert (f'{n} of 2 parts were finished' in said) == bool(n)
    assert not folder.exists()

def test_parts_with_an_error_are_done_again(few, tmp_path, monkeypatch):
    with monkeypatch.context() as m:
        break_one(m, 'event_pairs', lambda name, *_: name == 'SIM2')
        folder = keep_parts(few, tmp_path, m)
    assert len(list(folder.iterdir())) == 1
    assert main([str(few), '--out', str(tmp_path/'s.csv')]) == 0
    assert 'error' not in set(pd.read_csv(tmp_path/'s.csv').reason)

def test_part_cut_short(few, tmp_path, monkeypatch):
    "The machine stopped while it was written: done again"
    part = next(keep_parts(few, tmp_path, monkeypatch).iterdir())
    part.write_bytes(part.read_bytes()[:1000])
    assert main([str(few), '--out', str(tmp_path/'s.csv')]) == 0 and len(pd.read_csv(tmp_path/'s.csv')) == 12

def test_a_file_of_the_user_in_parts(few, tmp_path):
    (tmp_path/'s.csv.parts').mkdir()
    (tmp_path/'s.csv.parts/thesis.tex').write_text('x')
    assert main([str(few), '--out', str(tmp_path/'s.csv')]) == 0
    assert files(tmp_path/'s.csv.parts') == ['thesis.tex']

# a full disk

ROOM = """import resource, signal, sys
import fwinb.select as s
from fwinb.commands import select_main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def room(): resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, resource.RLIM_INFINITY))
write = s.write_selection
def write_in_little_room(*args): room(); return write(*args)
if {late}: s.write_selection = write_in_little_room
else: room()
sys.exit(select_main())"""

@pytest.mark.parametrize('late, size, old', [(False, 3000, False), (True, 0, True), (True, 60, False), (True, 500, True), (True, 1000, False)])
def test_disk_full(few, tmp_path, late, size, old):
    "Files have room for `size` bytes, from the start or when the table is written: the old table with its lists, or neither; the same command goes on"
    out = tmp_path/'s.csv'
    if old: assert main([str(few), '--out', str(out), '--threshold', '1e-9']) == 0
    before = {f: (tmp_path/f).read_bytes() for f in files(tmp_path) if f.startswith('s')}
    p = subprocess.run([sys.executable, '-c', ROOM.format(late=late, size=size), few, '--out', out], capture_output=True, text=True)
    assert p.returncode == 1 and 'the same command goes on' in p.stderr and 'Traceback' not in p.stderr, p.stderr
    now = {f: (tmp_path/f).read_bytes() for f in files(tmp_path) if f.startswith('s') and '.parts' not in f}
    assert now == before and not [f for f in files(tmp_path) if '.new-' in f or '.ready' in f]
    assert main([str(few), '--out', str(out)]) == 0
    table = pd.read_csv(out)
    assert {f.removeprefix('STATIONS_') for f in files(tmp_path/'s_stations')} == set(table.event[table.decision == 'accept'])
    assert {p.name for p in tmp_path.iterdir()} == {'obs', 's.csv', 's_settings.json', 's_stations'}

@pytest.mark.parametrize('k', range(4))
def test_killed_while_it_comes_to_its_place(few, tmp_path, monkeypatch, k):
    "kill -9 between any two steps: never a table beside the lists of another run; the same command finishes"
    out = tmp_path/'s.csv'
    assert main([str(few), '--out', str(out), '--threshold', '1e-9']) == 0
    old = out.read_bytes()
    code = f"""import os, shutil, signal, sys
import fwinb.pairs.store, fwinb.select as s
from fwinb.commands import select_main
left, write = [{k}], s.write_selection
def fragile(f):
    def step(*a, **kw):
        left[0] -= 1
        if left[0] < 0: os.kill(os.getpid(), signal.SIGKILL)
        return f(*a, **kw)
    return step
def write_and_die(*args):
    os.replace, shutil.rmtree = fragile(os.replace), fragile(shutil.rmtree)
    return write(*args)
s.write_selection = write_and_die
sys.exit(select_main())"""
    p = subprocess.run([sys.executable, '-c', code, few, '--out', out], capture_output=True, text=True)
    assert p.returncode == -signal.SIGKILL, p.stderr
    assert not out.exists() or (out.read_bytes() == old and len(files(tmp_path/'s_stations')) == 2)
    assert main([str(few), '--out', str(out)]) == 0 and len(pd.read_csv(out)) == 12
    assert {p.name for p in tmp_path.iterdir()} == {'obs', 's.csv', 's_settings.json', 's_stations'}

# two at once

def test_two_at_once(few, tmp_path, capsys):
    "The second one says which lock is held, and touches nothing"
    out = tmp_path/'s.csv'
    with locked_file(out, 'fwinb-select'):
        assert main([str(few), '--out', str(out)]) == 2
        assert f'another fwinb-select is writing {out}' in (said := capsys.readouterr().err) and str(tmp_path/'.s.csv.lock') in said
        assert {p.name for p in tmp_path.iterdir()} == {'obs', '.s.csv.lock'}
        assert main([str(few), '--out', str(tmp_path/'other.csv')]) == 0       # another table is another matter
    assert main([str(few), '--out', str(out)]) == 0

def test_lock_left_by_a_kill(few, tmp_path):
    "The file of a lock is none"
    (tmp_path/'.s.csv.lock').touch()
    assert main([str(few), '--out', str(tmp_path/'s.csv')]) == 0 and not (tmp_path/'.s.csv.lock').exists()

# what the command says of itself

def test_columns(capsys):
    "Every column of the table is described, with the unit in its name"
    assert PAGE == list(COLUMNS) and PAGE == list(pd.read_csv(ROOT/'tests/expected/sample_selection.csv', nrows=1))
    for name, unit in ((k, k.rpartition('_')[2]) for k in PAGE if k.endswith(('_s', '_deg'))): assert COLUMNS[name].unit.startswith(unit)
    with pytest.raises(SystemExit) as e: main(['--columns'])
    said = capsys.readouterr().out
    parts = [[l.split()[0] for l in part.splitlines() if l[0] != ' '] for part in said.split('\n\n')]
    assert e.value.code == 0 and parts == [PAGE, ['The', *WINDOW_PAGE]]
    assert all(w in said for w in ('positive: the observation is late', 'positive: the observation is larger'))
    limits = dict(zip(('I', 'II', 'III'), PAPER_THRESHOLDS))
    assert load_model('usable').card.get('thresholds', PAPER_THRESHOLDS) == PAPER_THRESHOLDS
    for k, x in limits.items(): assert f'{k} below {x:g}' in COLUMNS['class'].meaning

def test_quick():
    "Help, columns, version and a typing error import nothing heavy"
    for args, status in ((['--help'], 0), (['--columns'], 0), (['--version'], 0), (['--no-such-option'], 2), (['x', '--out', 'y', '--units', 'feet'], 2)):
        code = f"import sys\nfrom fwinb.commands import select_main\ntry: select_main({args})\nexcept SystemExit as e: print(e.code, [m for m in ('numpy', 'obspy', 'torch', 'pandas') if m in sys.modules])"
        said = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
        assert said.splitlines()[-1] == f'{status} []'

def test_scope_in_help():
    "The first paragraph of the help says what the model knows"
    text = ' '.join(select_parser().description.split())
    low, high = load_model('usable').card['limits']['distance_deg']
    assert all(w in text for w in ('vertical', f'{STUDY.length/60:.0f} minutes', f'{low:.0f} to {high:.0f} degrees', 'above 50 s'))
    assert 'on average' in ' '.join(select_parser().format_help().split())

# inputs

def test_synthetics_beside_the_records(few, tmp_path, capsys):
    "FOLDER/synt is used, and the command says so; --prem and '' do not use it"
    out = ['--out', str(tmp_path/'s.csv')]
    prem, own = select(few, ''), select(few, SYNT)
    shutil.copytree(SYNT, few/'synt')
    for p in (few/'synt').rglob('*.sac'):                                    # twice as large, to tell them apart
        tr, = obspy.read(p)
        tr.data = 2*tr.data
        tr.write(str(p), 'SAC')
    for syn, expected in ((None, own.dlnA - np.log(2)), ('', prem.dlnA)): np.testing.assert_allclose(select(few, syn).dlnA, expected, atol=1e-3)
    assert main([str(few), *out]) == 0
    assert f'synthetics: {few/"synt"}' in capsys.readouterr().err
    assert main([str(few), '--prem', *out]) == 0
    assert 'synthetics:' not in capsys.readouterr().err
    np.testing.assert_allclose(pd.read_csv(tmp_path/'s.csv').dlnA, prem.dlnA, atol=1e-4)
    with pytest.raises(SystemExit) as e: main([str(few), str(SYNT), '--prem', *out])
    assert e.value.code == 2

def test_folders_of_events_and_metadata(few, tmp_path):
    "--events and --inventory take folders, and folders in them"
    expected = select(few)
    for name in ('quakeml', 'stationxml'): (few/name).rename(few.parent/name)
    (few.parent/'quakeml/readme.txt').write_text('x')
    assert main([str(few), '--out', str(tmp_path/'s.csv'), '--events', str(few.parent/'quakeml'), '--inventory', str(few.parent/'stationxml')]) == 0
    table = pd.read_csv(tmp_path/'s.csv', keep_default_na=False)
    assert table.decision.tolist() == expected.decision.tolist()

def test_folder_without_events(few, tmp_path, capsys):
    assert main([str(few), '--out', str(tmp_path/'s.csv'), '--events', str(few/'stationxml')]) == 2
    assert 'stationxml' in (said := capsys.readouterr().err) and 'events' in said

def test_stations_and_units_go_to_the_index(few, tmp_path, monkeypatch):
    "Named files of coordinates and the unit of the records reach the archive"
    asked = []
    class Enough(ValueError): pass
    def index(obs, syn, events, inventory, skip, stations, units, recipe):
        asked.append((stations, units))
        raise Enough('enough')
    monkeypatch.setattr(engine, 'index_archive', index)
    out = ['--out', str(tmp_path/'s.csv')]
    for args in ([], ['--stations', 'a', 'b', '--units', 'velocity']): assert main([str(few), *args, *out]) == 2
    assert asked == [([], ''), (['a', 'b'], 'velocity')]

def test_key_of_a_part(few):
    "What enters a result enters the key of its part"
    plan = Plan(_crash, ['a'], _lost, [], [few], ('x', ''))
    keys = {engine.digest_files(p.files, p.settings, 'card') for p in (plan, plan._replace(settings=('x', 'velocity')), plan._replace(settings=('', '')), plan._replace(files=[few/'obsd']))}
    assert len(keys) == 4
    made = {engine.plan_archive(few, *more).settings for more in ((), (SYNT,), (None, (), (), (), (), 'velocity'))}
    assert len(made) == 3

def test_link_that_leads_nowhere(few, tmp_path):
    "As in a data set of git-annex whose content was not fetched: a row, and the others are decided"
    (few/'obsd/gone.mseed').symlink_to('nowhere')
    (few/'obsd/loop').symlink_to('.')
    table = select(few).set_index('file')
    assert table.reason['obsd/gone.mseed'] == 'unreadable' and len(table) == 13

# what is written

def test_station_that_no_list_can_hold(tmp_path, capsys):
    "The row keeps its decision, the list leaves it out, and both the row and the command say so"
    code = 'XX.LONGSTATION'                                  # SPECFEM's STATIONS hold eight characters
    obs = world(tmp_path/'obs', {'XX.AAA': ONE['XX.AAA'], 'XX.BBB': (50., -30.)})
    table = select(obs)
    table.loc[table.station == 'XX.BBB..LHZ', 'station'] = f'{code}..LHZ'
    table = engine.note_unlisted(table)
    folder = engine.write_selection(table, tmp_path/'s.csv')
    rows = pd.read_csv(tmp_path/'s.csv', keep_default_na=False).set_index('station')
    assert (rows.decision == 'accept').all() and 'in no list' in rows.detail[f'{code}..LHZ'] and not rows.detail['XX.AAA..LHZ']
    assert [l.split()[0] for p in folder.iterdir() for l in p.read_text().splitlines()] == ['AAA']
    assert 'in no list of stations: 1' in engine.summary(table)

@pytest.mark.parametrize('station', ['XX.A.B..LHZ', 'XX.\u00c4\u00d6..LHZ', 'XX.A B..LHZ', 'XX...LHZ', 'TOOLONGNET.AAA..LHZ'])
def test_impossible_codes(station):
    row = pd.DataFrame(dict(station=[station], station_latitude=0., station_longitude=0., elevation_m=0., burial_m=0., decision='accept', detail=''))
    assert station_lines(row) == [] and 'in no list' in engine.note_unlisted(row).detail[0]

@pytest.mark.parametrize('bad', [dict(station_latitude=np.nan), dict(elevation_m=np.inf), dict(station_latitude=91.)], ids=str)
def test_impossible_places(bad):
    row = pd.DataFrame(dict(station=['XX.AAA..LHZ'], station_latitude=0., station_longitude=0., elevation_m=0., burial_m=0., decision='accept', detail='') | bad)
    assert station_lines(row) == [] and 'in no list' in engine.note_unlisted(row).detail[0]

def test_names_that_are_no_text(few, tmp_path):
    "A file name that is no UTF-8, an event name with a line break"
    (few/'obsd').joinpath(os.fsdecode(b'\xff\xe9.mseed')).write_bytes(b'x'*600)
    xml = few/'quakeml/SIM1.xml'
    xml.write_text(xml.read_text().replace('<text>SIM1</text>', '<text>SI\nM "1", \u00e4</text>'))
    assert main([str(few), '--out', str(tmp_path/'s.csv')]) == 0
    table = pd.read_csv(tmp_path/'s.csv', keep_default_na=False)
    assert len(table) == 13 and (table.reason == 'unreadable').sum() == 1 and set(table.event) >= {'SIM2'}

# nothing to decide

NOTHING = {
    'no events': (lambda d: (d/'CMTSOLUTION').unlink(), 'no event', '--events'),
    'no metadata': (lambda d: (d/'inv.xml').unlink(), 'no response', ''),
    'records cannot be read': (lambda d: [p.write_bytes(b'x'*600) for p in d.glob('*.mseed')], 'unreadable', ''),
    'records are empty': (lambda d: [p.write_bytes(b'') for p in d.glob('*.mseed')], 'unreadable', ''),
    'events cannot be read': (lambda d: (d/'CMTSOLUTION').write_text('nothing'), 'no event', ''),
    'another time': (lambda d: (d/'CMTSOLUTION').write_text(CMT.replace('2018 03 04', '2019 03 04')), 'no event', ''),
    'no vertical synthetics can be read': (lambda d: [(d/'synt').mkdir(), (d/'synt/XX.AAA.MXZ.sem.sac').write_bytes(b'x'*700)], 'unreadable', ''),
}
@pytest.mark.parametrize('case', NOTHING)
def test_nothing_to_decide(tmp_path, capsys, case):
    "Status 1, and the table has the reasons of all records"
    do, reason, hint = NOTHING[case]
    obs = world(tmp_path/'obs', ONE)
    do(obs)
    assert main([str(obs), '--out', str(tmp_path/'s.csv')]) == 1
    table = pd.read_csv(tmp_path/'s.csv', keep_default_na=False)
    assert (table.decision == 'dropped').all() and reason in set(table.reason) and table.detail[table.reason == reason].str.len().all()
    assert hint in (said := capsys.readouterr()).err and 'not a single pair' in said.err and reason in said.out
    assert (tmp_path/'s_stations').is_dir() and not files(tmp_path/'s_stations')

@pytest.mark.parametrize('what', ['empty', 'no records'])
def test_no_records(tmp_path, capsys, what):
    "Nothing that a row could tell: an invalid command"
    (tmp_path/'obs').mkdir()
    if what == 'no records': (tmp_path/'obs/CMTSOLUTION').write_text(CMT)
    assert main([str(tmp_path/'obs'), '--out', str(tmp_path/'new/s.csv')]) == 2
    assert 'holds no records' in capsys.readouterr().err and not (tmp_path/'new').exists()

# every reason reaches the table: a small input for each, made from one sound station

def change_record(obs, change, name='XX.AAA.mseed'):
    "Rewrite the record by a function of its trace; the result is a trace or several"
    tr, = obspy.read(obs/name)
    new = change(tr)
    st = obspy.Stream([new] if isinstance(new, obspy.Trace) else new)
    for t in st: t.stats.pop('mseed', None)
    st.write(str(obs/name), 'MSEED')

def data(change):
    "A change of the samples; time zero is at 2400 s"
    def do(obs):
        def new(tr):
            tr.data = change(tr.data)
            return tr
        change_record(obs, new)
    return do

def event(change):
    "A change of the event, saved as QuakeML"
    def do(obs):
        cat = obspy.read_events(str(obs/'CMTSOLUTION'))
        (obs/'CMTSOLUTION').unlink()
        change(cat[0])
        cat.write(str(obs/'event.xml'), 'QUAKEML')
    return do

def synthetic(change):
    "A folder `synt` with a changed synthetic"
    def do(obs):
        tr = motion(ONE)[0]
        tr = change(tr)
        (obs/'synt').mkdir()
        tr.write(str(obs/f'synt/{tr.stats.network}.{tr.stats.station}.LXZ.sac'), 'SAC')
    return do

def metadata(**more): return lambda obs: inventory(ONE, **more).write(str(obs/'inv.xml'), 'STATIONXML')

def without(x, value):
    x = x.copy()
    x[2900:3100] = value
    return x

def pieces(obs):
    "A record without 100 s"
    change_record(obs, lambda tr: [tr.slice(endtime=tr.stats.starttime+3000), tr.slice(starttime=tr.stats.starttime+3100)])

def versions(obs):
    "Two versions of 200 s"
    def both(tr):
        other = tr.slice(tr.stats.starttime+3000, tr.stats.starttime+3200).copy()
        other.data = other.data + 1000
        return [tr, other]
    change_record(obs, both)

def rename(channel):
    def do(obs):
        def new(tr):
            tr.stats.channel = channel
            return tr
        change_record(obs, new)
    return do

def coarse(obs):
    def new(tr):
        tr.data = tr.data[::40] + np.random.default_rng(0).integers(1, 1000, len(tr.data[::40]), dtype=np.int32)
        tr.stats.delta = 40.
        return tr
    change_record(obs, new)

def two_bands(obs):
    shutil.copy(obs/'XX.AAA.mseed', obs/'XX.AAA.B.mseed')
    def new(tr):
        tr.stats.channel = 'VHZ'
        return tr
    change_record(obs, new, 'XX.AAA.B.mseed')
    inv = inventory(ONE)
    inv[0][0].channels += inventory(ONE, cha='VHZ')[0][0].channels
    inv.write(str(obs/'inv.xml'), 'STATIONXML')

def no_tensor(e): e.focal_mechanisms[0].moment_tensor.tensor.m_rr = None
def no_depth(e):
    for o in e.origins: o.depth = None

def other_station(tr):
    tr.stats.station = 'ZZZ'
    return tr

def zeros(tr):
    tr.data = 0*tr.data
    return tr

def resp(obs):
    "A RESP file in place of StationXML: a response and no place"
    (obs/'inv.xml').unlink()
    (obs/'RESP.XX.AAA..LHZ').write_text(RESP)

def twice(obs):
    "The same samples twice, five seconds apart"
    def both(tr):
        other = tr.copy()
        other.stats.starttime += 5
        return [tr, other]
    change_record(obs, both)

def motion_with_response(obs):
    "A header that says displacement, and metadata that say counts"
    tr, = motion(ONE)
    (obs/'XX.AAA.mseed').unlink()
    tr.stats.channel, tr.stats.sac = 'LHZ', dict(idep=6)
    tr.data = tr.data + np.random.default_rng(0).normal(size=len(tr.data)).astype(np.float32)*1e-9
    tr.write(str(obs/'XX.AAA.sac'), 'SAC')

CASES = {  # reason -> (change of a sound folder, words in `detail`)
    'ok': (lambda obs: None, ''),
    'unreadable': (lambda obs: (obs/'junk.mseed').write_bytes(b'nothing that anybody reads'*20), 'junk.mseed'),
    'no event': (lambda obs: (obs/'CMTSOLUTION').write_text(CMT.replace('2018 03 04', '2019 03 04')), 'it lasts from 2018-03-04'),
    'no origin': (event(no_depth), 'depth'),
    'no moment tensor': (event(no_tensor), 'six components'),
    'not vertical': (rename('LHN'), 'LHN'),
    'other band': (two_bands, 'LHZ is kept'),
    'too coarse': (coarse, '40'),
    'too short': (lambda obs: change_record(obs, lambda tr: tr.slice(endtime=tr.stats.starttime+3900)), '1500'),
    'gap': (pieces, '99.0 s'),
    'overlap differs': (versions, '600.0 s'),
    'not finite': (data(lambda x: without(x.astype(float), np.nan)), '200 of'),
    'dead': (data(lambda x: 0*x), 'different values'),
    'clipped': (data(lambda x: np.clip(x, -np.abs(x).max()//3, np.abs(x).max()//3)), 'flat tops'),
    'no response': (metadata(end=obspy.UTCDateTime(2018, 1, 1)), '2018-01-01'),
    'no coordinates': (resp, ''),
    'metadata': (metadata(response=paz(poles=tuple(-np.conj(p) for p in POLES))), ''),
    'timing': (twice, '5 s'),
    'unit': (motion_with_response, 'ground motion'),
    'no synthetic': (synthetic(other_station), ''),
    'bad synthetic': (synthetic(zeros), 'never changes'),
    'snr': (data(lambda x: np.random.default_rng(0).normal(size=len(x))*1e5 + x), 'less than'),
}
OTHERS = {'no record': 'of a synthetic without a record: rows of preprocess_folder only', 'error': 'see test_error_of_an_event',
          'lone horizontal': 'see test_components.py', 'other component': 'see test_components.py'}

def test_every_reason_has_a_case(): assert set(CASES) | set(OTHERS) == set(REASONS) and not set(CASES) & set(OTHERS)

@pytest.mark.parametrize('reason', CASES)
def test_reason_reaches_the_table(tmp_path, reason):
    do, words = CASES[reason]
    obs = world(tmp_path/'obs', ONE)
    do(obs)
    main([str(obs), '--out', str(tmp_path/'s.csv')])
    table = pd.read_csv(tmp_path/'s.csv', keep_default_na=False)
    print(table[['event', 'station', 'decision', 'reason', 'detail', 'file']].to_string())
    if reason == 'ok': assert table[['decision', 'reason', 'detail']].values.tolist() == [['accept', '', '']]
    else:
        row = table[table.reason == reason]
        assert len(row) == 1 and row.decision.item() == 'dropped' and words in row.detail.item() and row.detail.item()
