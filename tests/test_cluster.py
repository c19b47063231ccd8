"The index of an archive survives what kills a run; Dask workers, by an address or as jobs of SLURM, give the numbers of local ones."
import errno, os, runpy, signal, subprocess, sys, time
from functools import partial
from importlib.util import find_spec
from operator import add
from pathlib import Path
import pandas as pd, pytest
import small_world as w
import fwinb.select as engine
from fwinb.commands import select_main as main
from fwinb.data import archive
from fwinb.data.archive import as_ledger, index_archive
from fwinb.earth.simulate import simulate_pairs
from fwinb.labels.misfit import add_misfit
from fwinb.models.pretrained import load_model
from fwinb.pairs.store import open_pairs, save_pairs
from fwinb.select import Plan, run_plan

if find_spec('distributed'):
    import dask
    from fwinb.pairs.cluster import cluster_client, run_on_dask

ROOT = Path(__file__).resolve().parent.parent

# ---- the index ----

@pytest.fixture
def records(tmp_path, monkeypatch):
    "Twelve copies of a record, and an index of its own"
    monkeypatch.setattr(archive, 'cache_dir', lambda: tmp_path/'cache')
    d = w.world(tmp_path/'obs', w.ONE)
    for i in range(11): (d/f'copy{i:02d}.mseed').write_bytes((d/'XX.AAA.mseed').read_bytes())
    return d

def index_files(folder): return sorted(p.name for p in (folder/'cache').rglob('*') if p.is_file())

def counted(monkeypatch):
    "Names of the files whose headers are read from now on"
    looked, right = [], archive.index_records
    monkeypatch.setattr(archive, 'index_records', lambda p: looked.append(p.name) or right(p))
    return looked

SLOWLY = """
import sys, time
from pathlib import Path
from fwinb.data import archive
archive.PART, right, archive.cache_dir = 3, archive.index_records, lambda: Path(sys.argv[2])
def slowly(p):
    time.sleep(.1)                 # so that it can be killed in the middle
    return right(p)
archive.index_records = slowly
archive.index_archive(sys.argv[1])
"""
def test_index_killed(records, tmp_path, monkeypatch):
    "kill -9 twice while the headers are read: what was read stays, and the records are those of one run"
    for parts in 1, 3:
        child = subprocess.Popen([sys.executable, '-c', SLOWLY, str(records), str(tmp_path/'cache')])
        while child.poll() is None and sum(n.startswith('part-') for n in index_files(tmp_path)) < parts: time.sleep(.01)
        child.kill()
        assert child.wait() == -signal.SIGKILL
    kept = sum(n.startswith('part-') for n in index_files(tmp_path))
    assert kept == 3
    looked = counted(monkeypatch)
    found = index_archive(records)
    assert len(found.records) == 12 and len(looked) <= 12 - 3*kept + 3        # a part may hold other kinds of files
    assert index_files(tmp_path) == ['index.parquet']
    monkeypatch.setattr(archive, 'cache_dir', lambda: tmp_path/'other')
    pd.testing.assert_frame_equal(found.records, index_archive(records).records, check_exact=True)

def test_index_by_two_runs(records, tmp_path, monkeypatch):
    "Parts that overlap, as two runs at once leave them, give each record once"
    whole = index_archive(records).records
    index = next((tmp_path/'cache').rglob('index.parquet'))
    for k in 'ab': index.with_name(f'part-{k}.parquet').write_bytes(index.read_bytes())
    looked = counted(monkeypatch)
    pd.testing.assert_frame_equal(index_archive(records).records, whole, check_exact=True)
    assert not looked and index_files(tmp_path) == ['index.parquet']

@pytest.mark.parametrize('damage', [lambda p: p.write_bytes(p.read_bytes()[:1000]), lambda p: p.write_bytes(b''), lambda p: p.unlink()])
def test_index_damaged(records, tmp_path, damage):
    "A file of the index that the machine had not written to its end is made again"
    whole = index_archive(records).records
    damage(next((tmp_path/'cache').rglob('index.parquet')))
    pd.testing.assert_frame_equal(index_archive(records).records, whole, check_exact=True)
    assert index_files(tmp_path) == ['index.parquet']

