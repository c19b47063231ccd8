"""Does the selection give a better Earth, where neither the waves nor the noise are of fwinb.earth? Selections of fwinb.inversion.choices on data/waves3d.py.

    python bench/earths.py --waves3d FILE                          # the table of data/results: some 25 minutes of CPU time
    python bench/earths.py --waves3d FILE --draws 5 6 7 --choices all usable --unseen-draws --out FILE.csv

From PREM, each selection is fitted four times and made again before each (unless it is frozen). `variance_reduction` is the share of the difference of the
clean records to PREM that the maps explain, without terms of events and stations; every trace counts the same. `left_out`: the fit has not seen this
earthquake, and is judged on it alone; empty: all are fitted and judged. The other columns are of the selection that the iteration fitted.

The modes of fwinb.earth only carry the changes: what they lack of the file's PREM synthetics stays as it is in every model. The file's source has a half
duration of 20 s whatever the magnitude. The folds that weigh the data against the prior are earthquakes: the parts of one share its paths.
"""
import argparse, os, sys
for k in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'): os.environ[k] = '1'   # before numpy is loaded

from copy import copy
from pathlib import Path
from time import process_time
from typing import NamedTuple

import numpy as np, pandas as pd
from fwinb.earth.simulate import Source, norm
from fwinb.inversion.choices import CHOICES, Truth, View
from fwinb.inversion.gauss_newton import FOLDS, Fit, gauss_newton_step, precision
from fwinb.inversion.sphere import Sphere, prem_model, synthetics
from fwinb.inversion.study import counted
from fwinb.pairs.schema import STUDY

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP/'data'))
from waves3d import PARTS, WORLDS, clean_waves, in_band, spoiled_waves

DRAWS = 5,              # seeds of noise and faults
UNSEEN = 5,             # those where each earthquake is left out in turn
ITERATIONS = 4
HALF_DURATION = 20.     # s, of every source of the file (its info_json)
CLEAN = 'clean'         # every pair, without noise, faults and errors of the source; no bound
COMPARED = (
    'all', 'all, robust', 'random', 'misfit', 'misfit, frozen', 'rule', 'half-period rule', 'usable', 'usable, frozen', 'phase',
    'windows, FLEXWIN', 'windows, usable', 'usable + terms', 'all, robust + terms', 'half-period rule + terms', 'phase, delay',
    'half-period rule, delay', 'usable, delay', 'oracle, linear', 'oracle, sound', CLEAN)

class Judged(NamedTuple):
    "Pairs to fit and paths to judge on"
    pairs:object        # Dataset to fit
    sphere:Sphere       # of it
    truth:Truth
    test:Sphere         # pairs to judge on
    clean:np.ndarray    # (tests, npts) their clean records, m
    first:View          # in PREM

def magnitude_of(half_duration):
    "The magnitude whose sources last as long by the rule of `Source`"
    return 2/3*np.log10((half_duration/Source(0, 0, 0, 0, None, 0).half_duration)**3)

