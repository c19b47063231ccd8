"""What a selector for phases accepts and one for waveforms does not, and whether it should: both selectors against both truths, and faults planted in single records.

    python bench/purposes.py [--waves3d FILE]     # data/results/purposes.csv and purposes_planted.csv; two minutes of CPU time

Nothing is taught, tuned or chosen here. `world`: 'study', 'surface' and 'middle' are pairs of Earths that no selector has seen; 'waves mild' and 'waves bad' are waves of
another code with noise, defects and wrong sources of another generator (data/waves3d.py), where the clean record stands for the synthetic of the true structure; few
earthquakes. Real records with planted faults: bench/outside.py --lanes real --real FOLDER --model phase=phase.
"""
import argparse, os, sys
for k in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'): os.environ[k] = '1'   # before numpy is loaded

from functools import partial
from pathlib import Path

import numpy as np, pandas as pd
from fwinb.earth.simulate import USABLE, linear_error, phase_error, simulate_pairs
from fwinb.labels.correlation import dominant_period
from fwinb.labels.truth import recall_at_precision
from fwinb.models.pretrained import PURPOSES, describe, fitting_model
from fwinb.models.recipe_model import best_precision
from fwinb.pairs.bootstrap import bootstrap_events
from fwinb.pairs.schema import STUDY, recipe_of
from fwinb.pairs.store import atomic_path
from fwinb.select import decide_pairs

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP/'data'))
from waves3d import WORLDS, clean_waves, in_band, spoiled_waves

SEED = 2790                                                                    # of no training
SIZES = dict(study=(8000, 100), surface=(6000, 50), middle=(3000, 50))         # pairs, stations of an event
DRAWS = 5, 6, 7                                                                # seeds of noise and faults of the waves

def decisions(pairs):
    "Table of `decide_pairs` by purpose"
    recipe = recipe_of(pairs)
    models = {k: fitting_model(name, recipe) for k, name in PURPOSES.items()}
    table = describe(pairs, models['waveform'])                                # the same for both
    return {k: decide_pairs(table, m, best_precision(m), recipe=recipe) for k, m in models.items()}

def judge(world, found, truths, event):
    "A row per selector and truth"
    for selector, t in found.items():
        score, taken = np.nan_to_num(t.usable.values, nan=-1.), t.decision.values == 'accept'
        for truth, u in truths.items():
            recall = lambda s, x: recall_at_precision(s, x)[0]
            low, high = bootstrap_events(recall, event, score, u, resamples=200, within=(0, 1))
            yield dict(world=world, selector=selector, truth=truth, pairs=len(u), usable=u.mean(), recall_at_95=recall(score, u), low=low, high=high,
                       accepted=taken.mean(), precision=u[taken].mean(), recall=taken[u].mean())

def simulated(recipe, n, stations):
    pairs = simulate_pairs(n, seed=SEED, earths=8, recipe=recipe, per_event=stations, progress=False)
    truths = {k: pairs[e].values < USABLE for k, e in (('waveform', 'linear_error'), ('phase', 'phase_error'))}
    return judge(recipe, decisions(pairs), truths, pairs.event.values.astype(str))

def other_waves(clean, world):
    parts = []
    b = in_band(clean['observed'].astype(float), float(clean['time_s'][1] - clean['time_s'][0]), STUDY.times)
    for seed in DRAWS:
        w = spoiled_waves(clean, world, seed)
        obs, syn = w.pairs.waveform.values.astype(float).transpose(1, 0, 2)
        g = w.truths['fit']
        parts.append((decisions(w.pairs), dict(waveform=linear_error(obs, syn, g) < USABLE, phase=phase_error(obs, syn, g, b) < USABLE), w.earthquake))
    found = {k: pd.concat([p[0][k] for p in parts], ignore_index=True) for k in PURPOSES}
    return judge(f'waves {world}', found, {k: np.concatenate([p[1][k] for p in parts]) for k in PURPOSES}, np.concatenate([p[2] for p in parts]))

# planted faults

def late(periods, x, T, rng):
    f = np.fft.rfftfreq(4*x.shape[-1], STUDY.dt)
    return np.fft.irfft(np.fft.rfft(x, 4*x.shape[-1])*np.exp(-2j*np.pi*f*periods*T[:,None]), 4*x.shape[-1])[:,:x.shape[-1]]

def gain(k, x, T, rng): return k*x

def own_noise(x, T, rng):
    u = np.fft.rfft(x)
    return np.fft.irfft(np.abs(u)*np.exp(2j*np.pi*rng.random(u.shape)), x.shape[-1])

FAULTS = {'nothing': partial(gain, 1), **{f'gain x{k:g}': partial(gain, k) for k in (2, 3)}, 'gain x1/2': partial(gain, 1/2), 'gain x1/3': partial(gain, 1/3),
          'polarity': partial(gain, -1), 'noise of its spectrum': own_noise, **{f'late by {k:g} periods': partial(late, k) for k in (.25, .7, -.7)}}

def planted():
    "Faults in one record of ten of those that both accept, of a set without other defects: how many are still accepted"
    pairs = simulate_pairs(1500, seed=SEED, earths=3, defects=0, progress=False)
    accepted, rng = decisions(pairs), np.random.default_rng(0)
    both = np.flatnonzero(np.all([t.decision == 'accept' for t in accepted.values()], 0))
    some = np.sort(rng.permutation(both)[:150])
    period = dominant_period(pairs.waveform.values[some,1].astype(float), STUDY.dt, *STUDY.periods)
    for name, fault in FAULTS.items():
        w = pairs.waveform.values.copy()
        w[some,0] = fault(w[some,0].astype(float), period, rng)
        now = decisions(pairs.assign(waveform=(pairs.waveform.dims, w, pairs.waveform.attrs)))
        yield dict(fault=name, records=len(some), **{k: (t.decision.values[some] == 'accept').sum() for k, t in now.items()})

def save(rows, path):
    table = pd.DataFrame(rows).round(4)
    print(table.to_string(index=False), flush=True)
    with atomic_path(path) as tmp: table.to_csv(tmp, index=False)

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--waves3d', help='.npz file with the waves of another code')
    p.add_argument('--out', type=Path, default=TOP/'data'/'results')
    a = p.parse_args()
    save(planted(), a.out/'purposes_planted.csv')
    rows = [r for recipe, size in SIZES.items() for r in simulated(recipe, *size)]
    if a.waves3d: rows += [r for world in WORLDS for r in other_waves(clean_waves(a.waves3d), world)]
    save(rows, a.out/'purposes.csv')