def test_index_on_a_full_disk(records, tmp_path, monkeypatch):
    "No index is kept, none of its pieces is left, and the records are the same"
    def full(table, f):
        f.write(b'PAR1')
        raise OSError(errno.ENOSPC, 'No space left on device')
    monkeypatch.setattr(archive.pq, 'write_table', full)
    looked = counted(monkeypatch)
    assert len(index_archive(records).records) == len(index_archive(records).records) == 12
    assert len(looked) == 24 and not index_files(tmp_path)

def test_index_of_any_name(records, tmp_path, monkeypatch):
    "A name that is no UTF-8 is a name like others"
    os.rename(records/'copy03.mseed', os.fsencode(records) + b'/copy\xff.mseed')
    looked = counted(monkeypatch)
    for _ in range(2): assert os.fsencode(index_archive(records).records.path.iloc[-1].name) == b'copy\xff.mseed'
    assert len(looked) == 12

# ---- Dask ----

needs_dask = pytest.mark.skipif(find_spec('distributed') is None or find_spec('dask_jobqueue') is None, reason="needs pip install 'fwinb[scale]'")

@pytest.fixture(scope='module')
def events(tmp_path_factory):
    "Four events at four stations"
    make = runpy.run_path(str(ROOT/'bench/selection.py'), run_name='bench')['write_archive']
    return make(tmp_path_factory.mktemp('archive'), 4, 4, 'trace', distinct=2)

@pytest.fixture(scope='module')
def here(events, tmp_path_factory):
    "The table of the same records by this process alone"
    return table(events, tmp_path_factory.mktemp('here')/'s.csv')

@pytest.fixture(scope='module')
def scheduler():
    "Address of a scheduler with two workers of one thread"
    from distributed import LocalCluster
    with LocalCluster(2, threads_per_worker=1, dashboard_address=None, silence_logs=60) as cluster: yield cluster.scheduler_address

def table(events, out, *args):
    assert main([str(events), '--out', str(out), *args]) == 0
    return out.read_bytes()

@needs_dask
def test_by_an_address(events, here, scheduler, tmp_path, monkeypatch):
    "The bytes of the table are those of one process, from a relative path and with a model's name, too"
    monkeypatch.chdir(events.parent)
    assert table(Path(events.name), tmp_path/'s.csv', '--scheduler', scheduler, '--model', 'usable') == here
    with dask.config.set({'distributed.comm.timeouts.connect': '1s'}):
        assert main([str(events), '--out', str(tmp_path/'t.csv'), '--scheduler', 'tcp://127.0.0.1:9']) == 2

class Stop(Exception): pass

def stop_at(monkeypatch, n):
    "The run ends as the `n`-th event is to be kept"
    saved, right = [], engine.Checkpoint.save
    def save(self, i, result):
        if len(saved) == n: raise Stop
        saved.append(i)
        return right(self, i, result)
    monkeypatch.setattr(engine.Checkpoint, 'save', save)

@needs_dask
def test_begun_there_and_finished_here(events, here, scheduler, tmp_path, monkeypatch, capfd):
    "Finished events are kept by the client, and need not be done where they were begun"
    out = tmp_path/'s.csv'
    with monkeypatch.context() as m:
        stop_at(m, 2)
        with pytest.raises(Stop): main([str(events), '--out', str(out), '--scheduler', scheduler])
    assert len(list((tmp_path/'s.csv.parts').glob('*.json'))) == 2 and not out.exists()
    assert table(events, out) == here and '2 of 4 parts were finished' in capfd.readouterr().err

def _end_on(task, ready):
    if task == 'bad': os._exit(9)
    return as_ledger([dict(station=task, status='dropped', reason='ok')]), pd.DataFrame(), pd.DataFrame()

def _lost(task, text): return as_ledger([dict(station=task, status='dropped', reason='error', detail=text)])

@needs_dask
def test_a_task_that_ends_two_workers(scheduler, tmp_path):
    "It becomes a row; the others are done once, and the scheduler holds nothing of it afterwards"
    plan = Plan(_end_on, ['a', 'bad', 'b', 'c'], _lost, [], [])
    with cluster_client(scheduler) as client:
        found = run_plan(plan, load_model(), int, client, False, (), tmp_path, lambda line: None)
        assert [f[0].station[0] for f in found] == ['a', 'bad', 'b', 'c']
        assert [f[0].reason[0] for f in found] == ['ok', 'error', 'ok', 'ok']
        assert len(list(tmp_path.glob('*.json'))) == 3            # an error is not kept: the same command tries again
        assert not client.run_on_scheduler(lambda dask_scheduler: [k for k in dask_scheduler.worker_plugins if k.startswith('fwinb')])

