"A training that is killed in the middle of an epoch is finished by the next call, with the same weights; several processes train together."
import os, signal, subprocess, sys, time
from importlib.util import find_spec
import numpy as np, pytest

CHILD = """
import os, sys, time
import numpy as np, torch
from fastai.basics import Callback
from fwinb.models.resnet import ResNet1d
from fwinb.models.train import fit, fit_distributed, index_loaders, make_learner, seed_everything

torch.set_num_threads(1)
names, kind = ('small', 'large', 'medium'), np.random.default_rng(0).integers(0, 3, 240)
noise = np.random.default_rng(1).standard_normal((240, 2, 64))
x = torch.from_numpy(noise + np.array([.2, 1.5, .8])[kind, None, None]*np.sin(.3*np.arange(64))).float()
seed_everything(0)
dls = index_loaders(x, np.array(names, object)[kind], np.arange(160), np.arange(160, 240), names, bs=8, device='cpu')
learn = make_learner(dls, ResNet1d(filters=(8, 16, 16)), 3e-3)

class Slowly(Callback):
    def before_batch(self):
        if not self.training or self.epoch < 2: return
        if self.iter == 5: open(sys.argv[2], 'w').close()         # here, in the third epoch, it can be killed
        time.sleep(.2)

if sys.argv[2] != 'fast': learn.add_cb(Slowly())
train = fit_distributed if int(os.environ.get('WORLD_SIZE', 1)) > 1 else fit
history = train(learn, 5, schedule='one_cycle', checkpoint=sys.argv[1] or None, progress=False)
weights = np.concatenate([v.flatten().double().numpy() for v in learn.model.state_dict().values()])
if int(os.environ.get('RANK', 0)) == 0: np.savez(sys.argv[3], weights=weights, **{k: history[k].values for k in ('train_loss', 'valid_loss', 'accuracy')})
"""

def train(folder, result, mark='fast', launcher=()):
    "Train in another process; the process"
    script = result.with_suffix('.py')
    script.write_text(CHILD)
    return subprocess.Popen([sys.executable, *launcher, str(script), str(folder), str(mark), str(result)], start_new_session=True)

def kill_in_third_epoch(folder, tmp_path):
    mark = tmp_path/'now'
    child, end = train(folder, tmp_path/'killed.npz', mark), time.monotonic() + 120
    while child.poll() is None and time.monotonic() < end and not mark.exists(): time.sleep(.02)
    os.killpg(child.pid, signal.SIGKILL)
    return child.wait()

def finished(child, result):
    assert child.wait(timeout=240) == 0
    return dict(np.load(result))

def test_killed_and_finished(tmp_path):
    assert kill_in_third_epoch(tmp_path/'run', tmp_path) == -signal.SIGKILL
    assert [p.name for p in (tmp_path/'run').iterdir()] == ['state.safetensors'] and not (tmp_path/'killed.npz').exists()
    resumed = finished(train(tmp_path/'run', tmp_path/'resumed.npz'), tmp_path/'resumed.npz')
    whole = finished(train('', tmp_path/'whole.npz'), tmp_path/'whole.npz')
    assert len(whole['accuracy']) == 5
    for k in whole: np.testing.assert_array_equal(resumed[k], whole[k], err_msg=k)         # to the last bit, the weights too

@pytest.mark.skipif(not find_spec('accelerate'), reason='needs accelerate')
def test_two_processes(tmp_path):
    "Two processes on one machine, without a GPU: they learn, and a finished run is taken from its checkpoint"
    launcher = '-m', 'torch.distributed.run', '--nproc-per-node', '2', '--standalone'
    first = finished(train(tmp_path/'run', tmp_path/'first.npz', launcher=launcher), tmp_path/'first.npz')
    assert first['train_loss'][-1] < first['train_loss'][0]
    again = finished(train(tmp_path/'run', tmp_path/'again.npz', launcher=launcher), tmp_path/'again.npz')
    np.testing.assert_array_equal(again['weights'], first['weights'])
