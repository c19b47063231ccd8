
import json
from pathlib import Path
from typing import NamedTuple

import joblib, numpy as np, pandas as pd
from threadpoolctl import threadpool_limits

from ..earth.simulate import World, norm, path_structure, simulate_pairs
from ..earth import simulate
from ..pairs.recipes import load_recipe
from ..pairs.store import atomic_path
from .choices import CHOICES, Choice, Truth, View, linearly_usable, skipped, sound
from .gauss_newton import Fit, Step, gauss_newton_step, precision
from .sphere import Maps, Model, Sphere, harmonic_maps, prem_model, synthetics, true_maps

FIRST_SEED = 2900          # of the study; no selector has seen these Earths
LOW = 6                    # degree up to which maps are compared
ITERATIONS = 5             # of select and fit
VERSION = 1                # of the meaning of a run; a new one invalidates the runs on disk

class Plan(NamedTuple):
    "A world, a start and the selections to compare"
    name:str
    about:str
    choices:tuple
    world:World=World(focusing=1., scattered=.3)
    defects:object=None      # of `simulate_pairs`
    bias:float=0.            # dp/p of the start, everywhere
    shortest:tuple=()        # s: periods that the first iterations are restricted to
    recipe:str='study'
    events:int=40
    held:int=12               # events whose paths are for judging
    stations:int=30          # of an event

_MAIN = ('all', 'all, robust', 'misfit', 'rule', 'half-period rule', 'usable', 'phase', 'oracle, linear', 'oracle, sound',
         'usable + terms', 'half-period rule, delay', 'phase, delay')
_SEVEN = 'all, robust', 'misfit', 'half-period rule', 'usable', 'phase', 'phase, delay', 'oracle, linear'
_TERMS = 'all, robust + terms', 'half-period rule + terms', 'phase + terms'
_WORLD = World(focusing=1., scattered=.3)
PLANS = {p.name: p for p in (
    Plan('mixed', 'faults of every kind, some poor sources', tuple(CHOICES)),
    Plan('hard', 'late clocks, and a third of the events mislocated', _MAIN + _TERMS,
         _WORLD._replace(poor=1/3, clock=(5., 30.)), dict(clock=.25)),
    Plan('bad sources', 'every source three times as wrong', _MAIN + _TERMS, _WORLD._replace(poor=1.)),
    Plan('strong Earth', 'mantle twice as strong', _MAIN, _WORLD._replace(strength=2.)),
    Plan('biased start', 'start 1.5 % too slow', _MAIN, bias=.015),
    Plan('long periods first', 'strong Earth; T > 110 s, then 75 s, then all', _MAIN,
         _WORLD._replace(strength=2.), shortest=(110., 110., 75., 75.)),
    Plan('three components', 'Z, R and T to 5400 s', _SEVEN, recipe='surface', events=36, held=10, stations=20))}

class Setting(NamedTuple):
    "Everything that the inversions of one Earth have in common"
    plan:Plan
    seed:int
    pairs:object            # Dataset to invert
    sphere:Sphere
    truth:Truth
    maps:np.ndarray         # true ones, (waves, maps, k)
    test:Sphere             # pairs of the held events
    clean:np.ndarray        # (tests, npts) their records in the true Earth

def on_paths(
    earth,
    sphere:Sphere,
)->tuple:                   # dp/p (n, frequency), dln(omega) (n, families)
    "True structure on each path, of the wave of each trace"
    both = [path_structure(earth, *sphere.way, component=w) for w in sphere.waves]
    return tuple(np.stack(x)[sphere.wave,np.arange(len(sphere))] for x in zip(*both))

def make_setting(
    plan:Plan,
    seed:int,
)->Setting:
    "Simulate the records of an Earth"
    recipe = load_recipe(plan.recipe)
    n = (plan.events+plan.held)*plan.stations*len(recipe.components)
    every = simulate_pairs(n, seed, earths=1, per_event=plan.stations, defects=plan.defects, recipe=recipe,
                           world=plan.world, linear=True, progress=False)
    number = np.array([int(e.split('.')[1]) for e in every.event.values.astype(str)])
    earth = simulate.prepare(seed, earths=1, recipe=recipe, world=plan.world).earths[0]
    rows = np.flatnonzero(number < plan.events), np.flatnonzero((number >= plan.events) & (number < plan.events+plan.held))
    pairs, held = (every.isel(pair=r) for r in rows)
    sphere, test = Sphere(pairs), Sphere(held)
    truth = Truth(pairs.perturbed.values.astype(float), on_paths(earth, sphere))
    clean = synthetics(test, structure=on_paths(earth, test))
    light = pairs.drop_vars(['linear', 'perturbed'])
    return Setting(plan, seed, light, sphere, truth, true_maps(earth, sphere.maps, sphere.waves), test, clean)

def map_scores(
    maps, truth,     # (waves, maps, k)
    least:Maps=Maps(),
)->dict:             # correlation; correlation_1 .. of each degree; spurious
    "Agreement of the maps of the fundamental branch with the truth, means over periods and waves"
    l, n = harmonic_maps(least.lmax)[0], len(least.periods)
    a, b = (x[:,:n].reshape(-1, x.shape[-1]) for x in (maps, truth))
    def alike(k):
        both = np.sqrt((a[:,k]**2).sum(-1)*(b[:,k]**2).sum(-1))
        return float(np.divide((a[:,k]*b[:,k]).sum(-1), both, out=np.zeros(len(a)), where=both > 0).mean())
    k = (l > 0) & (l <= LOW)
    part = (a[:,k]*b[:,k]).sum(-1)/(b[:,k]**2).sum(-1)
    spurious = ((a[:,k] - part[:,None]*b[:,k])**2).sum(-1)/(b[:,k]**2).sum(-1)
    by_degree = {f'correlation_{d}': alike(l == d) for d in range(1, least.lmax+1)}
    return dict(correlation=alike(k), spurious=float(spurious.mean())) | by_degree

