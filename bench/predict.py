"""CPU time of the study's network in use: a plain torch loop, fwinb's predict_proba, and what layout, bfloat16 and other runtimes make of it; one thread.

    python bench/predict.py                                     # torch and fwinb; 2 x 1024 samples, then 512, 256 and 128
    python bench/predict.py --bench-python ENV/bin/python       # onnxruntime and openvino too, from an environment of their own (bench/requirements.txt)

A turn is a pass over all pairs that are in memory. All methods have the same random weights and statistics; 'error' is the largest difference of a
probability from plain torch in float32. See interleave.py for how turns are measured.
"""
import argparse, os, sys, tempfile
from interleave import ONE, channels_last, keep_memory, plain_resnet, ratio, serve, interleave
os.environ.update(ONE)                                          # before numpy is loaded

import numpy as np

def network(seed=0):
    "The plain network in use, with statistics that are not those of a fresh one"
    import torch
    from torch import nn
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    net = plain_resnet()
    for m in net.modules():
        if isinstance(m, nn.BatchNorm1d):
            m.running_mean.normal_(0, .1)
            m.running_var.uniform_(.5, 2)
    return net.eval()

def data(pairs, npts, seed=0):
    import torch
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((pairs, 2, npts), np.float32))

def batched(f, x, batch):
    "Probabilities by a function of one batch that gives numbers before the softmax"
    import torch
    with torch.no_grad(): return torch.cat([f(b).float().softmax(-1) for b in x.split(batch)])

def torch_worker(x, batch, bf16=False, keep=False):
    import torch
    if keep: keep_memory()
    net = network()
    def work():
        with torch.autocast('cpu', torch.bfloat16, enabled=bf16): return batched(net, x, batch)
    finish(work, x, f'torch {torch.__version__}')

def fwinb_worker(x, batch, **keys):
    import torch
    from fwinb.models.resnet import ResNet1d
    from fwinb.models.inference import predict_proba
    keep_memory()
    net, model = network(), ResNet1d()
    model.load_state_dict(dict(zip(model.state_dict(), net.state_dict().values())))   # same layers in the same order
    finish(lambda: predict_proba(model, x, **keys), x, f'torch {torch.__version__}')

def folded(net):
    "Batch norm that follows a convolution goes into it"
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval
    for seq in [m for m in net.modules() if isinstance(m, nn.Sequential)]:
        for i, (a, b) in enumerate(zip(list(seq), list(seq)[1:])):
            if isinstance(a, nn.Conv1d) and isinstance(b, nn.BatchNorm1d): seq[i], seq[i+1] = fuse_conv_bn_eval(a, b), nn.Identity()
    return net

def layout_worker(x, batch, bf16=False, keep=True):
    import torch
    if keep: keep_memory()
    dtype = torch.bfloat16 if bf16 else torch.float32
    net = channels_last(folded(network())).eval().to(dtype)
    finish(lambda: batched(lambda b: net(b.to(dtype)), x, batch), x, f'torch {torch.__version__}')

