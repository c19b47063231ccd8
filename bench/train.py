"""CPU time of training the study's network: fwinb's fastai learner beside a plain torch loop, tsai, keras and aeon; one thread.

    python bench/train.py                                       # torch and fwinb; 2 x 1024 samples, batches of 16 and 64
    python bench/train.py --bench-python ENV/bin/python         # tsai, keras and aeon too, from an environment of their own (bench/requirements.txt)
    python bench/train.py --npts 256 --pairs 512 --rounds 9

A turn is one epoch: every pair once in random order, cross-entropy, Adam at 1e-3 in float32, then one batch of 16 validation pairs. The network is
the study's, 504,071 weights, everywhere but in 'tsai, its own ResNet' and 'aeon ResNet', which are of the same kind and size. See interleave.py for how turns are measured.
"""
import argparse, os, sys, tempfile
from interleave import ONE, channels_last, keep_memory, plain_resnet, ratio, serve, interleave
os.environ.update(ONE)                                          # before numpy is loaded

import numpy as np

VALID, NAMES = 16, ('Class I', 'Class II', 'Class III')

def data(pairs, npts, seed=0):
    "Noise of the right shape, and random classes; the last `VALID` rows are for validation"
    rng = np.random.default_rng(seed)
    return rng.standard_normal((pairs+VALID, 2, npts), np.float32), rng.integers(3, size=pairs+VALID)

def weights(model): return sum(p.numel() for p in model.parameters())

def torch_worker(x, y, batch, ours=False, bf16=False, fused=False, keep=False, last=False):
    import torch
    from torch.nn.functional import cross_entropy
    if keep: keep_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if ours:
        from fwinb.models.resnet import ResNet1d
        model = ResNet1d()
    else: model = channels_last(plain_resnet()) if last else plain_resnet()
    x, y, n = torch.from_numpy(x), torch.from_numpy(y), len(x) - VALID
    opt = torch.optim.Adam(model.parameters(), 1e-3, fused=fused)
    def forward(rows):
        with torch.autocast('cpu', torch.bfloat16, enabled=bf16): p = model(x[rows])
        return cross_entropy(p.float(), y[rows])
    def epoch():
        model.train()
        total = 0
        for rows in torch.randperm(n).split(batch):
            loss = forward(rows)
            loss.backward()
            opt.step()
            opt.zero_grad()
            total += loss.item()
        model.eval()
        with torch.no_grad(): return total, forward(slice(n, None)).item()
    serve(epoch, version=f'torch {torch.__version__}', weights=weights(model))

def fwinb_worker(x, y, batch, bf16=False):
    import torch
    from fwinb.models.resnet import ResNet1d
    from fwinb.models.train import fit, index_loaders, make_learner, seed_everything
    keep_memory()
    torch.set_num_threads(1)
    seed_everything(0)
    n, model = len(x) - VALID, ResNet1d()
    dls = index_loaders(torch.from_numpy(x), np.array(NAMES, object)[y], np.arange(n), np.arange(n, len(x)), NAMES, batch, device='cpu')
    learn = make_learner(dls, model, 1e-3, bf16=bf16)
    serve(lambda: fit(learn, 1, progress=False), version=f'fastai {version("fastai")}', weights=weights(model))

def tsai_worker(x, y, batch, own=False):
    import torch
    library = torch.library.Library('torchvision', 'DEF')       # tsai imports torchvision, whose wheel of the registry lacks these two beside torch's CPU build
    for k in ('nms(Tensor dets, Tensor scores, float iou_threshold)', 'qnms(Tensor dets, Tensor scores, float iou_threshold)'): library.define(f'{k} -> Tensor')
    from fastai.basics import CrossEntropyLossFlat, Learner, accuracy
    from tsai.data.core import TSClassification, get_ts_dls
    from tsai.models.ResNet import ResNet
    torch.set_num_threads(1)
    torch.manual_seed(0)
    n = len(x) - VALID
    dls = get_ts_dls(x, y, splits=(list(range(n)), list(range(n, len(x)))), tfms=[None, TSClassification()], bs=[batch, VALID], device=torch.device('cpu'))
    if own: model = ResNet(2, 3)
    else:
        from fwinb.models.resnet import ResNet1d
        model = ResNet1d()
    learn = Learner(dls, model, CrossEntropyLossFlat(), metrics=accuracy)
    def epoch():
        with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-3)
    serve(epoch, version=f'tsai {version("tsai")}', weights=weights(model))

def keras_resnet(filters=(64, 128, 128), kernels=(8, 5, 3)):
    "The study's network in keras: (npts, 2) to three numbers before the softmax"
    from keras import layers, Model
    x = first = layers.Input((None, 2))
    for nf in filters:
        short = x if x.shape[-1] == nf else layers.Conv1D(nf, 1)(x)
        for k in kernels: x = layers.Conv1D(nf, k, padding='same')(layers.ReLU()(layers.BatchNormalization()(x)))
        x = layers.Add()([x, short])
    return Model(first, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))

