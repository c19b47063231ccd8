"""Make data/results: small tables of nbs/results.ipynb that no other command writes.

Run from the top level: python data/make_results.py [--which modes paths truth definitions recipes windows]. The same seeds give the same tables.

    modes        mineos.csv, yspec.csv    the modes of PREM against MINEOS, the seismograms against YSpec (nbs/earth/00_modes.ipynb asserts the same)
    paths        paths.csv                path-average seismograms against the exact sum over modes (nbs/earth/02_structure.ipynb)
    truth        classes.csv, scores.csv, steps.csv    grades and simple selections against the truth (nbs/labels/03_truth.ipynb)
    definitions  definitions.csv          window definitions of the misfit against the truth (nbs/labels/04_definitions.ipynb)
    recipes      recipes.csv              the shipped selector in other recipes and the misfit, by component, on pairs of Earths that neither has seen

`truth` and `definitions` use the study's number of pairs: those of runs/weights/study_0.zarr, which data/make_weights.py also uses, simulated here if they
are not there. All but `windows` takes less than two minutes of CPU time.

    windows      windows.csv, windows_3d.csv   usable seconds of whole traces, FLEXWIN's rules, and windows by the selector, on pairs of Earths that none has seen; a
                 quarter of an hour of CPU time, parts are kept in runs/windows. The second table needs --waves3d, the waves of another code (make_windows.py)
"""
import argparse, os
for k in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS'): os.environ.setdefault(k, '1')
from pathlib import Path

import make_windows, numpy as np, pandas as pd
from keep_tables import note
from scipy.signal import butter, sosfiltfilt
from fwinb.earth.modes import displacement, prem_modes
from fwinb.earth.simulate import gauss_newton, normal_equations, simulate_pairs
from fwinb.earth.structure import branch_seismograms, exact_sum, mode_basis, path_average, perturb, random_earth, seeded
from fwinb.labels.definitions import GABOR, definition_table, measure_definitions, readings
from fwinb.labels.misfit import PAPER_THRESHOLDS, add_misfit, calibrate_thresholds, grade
from fwinb.labels.truth import agreement, baseline_table, correlation_rule, with_grades
from fwinb.models.pretrained import fitting_model, load_model, model_recipe, model_recipes, predict
from fwinb.pairs.schema import STUDY, path_geometry, recipe_of
from fwinb.pairs.store import atomic_path, open_pairs, share_path

TOP = Path(__file__).resolve().parent.parent
WHICH = ['modes', 'paths', 'truth', 'definitions', 'recipes', 'windows']
TENSOR = np.array([1, -.3, -.7, -.8, .6, .5])

def save(table, folder, name, digits=4, **keys):
    with atomic_path(folder/name) as tmp: table.round(digits).to_csv(tmp, **keys)
    if folder.resolve() == TOP/'data'/'results': note([folder/name], 'data/make_results.py')
    print(name, len(table), 'rows', flush=True)

def against_mineos(modes):
    "Relative differences of frequency, Q and group velocity below 20 mHz"
    mineos = pd.read_csv(share_path('data', 'sample', 'reference', 'mineos_modes.csv'))
    ours = modes.table().query('frequency_mhz < 20')
    both = ours.merge(mineos, on=['l', 'n'], validate='one_to_one')
    pairs = {'frequency': (both.frequency_mhz, both.f_mHz), 'Q': (both.q, both.Q), 'group velocity': (both.group_velocity_km_s, both.U_kms)}
    fundamental = (both.n == 0) & (both.l > 9)
    rows = {k: (a/b - 1).abs() for k, (a, b) in pairs.items()}
    t = pd.DataFrame({k: {'all modes, median': x.median(), 'fundamental, largest': x[fundamental].max()} for k, x in rows.items()}).T
    return t.assign(modes=len(ours), **{'of MINEOS': len(mineos), 'compared': len(both)}).rename_axis('quantity')

def against_yspec(modes):
    "Correlation and amplitude of vertical displacement, 4.5 to 17 mHz, 250 to 1800 s"
    z = np.load(share_path('data', 'sample', 'reference', 'yspec_prem.npz'))
    sos, window = butter(4, [4.5e-3, 17e-3], 'band', fs=1/5, output='sos'), (z['t'] >= 250) & (z['t'] <= 1800)
    rows = []
    for depth in (15, 33, 150, 430, 600):
        u = displacement(modes, depth, TENSOR*1e20, z['dist_deg'], 60., z['t'])
        a, b = (sosfiltfilt(sos, x, axis=-1)[:,window] for x in (u, z[f'z_{depth}']))
        correlation, amplitude = (a*b).sum(1)/np.sqrt((a*a).sum(1)*(b*b).sum(1)), np.sqrt((a*a).sum(1)/(b*b).sum(1))
        rows.append(pd.DataFrame(dict(depth_km=depth, distance_deg=z['dist_deg'], correlation=correlation, amplitude=amplitude)))
    return pd.concat(rows)

