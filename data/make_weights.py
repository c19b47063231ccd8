"""Make data/weights: the selector and the study's network that ship with fwinb, taught on SIMULATED pairs, with their model cards.

Run from the top level by `make weights`. Parts are kept in runs/weights, so that a run that was killed goes on. The same seeds give the same pairs and, on the same
machine with one thread, the same weights. Training, calibration and test pairs live in different Earths with different events:

    usable, phase  windows of the recipes of RECIPES: pairs of random worlds and of the default one; a calibration (other worlds) and a test (the default world) for each recipe
    cal      20,000 pairs,   200 events,  8 Earths (seed 102)               calibrates `paper`
    test     33,000 pairs,   330 events, 12 Earths (seed 103)               the numbers of the card of `paper`
    study    27,489 pairs,   275 events,  8 Earths (seed 0)                 teaches `paper`, by their misfit grades

`--which ablation` teaches the selector of the study again, on fewer pairs, each time without something: for bench/outside.py, which judges it outside of the world that taught it.
"""
import argparse, subprocess, time
from pathlib import Path

import numpy as np, torch
from threadpoolctl import threadpool_limits
from fwinb.earth.simulate import random_world, simulate_pairs
from fwinb.earth.structure import seeded
from fwinb.features.window_features import window_feature_names
from fwinb.labels.misfit import PAPER_FRACTIONS, add_misfit, calibrate_thresholds
from fwinb.models.inference import predict_proba
from fwinb.models.pretrained import PURPOSES, Model, load_model
from fwinb.models.recipe_model import (
    LIMITS, calibrate_model, draw_pairs, finish_model, judge_model, load_data, make_parts, plan_parts, save_data, training_data)
from fwinb.models.resnet import ResNet1d, network_input
from fwinb.models.selector import SelectorData, calibrate, for_purpose, join_data, save_model, selector_data, train_selector
from fwinb.models.train import fit, index_loaders, make_learner, seed_everything
from fwinb.pairs.recipes import load_recipe
from fwinb.pairs.schema import STUDY, recipe_attrs
from fwinb.pairs.store import atomic_path, open_pairs
from fwinb.pairs.workers import keep_memory

TOP = Path(__file__).resolve().parent.parent
STORES = dict(cal_102=(20_000, 102, 8), test_103=(33_000, 103, 12), study_0=(27_489, 0, 8))   # pairs, seed, Earths
RECIPES = dict(study=(60_000, 0), surface=(40_000, 1), middle=(20_000, 2))      # pairs of the training, seed
GROWN = dict(waveform=dict(iterations=250, rate=.06), phase=dict(iterations=125, rate=.1))   # trees: half as many of phase, for the size of the package
ABLATION = 20_000                                                               # pairs of each training
CAVEATS = ['taught and tested on simulated pairs only (PREM against path-average seismograms of random Earths, with noise and ten kinds of defects)',
           'vertical displacement, 1800 s from the centroid time, T > 50 s, synthetics of PREM or of a model as near to the truth',
           'a precision holds for pairs with as many usable ones as in the calibration (28 to 31 %); fewer usable pairs mean a lower precision at the same limit']

def log(text): print(time.strftime('%H:%M:%S'), text, flush=True)

def store(name, folder, scale):
    "Open the pairs, simulated if they are not there"
    n, seed, earths = STORES[name]
    path = folder/f'{name}.zarr'
    if not path.exists():
        log(f'simulate {name}')
        simulate_pairs(max(int(n*scale), 200*earths if scale < 1 else 0), seed=seed, earths=earths, path=path, progress=False)
    pairs = open_pairs(path, dask=False)
    if scale == 1 and pairs.sizes['pair'] != n: raise ValueError(f"{path} holds {pairs.sizes['pair']} pairs, not {n}: remove it")
    return pairs

def commit():
    git = lambda *a: subprocess.run(['git', '-C', str(TOP), *a], capture_output=True, text=True, encoding='utf-8').stdout.strip()
    return git('rev-parse', '--short=12', 'HEAD') + ('+changes' if git('status', '--porcelain', '-uno') else '')

def judge(model, pairs, graded, folder, out, truth):
    "Put the numbers of the test pairs on the card, and the tables beside it"
    model, groups, scores = judge_model(model, graded, truth, log)
    with atomic_path(out/f'{model.name}_groups.csv') as tmp: groups.to_csv(tmp)
    np.save(folder/f'{model.name}_test.npy', scores)
    save_model(model, out)

def make_usable(a, folder, out, purpose='waveform'):
    known, weights = {}, PURPOSES[purpose]
    for name, (n, seed) in RECIPES.items():
        recipe = load_recipe(name)
        plan, work = plan_parts(max(500, int(n*a.scale)), seed, len(recipe.components)), folder/name
        work.mkdir(exist_ok=True)
        make_parts(recipe, plan, work, a.workers, log)
        known[name] = recipe, plan, work, for_purpose(training_data(plan, work), purpose)
    sets = {k: v[-1] for k, v in known.items()}
    log(f'train on {sum(len(d.x) for d in sets.values()):,} windows')
    start = time.process_time()
    trees, scale = train_selector(sets, seed=0, **GROWN[purpose])
    seconds, cards = round(time.process_time() - start), []
    for name, (recipe, plan, work, data) in known.items():
        model, groups = finish_model(weights, trees, scale, recipe, data, plan, work, log, purpose)
        with atomic_path(out/f'{weights}_{name}_groups.csv') as tmp: groups.to_csv(tmp)
        cards.append(model.card)
    common = dict(commit=commit(), others=cards[1:]) | {'CPU seconds of training': seconds}
    for k in ('training pairs', 'windows of training', 'worlds'): common[k] = sum(c[k] for c in cards)
    save_model(Model(weights, cards[0] | common, trees, scale), out)