def keras_worker(x, y, batch, backend='tensorflow', aeon=False):
    os.environ['KERAS_BACKEND'] = backend
    import keras
    if backend == 'torch':
        import torch
        torch.set_num_threads(1)
    keras.utils.set_random_seed(0)
    x, n = np.ascontiguousarray(x.transpose(0, 2, 1)), len(x) - VALID
    if aeon:
        from aeon.classification.deep_learning import ResNetClassifier
        model, y = ResNetClassifier(optimizer=keras.optimizers.Adam(1e-3)).build_model(x.shape[1:], 3), np.eye(3, dtype=np.float32)[y]
    else:
        model = keras_resnet()
        model.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=['accuracy'])
    def epoch(): model.fit(x[:n], y[:n], batch_size=batch, epochs=1, validation_data=(x[n:], y[n:]), verbose=0)
    serve(epoch, version=('aeon ' + version('aeon') if aeon else 'keras ' + version('keras')) + f' on {backend} {version("tensorflow-cpu" if backend == "tensorflow" else backend)}',
          weights=sum(int(np.prod(w.shape)) for w in model.trainable_weights))

def version(name):
    from importlib.metadata import version
    return version(name)

PLAIN, OURS, BF16 = 'plain torch loop', 'fwinb', 'fwinb, bf16'
METHODS = {PLAIN: torch_worker, OURS: fwinb_worker, BF16: lambda *a: fwinb_worker(*a, bf16=True), 'plain torch loop, bf16': lambda *a: torch_worker(*a, bf16=True),
           "plain loop, fwinb's network and optimiser": lambda *a: torch_worker(*a, ours=True, fused=True),
           'plain torch loop, memory kept': lambda *a: torch_worker(*a, keep=True), 'the same, channels last': lambda *a: torch_worker(*a, keep=True, last=True, fused=True),
           'the same, channels last, bf16': lambda *a: torch_worker(*a, keep=True, last=True, fused=True, bf16=True)}
OTHERS = {"tsai, fwinb's network": tsai_worker, 'tsai, its own ResNet': lambda *a: tsai_worker(*a, own=True), 'keras, tensorflow': keras_worker,
          'keras, torch': lambda *a: keras_worker(*a, backend='torch'), 'aeon ResNet': lambda *a: keras_worker(*a, aeon=True)}

def measure(batch, a):
    "name -> (facts, CPU seconds of each round)"
    args = ['--pairs', a.pairs, '--npts', a.npts, '--batch', batch]
    todo = {k: (sys.executable, args) for k in METHODS} | {k: (os.path.abspath(a.bench_python), args) for k in (OTHERS if a.bench_python else ())}
    if a.methods: todo = {k: todo[k] for k in a.methods}
    with tempfile.TemporaryDirectory() as folder: return interleave(__file__, todo, a.rounds, folder)

def show(batch, got, a):
    print(f'\nbatch {batch}, 2 x {a.npts} samples, {a.pairs} pairs an epoch, {a.rounds} rounds')
    print(f'{"":42} {"pairs per CPU-s":>15} {"fwinb is ... x as fast":>24} {"weights":>9}  version')
    for k, (facts, t) in got.items(): print(f'{k:42} {a.pairs/np.median(t):15,.1f} {ratio(t, got[OURS][1]):>24} {facts["weights"]:9,}  {facts["version"]}')
    bars = [(PLAIN, OURS, .97), *((k, OURS, 1.) for k in OTHERS), (OURS, BF16, 1.5)]
    for k, m, bar in bars:
        if k in got and m in got: print(f'{m} against {k}: {ratio(got[k][1], got[m][1])}, wanted {bar:.2f}: {"yes" if np.median(got[k][1]/got[m][1]) >= bar else "NO"}')

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--pairs', type=int, default=128, help='pairs of an epoch, a multiple of the batch')
    p.add_argument('--npts', type=int, default=1024)
    p.add_argument('--batch', type=int, nargs='*', default=[16, 64])
    p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--methods', nargs='*', help='names in the table, fwinb among them; all if left out')
    p.add_argument('--bench-python', help='Python of an environment with bench/requirements.txt')
    p.add_argument('--worker', help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.worker: {**METHODS, **OTHERS}[a.worker](*data(a.pairs, a.npts), a.batch[0])
    else:
        if any(a.pairs % b for b in a.batch): p.error(f'--pairs {a.pairs} is not a multiple of every batch in {a.batch}')
        known = [*METHODS, *(OTHERS if a.bench_python else ())]
        if a.methods and (OURS not in a.methods or not set(a.methods) <= set(known)): p.error(f'--methods takes {OURS!r} and any of {known}')
        for b in a.batch: show(b, measure(b, a), a)
