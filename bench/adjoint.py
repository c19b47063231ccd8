"""CPU time of adjoint sources: five misfits, many windows at once, beside pyadjoint 0.2.2 trace by trace; one thread.

    python bench/adjoint.py                                # ours alone: one minute
    python bench/adjoint.py --bench-python ENV/bin/python  # beside pyadjoint; ENV: pip install pyadjoint==0.2.2
    ENV/bin/python bench/adjoint.py --reference            # writes tests/expected/pyadjoint_sources.csv

Numbers are for 10,000 stations with three components, 1,024 samples and two windows each, scaled from the traces of a round."""
import argparse, os, sys, tempfile
from importlib.metadata import version
for k in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'): os.environ[k] = '1'   # before numpy is loaded
from pathlib import Path

import numpy as np
from interleave import interleave, ratio, serve

ROOT = Path(__file__).resolve().parent.parent
FULL, NPTS, DT = 30_000, 1024, 1800/1024
OURS = 'waveform', 'cc_traveltime', 'exponentiated_phase', 'tf_phase', 'tf_envelope'
THEIRS = OURS[:3]

def traces(n, seed=0):
    "Observations and synthetics (n, npts), m: noise of 50 to 500 s, two thirds of it common to both; and windows (2n, 3): pair, left, right"
    rng, f = np.random.default_rng(seed), np.fft.rfftfreq(NPTS, DT)
    make = lambda: np.fft.irfft(np.fft.rfft(rng.standard_normal((n, NPTS)))*((f > .002) & (f < .02)), NPTS)
    common = make()
    length, left = rng.integers(120, 440, (2, n)), rng.integers(0, 70, (2, n)) + np.array([[0], [512]])
    windows = np.stack([np.tile(np.arange(n), 2), left.ravel(), (left+length).ravel()], axis=1)
    return 1e-5*(common + .5*make()), 1e-5*(common + .5*make()), windows

def pyadjoint_source(obs, syn, dt, windows, kind, period=50.):
    "Adjoint source of pyadjoint, in forward time; windows: (left, right) in samples"
    import obspy, pyadjoint
    a, b = (obspy.Trace(x, dict(delta=dt, channel='LXZ')) for x in (obs, syn))
    config = pyadjoint.get_config(kind, period, 10*period, **(dict(use_cc_error=False) if kind == 'cc_traveltime' else {}))
    edges = [((l+.25)*dt, (r+.5)*dt) for l, r in windows]                    # pyadjoint rounds s down to samples
    return pyadjoint.calculate_adjoint_source(observed=a, synthetic=b, config=config, windows=edges).adjoint_source[::-1]

def reference(path):
    "Two short traces and pyadjoint's adjoint sources of two windows"
    t, pulse = np.arange(120)*5., lambda x, T: np.exp(-(x/(.9*T))**2/2)*np.cos(2*np.pi*x/T)
    syn = (pulse(t-150, 70) + .8*pulse(t-430, 90)).round(5)
    obs = (1.3*pulse(t-163, 72) + .7*pulse(t-418, 95) + .1*pulse(t-480, 60)).round(5)
    windows = (4, 58), (60, 115)
    columns = dict(obs=obs, syn=syn) | {k: pyadjoint_source(obs, syn, 5., windows, k) for k in THEIRS}
    rows = [','.join(columns)] + [','.join(f'{x:.6g}' for x in row) for row in zip(*columns.values())]
    Path(path).write_text('\n'.join(rows) + '\n', encoding='utf-8')
    print(f'{path}: pyadjoint {version("pyadjoint")}')

def our_worker(kind, n):
    import pandas as pd
    from fwinb.adjoint.misfits import adjoint_sources
    obs, syn, windows = traces(n)
    windows = pd.DataFrame(windows, columns=['pair', 'left', 'right'])
    serve(lambda: adjoint_sources(obs, syn, DT, windows, kind), n=n)

def their_worker(kind, n):
    obs, syn, windows = traces(n)
    of = [windows[windows[:,0] == i,1:] for i in range(n)]
    serve(lambda: [pyadjoint_source(o, s, DT, w, kind) for o, s, w in zip(obs, syn, of)], n=n)

def measure(a):
    "(whose, kind, traces) -> (facts, CPU seconds of each round)"
    command = lambda whose, kind, n: ['--kind', kind, '--traces', n] + (['--theirs'] if whose == 'pyadjoint' else [])
    cases = [('fwinb', k, n) for k in OURS for n in a.traces]
    if a.bench_python: cases += [('pyadjoint', k, a.few) for k in THEIRS]
    todo = {c: (os.path.abspath(a.bench_python) if c[0] == 'pyadjoint' else sys.executable, command(*c)) for c in cases}
    with tempfile.TemporaryDirectory() as folder: return interleave(__file__, todo, a.rounds, folder)

def show(got, a):
    most = max(a.traces)
    print(f'{"CPU-s for 30,000 traces":24} {"fwinb":>8} {"pyadjoint":>10} {"times as fast":>22}   cost per trace from {min(a.traces):,} to {most:,} traces')
    for k in OURS:
        ours = {n: got['fwinb', k, n][1]/n*FULL for n in a.traces}
        theirs = got.get(('pyadjoint', k, a.few))
        beside = (f'{np.median(theirs[1])/a.few*FULL:10,.0f}', ratio(theirs[1]/a.few*FULL, ours[most])) if theirs else ('', '')
        print(f'{k:24} {np.median(ours[most]):8.1f} {beside[0]:>10} {beside[1]:>22}   x {ratio(ours[most], ours[min(a.traces)])}')

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--traces', type=int, nargs='*', default=[300, 3000], help='traces in a round: the largest number is reported, the smallest shows how cost grows')
    p.add_argument('--few', type=int, default=30, help='traces in a round of pyadjoint')
    p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--bench-python', help='Python of an environment with pyadjoint')
    p.add_argument('--reference', action='store_true', help='only write the reference of the tests')
    for k in ('--worker', '--kind'): p.add_argument(k, help=argparse.SUPPRESS)
    p.add_argument('--theirs', action='store_true', help=argparse.SUPPRESS)
    a = p.parse_args()
    if a.reference: reference(ROOT/'tests'/'expected'/'pyadjoint_sources.csv')
    elif a.worker: (their_worker if a.theirs else our_worker)(a.kind, a.traces[0])
    else: show(measure(a), a)
