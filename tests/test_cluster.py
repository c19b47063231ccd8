"The index of an archive survives what kills a run; Dask workers, by an address or as jobs of SLURM, give the numbers of local ones."
import errno, os, signal, subprocess, sys, time
from pathlib import Path
import pandas as pd, pytest
import small_world as w
from fwinb.data import archive
from fwinb.data.archive import index_archive

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
    time.sleep(.2)                 # so that it can be killed in the middle
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
