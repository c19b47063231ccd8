"""Do selectors keep their word outside the world that taught them? Three lanes, side by side; nothing is taught, tuned or chosen on the last two.

    python bench/outside.py                                        # the first lane only, printed: two minutes
    python bench/outside.py --waves3d FILE --real FOLDER           # all of them, and the tables of data/results: four minutes of CPU time
    python bench/outside.py --waves3d FILE --lanes simulated waves --model mine=FOLDER --model other=CARD

simulated  pairs of Earths that no model has seen, and of worlds drawn anew; the truth is `usable` of the pairs
waves      waves of another code in another Earth, with noise, defects and wrong sources of a generator that shares nothing with fwinb.earth.noise
           (data/waves3d.py). Two truths: the linear effect of the path's structure by a fit, and from the model alone. Few earthquakes, so the intervals are
           Student's; `part low` and `part high` resample the parts of the earthquakes instead, which have sources of their own but share the Earth's structure
real       records of earthquakes, and faults planted in the raw records of one sensor at a time. A pair counts as sound if its zero-lag correlation is at
           least .8 and its amplitude within the limit of the definition (|ln A| below .5). `witnesses` event: judged with the other records of the event,
           a second sensor of the same vault among them; none: alone

A selector is a function of pairs that gives an `Answer`, or None for a recipe that it does not know: add yours to `SELECTORS`; add a simulated world to `SIMULATED`.
Tables: outside.csv and outside_real.csv; rows of the lanes that are not asked for stay as they are.
"""
import argparse, os, sys, tempfile
for k in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'): os.environ[k] = '1'   # before numpy is loaded

from functools import lru_cache, partial
from pathlib import Path
from time import process_time
from typing import NamedTuple

import numpy as np, obspy, pandas as pd
from fwinb.data.archive import preprocess_folder
from fwinb.earth.simulate import USABLE, linear_error, random_world, simulate_pairs
from fwinb.earth.toroidal import prem_components
from fwinb.labels.truth import recall_at_precision
from fwinb.models.metrics import ece
from fwinb.models.pretrained import PURPOSES, describe, fitting_model, load_model, model_recipe, unlike_recipe
from fwinb.models.recipe_model import best_precision, each_event_alone
from fwinb.pairs.bootstrap import bootstrap_events
from fwinb.pairs.recipes import load_recipe
from fwinb.pairs.schema import recipe_of
from fwinb.pairs.store import atomic_path
from fwinb.select import decide_pairs

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP/'data'))
from waves3d import WORLDS, clean_waves, spoiled_waves

SEED, PAIRS, EARTHS = 2790, 8000, 8      # of each simulated world; a seed of no training
DRAWS = 5, 6, 7                          # seeds of noise and faults of the waves
LANES = 'simulated', 'waves', 'real'

# selectors

class Answer(NamedTuple):
    "What a selector says of pairs, (n,) each"
    score:np.ndarray        # larger is better; NaN: cannot say
    accepted:np.ndarray     # bool, at the limit that ships for a precision of .95
    probability:np.ndarray  # of being usable; NaN: none

KEPT = {}

def described(pairs, name):
    "Table of `describe` by a model that knows the recipe, made once for the pairs at hand"
    if KEPT.get('pairs') is not pairs:
        KEPT.clear()
        KEPT['pairs'] = pairs
    if name not in KEPT: KEPT[name] = describe(pairs, model_of(name, recipe_of(pairs)))
    return KEPT[name]

@lru_cache(None)
def model_of(name, recipe):
    "The model of that name; a selector that ships: the one for the recipe"
    return fitting_model(name, recipe) if name in PURPOSES.values() else load_model(name)

def by_misfit(pairs):
    "Small misfits; Classes I and II"
    t = described(pairs, 'usable')
    return Answer(-t.misfit.values, np.isin(t.grade.values, (1, 2)), np.full(len(t), np.nan))

def by_model(pairs, name, change=lambda table: table):
    "A model as `fwinb-select` asks it; `change`: of the table of `describe`"
    recipe, model = recipe_of(pairs), model_of(name, recipe_of(pairs))
    if unlike_recipe(recipe, model_recipe(model)): return None
    out = decide_pairs(change(described(pairs, name)), model, best_precision(model), recipe=recipe)
    return Answer(out.usable.values, out.decision.values == 'accept', out.usable.values)

