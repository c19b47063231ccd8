"A study of inversions that is killed goes on where it was, in any number of processes, with the same numbers."
import json, os, signal, subprocess, sys, time
import numpy as np

CHILD = """
import sys
from fwinb.inversion.invert import run_study

if __name__ == '__main__': run_study(sys.argv[1], ['hard'], range(2), ['random', 'rule'], iterations=1, steps=1, processes=int(sys.argv[2]))
"""

def study(folder, processes, tmp_path):
    script = tmp_path/'study.py'
    script.write_text(CHILD)
    env = dict(os.environ, OMP_NUM_THREADS='1')
    return subprocess.Popen([sys.executable, '-W', 'ignore', str(script), str(folder), str(processes)], start_new_session=True, env=env)

def done(folder): return {p.name: p for p in folder.glob('*.json')}

def test_killed_and_finished(tmp_path):
    from fwinb.inversion.invert import PLANS, collect_runs, finish_experiment
    folder, whole = tmp_path/'killed', tmp_path/'whole'
    child, end = study(folder, 1, tmp_path), time.monotonic() + 120
    while child.poll() is None and time.monotonic() < end and not done(folder): time.sleep(.01)
    os.killpg(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL, 'it ended before it could be killed'
    first = {k: (p.read_bytes(), p.stat().st_mtime_ns) for k, p in done(folder).items()}
    assert 1 <= len(first) < 4
    for p in done(folder).values(): json.loads(p.read_text(encoding='utf-8'))     # whole files only

    assert study(folder, 2, tmp_path).wait(timeout=240) == 0
    assert len(done(folder)) == 4
    assert {k: (p.read_bytes(), p.stat().st_mtime_ns) for k, p in done(folder).items() if k in first} == first

    finish_experiment(whole, 'hard', 1, ['rule'], iterations=1, steps=1)   # in this process, and alone
    for k, p in done(whole).items():                                  # matrix products in single precision differ in their last bits between processes
        a, b = (json.loads(x.read_text(encoding='utf-8')) for x in (p, done(folder)[k]))
        assert a['history']['pairs'] == b['history']['pairs']
        np.testing.assert_allclose(a['history']['error'], b['history']['error'], rtol=1e-5)
        np.testing.assert_allclose(a['nodes'], b['nodes'], atol=3e-5)
    history, models = collect_runs(folder, 1, 1)
    assert set(history.selection) == {'random', 'rule'} <= set(PLANS['hard'].selections) | {'random'}
    assert len(models) == 4 and (history[history.iteration == 0].error.round(9) == 1).all()

def test_wrong_names(tmp_path):
    import pytest
    from fwinb.inversion.invert import collect_runs, run_study
    with pytest.raises(ValueError, match="'netwrk'"): run_study(tmp_path, ['hard'], range(1), ['netwrk'])
    with pytest.raises(ValueError, match="'harder'"): run_study(tmp_path, ['harder'], range(1))
    with pytest.raises(ValueError, match='holds no run'): collect_runs(tmp_path)
