"""What windows bring, the tables windows.csv and windows_3d.csv of data/results; called by make_results.py, which has the options.

Simulated: for each recipe two sets of pairs with Earths, events and noise of their own, which the shipped selector has not seen: to choose every threshold, to test. Measured windows,
truth and probabilities of each set are kept in runs/windows, so that a run that was stopped goes on where it was.
3-D: waves of a spectral-element code in a 3-D Earth (an .npz file with `observed`, `synthetic` every 2 s, and the linear effects `g_fit` and `g_theory` of the
structure at the samples of the study), made dirty by the generator of waves3d.py, which shares nothing with fwinb.earth.noise. Nothing is taught on them, and no threshold is chosen there.
"""
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np, pandas as pd
from fwinb.earth.simulate import USABLE, simulate_pairs
from fwinb.features.network_terms import network_term_table
from fwinb.features.window_features import window_error, window_features
from fwinb.features.windows import parameters_for, whole_traces, window_table
from fwinb.models.inference import tree_probabilities
from fwinb.models.metrics import apply_platt, usable_probability
from fwinb.models.pretrained import classify, describe, fitting_model, selector_inputs
from fwinb.models.windows import (
    admitted_seconds, admitted_windows, best_level, rules_with_terms, score_levels, seconds_difference, seconds_row,
    station_faults, window_seconds)
from fwinb.pairs.schema import STUDY, recipe_of
from fwinb.pairs.store import atomic_path
from waves3d import clean_waves, spoiled_waves

RECIPES = dict(study=100, surface=50)       # stations of an event
SEEDS = dict(calibrate=2602, test=2603)
N, EARTHS = 8000, 5                         # pairs and Earths of each set
MEASURES = 'seconds', 'signal'
REFUSED = 's2n', 'tshift', 'dlna'           # reasons before the correlation is looked at

# parts

class Part(NamedTuple):
    "A set of pairs without its traces"
    pairs:pd.DataFrame    # a row per pair: event, cluster, misfit, probability of the selector, `fault` of the station
    terms:pd.DataFrame    # of `network_term_table`
    picked:pd.DataFrame   # windows by the parameters of the recipe, with seconds, signal and truth
    candidates:pd.DataFrame # windows that have the shape of one, whatever the data quality of their trace
    whole:pd.DataFrame

def keep(path, make):
    "A `Part` from its file, made if it is not there"
    if not path.exists():
        columns = {f'{k}/{c}': np.asarray(t[c]) for k, t in make()._asdict().items() for c in t}
        arrays = {k: v.astype(str) if v.dtype.kind == 'O' else v for k, v in columns.items()}
        with atomic_path(path) as tmp, open(tmp, 'wb') as f: np.savez_compressed(f, **arrays)
    z, tables = np.load(path), {k: {} for k in Part._fields}
    for name in z:
        table, column = name.split('/', 1)
        tables[table][column] = z[name]
    return Part(**{k: pd.DataFrame(v) for k, v in tables.items()})

def with_truth(pairs, windows, truths, terms, model):
    "Seconds, signal, the probability of the selector, and the error by each truth (name -> linear effect; None: that of the pairs)"
    windows = windows.reset_index(drop=True)
    errors = pd.DataFrame({f'error{k}': window_error(pairs, windows, g) for k, g in truths.items()})
    p = tree_probabilities(model.net, selector_inputs(windows, window_features(pairs, windows), terms, recipe_of(pairs)))
    usable = apply_platt(usable_probability(p), *model.card['window_calibration']['platt'])
    return windows.join([window_seconds(pairs, windows), errors]).assign(usable=usable)

def part(pairs, truths={'': None}, cluster=None):
    "All that is needed of a set of pairs"
    recipe = recipe_of(pairs)
    model = fitting_model('usable', recipe)
    table = describe(pairs, model)
    terms = network_term_table(table, recipe=recipe)
    known = pd.DataFrame(dict(
        event=pairs.event.values, cluster=pairs.event.values if cluster is None else cluster, misfit=table.misfit.values,
        selector=classify(table, model).usable.values, fault=station_faults(table, terms, recipe)))
    sets = dict(picked=window_table(pairs).table, candidates=window_table(pairs, parameters_for(recipe, check_global_data_quality=False)).table,
                whole=whole_traces(pairs))
    return Part(known, terms, **{k: with_truth(pairs, t, truths, terms, model) for k, t in sets.items()})

def simulated(recipe, role):
    pairs = simulate_pairs(N, seed=SEEDS[role], earths=EARTHS, per_event=RECIPES[recipe], recipe=recipe, progress=False, linear=True)
    return part(pairs)

# settings

class Setting(NamedTuple):
    "A way to admit intervals"
    windows:pd.DataFrame
    score:np.ndarray
    weight:np.ndarray
    rules:float=None        # the score from which the rules admit, if they say it