ALONE = ', one event at a time'
SELECTORS = {'misfit': by_misfit, 'usable': partial(by_model, name='usable'), 'paper': partial(by_model, name='paper'),
             'usable'+ALONE: partial(by_model, name='usable', change=each_event_alone)}

# pairs whose truth is known

class Sample(NamedTuple):
    "Pairs that are judged together"
    pairs:object
    truths:dict           # name -> (n,) bool, usable
    cluster:np.ndarray    # (n,) earthquake, or what else is independent of the others
    part:np.ndarray       # (n,) event

def simulated(recipe='study', pairs=PAIRS, **world):
    "Samples of a world of fwinb.earth"
    p = simulate_pairs(pairs, seed=SEED, earths=EARTHS, recipe=recipe, progress=False, **world)
    event = p.event.values.astype(str)
    return [Sample(p, dict(own=p.usable.values), event, event)]

def random_worlds(worlds=24, pairs=500):
    "Samples of worlds drawn anew, source errors, Earth, stations, noise and defects; each is judged on its own and is a cluster"
    for k in range(SEED+1, SEED+1+worlds):
        p = simulate_pairs(seed=k, progress=False, **random_world(np.random.default_rng(k), pairs))
        yield Sample(p, dict(own=p.usable.values), np.full(p.sizes['pair'], k), np.array([f'{e} of {k}' for e in p.event.values]))

SIMULATED = {'unseen Earths': simulated, 'unseen worlds': random_worlds,
             'unseen Earths, surface': partial(simulated, 'surface', 6000, per_event=50)}

def other_waves(clean, world, error=linear_error):
    "Samples of waves of another code, a draw of noise and faults each"
    for seed in DRAWS:
        w = spoiled_waves(clean, world, seed)
        obs, syn = w.pairs.waveform.values.astype(float).transpose(1, 0, 2)
        truths = {k: error(obs, syn, g) < USABLE for k, g in w.truths.items()}
        yield Sample(w.pairs, truths, w.earthquake, np.array([f'{e} {seed}' for e in w.pairs.event.values]))

# measures

RECALL = 'recall at 95 % precision'
MORE, LOST = RECALL + ', less that of the misfit', RECALL + ', less that of all events together'
SHARES = RECALL, 'precision at the limit', 'recall at the limit', 'accepted', 'known', 'ECE'

def mean(x): return x.mean() if len(x) else np.nan

def measures(answers, usable):
    "(selector, measure) -> value"
    out = {}
    for name, a in answers.items():
        known = np.isfinite(a.probability)
        error = ece(a.probability[known], usable[known]) if known.any() else np.nan
        values = (recall_at_precision(a.score, usable)[0], mean(usable[a.accepted]), mean(a.accepted[usable]), a.accepted.mean(),
                  np.isfinite(a.score).mean(), error)
        out |= {(name, m): x for m, x in zip(SHARES, values)}
    for name in answers:
        if 'misfit' in answers and name != 'misfit': out[name, MORE] = out[name, RECALL] - out['misfit', RECALL]
        together = name.removesuffix(ALONE)
        if name != together and together in answers: out[name, LOST] = out[name, RECALL] - out[together, RECALL]
    return out

def with_intervals(answers, usable, cluster, part, resamples=400):
    "A row per selector and measure: value, and the ends of its interval by cluster and by part; all on the same resamples"
    value = {k: x for k, x in measures(answers, usable).items() if np.isfinite(x)}
    def f(i):
        found = measures({k: Answer(*(x[i] for x in a)) for k, a in answers.items()}, usable[i])
        return np.array([found[k] for k in value])
    ends, rows = {}, np.arange(len(usable))
    for name, group in (('', cluster), ('part ', part)):
        same = name and np.array_equal(cluster, part)
        ends[name] = ends[''] if same else bootstrap_events(f, group, rows, resamples=resamples, within=(-1, 1))
    t = pd.DataFrame([(*k, x) for k, x in value.items()], columns=['selector', 'measure', 'value'])
    least = np.where(t.measure.isin(SHARES), 0, -1)
    for name, (low, high) in ends.items(): t[f'{name}low'], t[f'{name}high'] = np.maximum(low, least), high
    return t.assign(pairs=len(usable), usable=usable.mean(), clusters=len(set(cluster)), parts=len(set(part)))