def sphere_of(pairs, earthquake):
    "`Sphere` with sources as long as those of the file, and events numbered such that the folds are earthquakes"
    s = Sphere(pairs.assign(event_magnitude=('pair', np.full(pairs.sizes['pair'], magnitude_of(HALF_DURATION)))))
    quake, part = np.unique(earthquake, return_inverse=True)[1], np.array([e.rsplit('.', 1)[1] for e in pairs.event.values.astype(str)], int)
    s.event = quake % FOLDS + FOLDS*(part + PARTS*(quake//FOLDS))
    return s

def judged(waves, clean, left_out=''):
    "`Judged` with an earthquake that the fit does not see, or none"
    fitted, tests = waves.earthquake != left_out, (waves.earthquake == left_out) | (not left_out)
    sphere, test = (sphere_of(waves.pairs.isel(pair=np.flatnonzero(k)), waves.earthquake[k]) for k in (fitted, tests))
    pairs, truth = waves.pairs.isel(pair=np.flatnonzero(fitted)), Truth(clean[fitted], linear=waves.truths['fit'][fitted])
    return Judged(pairs, sphere, truth, test, clean[tests], View(pairs, sphere, prem_model(sphere), sphere.prem, truth))

def variance_reduction(j, maps):
    "1: all of it; 0: as PREM; negative: worse"
    share = lambda u: ((norm(j.clean-u)/norm(j.clean))**2).sum()
    return 1 - share(synthetics(j.test, prem_model(j.test)._replace(maps=maps)))/share(j.test.prem)

def fits(j, name, iterations=ITERATIONS):
    "A row per iteration of a selection"
    choice, sphere, first = CHOICES['all' if name == CLEAN else name], j.sphere, j.first
    if name == CLEAN:
        sphere = copy(sphere)
        sphere.obs = j.truth.clean
        first = View(j.pairs, sphere, prem_model(sphere), sphere.prem, j.truth)
    start = model = prem_model(sphere)
    prior, weights, view = precision(sphere, choice.terms), None, first
    for k in range(1, iterations+1):
        if k > 1: view = View(j.pairs, sphere, model, synthetics(sphere, model), j.truth)
        if weights is None or choice.again: weights = choice.choose(view)
        whole = weights.ndim == 1
        keep = weights if whole else weights.any(1)
        fit = Fit(sphere, keep, None if whole else weights, choice.misfit, choice.robust, choice.terms)
        step = gauss_newton_step(fit, model, start, prior, view.syn)
        model = step.model
        yield dict(iteration=k, variance_reduction=variance_reduction(j, model.maps)) | counted(view, keep) | dict(
            length=step.length, variance=step.variance, weight=step.weight)

def check(j):
    "Print what the modes lack of the file's PREM synthetics"
    lack = norm(j.sphere.rest)/norm(j.sphere.prem)
    print(f'the modes lack {np.median(lack):.0%} of the PREM synthetics (median norm; nine in ten: below {np.quantile(lack, .9):.0%})', flush=True)

def run(path, out, choices=COMPARED, draws=DRAWS, unseen=UNSEEN, worlds=tuple(WORLDS)):
    "Write the rows of all fits as they come"
    z, begun, rows = clean_waves(path), process_time(), []
    clean = in_band(z['observed'].astype(float), float(z['time_s'][1]-z['time_s'][0]), STUDY.times)
    for draw in draws:
        for world in worlds:
            waves = spoiled_waves(z, world, draw)
            for left_out in ('', *np.unique(waves.earthquake)) if draw in unseen else ('',):
                j = judged(waves, clean, left_out)
                if not rows: check(j)
                for name in choices:
                    key = dict(world=world, draw=draw, selection=name, left_out=left_out)
                    rows += [key | r for r in fits(j, name)]
                    pd.DataFrame(rows).round(4).to_csv(out, index=False)
                    print(*key.values(), f'{rows[-1]["variance_reduction"]:.3f}, {process_time()-begun:.0f} s of CPU time', sep='; ', flush=True)
    return pd.DataFrame(rows)

def show(table):
    "Variance reduction at the end: mean over draws, and over earthquakes that the fit has not seen"
    t = table[table.iteration == table.iteration.max()]
    t = t.assign(earthquakes=np.where(t.left_out == '', 'all', 'unseen'))
    t = t.pivot_table(index='selection', columns=['world', 'earthquakes'], values='variance_reduction', sort=False)
    print(t.sort_values(t.columns[-1], ascending=False).round(3).to_string())

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--waves3d', required=True, help='.npz file with the waves of another code')
    p.add_argument('--choices', nargs='+', choices=COMPARED, default=COMPARED, metavar='SELECTION', help='; '.join(COMPARED).replace('%', '%%'))
    p.add_argument('--draws', nargs='+', type=int, default=DRAWS, help='seeds of noise and faults')
    p.add_argument('--unseen-draws', nargs='*', type=int, default=UNSEEN, help='those where each earthquake is left out in turn')
    p.add_argument('--out', type=Path, default=TOP/'data'/'results'/'earths_3d.csv')
    a = p.parse_args()
    show(run(a.waves3d, a.out, a.choices, a.draws, a.unseen_draws))