def path_correlation(paths=300, seed=0, depth=60.):
    "Correlation of path-average seismograms with the exact sum, on random paths"
    earth, basis, rng = random_earth(seed), mode_basis(), seeded(seed, 99)
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1, 1, (2, 4*paths)))), rng.uniform(-180, 180, (2, 4*paths))
    d, az = path_geometry(lat[0], lon[0], lat[1], lon[1])
    kept = np.flatnonzero((d > 15) & (d < 160))[:paths]
    way, d, az = [x[kept] for x in (lat[0], lon[0], lat[1], lon[1])], d[kept], az[kept]
    p, e, v = (path_average(m, *way) for m in (earth.slowness, earth.shift, earth.dlnvs))
    approx = perturb(basis, branch_seismograms(basis, depth, TENSOR*1e19, d, az), d, p, e)[:,:STUDY.npts]
    exact = exact_sum(basis, depth, TENSOR*1e19, d, az, p, v)[:,:STUDY.npts]
    return pd.DataFrame(dict(distance_deg=d.round(1), correlation=[np.corrcoef(a, b)[0,1] for a, b in zip(approx, exact)]))

def study_pairs():
    "The study's number of simulated pairs, graded by thresholds that give the study's share of each class"
    path = TOP/'runs'/'weights'/'study_0.zarr'
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists(): simulate_pairs(27_489, seed=0, earths=8, path=path, progress=False)
    return with_grades(open_pairs(path, dask=False))

def against_truth(pairs, folder):
    grades = {k: grade(pairs.misfit.values, edges) for k, edges in (('paper', PAPER_THRESHOLDS), ('calibrated', calibrate_thresholds(pairs.misfit.values)))}
    usable, error, information = pairs.usable.values, pairs.linear_error.values, pairs.information.values
    save(pd.concat({k: agreement(g, error, information) for k, g in grades.items()}, names=['thresholds', 'class']), folder, 'classes.csv')
    scores = {'misfit': -pairs.misfit.values, 'zero-lag correlation': pairs.zero_lag_correlation.values, 'largest correlation': pairs.correlation.values}
    rules = {'correlation rule': correlation_rule(pairs), **{f'Classes I and II, {k} thresholds': np.isin(g, (1, 2)) for k, g in grades.items()}}
    t = baseline_table(scores, rules, usable, pairs.event.values).assign(usable=usable.mean(), events=len(set(pairs.event.values)), earths=len(set(pairs.earth.values)))
    save(t.rename_axis('selection'), folder, 'scores.csv')
    normal, earth = normal_equations(pairs), pairs.earth.values
    chosen = {'usable (truth)': usable, 'all pairs': usable | True, 'Classes I and II, calibrated thresholds': rules['Classes I and II, calibrated thresholds'], 'correlation rule': rules['correlation rule']}
    save(pd.DataFrame({k: dict(pairs=v.sum(), explained=gauss_newton(normal, v, earth)) for k, v in chosen.items()}).T.astype(dict(pairs=int)).rename_axis('selection'), folder, 'steps.csv')

def other_recipes(names, n=15_000, seed=900, earths=5):
    "Recall at 95 % precision of the shipped selector in each recipe, of the misfit and of the zero-lag correlation, by component"
    rows = []
    for name in names:
        pairs = add_misfit(simulate_pairs(n, seed=seed, earths=earths, recipe=name, progress=False))
        pairs = predict(pairs, fitting_model('usable', recipe_of(pairs)))
        scores = {'selector': pairs.usable_probability.fillna(0).values, 'misfit': -pairs.misfit.values, 'zero-lag correlation': pairs.zero_lag_correlation.values}
        for part in ('all', *recipe_of(pairs).components):
            i = np.flatnonzero((pairs.component.values == part) | (part == 'all'))
            u, event, accept = (x[i] for x in (pairs.usable.values, pairs.event.values, pairs.decision.values == 'accept'))
            t = baseline_table({k: x[i] for k, x in scores.items()}, {'decisions': accept}, u, event)
            rows.append(t.assign(recipe=name, component=part, usable=u.mean(), events=len(set(event)), earths=earths).rename_axis('selection').reset_index())
    return pd.concat(rows)

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--which', nargs='+', choices=WHICH, default=WHICH)
    p.add_argument('--waves3d', help='file with the waves of windows_3d.csv')
    p.add_argument('--out', default=str(TOP/'data'/'results'))
    a = p.parse_args()
    folder = Path(a.out)
    folder.mkdir(parents=True, exist_ok=True)
    if 'modes' in a.which:
        save(against_mineos(prem_modes()), folder, 'mineos.csv', 8)
        save(against_yspec(prem_modes()), folder, 'yspec.csv', 5, index=False)
    if 'paths' in a.which: save(path_correlation(), folder, 'paths.csv', 5, index=False)
    if 'recipes' in a.which: save(other_recipes([model_recipe(m).name for m in model_recipes(load_model())[1:]]), folder, 'recipes.csv', index=False)
    if 'windows' in a.which:
        for name, t in zip(('windows.csv', 'windows_3d.csv'), make_windows.make(TOP/'runs'/'windows', a.waves3d)):
            if t is not None: save(t, folder, name, index=False)
    if {'truth', 'definitions'} & set(a.which): pairs = study_pairs()
    if 'truth' in a.which: against_truth(pairs, folder)
    if 'definitions' in a.which:
        t = definition_table(readings(measure_definitions(pairs, GABOR)), pairs.usable.values, pairs.event.values)
        save(t, folder, 'definitions.csv')