def judge(samples, selectors=SELECTORS):
    "Rows of a world: by component, truth, selector and measure; `samples` may be made one after the other"
    answers, kept, recipe = {}, [], None
    for s in samples:
        recipe = recipe_of(s.pairs)
        for k, f in selectors.items():
            if (a := f(s.pairs)) is not None: answers.setdefault(k, []).append(a)
        kept.append(s._replace(pairs=s.pairs.component.values.astype(str)))
        KEPT.clear()
    answers = {k: Answer(*map(np.concatenate, zip(*a))) for k, a in answers.items()}
    component, cluster, part = (np.concatenate([getattr(s, k) for s in kept]) for k in ('pairs', 'cluster', 'part'))
    rows = []
    for c in ('all', *recipe.components) if len(recipe.components) > 1 else ('all',):
        i = np.flatnonzero((component == c) | (c == 'all'))
        for truth in kept[0].truths:
            usable = np.concatenate([s.truths[truth] for s in kept])
            t = with_intervals({k: Answer(*(x[i] for x in a)) for k, a in answers.items()}, usable[i], cluster[i], part[i])
            rows.append(t.assign(recipe=recipe.name, component=c, truth=truth))
    return pd.concat(rows)

def judge_worlds(lane, worlds, selectors):
    "Rows of a lane; `worlds`: name -> function that gives samples"
    t = pd.concat([judge(f(), selectors).assign(lane=lane, world=k) for k, f in worlds.items()], ignore_index=True)
    first = ['lane', 'world', 'recipe', 'component', 'truth', 'selector', 'measure']
    return t[first + [c for c in t if c not in first]]

# faults in real records

def in_study(x, dt):
    f, u = np.fft.rfftfreq(len(x), dt), np.fft.rfft(x - x.mean())
    return np.fft.irfft(u*((f > .004) & (f < .02)), len(x))

def own_noise(x, t, dt):
    "Noise of the record's own spectrum, as strong in the band as the record is in the half hour"
    u, here = np.fft.rfft(x - x.mean()), (t > 0) & (t < 1800)
    n = np.fft.irfft(np.abs(u)*np.exp(2j*np.pi*np.random.default_rng(0).random(len(u))), len(x))
    return n*in_study(x, dt)[here].std()/in_study(n, dt)[here].std()

def glitch(x, t, dt): return x + 3*np.ptp(x)*np.where(t > 900, np.exp(-np.clip(t-900, 0, None)/30), 0)

def times(k): return lambda x, t, dt: k*x

SOUND = 'nothing'
CLOCKS = {f'clock {s:g} s': (s, -s) for s in (20, 10, 7.5, 5)}    # s
PLANTED = {'gain x3': times(3), 'gain x2': times(2), 'gain x1/2': times(1/2), 'gain x1/3': times(1/3), 'polarity': times(-1), 'glitch': glitch,
           'noise only': own_noise, 'noise added': lambda x, t, dt: x + 2*own_noise(x, t, dt)}   # of samples, s after the origin, and s between them

def plant(files, channels, out, fault, late, zero):
    "Write records of some channels with a fault in every one, or stamped later by some s"
    out.mkdir(exist_ok=True)
    for p in files:
        st = obspy.read(p).select(channel=channels)
        for tr in st:
            x, t = tr.data.astype(float), tr.times() + (tr.stats.starttime - zero)
            tr.data = x if fault is None else fault(x, t, tr.stats.delta)
            tr.stats.starttime += late
            tr.stats.mseed = {}
        st.write(str(out/p.name), 'MSEED')

class Archive(NamedTuple):
    "Real records of an earthquake: where, and of which synthetics"
    folder:Path
    synthetics:str   # 'SPECFEM': those of the folder; 'PREM': computed here
    recipe:object

def read_pairs(archive, files, channels='*', fault=None, late=0.):
    "Pairs of an archive with the fault in every record"
    event = obspy.read_events(next((archive.folder/'quakeml').iterdir()))[0]
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        for p in ('quakeml', 'stationxml', *(['synt'] if archive.synthetics == 'SPECFEM' else [])): (tmp/p).symlink_to(archive.folder/p)
        plant(files, channels, tmp/'obsd', fault, late, event.preferred_origin().time)
        pairs, _ = preprocess_folder(tmp, compute=partial(prem_components, recipe=archive.recipe), recipe=archive.recipe)
    return pairs.load()

