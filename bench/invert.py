"""CPU time of inversions: five selections of one simulated Earth, five iterations each; the same on the membrane, six iterations; and a membrane gradient by number of threads. Run by hand: python bench/invert.py [seed]

On the Earth the cost of an iteration grows with pairs x maps, and with (maps x coefficients)^3 for the solution. CPU seconds of the whole process (one thread), experiment included. The threads are compared side by side, in turns; with other work on the machine's cores two threads can be many times slower than one.
"""
import os
for k in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS'): os.environ.setdefault(k, '1')
import sys, time
import numpy as np, torch
from threadpoolctl import threadpool_limits

from fwinb.inversion.experiment import make_experiment
from fwinb.inversion.selections import SELECTIONS
from fwinb.inversion.invert import Problem, invert, misfit_gradient
from fwinb.inversion.membrane import NODES, make_grid, speed_map, waves
from fwinb.inversion import choices, study

FIVE = ('all', 'misfit', 'rule', 'network', 'oracle')
FIVE_OF_EARTH = ('all', 'misfit', 'rule', 'usable', 'oracle, linear')

def earth(seed):
    "CPU seconds of the inversions of one simulated Earth"
    c0 = time.process_time()
    setting = study.make_setting(study.PLANS['mixed'], study.FIRST_SEED+seed)
    print(f'Earth: {time.process_time()-c0:.0f} s of CPU, {len(setting.sphere)} pairs of {setting.plan.events} earthquakes')
    for name in FIVE_OF_EARTH:
        c = time.process_time()
        history = study.invert(setting, choices.CHOICES[name])[1]
        print(f'{name:14s} {time.process_time()-c:5.0f} s of CPU, variance reduction {history.variance_reduction.iloc[-1]:.2f}', flush=True)
    print(f'one Earth, five selections: {(time.process_time()-c0)/60:.1f} CPU-minutes')

def gradient_seconds(experiment, grid, threads):
    "CPU and wall-clock seconds of the waves of all events and their derivative"
    m = torch.zeros(NODES, NODES, requires_grad=True)
    c, w = time.process_time(), time.perf_counter()
    with threadpool_limits(threads): waves(speed_map(m, grid), grid, experiment.events, experiment.stations).pow(2).mean().backward()
    return time.process_time()-c, time.perf_counter()-w

if __name__ == '__main__':
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    earth(seed)
    c0 = time.process_time()
    experiment, grid = make_experiment(seed, 'mixed'), make_grid()
    print(f'experiment: {time.process_time()-c0:.0f} s of CPU, {len(experiment.table)} pairs of {len(experiment.events)} earthquakes')
    for name in FIVE:
        c = time.process_time()
        history = invert(experiment, SELECTIONS[name], grid)[1]
        print(f'{name:10s} {time.process_time()-c:5.0f} s of CPU, {history.gradients.iloc[-1]} gradients, error {history.error.iloc[-1]:.2f}', flush=True)
    print(f'one seed, five selections: {(time.process_time()-c0)/60:.1f} CPU-minutes')
    times = np.array([[gradient_seconds(experiment, grid, n) for n in (1, 2)] for _ in range(3)])
    cells = len(experiment.events)*len(grid.wavelet)*(len(grid.x)+20)**2
    for n, (c, w) in zip((1, 2), np.median(times, 0)): print(f'gradient with {n} thread(s): {c:.2f} s of CPU, {w:.2f} s; {cells/w/1e6:.0f} million grid points a second, forward and back')