def variance_reduction(
    setting:Setting,
    model:Model,
)->float:            # 1: all of it; 0: as PREM; negative: worse
    "Share of the energy of clean unseen records, less those of PREM, that the maps explain; every trace counts the same"
    t = setting.test
    syn, size = synthetics(t, prem_model(t)._replace(maps=model.maps)), norm(setting.clean)
    share = lambda u: ((norm(setting.clean-u)/size)**2).sum()
    return float(1 - share(syn)/share(t.prem))

def start_model(
    setting:Setting,
)->Model:
    "PREM, or PREM with a wrong mean"
    m = prem_model(setting.sphere)
    m.maps[:,:len(setting.sphere.maps.periods),0] = setting.plan.bias
    return m

def invert(
    setting:Setting,
    choice:Choice,
    iterations:int=ITERATIONS,
)->tuple:            # `Model`, and a row per iteration (0: the start)
    "Select and fit, so many times"
    sphere, start = setting.sphere, start_model(setting)
    model, prior, weights, rows, step = start, precision(sphere, choice.terms), None, [], Step(start)
    for k in range(iterations+1):
        bands = setting.plan.shortest
        shortest = bands[k] if k < len(bands) else None
        syn = synthetics(sphere, model)
        view = View(setting.pairs, sphere, model, syn, setting.truth, shortest)
        if weights is None or choice.again: weights = choice.choose(view)
        keep = weights if weights.ndim == 1 else weights.any(1)
        row = dict(iteration=k, variance_reduction=variance_reduction(setting, model))
        row |= map_scores(model.maps, setting.maps, sphere.maps) | counted(view, keep)
        rows.append(row | dict(length=step.length, variance=step.variance, weight=step.weight))
        if k == iterations: break
        taper = None if weights.ndim == 1 else weights
        fit = Fit(sphere, keep, taper, choice.misfit, choice.robust, choice.terms, shortest)
        step = gauss_newton_step(fit, model, start, prior, syn)
        model = step.model
    return model, pd.DataFrame(rows)

def counted(
    view:View,
    keep,            # (n,) bool
)->dict:
    "Share of the pairs that are admitted, and among these of the sound ones, those usable in a linear step, and the skipped"
    mean = lambda x: float(x[keep].mean()) if keep.any() else np.nan
    return dict(admitted=float(keep.mean()), sound=mean(sound(view)), usable=mean(linearly_usable(view)),
                skipped=mean(skipped(view) & sound(view)))

def run_path(
    folder,
    plan:str,            # of `PLANS`
    seed:int,
    choice:str,          # of `CHOICES`
    iterations:int=ITERATIONS,
)->Path:
    "File of a run"
    words = '_'.join(''.join(c if c.isalnum() else ' ' for c in f'{plan} {seed} {choice} {iterations}').split())
    return Path(folder)/f'{words}-v{VERSION}.json'

def finish_setting(
    folder,              # of the runs
    plan:str,            # of `PLANS`
    seed:int,
    choices=None,        # names; None: those of the plan
    iterations:int=ITERATIONS,
    progress:bool=False,
)->None:
    "Compute the runs of one Earth that are missing in the folder"
    paths = {k: run_path(folder, plan, seed, k, iterations) for k in choices or PLANS[plan].choices}
    missing = {k: p for k, p in paths.items() if not p.exists()}
    if not missing: return
    with threadpool_limits(1):                              # the rounding depends on the number of threads
        setting = make_setting(PLANS[plan], seed)
        for name, path in missing.items():
            model, history = invert(setting, CHOICES[name], iterations)
            note = dict(plan=plan, seed=seed, selection=name, pairs=len(setting.sphere), history=history.to_dict('list'),
                        maps=model.maps.round(6).tolist(), truth=setting.maps.round(6).tolist())
            with atomic_path(path) as tmp: tmp.write_text(json.dumps(note), encoding='utf-8')
            if progress: print(f'{plan}, seed {seed}, {name}: {history.variance_reduction.iloc[-1]:.2f}', flush=True)

def run_study(
    folder,                  # of the runs; the same call resumes
    plans=tuple(PLANS),
    seeds=range(FIRST_SEED, FIRST_SEED+8),
    choices=None,            # names; None: those of each plan
    iterations:int=ITERATIONS,
    processes:int=1,         # Earths at a time
    progress:bool=False,     # a line for each run
)->None:
    "All runs of the study"
    unknown = (set(plans) - set(PLANS)) | (set(choices or ()) - set(CHOICES))
    if unknown:
        known = f'plans ({", ".join(PLANS)}) nor selections ({"; ".join(CHOICES)})'
        raise ValueError(f'{sorted(unknown)} are neither {known}')
    tasks = [(folder, p, s, choices, iterations, progress) for s in seeds for p in plans]
    parallel = dict(backend='loky', inner_max_num_threads=1) if processes > 1 else dict(backend='sequential')
    with joblib.parallel_config(**parallel):
        joblib.Parallel(n_jobs=processes)(joblib.delayed(finish_setting)(*t) for t in tasks)
