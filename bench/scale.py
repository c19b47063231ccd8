"""Grade a large store of pairs on a local Dask cluster: in one go, then killed in the middle and finished; are the grades the same, is memory flat?

    python bench/scale.py                                # simulates 300,000 pairs first; half an hour, 8 GB of disk
    python bench/scale.py --pairs 20000 --workers 4
    python bench/scale.py --store mine.zarr              # any store of pairs that has not been graded

Memory is the resident memory of all processes of a run together, shared pages counted once (Linux: proportional set size).
"""
import argparse, os, signal, subprocess, sys, tempfile, time
from pathlib import Path

import numpy as np, psutil
from fwinb.pairs.store import open_pairs
from fwinb.earth.simulate import simulate_pairs

CHILD = """
import sys
from dask.distributed import Client, LocalCluster
from fwinb.labels.misfit import add_misfit
from fwinb.pairs.store import open_pairs, save_pairs
store, out, checkpoint, workers = sys.argv[1:]
if __name__ == '__main__':
    with LocalCluster(int(workers), threads_per_worker=1, memory_limit='2GiB', dashboard_address=None) as cluster, Client(cluster):
        save_pairs(add_misfit(open_pairs(store, dask=True), checkpoint=checkpoint or None), out)
"""

def memory(pid):
    "Resident memory of a process and of all its children, bytes"
    total = 0
    for p in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        try: m = p.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess): continue   # it ended meanwhile
        total += getattr(m, 'pss', m.rss)
    return total

def grade_store(store, out, checkpoint, workers, kill_at=None, step=.5):
    "Run the child; kill all of it (-9) when `kill_at` chunks are written. Wall time (s), and memory (bytes) against time (s)"
    script = Path(out).with_suffix('.py')
    script.write_text(CHILD, encoding='utf-8')
    env = dict(os.environ, OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1', MKL_NUM_THREADS='1')
    start, trace = time.monotonic(), []
    child = subprocess.Popen([sys.executable, str(script), str(store), str(out), str(checkpoint or ''), str(workers)], env=env, start_new_session=True)
    while child.poll() is None:
        trace.append((time.monotonic()-start, memory(child.pid)))
        if kill_at is not None and chunks_in(checkpoint) >= kill_at:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            break
        time.sleep(step)
    if kill_at is None and child.returncode: raise RuntimeError(f'the run ended with {child.returncode}')
    if kill_at is not None and child.returncode != -signal.SIGKILL: raise RuntimeError(f'the run was over before it could be killed: {child.returncode}')
    return time.monotonic()-start, np.array(trace)

def chunks_in(checkpoint): return len(list(Path(checkpoint).glob('*.npy')))

def same(a, b):
    "Names of the columns that differ, to the last bit"
    one, two = open_pairs(a, dask=True), open_pairs(b, dask=True)
    if list(one) != list(two): return sorted(set(one) ^ set(two))
    equal = lambda x, y: np.array_equal(x, y, equal_nan=x.dtype.kind == 'f')
    return [k for k in one if k != 'waveform' and not equal(one[k].values, two[k].values)]

def report(name, wall, trace):
    parts = [p[:,1].max()/1e6 for p in np.array_split(trace, 5) if len(p)]
    print(f'{name:38} {wall:7.0f} s   largest memory in each fifth of the time (MB): ' + ', '.join(f'{x:,.0f}' for x in parts), flush=True)

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--store', help='ungraded pairs; default: simulate them')
    p.add_argument('--pairs', type=int, default=300_000)
    p.add_argument('--workers', type=int, default=2)
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as d:
        d = Path(d)
        store = a.store or d/'pairs.zarr'
        if not a.store: simulate_pairs(a.pairs, path=store, progress=False)
        n, chunks = (x := open_pairs(store, dask=True)).sizes['pair'], len(x.waveform.chunks[0])
        print(f'{n:,} pairs in {chunks} chunks, {sum(f.stat().st_size for f in Path(store).rglob("*") if f.is_file())/1e9:.2f} GB; {a.workers} worker processes of one thread')
        report('in one go', *grade_store(store, d/'whole.zarr', None, a.workers))
        folder = d/'checkpoint'
        report('killed (-9) in the middle', *grade_store(store, d/'parts.zarr', folder, a.workers, kill_at=chunks//2))
        kept = chunks_in(folder)
        assert not (d/'parts.zarr').exists()
        report(f'finished: {chunks-kept} of {chunks} chunks were left', *grade_store(store, d/'parts.zarr', folder, a.workers))
        different = same(d/'whole.zarr', d/'parts.zarr')
        print('all columns the same to the last bit' if not different else f'DIFFERENT: {different}')
        sys.exit(bool(different))
