"""An archive of many raw records: index, select with two workers, kill -9 twice and finish. Is memory flat, is the table that of a run that was not killed?

    python bench/archive.py                                 # 100,000 records of 6600 s at 1 Hz; an hour of two cores, 2 GB of disk
    python bench/archive.py --records 5000 --whole          # with an uninterrupted run, and the two tables compared
    python bench/archive.py --parts                         # only the CPU time by part, of 1,000 records in one process

Memory is that of all processes of a run together, shared pages counted once (Linux: proportional set size). The rows go to data/results/archive.csv and
archive_parts.csv, in place of older ones of the same number of records.
"""
import argparse, os, resource, signal, subprocess, sys, tempfile, time
for k in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'): os.environ[k] = '1'   # before numpy is loaded

from pathlib import Path

import numpy as np, pandas as pd
from scale import memory
from selection import PARTS, measure, show, write_archive

RESULTS = Path(__file__).resolve().parent.parent/'data/results'
SELECT = [sys.executable, '-c', 'import sys; from fwinb.commands import select_main; sys.exit(select_main())']
INDEX = """
import os, sys, time
import psutil
from fwinb.data.archive import index_archive
before = psutil.Process().memory_info().rss
found = index_archive(sys.argv[1])
assert len(found.records) == int(sys.argv[2]), len(found.records)
print((psutil.Process().memory_info().rss - before)/1e6)
"""

def cpu():
    "CPU seconds of all children that have ended"
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime

def finished(parts): return sum(n.endswith('.json') and n[0] != '.' for n in os.listdir(parts)) if parts.is_dir() else 0

def run(args, parts=None, kill_at=None, step=1.):
    "Run a command; kill -9 all of it when `kill_at` events are finished. Wall time, CPU (s), and memory (MB) at each step"
    spent, begun, trace = cpu(), time.monotonic(), []
    child = subprocess.Popen([*map(str, args)], stdout=subprocess.PIPE, text=True, start_new_session=True)
    while child.poll() is None:
        trace.append(memory(child.pid)/1e6)
        if kill_at is not None and finished(parts) >= kill_at:
            os.killpg(child.pid, signal.SIGKILL)
            break
        time.sleep(step)
    said = child.communicate()[0]
    if child.returncode != (0 if kill_at is None else -signal.SIGKILL): raise RuntimeError(f'the run ended with {child.returncode}')
    return time.monotonic()-begun, cpu()-spent, trace, said

def row(what, n, wall, spent, trace, **more):
    "A row of the table: times, and the largest memory in each fifth of the run"
    fifths = [max(x) for x in np.array_split(trace, 5) if len(x)] if len(trace) > 4 else [max(trace)]
    spent = None if what.startswith('killed') else round(spent)          # the system does not tell that of workers that were killed
    print(f'{what:34} {wall:7.0f} s wall, {spent} s CPU; memory by fifths (MB): ' + ', '.join(f'{x:,.0f}' for x in fifths), more, flush=True)
    return dict(records=n, run=what, wall_s=round(wall), cpu_s=spent, **{f'memory_{i}_mb': round(x) for i, x in enumerate(fifths, 1)}, **more)

def index(folder, n):
    "The index for the first time and again"
    for what in 'index, first', 'index, again':
        *spent, trace, said = run([sys.executable, '-c', INDEX, folder, n], step=.2)
        yield row(what, n, *spent, trace, index_mb=round(float(said)))

def killed_and_finished(folder, out, n, events, workers):
    "Two kills, then the end"
    parts, command = Path(f'{out}.parts'), [*SELECT, folder, '--out', out, '--workers', workers]
    for i in 1, 2:
        before = finished(parts)
        yield row(f'killed (-9), {i} of 2', n, *run(command, parts, i*events//3)[:3], events_before=before, events_after=finished(parts))
    before = finished(parts)
    *spent, trace, said = run(command)
    yield row('finished', n, *spent, trace, events_before=before, events_after=events)
    print(said)

def write(rows, name, key):
    "Rows in place of older ones with the same key"
    new, path = pd.DataFrame(rows), RESULTS/name
    if path.is_file(): new = pd.concat([(old := pd.read_csv(path))[~old[key].isin(new[key])], new]).sort_values(key, kind='stable')
    new.convert_dtypes().to_csv(path, index=False)

def by_part(folder, n):
    "CPU per trace by part, of the command in one process"
    parts = measure(write_archive(folder, n//50, 50))[0]
    show(parts, n)
    words = dict(start='imports, once', rest='the rest')
    rows = sorted(((v/n*1e3, k) for k, (v, _) in parts.items()), reverse=True)
    write([dict(part=k, what=PARTS[k][0] if k in PARTS else words[k], ms_per_trace=round(v, 2)) for v, k in rows], 'archive_parts.csv', 'part')

def main(a, folder):
    os.environ['FWINB_CACHE'] = str(folder/'cache')
    if a.parts: return by_part(folder/'archive', 1000)
    events, n = a.records//a.stations, a.records//a.stations*a.stations
    begun = time.monotonic()
    write_archive(folder/'archive', events, a.stations)
    size = sum(f.stat().st_size for f in (folder/'archive').rglob('*') if f.is_file())
    print(f'{events:,} events x {a.stations} stations in {time.monotonic()-begun:.0f} s, {size/1e9:.2f} GB', flush=True)
    from fwinb.earth.modes import modes_for
    from fwinb.pairs.schema import STUDY
    modes_for(STUDY.band)                                                    # before anything is timed
    rows = [*index(folder/'archive', n), *killed_and_finished(folder/'archive', folder/'killed.csv', n, events, a.workers)]
    if a.whole:
        rows.append(row('not killed', n, *run([*SELECT, folder/'archive', '--out', folder/'whole.csv', '--workers', a.workers])[:3], events_before=0, events_after=events))
        same = (folder/'whole.csv').read_bytes() == (folder/'killed.csv').read_bytes()
        print('the tables are the same to the last byte' if same else 'THE TABLES DIFFER')
        rows[-1]['same_table'] = same
    write(rows, 'archive.csv', 'records')
    return a.whole and not same

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--records', type=int, default=100_000)
    p.add_argument('--stations', type=int, default=100)
    p.add_argument('--workers', type=int, default=2)
    p.add_argument('--whole', action='store_true', help='run it once more without a kill, and compare')
    p.add_argument('--parts', action='store_true', help='only the CPU time by part')
    p.add_argument('--folder', type=Path, help='where to write; default: a temporary folder')
    a = p.parse_args()
    if a.folder: sys.exit(bool(main(a, a.folder)))
    with tempfile.TemporaryDirectory() as d: sys.exit(bool(main(a, Path(d))))