def sound_pairs(pairs):
    "(n,) bool: similar, in time, and of an amplitude that structure can make"
    obs, syn = pairs.waveform.values.astype(float).transpose(1, 0, 2)
    size = np.linalg.norm(obs, axis=-1), np.linalg.norm(syn, axis=-1)
    return ((obs*syn).sum(-1)/size[0]/size[1] >= .8) & (np.abs(np.log(size[0]/size[1])) < .5)

def replaced(pairs, other, rows):
    "Pairs with some rows of another reading of the same records, without those that it dropped; where the rows are now (-1: dropped)"
    at = {s: i for i, s in enumerate(other.station.values)}
    source = [at.get(s, -1) for s in pairs.station.values[rows]]
    kept = np.array([i for i in range(pairs.sizes['pair']) if i not in {r for r, k in zip(rows, source) if k < 0}], int)
    new = pairs.copy(deep=True)
    for r, k in zip(rows, source):
        if k >= 0:
            for v in ('waveform', 'snr'): new[v].values[r] = other[v].values[k]
    now = {int(r): i for i, r in enumerate(kept)}
    return new.isel(pair=kept), np.array([now.get(int(r), -1) for r in rows])

def great(pairs, magnitude=8.3):
    "The same waves of a larger earthquake"
    factor = 10**(1.5*(magnitude - pairs.event_magnitude.values))
    w, m = pairs.waveform.values*factor[:,None,None], pairs.moment_tensor.values*factor[:,None]
    return pairs.assign(waveform=(pairs.waveform.dims, w.astype(np.float32), pairs.waveform.attrs),
                        moment_tensor=(pairs.moment_tensor.dims, m, pairs.moment_tensor.attrs),
                        event_magnitude=('pair', np.full(len(factor), magnitude), pairs.event_magnitude.attrs))

def tries(pairs, read):
    "(fault, witnesses, pairs to judge together, where the tried ones are) for every sound pair; `read`: of a fault and s, reads again"
    sound = np.flatnonzero(sound_pairs(pairs))
    if not len(sound): return
    for name, p in ((SOUND, pairs), ('Mw 8.3', great(pairs))): yield name, 'event', p, sound
    for i in sound: yield SOUND, 'none', pairs.isel(pair=[i]), np.array([0])
    faults = {k: [(f, 0.)] for k, f in PLANTED.items()} | {k: [(None, s) for s in late] for k, late in CLOCKS.items()}
    sensor = np.array([s[:-1] for s in pairs.station.values.astype(str)])
    for name, ways in faults.items():
        for fault, late in ways:
            other = read(fault, late)
            for k in dict.fromkeys(sensor[sound]):
                rows = np.flatnonzero(sensor == k)
                planted, now = replaced(pairs, other, rows)
                tried = now[np.isin(rows, sound)]
                if name[:4] == 'gain':    # a record that was too strong may be right at half its size
                    spoiled = ~sound_pairs(planted)
                    tried = tried[[i < 0 or spoiled[i] for i in tried]]
                yield name, 'event', planted, tried
                for i in tried[tried >= 0] if name in CLOCKS else (): yield name, 'none', planted.isel(pair=[i]), np.array([0])
                dropped = tried[tried < 0]
                if name in CLOCKS and len(dropped): yield name, 'none', planted, dropped

def planted_rows(archive, selectors):
    "A row per archive, fault and selector: records tried, accepted, and dropped by the reading"
    files = sorted((archive.folder/'obsd').iterdir())
    clean = read_pairs(archive, files)
    known = {k: f for k, f in selectors.items() if f(clean) is not None}
    names = {s.split('.')[1] for s in clean.station.values.astype(str)}
    files = [p for p in files if p.name.split('.')[1] in names]
    channels = '*Z' if set(clean.component.values.astype(str)) == {'Z'} else '*'
    for fault, witnesses, pairs, tried in tries(clean, partial(read_pairs, archive, files, channels)):
        there, label = tried[tried >= 0], dict(recipe=archive.recipe.name, event=archive.folder.name, synthetics=archive.synthetics)
        for name, f in known.items():
            accepted = f(pairs).accepted[there].sum() if len(there) else 0
            yield label | dict(fault=fault, witnesses=witnesses, selector=name, tried=len(tried), accepted=accepted, dropped=len(tried)-len(there))

