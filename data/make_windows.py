"""What windows bring, the tables windows.csv and windows_3d.csv of data/results; called by make_results.py, which has the options.

Simulated: for each recipe three sets of pairs with Earths, events and noise of their own: to teach the trees, to choose every threshold, to test. Measured windows,
truth and features of each set are kept in runs/windows, so that a run that was stopped goes on where it was.
3-D: waves of a spectral-element code in a 3-D Earth (an .npz file with `observed`, `synthetic` every 2 s, and the linear effects `g_fit` and `g_theory` of the
structure at the samples of the study), made dirty by the generator below, which shares nothing with fwinb.earth.noise. Nothing is taught on them, and no threshold is chosen there;
the least magnitude was set when the smallest event had no usable pair in the noise, before any selector saw these waves.
"""
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np, pandas as pd
from fwinb.earth.simulate import USABLE, simulate_pairs
from fwinb.features.network_terms import network_term_table, with_times
from fwinb.features.pair import pair_features
from fwinb.features.window_features import window_error, window_feature_names, window_features
from fwinb.features.windows import parameters_for, whole_traces, window_table
from fwinb.models.pretrained import classify, describe, fitting_model
from fwinb.models.windows import (
    admitted_seconds, admitted_windows, best_level, fit_trees, kind_weights, random_windows, rules_with_terms, score_levels, seconds_difference, seconds_row,
    station_faults, tree_score, window_seconds, window_terms)
from fwinb.pairs.schema import STUDY, build_pairs, path_geometry, recipe_of
from fwinb.pairs.signal import band_limited
from fwinb.pairs.store import atomic_path

RECIPES = dict(study=100, surface=50)       # stations of an event
SEEDS = dict(train=2601, calibrate=2602, test=2603)
N, EARTHS = 8000, 5                         # pairs and Earths of each set
LEAST_MAGNITUDE = 6.5                       # smaller events of the 3-D waves are made as large: they would drown in this noise
MEASURES = 'seconds', 'signal'
REFUSED = 's2n', 'tshift', 'dlna'           # reasons before the correlation is looked at

# parts

class Part(NamedTuple):
    "A set of pairs without its traces"
    pairs:pd.DataFrame    # a row per pair: event, cluster, misfit, probability of the shipped network, `fault` of the station
    terms:pd.DataFrame    # of `network_term_table`
    picked:pd.DataFrame   # windows by the parameters of the recipe, with seconds, signal and truth
    candidates:pd.DataFrame # windows that have the shape of one, whatever the data quality of their trace
    whole:pd.DataFrame
    random:pd.DataFrame

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

def with_truth(pairs, windows, truths):
    "Seconds, signal, features, and the error by each truth (name -> linear effect; None: that of the pairs)"
    windows = windows.reset_index(drop=True)
    errors = pd.DataFrame({f'error{k}': window_error(pairs, windows, g) for k, g in truths.items()})
    return windows.join([window_seconds(pairs, windows), errors, window_features(pairs, windows).add_prefix('x_')])

def part(pairs, seed, truths={'': None}, cluster=None):
    "All that is needed of a set of pairs"
    recipe = recipe_of(pairs)
    model = fitting_model('usable', recipe)
    table = describe(pairs, model)
    terms = network_term_table(table, recipe=recipe)
    known = pd.DataFrame(dict(
        event=pairs.event.values, cluster=pairs.event.values if cluster is None else cluster, misfit=table.misfit.values,
        network=classify(table, model).usable.values, fault=station_faults(table, terms, recipe)))
    sets = dict(picked=window_table(pairs).table, candidates=window_table(pairs, parameters_for(recipe, check_global_data_quality=False)).table,
                whole=whole_traces(pairs), random=random_windows(pairs, 2, seed))
    return Part(known, terms, **{k: with_truth(pairs, t, truths) for k, t in sets.items()})

def simulated(recipe, role):
    pairs = simulate_pairs(N, seed=SEEDS[role], earths=EARTHS, per_event=RECIPES[recipe], recipe=recipe, progress=False, linear=True)
    return part(pairs, SEEDS[role])

# waves of another code, made dirty

def acceleration_noise(rng, n, nt, dt, level):
    "(n, nt) m: displacement of white acceleration of some dB (m^2/s^4/Hz), stronger below 5 mHz; `level`: (n,)"
    nfft = 2*nt
    f = np.fft.rfftfreq(nfft, dt)
    shape = np.zeros(len(f))
    use = f > 1e-3
    shape[use] = np.maximum(1, .005/f[use])/(2*np.pi*f[use])**2
    white = rng.normal(size=(n, nfft))/np.sqrt(2*dt)                     # of one-sided density 1
    u = np.fft.irfft(np.fft.rfft(white)*shape, nfft)[:,:nt]
    return 10**(level[:,None]/20)*u

