"""CPU time per pair of the time-frequency misfit, beside obspy, a scipy loop and what the arithmetic itself must cost; one thread.

    python bench/misfit.py                            # 4,000 simulated pairs, 9 rounds: three minutes
    python bench/misfit.py --pairs 1000 --rounds 3
    python bench/misfit.py --recipes                  # the recipes that ship, beside obspy in the periods of each: ten seconds

In each round every method takes its turn on its own share of the pairs. Ratios are taken within a round; the table has their medians.
"""
import argparse, os
for k in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'): os.environ[k] = '1'   # before numpy is loaded

from time import process_time

import numpy as np
from obspy.signal.tf_misfit import em, pm
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import gaussian
from fwinb.labels.timefreq import gabor_cost, gabor_plan, recipe_grid, tf_grid
from fwinb.labels.misfit import PAPER_THRESHOLDS, add_misfit, calibrate_thresholds, grade, tf_difference, tf_misfit
from fwinb.pairs.recipes import load_recipe
from fwinb.pairs.schema import STUDY, build_pairs
from fwinb.earth.simulate import simulate_pairs

PAIRS = 27_489                                     # that the study grades
RECIPES = 'study', 'surface', 'middle', 'short'

def obspy_misfit(obs, syn, dt, periods=STUDY.periods):
    "Envelope and phase misfit of obspy for each pair: Morlet wavelet, 36 frequencies"
    keys = dict(dt=dt, fmin=1/periods[1], fmax=1/periods[0], nf=36)
    return [(em(u, v, **keys), pm(u, v, **keys)) for v, u in zip(obs, syn)]

def scipy_misfit(obs, syn, dt, s=100.):
    "The misfit of fwinb with scipy's short-time transform, pair by pair, at the nearest frequencies that an FFT has"
    half = int(5*s/dt)
    stft = ShortTimeFFT(gaussian(2*half+1, s/dt), hop=32, fs=1/dt, mfft=2276, phase_shift=None)   # 1/(2276 dt) = .25 mHz
    band = slice(9, 81, 2)                                                                       # 2.25, 2.75, ... 19.75 mHz
    out = []
    for pair in zip(obs, syn):
        v, u = (stft.stft(np.roll(x/np.abs(pair[0]).max(), -16), p0=0, p1=32)[band] for x in pair)   # the first window sits half a step from the start
        a, b, phi = np.abs(u), np.abs(v), np.angle(u*v.conj())
        out.append((np.sqrt(((a-b)**2).sum()/(b**2).sum()), np.sqrt((a*b*phi**2).sum()/(a*b).sum())))
    return np.array(out)

def dense_misfit(obs, syn, dt):
    "The definition in double precision: (2, n)"
    parts = [tf_difference(obs[i:i+100], syn[i:i+100], dt) for i in range(0, len(obs), 100)]
    return np.sqrt([np.concatenate([getattr(d, k).sum((-2, -1)) for d in parts]) for k in ('envelope_part', 'phase_part')])

def machine(n=1000, size=2**24):
    "Operations per second of a large matrix product, and bytes per second of a copy that no cache holds, in single precision"
    a, b, x, y = np.ones((n, n), np.float32), np.ones((n, n), np.float32), np.ones(size, np.float32), np.ones(size, np.float32)
    def best(f):
        def once():
            start = process_time()
            f()
            return process_time() - start
        return min(once() for _ in range(5))
    return 2*n**3/best(lambda: a @ b), 2*x.nbytes/best(lambda: np.copyto(y, x))

def roofline(dt, npts):
    "Seconds that the transforms of a pair take at least, by operations and by bytes"
    flops, rate = machine()
    cost = gabor_cost(gabor_plan(npts, dt, tf_grid()))
    return max(2*(cost['fft'] + cost['product'])/flops, 2*(cost['record'] + cost['cells'])/rate)

def methods(pairs):
    "name -> (pairs in one round, function of obs, syn, dt)"
    def graded(obs, syn, dt):
        some = pairs.isel(pair=slice(len(obs))).assign(waveform=(('pair', 'trace', 'time'), np.stack([obs, syn], axis=1)))
        return add_misfit(some)
    return {'tf_misfit, single precision': (None, tf_misfit), 'tf_misfit, double precision': (1000, lambda *a: tf_misfit(*a, dtype=np.float64)),
            'add_misfit (with lag, correlations, flag)': (None, graded), 'definition (dense, double precision)': (100, dense_misfit),
            'scipy ShortTimeFFT loop': (50, scipy_misfit), 'obspy em + pm': (4, obspy_misfit)}

def rounds(pairs, n_rounds, seed=0):
    "CPU seconds per pair: (method, round), and the roofline of each round"
    obs, syn = (np.ascontiguousarray(pairs.waveform.values[:, k]) for k in (0, 1))
    dt, rng, todo = STUDY.length/obs.shape[-1], np.random.default_rng(seed), methods(pairs)
    for n, f in todo.values(): f(obs[:2], syn[:2], dt)       # plans, caches, imports
    times, bound = {k: [] for k in todo}, []
    for _ in range(n_rounds):
        for k, (n, f) in todo.items():
            i = rng.permutation(len(obs))[:n or len(obs)]
            v, u = obs[i], syn[i]
            start = process_time()
            f(v, u, dt)
            times[k].append((process_time() - start)/len(i))
        bound.append(roofline(dt, obs.shape[-1]))
    return {k: np.array(v) for k,v in times.items()} | {'roofline of the transforms': np.array(bound)}