@needs_dask
def test_a_worker_that_does_not_see_the_files(scheduler, tmp_path):
    plan = Plan(_end_on, ['a', 'b'], _lost, [], [], seen=[tmp_path/'elsewhere'])
    with cluster_client(scheduler) as client, pytest.raises(FileNotFoundError, match='does not see .*elsewhere'):
        run_plan(plan, load_model(), int, client, False, (), None, lambda line: None)

@needs_dask
def test_one_task_at_a_time(scheduler):
    "A worker holds one task, and what is sent with it is made only then"
    made, finished = [], []
    def give(task):
        made.append(task)
        assert len(made) - len(finished) <= 2
        return task
    with cluster_client(scheduler) as client:
        assert run_on_dask(add, list(range(20)), partial(int, 1), client, lambda i, x: finished.append(i), give=give) == list(range(1, 21))

@needs_dask
def test_misfit_by_an_address(scheduler, tmp_path):
    "Dask arrays are graded by the workers of the active client, with the numbers of this process"
    from distributed import Client
    pairs = simulate_pairs(8, seed=3, progress=False)
    store = save_pairs(pairs, tmp_path/'pairs.zarr', chunk=4)
    with Client(scheduler) as client:
        there = add_misfit(open_pairs(store, dask=True))
        assert any(client.run(lambda: 'fwinb.labels.misfit' in __import__('sys').modules).values())
    assert there.drop_vars('waveform').identical(add_misfit(open_pairs(store, dask=True)).drop_vars('waveform'))

SBATCH = """#!/bin/sh
cp "$1" {folder}/script            # as SLURM does: dask-jobqueue removes its own when this ends
setsid sh {folder}/script > {folder}/log 2>&1 &
echo $! > {folder}/job.$!
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
for job in "$@"; do kill -9 -- "-$job"; rm {folder}/job.$job; done
"""
@needs_dask
def test_slurm(events, here, tmp_path, monkeypatch):
    "An `sbatch` that starts the job at once: the same bytes, options as in a script by hand, and no job is left"
    (tmp_path/'bin').mkdir()
    for name, text in (('sbatch', SBATCH), ('scancel', SCANCEL)):
        (tmp_path/'bin'/name).write_text(text.format(folder=tmp_path))
        (tmp_path/'bin'/name).chmod(0o755)
    monkeypatch.setenv('PATH', f"{tmp_path/'bin'}{os.pathsep}{os.environ['PATH']}")
    options = 'queue=compute,walltime=02:00:00,cores=2,memory=2GB,interface=lo'
    assert table(events, tmp_path/'s.csv', '--slurm', options, '--workers', '2') == here
    script = (tmp_path/'script').read_text()
    assert '#SBATCH -p compute' in script and '#SBATCH -t 02:00:00' in script and '--nthreads 1' in script
    assert not list(tmp_path.glob('job.*'))
    assert main([str(events), '--out', str(tmp_path/'t.csv'), '--slurm', 'queue']) == 2

@needs_dask
def test_adjoint_sources_by_an_address(events, here, scheduler, tmp_path, monkeypatch):
    "Folders of events by the workers of Dask are those of this process"
    from fwinb.commands import adjoint_main
    (tmp_path/'s.csv').write_bytes(here)
    monkeypatch.chdir(events.parent)                    # the workers are in another folder
    for name, more in (('local', []), ('dask', ['--scheduler', scheduler])):
        assert adjoint_main([str(tmp_path/'s.csv'), events.name, '--out', str(tmp_path/name), '--prem', *more]) == 0
    found = sorted(p.relative_to(tmp_path/'local') for p in (tmp_path/'local').rglob('*') if p.is_file())
    assert len(found) > 12 and found == sorted(p.relative_to(tmp_path/'dask') for p in (tmp_path/'dask').rglob('*') if p.is_file())
    for p in found: assert (tmp_path/'local'/p).read_bytes() == (tmp_path/'dask'/p).read_bytes(), p