def judge_real(archives, selectors):
    "How many of the tried records are accepted, by archive, fault and selector; without other events, each event is alone anyway"
    together = {k: f for k, f in selectors.items() if not k.endswith(ALONE)}
    t = pd.DataFrame([r for a in archives for r in planted_rows(a, together)])
    return t.groupby(list(t.columns[:6]), sort=False).sum().reset_index()

REAL = 'real_2009', 'real_2010'    # folders with obsd, quakeml, stationxml and synt

def real_archives(folder):
    "Both earthquakes in the recipes of the shipped selectors, with both kinds of synthetics"
    return [Archive(Path(folder)/k, s, load_recipe(r)) for r in ('study', 'surface') for k in REAL for s in ('SPECFEM', 'PREM')]

# tables

def save(table, path, lanes=None):
    "Write a table, with the rows of other lanes that are there"
    if lanes and path.exists():
        old = pd.read_csv(path)
        if len(old := old[~old.lane.isin(lanes)]): table = pd.concat([table, old], ignore_index=True)
        table = table.sort_values('lane', key=lambda x: x.map(LANES.index), kind='stable')
    with atomic_path(path) as tmp: table.round(4).to_csv(tmp, index=False)
    print(path.name, len(table), 'rows', flush=True)

def show(table):
    "The main measures, an interval by cluster each"
    t = table[table.measure.isin((RECALL, 'precision at the limit', 'recall at the limit', 'ECE', MORE)) & (table.component == 'all')]
    t = t.assign(text=[f'{v:.3f} [{a:.3f}, {b:.3f}]' for v, a, b in zip(t.value, t.low, t.high)])
    print(t.pivot(index=['world', 'truth', 'selector'], columns='measure', values='text').to_string(), flush=True)

def show_real(table):
    t = table.groupby(['recipe', 'fault', 'witnesses', 'selector'], sort=False)[['accepted', 'tried']].sum()
    t = t.apply(lambda r: f'{r.accepted}/{r.tried}', axis=1).unstack('selector').fillna('')
    print(t.to_string(), flush=True)

def run(lanes=LANES, waves=None, real=None, selectors=SELECTORS, out=TOP/'data'/'results'):
    "Print, and write, the tables of some lanes"
    found, begun = [], process_time()
    def spent(what): print(f'{what}: {process_time()-begun:.0f} s of CPU time', flush=True)
    if 'simulated' in lanes: found.append(judge_worlds('simulated', SIMULATED, selectors)), spent('simulated')
    if 'waves' in lanes:
        clean = clean_waves(waves)
        found.append(judge_worlds('waves', {k: partial(other_waves, clean, k) for k in WORLDS}, selectors)), spent('waves')
    if found:
        table = pd.concat(found, ignore_index=True)
        show(table)
        if out: save(table, out/'outside.csv', [x for x in lanes if x != 'real'])
    if 'real' in lanes:
        table = judge_real(real_archives(real), selectors)
        spent('real'), show_real(table)
        if out: save(table, out/'outside_real.csv')

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--lanes', nargs='+', choices=LANES, help='default: those whose data are given')
    p.add_argument('--waves3d', help='.npz file with the waves of another code')
    p.add_argument('--real', type=Path, help=f'folder that holds {" and ".join(REAL)}')
    p.add_argument('--model', action='append', default=[], metavar='NAME=PATH', help='another model: its card, or a folder with one')
    p.add_argument('--out', type=Path, default=TOP/'data'/'results')
    a = p.parse_args()
    given = dict(simulated=True, waves=a.waves3d, real=a.real)
    lanes = a.lanes or [k for k in LANES if given[k]]
    if lost := [k for k in lanes if not given[k]]: p.error(f'no data for the lane {lost[0]}')
    more = dict(x.split('=', 1) for x in a.model)
    asked = a.lanes or len(lanes) > 1                  # without any argument nothing is written
    run(lanes, a.waves3d, a.real, SELECTORS | {k: partial(by_model, name=v) for k, v in more.items()}, a.out if asked else None)