def flips(pairs):
    "Share of pairs that get another class in single precision than from the definition, and the largest relative error of the misfit"
    obs, syn = pairs.waveform.values.astype(float).transpose(1, 0, 2)
    dt = STUDY.length/obs.shape[-1]
    fast, exact = tf_misfit(np.float32(obs), np.float32(syn), dt).total, dense_misfit(obs, syn, dt).sum(0)
    edges = dict(paper=PAPER_THRESHOLDS, calibrated=calibrate_thresholds(exact))
    return {k: (grade(fast, e) != grade(exact, e)).mean() for k,e in edges.items()}, np.abs(fast/exact - 1).max()

def agreement(pairs, n=50):
    "Median relative difference of the scipy loop's misfit from ours: it has nearly the same grid"
    obs, syn = pairs.waveform.values[:n].astype(float).transpose(1, 0, 2)
    dt = STUDY.length/obs.shape[-1]
    return np.median(np.abs(scipy_misfit(obs, syn, dt).sum(1)/tf_misfit(obs, syn, dt).total - 1))

def noise_pairs(recipe, n, seed=0):
    "Pairs of a recipe: noise in its band, half of it common to both traces. What a pair costs does not depend on its values"
    f = np.fft.rfftfreq(recipe.npts, recipe.dt)
    gain = np.interp(f, recipe.band, [0, 1, 1, 0], 0, 0)
    common, own = (np.fft.irfft(np.fft.rfft(np.random.default_rng([seed, k]).standard_normal((n, m, recipe.npts)))*gain, recipe.npts)
                   for k, m in enumerate((1, 2)))
    return build_pairs(1e-5*(common + own), recipe=recipe, component=recipe.components[-1], event='E', station=[f'XX.A{i}.00.LHT' for i in range(n)],
                       event_latitude=0, event_longitude=0, event_depth_km=15, event_magnitude=6.5, moment_tensor=np.full((n, 6), np.nan), station_latitude=0,
                       station_longitude=60, distance_deg=60, azimuth_deg=90, origin='simulated', status='ok')

def recipe_rounds(n, n_rounds, few=2):
    "name of the recipe -> CPU seconds per pair, (method, round): transforms and sums, `add_misfit`, obspy"
    todo = {}
    for name in RECIPES:
        recipe = load_recipe(name)
        pairs = noise_pairs(recipe, n)
        v, u = (np.ascontiguousarray(pairs.waveform.values[:, k]) for k in (0, 1))
        todo[name] = {
            'ours': (n, lambda v=v, u=u, r=recipe: tf_misfit(v, u, r.dt, recipe_grid(r), r.gabor_window)), 'graded': (n, lambda p=pairs: add_misfit(p)),
            'obspy': (few, lambda v=v, u=u, r=recipe: obspy_misfit(v[:few], u[:few], r.dt, r.periods))}
    times = {name: {k: [] for k in row} for name, row in todo.items()}
    for i in range(n_rounds + 1):                            # the first fills the caches
        for name, row in todo.items():
            for k, (m, f) in row.items():
                start = process_time()
                f()
                if i: times[name][k].append((process_time() - start)/m)
    return {name: {k: np.array(v) for k, v in row.items()} for name, row in times.items()}

def print_recipes(n, n_rounds):
    print(f'{"recipe":10} {"npts":>6} {"cells":>12} {"tf_misfit (us)":>15} {"add_misfit (us)":>16} {"obspy em + pm (us)":>19} {"obspy / tf_misfit":>18}')
    for name, t in recipe_rounds(n, n_rounds).items():
        recipe, grid = load_recipe(name), recipe_grid(load_recipe(name))
        cells = f'{len(grid.times)} x {len(grid.freqs)}'
        ours, graded, obspy = (np.median(t[k])*1e6 for k in ('ours', 'graded', 'obspy'))
        print(f'{name:10} {recipe.npts:6} {cells:>12} {ours:15,.1f} {graded:16,.1f} {obspy:19,.0f} {np.median(t["obspy"]/t["ours"]):18,.0f}')
    print(f'{n:,} pairs of noise in the band of each recipe, {n_rounds} rounds, one thread; CPU time per pair')

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--pairs', type=int, default=4000)
    p.add_argument('--rounds', type=int, default=9)
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--recipes', action='store_true', help='only the table of the recipes that ship')
    a = p.parse_args()
    print_recipes(min(a.pairs, 1000), a.rounds)
    if a.recipes: raise SystemExit()
    pairs = simulate_pairs(a.pairs, seed=a.seed, earths=2, progress=False)
    pairs = pairs.isel(pair=np.flatnonzero(add_misfit(pairs).grade.values > 0))
    times = rounds(pairs, a.rounds, a.seed)
    ours = times['tf_misfit, single precision']
    print(f'{"":42} {"us per pair":>12} {"times tf_misfit":>16} {f"{PAIRS:,} pairs (s)":>19}')
    for k, v in times.items(): print(f'{k:42} {np.median(v)*1e6:12,.1f} {np.median(v/ours):16,.2f} {np.median(v)*PAIRS:19,.2f}')
    share, error = flips(pairs)
    print(f'{len(pairs.pair):,} pairs, {a.rounds} rounds; classes that differ from the definition in double precision: '
          + ', '.join(f'{100*x:.3f} % ({k} thresholds)' for k,x in share.items()) + f'; largest relative error of the misfit {error:.1e}')
    print(f'scipy loop against tf_misfit: median difference {100*agreement(pairs):.2f} %')