def delayed(u, dt, late):
    "(n, nt): each trace later by `late` s"
    nfft = 2*u.shape[-1]
    f = np.fft.rfftfreq(nfft, dt)
    return np.fft.irfft(np.fft.rfft(u, nfft)*np.exp(-2j*np.pi*f*late[:,None]), nfft)[:,:u.shape[-1]]

def source_delays(rng, azimuth, depth):
    "(n,) s: origin time off by 1 to 3 s, place by 13 to 45 km, seen with the slowness of surface waves, or of body waves from deep events"
    shift, where = rng.choice([-1, 1])*rng.uniform(1, 3), rng.uniform(0, 2*np.pi)
    return shift - rng.uniform(13, 45)*(1/4 if depth < 300 else 1/10)*np.cos(np.radians(azimuth) - where)

def station_defects(rng, n):
    "Factor on the trace and delay (s) of each station: some flipped, some of wrong gain, some of wrong time"
    kind, size, late = rng.random(n), np.ones(n), np.zeros(n)
    size[kind < .02] = -1.
    gain, clock = (kind >= .02) & (kind < .05), (kind >= .05) & (kind < .08)
    size[gain] = rng.choice([.4, 2.5], gain.sum())
    late[clock] = rng.choice([-1, 1], clock.sum())*rng.uniform(8, 30, clock.sum())
    return size, late

