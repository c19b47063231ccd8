"""Make data/weights: the two networks that ship with fwinb, taught on SIMULATED pairs, with their model cards.

Run from the top level by `make weights`. Pairs are kept in runs/weights, so that a run that was killed need not simulate them again. The same seeds give the same pairs
and, on the same machine with one thread, the same weights. Training, calibration and test pairs live in different Earths with different events:

    train   220,000 pairs, 2,200 events, 80 Earths (seeds 101 and 104)      teaches `usable`
    cal      20,000 pairs,   200 events,  8 Earths (seed 102)               calibrates both
    test     33,000 pairs,   330 events, 12 Earths (seed 103)               the numbers of the cards
    study    27,489 pairs,   275 events,  8 Earths (seed 0)                 teaches `paper`, by their misfit grades
"""
import argparse, subprocess, time
from pathlib import Path

import numpy as np, torch
from threadpoolctl import threadpool_limits
from fwinb.labels.misfit import PAPER_FRACTIONS, add_misfit, calibrate_thresholds
from fwinb.pairs.schema import STUDY, recipe_attrs
from fwinb.pairs.store import atomic_path, open_pairs
from fwinb.pairs.workers import keep_memory
from fwinb.models.resnet import ResNet1d, network_input
from fwinb.models.metrics import truth_class
from fwinb.models.pretrained import FEATURES, Model, load_model
from fwinb.models.recipe_model import LIMITS, TARGET, join_data, judge_model, probabilities
from fwinb.models.selector import calibrate, save_model, selector_data, train_selector
from fwinb.earth.simulate import simulate_pairs
from fwinb.models.train import fit, index_loaders, make_learner, seed_everything
from fwinb.models.inference import predict_proba

TOP = Path(__file__).resolve().parent.parent
STORES = dict(train_101=(110_000, 101, 40), train_104=(110_000, 104, 40), cal_102=(20_000, 102, 8), test_103=(33_000, 103, 12), study_0=(27_489, 0, 8))   # pairs, seed, Earths
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

def make_usable(a, folder, out):
    cal = store('cal_102', folder, a.scale)
    valid = selector_data(cal, share=.5, seed=9)
    if a.judge: return judge_usable(load_model(str(out/'usable.json')), valid, a, folder, out)
    parts = [selector_data(store(k, folder, a.scale), share=.5, seed=i) for i, k in enumerate(('train_101', 'train_104'))]
    log(f'train on {sum(len(p.x) for p in parts)} pairs')
    start = time.process_time()
    net, scale, history = train_selector(join_data(parts), valid, epochs=a.epochs, seed=0, progress=False)
    seconds = time.process_time() - start
    log(history.round(4).to_string())
    card = dict(architecture='SelectorNet', arguments=net.arguments, npts=128, features=list(FEATURES), target=TARGET, limits=LIMITS, **recipe_attrs(STUDY), caveats=CAVEATS,
                seeds='101, 104 (training), 102 (calibration), 103 (test)', Earths='80, 8, 12', commit=commit(), epochs=a.epochs, history=history.drop(columns='seconds').round(4).to_dict('list'))
    card |= {'training pairs': sum(len(p.x) for p in parts), 'CPU seconds of training': round(seconds)}
    judge_usable(Model('usable', card, net, scale), valid, a, folder, out)

def judge_usable(model, valid, a, folder, out):
    model = model._replace(card=dict(model.card, calibration=calibrate(probabilities(model.net, model.scale, valid), valid.truth, valid.usable)))
    test = store('test_103', folder, a.scale)
    graded = add_misfit(test, calibrate_thresholds(add_misfit(test).misfit.values, PAPER_FRACTIONS))
    judge(model, test, graded, folder, out, truth_class(test.linear_error.values))

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
    p.add_argument('--which', nargs='+', choices=('usable', 'paper'), default=['usable', 'paper'])
    p.add_argument('--epochs', type=int, default=7)
    p.add_argument('--paper-epochs', type=int, default=12)
    p.add_argument('--judge', action='store_true', help='train nothing: put the numbers of the test pairs on the cards of the weights that are there')
    p.add_argument('--scale', type=float, default=1., help='of the numbers of pairs, to try it out')
    p.add_argument('--folder', default=str(TOP/'runs'/'weights'))
    p.add_argument('--out', default=str(TOP/'data'/'weights'))
    a = p.parse_args()
    folder, out = Path(a.folder), Path(a.out)
    for d in (folder, out): d.mkdir(parents=True, exist_ok=True)
    keep_memory()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        for k in a.which: dict(usable=make_usable, paper=make_paper)[k](a, folder, out)