def onnx_worker(x, batch):
    import onnxruntime, torch
    torch.onnx.export(network(), (x[:batch],), 'net.onnx', input_names=['x'], dynamo=True, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    run = onnxruntime.InferenceSession('net.onnx', options, providers=['CPUExecutionProvider']).run
    finish(lambda: batched(lambda b: torch.from_numpy(run(None, {'x': b.numpy()})[0]), x, batch), x, f'onnxruntime {onnxruntime.__version__}')

def openvino_worker(x, batch, bf16=False):
    import openvino, torch
    net = openvino.convert_model(network(), example_input=x[:batch], input=[list(x[:batch].shape)])
    run = openvino.compile_model(net, 'CPU', dict(INFERENCE_NUM_THREADS=1, NUM_STREAMS=1, INFERENCE_PRECISION_HINT='bf16' if bf16 else 'f32'))
    finish(lambda: batched(lambda b: torch.from_numpy(run(b.numpy())[0]), x, batch), x, f'openvino {openvino.__version__.split("-")[0]}')

def finish(work, x, version):
    "Compare with plain torch, then serve"
    exact = batched(network(), x, 16).numpy()
    serve(work, version=version, error=float(np.abs(np.asarray(work()) - exact).max()))

PLAIN, OURS, BEST = 'plain torch', 'predict_proba', 'predict_proba, folded, bf16'
METHODS = {PLAIN: torch_worker, 'plain torch, memory kept': lambda *a: torch_worker(*a, keep=True), 'plain torch, bf16': lambda *a: torch_worker(*a, bf16=True), OURS: lambda *a: fwinb_worker(*a, fold=False),
           'predict_proba, folded': lambda *a: fwinb_worker(*a, fold=True), BEST: lambda *a: fwinb_worker(*a, fold=True, bf16=True),
           'folded, channels last': lambda *a: layout_worker(*a, keep=False), 'the same, memory kept': layout_worker, 'the same, bf16': lambda *a: layout_worker(*a, bf16=True)}
OTHERS = {'onnxruntime': onnx_worker, 'openvino': openvino_worker, 'openvino, bf16': lambda *a: openvino_worker(*a, bf16=True)}

def cases(a):
    "(method, batch or None for predict_proba's own, samples)"
    own = lambda k: k.startswith(OURS)
    full = [(k, b, a.npts[0]) for k in [*METHODS, *(OTHERS if a.bench_python else ())] for b in ([None] if own(k) else a.batch)]
    if a.methods: full = [c for c in full if c[0] in a.methods]
    return full + [(k, 16384//n if not own(k) else None, n) for n in a.npts[1:] for k in (PLAIN, BEST)]

def measure(a):
    "(method, batch, samples) -> (facts, CPU seconds of each round)"
    todo = {}
    for k, b, n in cases(a):
        args = ['--method', k, '--pairs', a.pairs, '--batch', b or 0, '--npts', n]
        todo[k, b, n] = (os.path.abspath(a.bench_python) if k in OTHERS else sys.executable, args)
    with tempfile.TemporaryDirectory() as folder: return interleave(__file__, todo, a.rounds, folder)

def show(got, a):
    rate = lambda key: a.pairs/np.median(got[key][1])
    best = max((k for k in got if k[0] == PLAIN and k[2] == a.npts[0]), key=rate)
    print(f'{a.pairs} pairs, {a.rounds} rounds; plain torch is fastest in batches of {best[1]}')
    print(f'{"":30} {"samples":>7} {"batch":>6} {"pairs per CPU-s":>15} {"times plain torch at its best":>30} {"error":>8}  version')
    for (k, b, n), (facts, t) in got.items():
        print(f'{k:30} {n:7} {b or "own":>6} {a.pairs/np.median(t):15,.1f} {ratio(got[best][1], t):>30} {facts["error"]:8.0e}  {facts["version"]}')
    top = (BEST, None, a.npts[0])
    for k in [k for k in got if k[0] == PLAIN and k[2] == a.npts[0]]:
        print(f'{BEST} against plain torch in batches of {k[1]}: {ratio(got[k][1], got[top][1])}, wanted 2: {"yes" if np.median(got[k][1]/got[top][1]) >= 2 else "NO"}')
    for n in a.npts[1:]:
        fast = got[BEST, None, n][1]
        print(f'{BEST} at {n} samples: {ratio(got[best][1], fast)} x plain torch at {a.npts[0]}, {ratio(got[top][1], fast)} x itself at {a.npts[0]}'
              + (', wanted 4.5 x: ' + ('yes' if np.median(got[best][1]/fast) >= 4.5 else 'NO') if n == 256 else ''))

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--pairs', type=int, default=256)
    p.add_argument('--npts', type=int, nargs='*', default=[1024, 512, 256, 128], help='samples: all methods at the first, plain torch and predict_proba at the others')
    p.add_argument('--batch', type=int, nargs='*', default=[16, 64, 256])
    p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--methods', nargs='*', help='names in the table that are run at the first number of samples; all if left out')
    p.add_argument('--bench-python', help='Python of an environment with bench/requirements.txt')
    p.add_argument('--worker', help=argparse.SUPPRESS)
    p.add_argument('--method', help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.worker: {**METHODS, **OTHERS}[a.method](data(a.pairs, a.npts[0]), a.batch[0])
    else:
        if any(a.pairs % b for b in a.batch): p.error(f'--pairs {a.pairs} is not a multiple of every batch in {a.batch}')
        known = [*METHODS, *(OTHERS if a.bench_python else ())]
        if a.methods and not {PLAIN, BEST} <= set(a.methods) <= set(known): p.error(f'--methods takes {PLAIN!r}, {BEST!r} and any of {known}')
        show(measure(a), a)
