"A sweep that is killed goes on where it was, whatever the number of processes: no run is lost, none is done twice, and the numbers are the same."
import json, os, signal, subprocess, sys, time
from pathlib import Path
import pandas as pd

CHILD = """
import sys
from fwinb.earth.simulate import simulate_pairs
from fwinb.labels.truth import same_misfit
from fwinb.pairs.store import open_pairs
from fwinb.models.sensitivity import run_sweep, sweep_settings

if __name__ == '__main__':
    plan = sweep_settings({'batch': [8, 32], 'depth': [2]}, (0, 1), test=40, pairs=48, npts=32, width=.1, epochs=3)
    pairs = open_pairs(sys.argv[1], dask=False)
    judge = same_misfit(simulate_pairs(100, seed=9, per_event=10, progress=False), pairs)
    sweep = run_sweep(pairs, judge, plan, sys.argv[2], processes=int(sys.argv[3]))
    print(len(sweep.table), len(plan))
"""

def sweep(store, folder, processes, tmp_path):
    script = tmp_path/'sweep.py'
    script.write_text(CHILD)
    return subprocess.Popen([sys.executable, str(script), str(store), str(folder), str(processes)], start_new_session=True, stdout=subprocess.PIPE, text=True)

def done(folder): return {p.name: p for p in Path(folder).glob('*.json') if p.name != 'plan.json'}

def numbers(folder):
    "What every run found, but for its seconds"
    notes = {k: json.loads(p.read_text(encoding='utf-8')) for k, p in done(folder).items()}
    for note in notes.values():
        del note['result']['seconds'], note['history']['seconds']
    return notes

def wait(child):
    out, _ = child.communicate(timeout=240)
    assert child.returncode == 0
    assert out.split() == ['10', '10']   # rows of the plan: three batches and two depths, two seeds; the base is on both axes, so 8 runs
    return out

def kill_after(runs, child, folder):
    "SIGKILL as soon as so many runs are there; the process and, with it, its workers"
    end = time.monotonic() + 120
    while child.poll() is None and time.monotonic() < end and len(done(folder)) < runs: time.sleep(.005)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL, 'it ended before it could be killed'

def test_killed_resumed_and_shared(tmp_path):
    from fwinb.pairs.store import save_pairs
    from fwinb.models.sensitivity import collect
    from fwinb.earth.simulate import simulate_pairs
    from fwinb.labels.truth import with_grades
    store = tmp_path/'pairs.zarr'
    save_pairs(with_grades(simulate_pairs(400, per_event=20, progress=False)), store)

    folder = tmp_path/'killed'
    kill_after(2, sweep(store, folder, 1, tmp_path), folder)
    first = {k: (p.read_bytes(), p.stat().st_mtime_ns) for k, p in done(folder).items()}
    assert 2 <= len(first) < 8
    partial = collect(folder)                                             # complete files only, whenever it was killed
    assert set(partial.table.run + '.json') == set(first)

    kill_after(len(first) + 1, sweep(store, folder, 2, tmp_path), folder) # the rest in two processes, and killed again
    time.sleep(1)                                                         # for workers that would go on: they must not
    left = set(done(folder))
    time.sleep(2)
    assert set(done(folder)) == left, 'a worker outlived its sweep'

    wait(sweep(store, folder, 2, tmp_path))
    assert {k: (p.read_bytes(), p.stat().st_mtime_ns) for k, p in done(folder).items() if k in first} == first    # not done twice

    whole = tmp_path/'whole'
    wait(sweep(store, whole, 1, tmp_path))
    assert numbers(folder) == numbers(whole) and len(numbers(whole)) == 8                # to the last bit, one process or two
    for a, b in zip(collect(folder)[:3], collect(whole)[:3]):
        pd.testing.assert_frame_equal(a.drop(columns='seconds', errors='ignore'), b.drop(columns='seconds', errors='ignore'))
