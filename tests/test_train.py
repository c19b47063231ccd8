"A training that is killed in the middle of an epoch is finished by the next call, with the same weights; several processes train together; a model knows its recipe."
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

TOY = """toy:
    components: [Z, T]
    length: 3000
    npts: 1024
    periods: [50, 250]
"""

@pytest.fixture(scope='module')
def toy_file(tmp_path_factory):
    path = tmp_path_factory.mktemp('recipe')/'toy.yml'
    path.write_text(TOY)
    return path

@pytest.fixture(scope='module')
def toy_pairs(toy_file):
    "Two earthquakes at 60 stations, up and transverse"
    from fwinb.earth.simulate import simulate_pairs
    return simulate_pairs(240, 5, earths=2, per_event=60, recipe=str(toy_file), progress=False, linear=True)

@pytest.fixture(scope='module')
def toy_model(toy_pairs):
    "Trees taught on these pairs, and a card"
    from fwinb.models.pretrained import Model
    from fwinb.models.recipe_model import recipe_card
    from fwinb.models.selector import selector_data, train_selector
    from fwinb.pairs.schema import recipe_of
    data = selector_data(toy_pairs)
    trees, scale = train_selector(dict(toy=data), iterations=5)
    calibration = dict(temperature=1., platt=[1., 0.], accept_from={'0.9': .8}, refuse_below=.2)
    plan = dict(train_0=(500, 1), calibrate=(200, 2), test=(200, 3))
    return Model('toy', recipe_card(recipe_of(toy_pairs), data, plan, .3) | dict(calibration=calibration, weights=''), trees, scale)

def test_card_with_recipe(toy_model, toy_pairs, tmp_path):
    "Saved, loaded from its folder, it knows its recipe and says the same; fewer components are fine"
    from fwinb.models.pretrained import load_model, model_recipe, predict, selector_names
    from fwinb.models.selector import save_model
    from fwinb.pairs.schema import recipe_of
    save_model(toy_model, tmp_path/'toy')
    back, recipe = load_model(tmp_path/'toy'), recipe_of(toy_pairs)
    assert model_recipe(back) == recipe and back.card['features'] == list(selector_names(recipe))
    for name in ('component', 'delay_band_1', 'event_delay_band_1'): assert name in back.card['features']
    first, second = (predict(toy_pairs, m, .9) for m in (toy_model, back))
    np.testing.assert_array_equal(first.usable_probability, second.usable_probability)
    assert (np.isfinite(first.usable_probability) == (toy_pairs.status == 'ok')).all()
    up = predict(toy_pairs.isel(pair=toy_pairs.component.values == 'Z'), back, .9)
    assert np.isfinite(up.usable_probability).any()

def test_range_of_a_component(toy_model, toy_pairs):
    "Love waves travel faster: along the major arc they reach the window at a shorter distance than Rayleigh waves"
    from fwinb.models.pretrained import predict
    assert toy_model.card['component_limits'] == {}                        # 3,000 s are too short for any of them
    strict = toy_model._replace(card=dict(toy_model.card, component_limits=dict(T=dict(distance_deg=[15., 90.]))))
    unknown = np.isnan(predict(toy_pairs, strict, .9).usable_probability.values)
    beyond = (toy_pairs.component.values == 'T') & (toy_pairs.distance_deg.values > 90)
    assert beyond.any() and (unknown == beyond | (toy_pairs.status.values != 'ok')).all()

def test_wrong_recipe(toy_model, toy_pairs):
    from fwinb.models.pretrained import describe, fitting_model, load_model
    from fwinb.pairs.recipes import load_recipe
    from fwinb.pairs.schema import STUDY, recipe_attrs, recipe_of
    with pytest.raises(ValueError, match="in a window of 0 to 3000 s, but the model 'usable' knows 0 to 1800 s.*fwinb-train"):
        describe(toy_pairs, load_model())
    own = recipe_of(toy_pairs)
    three, short = own._replace(components=('Z', 'R', 'T')), own._replace(periods=(40., 250.))
    for other, words in ((three, 'components Z, R, T'), (short, 'periods 40 to 250 s'), (short, 'in the band of 44.4 to 182 s')):
        with pytest.raises(ValueError, match=words):
            describe(toy_pairs.assign_attrs(recipe_attrs(other), band_hz=list(own.band if 'periods' in words else other.band)), toy_model)
    assert fitting_model('usable', STUDY).net is not None and fitting_model('usable', load_recipe('short')).net is None
    for name in ('surface', 'middle'):
        known = fitting_model('usable', load_recipe(name))
        assert known.name == 'usable' and known.card['recipe']['name'] == name and known.card['calibration'] != load_model().card['calibration']

@pytest.mark.parametrize('recipe, why', [(['Z'], "'recipe' is none"), (dict(name='x'), 'missing'), (dict(components=['Q']), 'Z, R and T'),
                                          (dict(length=100.), 'shorter than 3 periods'), (dict(edges=[1, 2]), 'edges')])
def test_broken_recipe_of_a_card(recipe, why, toy_model, tmp_path):
    from fwinb.models.pretrained import load_model
    from fwinb.models.selector import save_model
    card = toy_model.card
    new = recipe if isinstance(recipe, list) or 'name' in recipe else card['recipe'] | recipe
    save_model(toy_model._replace(card=dict(card, recipe=new)), tmp_path)
    with pytest.raises(ValueError, match=why) as e: load_model(tmp_path)
    assert 'toy.json' in str(e.value)

def test_folder_of_a_model(toy_model, tmp_path):
    from fwinb.models.pretrained import load_model
    from fwinb.models.selector import save_model
    with pytest.raises(ValueError, match='holds no card'): load_model(tmp_path)
    for k in 'ab': save_model(toy_model._replace(name=k), tmp_path)
    with pytest.raises(ValueError, match=r'holds 2 cards of models \(a.json, b.json\)'): load_model(tmp_path)

def train_command(recipe, out):
    command = f"from fwinb.commands import train_main; raise SystemExit(train_main(['--recipe', {str(recipe)!r}, '--pairs', '500', '--out', {str(out)!r}]))"
    return subprocess.Popen([sys.executable, '-c', command], stderr=subprocess.PIPE, text=True, start_new_session=True)

def test_fwinb_train(toy_file, tmp_path, request):
    "A killed fwinb-train goes on with the same command, to the weights of one that was not; another recipe is refused in its folder"
    if not request.config.getoption('--slow'): pytest.skip('takes a minute; with --slow only')
    from fwinb.models.pretrained import load_model, model_recipe
    child = train_command(toy_file, tmp_path/'a')
    for line in child.stderr:
        if 'train_0: 500 pairs' in line: break
    os.killpg(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL and not list((tmp_path/'a').glob('*.json'))
    said = {k: train_command(toy_file, tmp_path/k).communicate()[1] for k in 'ab'}
    assert 'calibrate: ' in said['a'] and 'is ready: fwinb-select --model' in said['a']
    a, b = (load_model(tmp_path/k) for k in 'ab')
    assert a.card['weights'] == b.card['weights'] and model_recipe(a).components == ('Z', 'T')
    assert 'is of another training' in train_command('surface', tmp_path/'a').communicate()[1]
