"""CPU time and peak memory of simulating pairs, each case in a process of its own, one BLAS thread.

    python bench/simulate.py                     # the study's 27,489 pairs in memory, then 20,000 and 100,000 streamed to Zarr
    python bench/simulate.py --pairs 5000 --stores 5000 10000
    python bench/simulate.py --recipe surface --pairs --stores 27489     # three components, an hour and a half

The first case starts from an empty cache, so that it includes the modes, kernels and crust.
"""
import argparse, os, subprocess, sys, tempfile
from pathlib import Path

CASE = """
import resource, sys
from fwinb.earth.simulate import simulate_pairs
n, path, recipe = int(sys.argv[1]), sys.argv[2] or None, sys.argv[3]
pairs = simulate_pairs(n, path=path, recipe=recipe, progress=False)
u = resource.getrusage(resource.RUSAGE_SELF)
print(f'{recipe}: {n:7,} pairs {"to Zarr" if path else "in memory"}: {u.ru_utime+u.ru_stime:6.1f} CPU-s, peak {u.ru_maxrss/(1e9 if sys.platform == "darwin" else 1e6):.2f} GB, usable {float(pairs.usable.mean()):.3f}')
"""

def run(n, path, cache, recipe):
    env = dict(os.environ, FWINB_CACHE=str(cache), OMP_NUM_THREADS='1', OPENBLAS_NUM_THREADS='1', MKL_NUM_THREADS='1')
    print(subprocess.run([sys.executable, '-c', CASE, str(n), str(path or ''), recipe], env=env, check=True, stdout=subprocess.PIPE, text=True, encoding='utf-8').stdout, end='', flush=True)

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--pairs', type=int, nargs='*', default=[27489], help='sizes in memory')
    p.add_argument('--stores', type=int, nargs='*', default=[20000, 100000], help='sizes streamed to a store')
    p.add_argument('--recipe', default='study', help='of data/recipes.yml, or a file')
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as d:
        for n in a.pairs: run(n, None, Path(d)/'cache', a.recipe)
        for n in a.stores: run(n, Path(d)/f'{n}.zarr', Path(d)/'cache', a.recipe)
