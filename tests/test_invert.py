"A study of inversions that is killed goes on where it was, in any number of processes, with the same numbers."
import json, os, signal, subprocess, sys, time
import numpy as np, pytest
from fwinb.inversion.study import PLANS, collect_runs, finish_setting, run_study

PLANS['small'] = PLANS['hard']._replace(name='small', events=8, held=2, stations=10)
CHILD = """
import sys
from fwinb.inversion.study import PLANS, run_study
PLANS['small'] = PLANS['hard']._replace(name='small', events=8, held=2, stations=10)
if __name__ == '__main__': run_study(sys.argv[1], ['small'], range(2), ['random', 'rule'], iterations=1, processes=int(sys.argv[2]))
"""

def study(folder, processes, tmp_path):
    script = tmp_path/'study.py'
    script.write_text(CHILD)
    env = dict(os.environ, OMP_NUM_THREADS='1')
    return subprocess.Popen([sys.executable, '-W', 'ignore', str(script), str(folder), str(processes)], start_new_session=True, env=env)

def done(folder): return {p.name: p for p in folder.glob('*.json')}

def test_killed_and_finished(tmp_path):
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

    finish_setting(whole, PLANS['small'], 1, ['rule'], iterations=1)         # in this process, and alone
    for k, p in done(whole).items():                                  # matrix products in single precision differ in their last bits between processes
        a, b = (json.loads(x.read_text(encoding='utf-8')) for x in (p, done(folder)[k]))
        assert a['history']['admitted'] == b['history']['admitted']
        np.testing.assert_allclose(a['history']['variance_reduction'], b['history']['variance_reduction'], rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(a['maps'], b['maps'], atol=3e-5)
    tables = collect_runs(folder, 1)
    assert set(tables.history.selection) == {'random', 'rule'} and set(tables.history.seed) == {0, 1}
    assert (tables.history[tables.history.iteration == 0].variance_reduction.abs() < 1e-6).all()

def test_wrong_names(tmp_path):
    with pytest.raises(ValueError, match="'usabel'"): run_study(tmp_path, ['hard'], range(1), ['usabel'])
    with pytest.raises(ValueError, match="'harder'"): run_study(tmp_path, ['harder'], range(1))
    with pytest.raises(ValueError, match='holds no run'): collect_runs(tmp_path)