def settings(p, recipe):
    "Name -> `Setting`"
    w, c, t = p.whole, p.picked, p.candidates
    def of_pair(x, windows): return p.pairs[x].values[windows.pair.values]
    level, ones = parameters_for(recipe).cc_acceptance_level, np.ones(len(w))
    own = fitting_model('usable', recipe).card['window_calibration']['accept_from']['0.95']
    out = {
        'whole traces: misfit': Setting(w, -of_pair('misfit', w), ones),
        'whole traces: selector': Setting(w, of_pair('selector', w), ones),
        'FLEXWIN': Setting(c, c.correlation.where(~c.reason.isin(REFUSED)).values, c.weight.values, level),
        'FLEXWIN + terms, corrected': Setting(c, rules_with_terms(c, p.terms, p.pairs.fault.values, recipe), c.weight.values, level),
        'FLEXWIN + terms, refused': Setting(c, rules_with_terms(c, p.terms, p.pairs.fault.values, recipe, False), c.weight.values, level),
        'FLEXWIN of traces by the selector': Setting(c, np.where(c.decision == 'accept', of_pair('selector', c), np.nan), c.weight.values)}
    both = pd.concat([t, w], ignore_index=True)
    for kind, x in (('windows', t), ('windows and whole traces', both)):
        out[f'{kind}: selector'] = Setting(x, x.usable.values, x.usable.values*x.seconds.values, own)
    return out

def truth_settings(p, error):
    "What a selection could reach that knows the truth"
    def known(t): return Setting(t, np.where(t[error] < USABLE, 1., np.nan), t.seconds.values, 1.)
    return {'whole traces: the truth': known(p.whole), 'windows: the truth': known(p.candidates)}

class Sums(NamedTuple):
    "Seconds by event, (event, level, 2), of one setting on one part"
    levels:np.ndarray
    all:dict         # measure -> all usable seconds
    saved:dict       # measure -> those of traces that are not usable as a whole

def sums_of(s, p, levels, error='error'):
    "`Sums` of a setting"
    rows, events = admitted_windows(s.windows, s.score, levels, s.weight), list(dict.fromkeys(p.pairs.event))
    windows = s.windows.assign(error=s.windows[error])
    sound = p.whole.set_index('pair')[error].reindex(windows.pair.values).values < USABLE
    spoiled = windows.assign(error=np.where(sound, np.inf, windows.error))
    return Sums(np.asarray(levels), *({of: admitted_seconds(t, rows, events, of) for of in MEASURES} for t in (windows, spoiled)))

AGAINST = 'whole traces: selector'
INSIDE = 'windows inside of whole traces: selector'

def inside(p):
    "All windows of traces, good or not, by the selector's probability of the traces"
    return Setting(p.candidates, p.pairs.selector.values[p.candidates.pair.values], p.candidates.seconds.values)

def rows_of(p, found, chosen):
    "Rows of the table: by the rules, at the level of the calibration, at 95 % precision found here; `more`: seconds above those of `AGAINST`"
    traces, cluster, rows = p.pairs.event.value_counts(sort=False).values, p.pairs.drop_duplicates('event').cluster.values, []
    for (name, at), x in found.items():
        for of in MEASURES:
            level = chosen[name, of] if at == 'calibrated' else None if at == 'found here' else 0
            best = best_level(x.all[of]) if level is None else level
            saved = x.saved[of][:,best,1].sum()/traces.sum() if best >= 0 else 0.
            row = dict(setting=name, measure=of, at=at, level=x.levels[best] if best >= 0 else np.nan)
            row |= seconds_row(x.all[of], traces, level, cluster=cluster) | dict(saved=saved)
            other = (AGAINST, 'found here' if level is None else 'calibrated')
            against = None if level is None else chosen[AGAINST, of]
            more = seconds_difference(x.all[of], found[other].all[of], traces, (level, against), cluster=cluster)
            rows.append(row | dict(zip(('more', 'more low', 'more high'), more)))
    return rows

def tables(calibration, tests, recipe):
    "Rows for each test (world -> (part, column of the error)), with thresholds from the calibration"
    known = settings(calibration, recipe)
    levels = {k: score_levels(s.score) for k, s in known.items()}
    chosen, rows = {}, []
    for name, s in known.items():
        x = sums_of(s, calibration, levels[name])
        chosen |= {(name, of): best_level(x.all[of]) for of in MEASURES}
    for world, (p, error) in tests.items():
        here, found = settings(p, recipe), {}
        for name, s in here.items():
            if s.rules is not None: found[name,'rules'] = sums_of(s, p, [s.rules], error)
            found[name,'calibrated'] = found[name,'found here'] = sums_of(s, p, levels[name], error)
        found[INSIDE,'as the traces'] = sums_of(inside(p), p, [levels[AGAINST][chosen[AGAINST,'signal']]], error)
        found |= {(name, 'truth'): sums_of(s, p, [1.], error) for name, s in truth_settings(p, error).items()}
        rows += [dict(world=world, pairs=len(p.pairs), events=p.pairs.cluster.nunique(), **r) for r in rows_of(p, found, chosen)]
    return pd.DataFrame(rows)

def make(folder, waves=None, say=print):
    "Table of the simulated worlds, and that of the 3-D waves if their file is given (else None)"
    from fwinb.pairs.recipes import load_recipe
    folder.mkdir(parents=True, exist_ok=True)
    recipes = {k: load_recipe(k) for k in RECIPES}
    parts = {(k, role): keep(folder/f'{k}_{role}.npz', partial(simulated, k, role)) for k in RECIPES for role in SEEDS}
    here = pd.concat([tables(parts[k,'calibrate'], {k: (parts[k,'test'], 'error')}, recipes[k]) for k in RECIPES], ignore_index=True)
    if waves is None: return here, None
    def other():
        w = spoiled_waves(clean_waves(waves))
        return part(w.pairs, {f'_{k}': g for k, g in w.truths.items()}, w.earthquake)
    p = keep(folder/'waves3d.npz', other)
    worlds = {f'3-D, {k}': (p, f'error_{k}') for k in ('fit', 'theory')}
    return here, tables(parts['study','calibrate'], worlds, STUDY)