def broken(rng, u):
    "Some records with a silent piece, some with a glitch, some of noise only (their rows are returned)"
    u, kind, nt = u.copy(), rng.random(len(u)), u.shape[-1]
    for i in np.flatnonzero(kind < .02):
        a = rng.integers(nt//4, nt)
        u[i,a:a+rng.integers(30, 150)] = 0
    for i in np.flatnonzero((kind >= .02) & (kind < .03)):
        a = rng.integers(nt//4, nt)
        u[i,a:] += rng.choice([-1, 1])*rng.uniform(.5, 3)*np.abs(u[i]).max()*np.exp(-np.arange(nt-a)*2/120)
    return u, (kind >= .03) & (kind < .04)

def dirty(z, seed=5, parts=3):
    "Observations with noise, defects, and a wrong source in one of the parts into which the stations of each event are dealt; the part of each"
    rng, dt = np.random.default_rng(seed), float(z['time_s'][1] - z['time_s'][0])
    obs, event = z['observed'].astype(float), z['event_index'].astype(int)
    names, site = np.unique(np.char.add(np.char.add(z['network'], '.'), z['station']), return_inverse=True)
    group = rng.permutation(len(names))[site] % parts
    size, late = station_defects(rng, len(names))
    late = late[site]
    for k in range(event.max()+1):
        wrong = (event == k) & (group == rng.integers(parts))
        late[wrong] += source_delays(rng, z['azimuth_deg'][wrong], float(z['event_depth_km'][k]))
    level = (-178 + 6*rng.normal(size=len(names)))[site] + 2*rng.normal(size=len(obs))
    obs, lost = broken(rng, size[site][:,None]*delayed(obs, dt, late))
    noise = acceleration_noise(rng, len(obs), obs.shape[-1], dt, level)
    return np.where(lost[:,None], 0, obs) + noise, group

def in_band(u, dt, times):
    "(n, npts) in the band of the study; the end is continued by its mirror image, as the waves are cut there"
    later = round(300/dt)
    end = 2*u[:,-1:] - u[:,-2:-2-later:-1]
    u = np.concatenate([u, end], 1)
    return np.array([band_limited(x, dt, 0., lambda f: np.ones(len(f)), (0., dt*(u.shape[-1]-1)), times=times) for x in u])

def waves3d(path):
    "Pairs of the study from waves in a 3-D Earth, their linear effects by two ways, and the earthquake of each"
    z = dict(np.load(path))
    event, moment = z['event_index'].astype(int), np.sqrt(((z['event_M_Nm']**2)*[1, 1, 1, 2, 2, 2]).sum(1)/2)
    factor = np.maximum(1, 10**(1.5*LEAST_MAGNITUDE + 9.1)/moment)[event]    # waves are linear in the moment
    for k in ('observed', 'synthetic'): z[k] = z[k]*factor[:,None]
    obs, group = dirty(z)
    dt = float(z['time_s'][1] - z['time_s'][0])
    w = np.stack([in_band(x, dt, STUDY.times) for x in (obs, z['synthetic'].astype(float))], 1)
    M, names = z['event_M_Nm'][event]*factor[:,None], z['event_name'][event].astype(str)
    kept = dict(
        event=[f'{a}.{b}' for a, b in zip(names, group)], station=[f'{a}.{b}.00.LXZ' for a, b in zip(z['network'], z['station'])], origin='simulated', status='ok',
        event_latitude=z['event_lat'][event], event_longitude=z['event_lon'][event], event_depth_km=z['event_depth_km'][event], moment_tensor=M,
        event_magnitude=2/3*(np.log10(moment[event]*factor)-9.1), event_time=946684800. + 7*86400*(3*event+group), station_latitude=z['station_lat'], station_longitude=z['station_lon'],
        distance_deg=z['distance_deg'], azimuth_deg=z['azimuth_deg'])
    pairs = build_pairs(w, None, STUDY, **kept)
    truths = {f'_{k}': z[f'g_{k}'].astype(float)*(z[f'g_{k}_scale']*factor)[:,None] for k in ('fit', 'theory')}
    return pairs, truths, names

# settings

def matrix(p, windows, recipe, terms):
    "What the trees read of windows of a part"
    f = windows[[f'x_{k}' for k in window_feature_names()]].rename(columns=lambda k: k[2:])
    return f.join(window_terms(windows, f, p.terms, recipe)) if terms else f

def teach(parts, recipes, terms, seed=0):
    "Trees from windows of all recipes"
    x, usable, seconds, kind = [], [], [], []
    for (name, p), recipe in zip(parts.items(), recipes):
        for k in ('candidates', 'random', 'whole'):
            t = getattr(p, k)
            t = t[np.isfinite(t.error)]
            x.append(matrix(p, t, recipe, terms)), usable.append(t.error < USABLE), seconds.append(t.seconds), kind.append(np.full(len(t), f'{name} {k}'))
    return fit_trees(pd.concat(x), np.concatenate(usable), kind_weights(np.concatenate(seconds), np.concatenate(kind)), seed)

class Setting(NamedTuple):
    "A way to admit intervals"
    windows:pd.DataFrame
    score:np.ndarray
    weight:np.ndarray
    rules:float=None        # the score from which the rules admit, if they say it

def settings(p, recipe, trees):
    "Name -> `Setting`; `trees`: {terms: model}"
    w, c, t = p.whole, p.picked, p.candidates
    def of_pair(x, windows): return p.pairs[x].values[windows.pair.values]
    def judged(windows, terms): return tree_score(trees[terms], matrix(p, windows, recipe, terms))
    level, ones = parameters_for(recipe).cc_acceptance_level, np.ones(len(w))
    out = {
        'whole traces: misfit': Setting(w, -of_pair('misfit', w), ones),
        'whole traces: shipped network': Setting(w, of_pair('network', w), ones),
        'whole traces: trees': Setting(w, judged(w, False), ones),
        'whole traces: trees + terms': Setting(w, judged(w, True), ones),
        'FLEXWIN': Setting(c, c.correlation.where(~c.reason.isin(REFUSED)).values, c.weight.values, level),
        'FLEXWIN + terms, corrected': Setting(c, rules_with_terms(c, p.terms, p.pairs.fault.values, recipe), c.weight.values, level),
        'FLEXWIN + terms, refused': Setting(c, rules_with_terms(c, p.terms, p.pairs.fault.values, recipe, False), c.weight.values, level),
        'FLEXWIN of traces by the network': Setting(c, np.where(c.decision == 'accept', of_pair('network', c), np.nan), c.weight.values)}
    both = pd.concat([t, w], ignore_index=True)
    for kind, x in (('windows', t), ('windows and whole traces', both)):
        for terms, name in ((False, 'trees'), (True, 'trees + terms')):
            score = judged(x, terms)
            out[f'{kind}: {name}'] = Setting(x, score, score*x.seconds.values)
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

AGAINST = 'whole traces: shipped network'
INSIDE = 'windows inside of whole traces: shipped network'

def inside(p):
    "All windows of traces, good or not, by the shipped network's score of the traces"
    return Setting(p.candidates, p.pairs.network.values[p.candidates.pair.values], p.candidates.seconds.values)

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

def tables(calibration, tests, recipe, trees):
    "Rows for each test (world -> (part, column of the error)), with thresholds from the calibration"
    known = settings(calibration, recipe, trees)
    levels = {k: score_levels(s.score) for k, s in known.items()}
    chosen, rows = {}, []
    for name, s in known.items():
        x = sums_of(s, calibration, levels[name])
        chosen |= {(name, of): best_level(x.all[of]) for of in MEASURES}
    for world, (p, error) in tests.items():
        here, found = settings(p, recipe, trees), {}
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
    trees = {terms: teach({k: parts[k,'train'] for k in RECIPES}, recipes.values(), terms) for terms in (False, True)}
    here = pd.concat([tables(parts[k,'calibrate'], {k: (parts[k,'test'], 'error')}, recipes[k], trees) for k in RECIPES], ignore_index=True)
    if waves is None: return here, None
    def other():
        pairs, truths, earthquake = waves3d(waves)
        return part(pairs, 0, truths, earthquake)
    p = keep(folder/'waves3d.npz', other)
    worlds = {f'3-D, {k}': (p, f'error_{k}') for k in ('fit', 'theory')}
    return here, tables(parts['study','calibrate'], worlds, STUDY, trees)