def make_phase(a, folder, out): make_usable(a, folder, out, 'phase')

def ablated(data, without):
    "`SelectorData` without something"
    if without == 'terms':
        x = data.x.copy()
        x[:,len(window_feature_names()):] = np.nan
        return data._replace(x=x)
    kept = data.kind == 'whole' if without == 'windows' else np.ones(len(data.kind), bool)
    return SelectorData(*(v[kept] for v in data))

def plain_pairs(seed, n, recipe): return simulate_pairs(min(n, 1500), seed, earths=1, linear=True, progress=False, recipe=recipe)

def flat_pairs(seed, n, recipe):
    "As `draw_pairs`, without focusing and scattered waves"
    choices = random_world(seeded(seed, 17), min(n, 1500))
    choices['world'] = choices['world']._replace(focusing=0., scattered=0.)
    return simulate_pairs(seed=seed, **choices, linear=True, progress=False, recipe=recipe) if seed % 3 else plain_pairs(seed, n, recipe)

def make_ablation(a, folder, out):
    "Selectors of the study without worlds, physics, terms or windows, calibrated alike"
    recipe, n = STUDY, max(500, int(ABLATION*a.scale))
    plan = plan_parts(RECIPES['study'][0] if a.scale == 1 else max(500, int(RECIPES['study'][0]*a.scale)), 0)
    sources = dict(all=draw_pairs, worlds=plain_pairs, physics=flat_pairs)
    for without in ('all', 'worlds', 'physics', 'terms', 'windows'):
        path = folder/'ablation'/f'{without if without in sources else "all"}.npz'
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            log(f'simulate {path.stem}')
            parts, left = [], n
            while left > 0:
                pairs = sources[path.stem](700_000 + len(parts), max(left, 10), recipe)
                parts.append(selector_data(pairs, len(parts)))
                left -= pairs.sizes['pair']
            save_data(join_data(parts), path)
        data = ablated(load_data(path), without)
        trees, scale = train_selector(dict(study=data), seed=0)
        name = 'full' if without == 'all' else f'without_{without}'
        valid = ablated(load_data(folder/'study'/'calibrate.npz'), without if without != 'windows' else 'nothing')
        log(f"{save_model(calibrate_model(name, trees, scale, recipe, data, plan, valid), folder/'ablation'/name)} is ready")

def make_paper(a, folder, out):
    study = add_misfit(store('study_0', folder, a.scale))
    edges = calibrate_thresholds(study.misfit.values, PAPER_FRACTIONS)
    study, cal, test = (add_misfit(p, edges) for p in (study, *(store(k, folder, a.scale) for k in ('cal_102', 'test_103'))))
    rows, npts, names = np.flatnonzero(study.grade.values > 0), 256, ['Class I', 'Class II', 'Class III', 'Class IV']
    x, labels = network_input(study, npts, dtype=torch.float16)[rows], np.array(names, object)[study.grade.values[rows]-1]
    valid = np.isin(study.event.values[rows], np.random.default_rng(0).permutation(np.unique(study.event.values.astype(str)))[:14])   # to watch
    if a.judge: return judge_paper(load_model(str(out/'paper.json')), cal, test, a, folder, out)
    seed_everything(0)
    net = ResNet1d(2, 4)
    dls = index_loaders(x, labels, np.flatnonzero(~valid), np.flatnonzero(valid), names, 64, seed=0)
    start = time.process_time()
    history = fit(make_learner(dls, net, bf16=True), a.paper_epochs, 2e-3, 'one_cycle', checkpoint=folder/'paper_state', progress=False)
    log(history.round(4).to_string())
    card = dict(architecture='ResNet1d', arguments=net.arguments, npts=npts, target='misfit grades I to IV', limits=LIMITS, **recipe_attrs(STUDY), caveats=CAVEATS, thresholds=[float(e) for e in edges], seeds='0 (training), 102 (calibration), 103 (test)',
                Earths='8, 8, 12', commit=commit(), epochs=a.paper_epochs, history=history.drop(columns='seconds').round(4).to_dict('list'))
    card |= {'training pairs': int((~valid).sum()), 'CPU seconds of training': round(time.process_time() - start)}
    judge_paper(Model('paper', card, net.eval()), cal, test, a, folder, out)

def judge_paper(model, cal, test, a, folder, out):
    ok = cal.grade.values > 0
    p = predict_proba(model.net, network_input(cal, model.card['npts'])[ok])
    model = model._replace(card=dict(model.card, calibration=calibrate(p, cal.grade.values[ok].astype(int), cal.usable.values[ok])))
    judge(model, store('test_103', folder, a.scale), test, folder, out, np.where(test.grade.values > 0, test.grade.values, 4).astype(int))

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--which', nargs='+', choices=('usable', 'phase', 'paper', 'ablation'), default=['usable', 'phase', 'paper'])
    p.add_argument('--workers', type=int, default=1, help='processes that simulate')
    p.add_argument('--paper-epochs', type=int, default=12)
    p.add_argument('--judge', action='store_true', help='paper only: train nothing, put the numbers of the test pairs on the card of the weights that are there')
    p.add_argument('--scale', type=float, default=1., help='of the numbers of pairs, to try it out')
    p.add_argument('--folder', default=str(TOP/'runs'/'weights'))
    p.add_argument('--out', default=str(TOP/'data'/'weights'))
    a = p.parse_args()
    folder, out = Path(a.folder), Path(a.out)
    for d in (folder, out): d.mkdir(parents=True, exist_ok=True)
    keep_memory()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        for k in a.which: dict(usable=make_usable, phase=make_phase, paper=make_paper, ablation=make_ablation)[k](a, folder, out)
