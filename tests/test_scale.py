"A run that is killed between two chunks is finished by the next one, with the same numbers."
import os, signal, subprocess, sys, time
import numpy as np, pytest
from fwinb.labels.misfit import add_misfit
from fwinb.pairs.schema import build_pairs
from fwinb.pairs.store import open_pairs, save_pairs

CHILD = """
{imports}
import sys, time
import dask, numpy as np
from fwinb.labels.misfit import add_misfit
from fwinb.pairs.store import open_pairs
save = np.save
def slowly(f, x):
    save(f, x)
    time.sleep(.3)                 # so that it can be killed in the middle
np.save = slowly
with dask.config.set(scheduler='synchronous'): add_misfit(open_pairs(sys.argv[1], dask=True), checkpoint=sys.argv[2])
"""

@pytest.fixture
def store(tmp_path):
    "Forty pairs in ten chunks, two of them dead"
    rng = np.random.default_rng(0)
    w = rng.standard_normal((40, 1, 512)).cumsum(-1) + .3*rng.standard_normal((40, 2, 512)).cumsum(-1)
    w[3,0], w[17,1] = 0, 5
    pairs = build_pairs(1e-6*w, event='toy', station=[f'XX.A{i:02d}.00.LHZ' for i in range(40)], event_latitude=0, event_longitude=0, event_depth_km=15,
        event_magnitude=6.5, moment_tensor=np.tile([1e18, 0, -1e18, 0, 0, 0], (40, 1)), station_latitude=0, station_longitude=np.arange(40)+20.,
        distance_deg=np.arange(40)+20., azimuth_deg=90, origin='simulated', status=['dead' if i in (3, 17) else 'ok' for i in range(40)])
    return save_pairs(pairs, tmp_path/'pairs.zarr', chunk=4)

def finished(folder): return sorted(folder.glob('*.npy'))

def kill_at(n, store, folder, imports=''):
    "Start to grade in another process; kill -9 when `n` chunks are written"
    child = subprocess.Popen([sys.executable, '-c', CHILD.format(imports=imports), str(store), str(folder)], start_new_session=True)
    end = time.monotonic() + 120
    while child.poll() is None and time.monotonic() < end and len(finished(folder)) < n: time.sleep(.02)
    os.killpg(child.pid, signal.SIGKILL)
    return child.wait()

def test_killed_and_finished(store, tmp_path):
    folder = tmp_path/'checkpoint'
    assert kill_at(4, store, folder) == -signal.SIGKILL
    kept = {f: f.stat().st_mtime_ns for f in finished(folder)}
    assert 4 <= len(kept) < 10
    resumed, whole = add_misfit(open_pairs(store, dask=True), checkpoint=folder), add_misfit(open_pairs(store, dask=True))
    assert resumed.drop_vars('waveform').identical(whole.drop_vars('waveform'))           # to the last bit
    assert len(finished(folder)) == 10 and all(f.stat().st_mtime_ns == when for f, when in kept.items())
    assert (resumed.grade.values > 0).sum() == 38

def test_kill_again(store, tmp_path):
    "Killed twice, once in the first chunk: a script first, then what imports fastcore, as notebooks do, which changes `Path`"
    folder = tmp_path/'checkpoint'
    for n,imports in ((1, ''), (5, 'import fastcore.all')): assert kill_at(n, store, folder, imports) == -signal.SIGKILL
    assert len(finished(folder)) >= 5
    resumed = add_misfit(open_pairs(store, dask=True), checkpoint=folder)
    np.testing.assert_array_equal(resumed.misfit.values, add_misfit(open_pairs(store, dask=True)).misfit.values)
