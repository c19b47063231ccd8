"""What bench/train.py and bench/predict.py share: the study's network in plain torch, and processes that take turns.

Each method runs in a process of its own, one thread each, and only one of them works at a time: in every round each gets its turn, in the
order of the list and then backwards. A method is measured by the CPU time of its process, all threads included."""
import json, os, subprocess, sys
from pathlib import Path
from time import process_time

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
ONE = {k: '1' for k in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS', 'NUMBA_NUM_THREADS', 'TF_NUM_INTRAOP_THREADS', 'TF_NUM_INTEROP_THREADS')}

def plain_resnet(c_in=2, classes=3, filters=(64, 128, 128), kernels=(8, 5, 3)):
    "The study's network as one would write it in torch: Conv1d, BatchNorm1d, a zero pad before the even kernel"
    import torch
    from torch import nn
    class Block(nn.Module):
        def __init__(self, ni, nf):
            super().__init__()
            layers = []
            for width, k in zip((ni, nf, nf), kernels):
                layers += [nn.BatchNorm1d(width), nn.ReLU(), nn.ConstantPad1d(((k-1)//2, k//2), 0.), nn.Conv1d(width, nf, k)]
            self.layers, self.short = nn.Sequential(*layers), nn.Conv1d(ni, nf, 1) if ni != nf else nn.Identity()
        def forward(self, x): return self.layers(x) + self.short(x)
    widths = (c_in, *filters)
    return nn.Sequential(*[Block(a, b) for a, b in zip(widths, widths[1:])], nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(widths[-1], classes))

def channels_last(net):
    "The same network in four dimensions, (n, channels, 1, npts), with the channels of a sample side by side in memory"
    import torch
    from torch import nn
    class Lift(nn.Module):
        def forward(self, x): return x[:,:,None].contiguous(memory_format=torch.channels_last)
    def flat(m):
        for k, c in m.named_children():
            if isinstance(c, nn.Conv1d):
                new = nn.Conv2d(c.in_channels, c.out_channels, (1, c.kernel_size[0]))
                new.load_state_dict(dict(weight=c.weight[:,:,None], bias=c.bias))
            elif isinstance(c, nn.BatchNorm1d):
                new = nn.BatchNorm2d(c.num_features)
                new.load_state_dict(c.state_dict())
            elif isinstance(c, nn.ConstantPad1d): new = nn.ConstantPad2d((*c.padding, 0, 0), 0.)
            elif isinstance(c, nn.AdaptiveAvgPool1d): new = nn.AdaptiveAvgPool2d(1)
            else: new = flat(c)
            setattr(m, k, new)
        for a, b in zip(list(m.children()), list(m.children())[1:]):
            if isinstance(a, nn.ConstantPad2d) and a.padding[0] == a.padding[1]:   # an odd kernel: the convolution pads as it goes
                b.padding, a.padding = (0, a.padding[0]), (0, 0, 0, 0)
        return m
    return nn.Sequential(Lift(), flat(net)).to(memory_format=torch.channels_last)

def keep_memory():
    "Let glibc keep freed memory: it gives blocks above 32 MB back to the system at once, and faulting them in again costs up to half of the CPU time"
    import ctypes
    libc = ctypes.CDLL(None)
    if not (libc.mallopt(-4, 0) and libc.mallopt(-1, -1)): raise RuntimeError('mallopt refused')   # M_MMAP_MAX, M_TRIM_THRESHOLD

def serve(work, **facts):
    "In a worker: warm up, tell the facts, then do `work` once for each line that comes in and answer with its CPU seconds"
    out, sys.stdout = sys.stdout, sys.stderr
    work()
    print(json.dumps(facts), file=out, flush=True)
    for _ in sys.stdin:
        start = process_time()
        work()
        print(json.dumps(process_time() - start), file=out, flush=True)

class Worker:
    "A process that does one method when asked"
    def __init__(self, python, script, name, args, path):
        self.log, env = Path(path)/'log.txt', dict(os.environ, PYTHONPATH=str(ROOT), PYTHONDONTWRITEBYTECODE='1', TF_CPP_MIN_LOG_LEVEL='3', KERAS_HOME=str(path), **ONE)
        command = [str(python), str(Path(script).resolve()), '--worker', str(name), *map(str, args)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log.open('w', encoding='utf-8'), text=True, encoding='utf-8', env=env, cwd=path)
        self.facts = self.answer()
    def answer(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else None
    def turn(self):
        self.process.stdin.write('\n')
        self.process.stdin.flush()
        if (seconds := self.answer()) is None: raise RuntimeError(f'a worker ended: {self.reason()}')
        return seconds
    def reason(self): return (self.log.read_text(encoding='utf-8', errors='replace').strip().splitlines() or ['no message'])[-1]
    def close(self):
        self.process.stdin.close()
        self.process.wait()

def interleave(script, todo, rounds, folder):
    "name -> (facts, CPU seconds of each round), of `todo`: name -> (python, arguments). A method that cannot start is named, with the reason, and left out"
    workers = {}
    for i, (name, (python, args)) in enumerate(todo.items()):
        (path := Path(folder)/str(i)).mkdir(parents=True)
        w = Worker(python, script, name, args, path)
        if w.facts is None:
            print(f'left out: {name}: {w.reason()}', flush=True)
            w.close()
        else: workers[name] = w
    times = {k: [] for k in workers}
    for r in range(rounds):
        for k in list(workers)[::1 if r % 2 == 0 else -1]: times[k].append(workers[k].turn())
    for w in workers.values(): w.close()
    return {k: (workers[k].facts, np.array(t)) for k, t in times.items()}

def ratio(a, b):
    "How many times as fast b is as a, round by round: median (lowest to highest)"
    r = a/b
    return f'{np.median(r):.2f} ({r.min():.2f} to {r.max():.2f})'
