"""Windows of fwinb and of pyflex on the same traces: do they agree, what is otherwise and why, and what do they cost?

    python bench/windows.py                               # 240 simulated traces of the recipes study and surface; five minutes
    python bench/windows.py --pyflex ENV/bin/python       # an interpreter that has pyflex; else one is made under build/
    python bench/windows.py --real FOLDER                 # and the example of pytomo3d: proc, quakeml, stationxml, windows
    python bench/windows.py --many 1000 10000 100000      # three-component records: seconds and peak memory; three minutes

pyflex 0.2.0 needs numpy below 2 and setuptools below 70, so it has an environment and a process of its own. Both sides get the same
limits of noise and signal, because pyflex takes seconds for samples there, and traces in micrometres, because its STA/LTA has an
absolute threshold. The causes of the differences are found by correcting pyflex in that process: step by step, and all steps but one.
Times are CPU times of one thread, in turns.
"""
import argparse, json, os, subprocess, sys, tempfile, venv
for k in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'): os.environ[k] = '1'   # before numpy is loaded

from pathlib import Path
from time import process_time

import numpy as np
from fwinb.earth.arrivals import travel_times
from fwinb.earth.simulate import simulate_pairs
from fwinb.features.windows import parameters_for, pick_windows, read_parameters, window_limits, window_table
from fwinb.pairs.recipes import load_recipe

ROOT = Path(__file__).resolve().parent.parent
RECIPES, CHUNK, FEW = ('study', 'surface'), 512, 32
EQUATOR = 111.319491/111.194927       # a degree of the equator over a degree of the sphere: pyflex measures on the ellipsoid

WORKER = r'''
import json, logging, sys, warnings
from time import process_time
warnings.simplefilter('ignore')
import numpy as np, obspy, pyflex
logging.getLogger('pyflex').setLevel(logging.ERROR)
from pyflex import window_selector as ws
from pyflex.window import Window
Selector, clock, now, paths, models = ws.WindowSelector, dict(ttimes=0.), {}, {}, {}

def timed(f, *args):
    start, out = process_time(), f(*args)
    clock['ttimes'] += process_time() - start
    return out

def remembered(known, f, key):           # the same in each step, so that only the first one waits for it
    def g(*args, **keys):
        k = key(*args, **keys)
        if k not in known: known[k] = timed(f, *args, *keys.values())
        return known[k]
    return g

def arrivals(self):
    plain_arrivals(self)
    return self.ttimes

plain_arrivals = Selector.calculate_ttimes
path_arrivals = remembered(paths, arrivals, lambda self: (self.station.longitude, self.event.depth_in_m))
Selector.calculate_ttimes = lambda self: setattr(self, 'ttimes', path_arrivals(self))
ws.TauPyModel = remembered(models, ws.TauPyModel, lambda model: model)            # pyflex loads it for each trace

def rejects(self, windows, key):
    self.windows = list(windows)

def curtail(self):
    dt, c = self.observed.stats.delta, self.config
    for w in self.windows:
        inside = self.peaks[(self.peaks >= w.left) & (self.peaks <= w.right)]
        a, b = c.min_period*c.c_4a/dt, c.min_period*c.c_4b/dt
        first, last = int(inside[0]), int(inside[-1])
        if first - w.left > a: w.left = int(first - a)
        if w.right - last > b: w.right = int(last + b)

def box(self):
    offset = self.event.origin_time - self.observed.stats.starttime
    km = obspy.geodetics.calc_vincenty_inverse(self.station.latitude, self.station.longitude, self.event.latitude, self.event.longitude)[0]/1e3
    first, last = self.ttimes[0]['time'], km/self.config.min_surface_wave_velocity
    T, dt = self.config.min_period, self.observed.stats.delta
    self.windows = [w for w in self.windows if first-2*T <= w.center*dt-offset <= last+2*T]

def mirrored(x):
    both = np.concatenate([x, x[::-1]])
    spectrum = np.fft.rfft(both)
    return np.hypot(x, np.fft.irfft(-1j*spectrum, len(both))[:len(x)])

def with_ends(find):
    def extrema(x):
        peaks, troughs = find(x)
        if len(peaks) and (not len(troughs) or peaks[0] < troughs[0]): troughs = np.concatenate([[0], troughs])
        if len(peaks) and peaks[-1] > troughs[-1]: troughs = np.concatenate([troughs, [len(x)-1]])
        return peaks, troughs.astype('int32')
    return extrema

def schedule(windows):
    windows = sorted(windows, key=lambda w: w.right)
    best = [(0., [])]
    for w in windows:
        before = sum(v.right <= w.left for v in windows)
        taken = best[before][0] + w.weight, best[before][1] + [w]
        best.append(taken if taken[0] > best[-1][0] else best[-1])
    return best[-1][1]

def criteria(self, d, s):
    d, s = d[self.left:self.right+1], s[self.left:self.right+1]
    cc = np.correlate(d, s, 'full')/np.sqrt((d**2).sum()*(s**2).sum())
    i = int(cc.argmax()); y = cc[max(i-1, 0):i+2]
    step = .5*(y[0]-y[2])/(y[0]-2*y[1]+y[2]) if len(y) == 3 else 0.
    self.max_cc_value = y[1] - .25*(y[0]-y[2])*step if len(y) == 3 else cc[i]
    self.cc_shift, self.dlnA = i + step - len(d) + 1, .5*np.log((d**2).sum()/(s**2).sum())

def given(self):
    self.ttimes = [dict(time=float(z['first'][now['trace']]), name='P')]

CAUSES = {
    'a candidate that a test rejects is kept if another one with its edges passes': (Selector, 'separate_rejects', rejects),
    'curtailing leaves the central maximum out, and does nothing with fewer than two others': (Selector, 'curtail_length_of_windows', curtail),
    'windows, not their maxima, are too early or too late': (Selector, 'reject_on_traveltimes', box),
    'overlaps: the first window has no weight': (ws, 'schedule_weighted_intervals', schedule),
    'the envelope takes the record for periodic': (ws, 'envelope', mirrored),
    'no window ends with a record that ends in a wave': (ws.utils, 'find_local_extrema', with_ends(ws.utils.find_local_extrema)),
    'lag and correlation to a sample': (Window, '_calc_criteria', criteria),
    'first arrival by TauP at each distance; fwinb takes it from a table': (Selector, 'calculate_ttimes', given)}
PLAIN = {k: getattr(o, name) for k, (o, name, f) in CAUSES.items()}

z = np.load(sys.argv[1])
said = json.loads(str(z['config']))

def pick(i):
    def trace(x, name): return obspy.Trace(np.array(x, float), dict(delta=float(z['dt']), network='XX', station='A', channel=name, starttime=obspy.UTCDateTime(0)))
    edge = dict(noise_start_index=0, noise_end_index=int(z['low'][i]), signal_start_index=int(z['low'][i]), signal_end_index=int(z['high'][i])+1)
    event = pyflex.Event(latitude=0., longitude=0., depth_in_m=1e3*float(z['depth'][i]), origin_time=obspy.UTCDateTime(-float(z['start'])))
    station = pyflex.Station(latitude=0., longitude=float(z['distance'][i]))
    found = pyflex.select_windows(trace(z['obs'][i], 'LHZ'), trace(z['syn'][i], 'LXZ'), pyflex.Config(**said, **edge), event=event, station=station)
    return [[int(w.left), int(w.right), float(w.max_cc_value), float(w.cc_shift)*float(z['dt']), float(w.dlnA)] for w in found or []]

pick(0)
print(json.dumps(list(CAUSES)), flush=True)
for line in sys.stdin:
    order = json.loads(line)
    for k, (o, name, f) in CAUSES.items(): setattr(o, name, f if k in order['corrected'] else PLAIN[k])
    clock['ttimes'], start, out, failed = 0., process_time(), [], []
    for i in order['traces']:
        if order['forget']: paths.clear(); models.clear()
        now['trace'] = i
        try: out.append(pick(i))
        except (IndexError, ValueError) as e:
            out.append([])
            failed.append(f'trace {i}: {type(e).__name__}: {e}')
    print(json.dumps(dict(cpu=process_time()-start, ttimes=clock['ttimes'], windows=out, failed=failed)), flush=True)
'''

def pyflex_python(given):
    "An interpreter that has pyflex; made if none is given"
    if given: return given
    home = ROOT/'build'/'pyflex'
    python = home/('Scripts/python.exe' if os.name == 'nt' else 'bin/python')
    if not python.is_file():
        print(f'making {home} with pyflex', flush=True)
        venv.create(home, with_pip=True)
        subprocess.run([python, '-m', 'pip', 'install', '-q', 'numpy<2', 'setuptools<70', 'pyflex==0.2.0', 'obspy'], check=True)
    return python

class Pyflex:
    "pyflex in a process of its own"
    def __init__(self, python, path):
        self.log = Path(path).with_suffix('.log')
        self.process = subprocess.Popen([python, '-c', WORKER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log.open('w'), text=True)
        self.causes = self.answer()
    def answer(self):
        line = self.process.stdout.readline()
        if not line: raise RuntimeError(f'pyflex ended: {self.log.read_text().strip()[-2000:]}')
        return json.loads(line)
    def __call__(self, traces, corrected=(), forget=False):
        "Windows of traces with some causes corrected; `forget`: travel times are computed again"
        self.process.stdin.write(json.dumps(dict(traces=list(traces), corrected=list(corrected), forget=forget)) + '\n')
        self.process.stdin.flush()
        return self.answer()
    def __enter__(self): return self
    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

def config(p):
    "Our parameters as those of pyflex"
    names = ('min_period', 'max_period', 'stalta_waterlevel', 'tshift_acceptance_level', 'tshift_reference', 'dlna_acceptance_level', 'dlna_reference',
             'cc_acceptance_level', 's2n_limit', 'earth_model', 'max_time_before_first_arrival', 'c_0', 'c_1', 'c_2', 'c_3a', 'c_3b', 'c_4a', 'c_4b',
             'check_global_data_quality', 'snr_integrate_base', 'snr_max_base', 'window_signal_to_noise_type', 'resolution_strategy')
    return {k: getattr(p, k) for k in names} | dict(min_surface_wave_velocity=p.min_surface_wave_velocity*EQUATOR)

def simulated(name, n, seed):
    "Traces in micrometres, their paths, and the parameters; without those that have less than a shortest period of noise"
    recipe = load_recipe(name)
    pairs = simulate_pairs(n, seed=seed, earths=2, recipe=recipe, progress=False)
    p = parameters_for(recipe)._replace(earth_model='ak135')
    first = travel_times(pairs.distance_deg.values, pairs.event_depth_km.values, ('P',), 'ak135')[:,0]
    keep = first - p.max_time_before_first_arrival - recipe.start > p.min_period
    w = 1e6*pairs.waveform.values[keep].astype(float)
    distance, depth = (pairs[k].values[keep] for k in ('distance_deg', 'event_depth_km'))
    return dict(obs=w[:,0], syn=w[:,1], dt=recipe.dt, start=recipe.start, distance=distance, depth=depth, first=first[keep]), p

def real(folder):
    "The three components of the published example"
    import obspy
    folder = Path(folder)
    st = [obspy.read(str(folder/'proc'/f'IU.KBL.{k}.proc.mseed')) for k in ('obs', 'syn')]
    event = obspy.read_events(str(next((folder/'quakeml').glob('*.xml'))))[0].preferred_origin()
    site = obspy.read_inventory(str(folder/'stationxml'/'IU.KBL.xml'))[0][0]
    d = obspy.geodetics.locations2degrees(event.latitude, event.longitude, site.latitude, site.longitude)
    obs, syn = (np.stack([x.select(component=c)[0].data for c in 'ZRT']).astype(float) for x in st)
    first = travel_times(np.full(3, d), event.depth/1e3, ('P',), 'ak135')[:,0]
    stats = st[0][0].stats
    return dict(obs=obs, syn=syn, dt=stats.delta, start=stats.starttime-event.time, distance=np.full(3, d), depth=np.full(3, event.depth/1e3), first=first), \
        read_parameters(folder/'windows'/'27_60.BHZ.config.yaml')

def ours(z, p):
    "Accepted windows of each trace: (left, right, cc, lag, dlnA)"
    t = pick_windows(z['obs'], z['syn'], z['dt'], z['distance'], z['depth'], p, z['start'], z['first']).table
    t = t[t.decision == 'accept']
    return [t.loc[t.pair == i, ['left', 'right', 'correlation', 'lag_s', 'dlnA']].values.tolist() for i in range(len(z['obs']))]

def overlap(a, b):
    "Intersection over union of two windows"
    return max(0, min(a[1], b[1]) - max(a[0], b[0]))/(max(a[1], b[1]) - min(a[0], b[0]))

def edges(windows): return {(i, int(w[0]), int(w[1])) for i, found in enumerate(windows) for w in found}

def identical(a, b): return len(edges(a) & edges(b))/max(len(edges(a) | edges(b)), 1)

def partners(a, b):
    "Overlap of each window of a and of b with the best one of the other"
    return np.array([max((overlap(u, v) for v in others), default=0.) for x, y in zip(a, b) for mine, others in ((x, y), (y, x)) for u in mine])

def differences(a, b):
    "Largest differences of correlation, lag and dlnA of windows with the same edges"
    d = [np.abs(np.subtract(u[2:], v[2:])) for x, y in zip(a, b) for u in x for v in y if u[:2] == v[:2]]
    return np.max(d, axis=0) if d else np.zeros(3)

def describe(mine, theirs):
    "Agreement in words"
    o, d = partners(mine, theirs), differences(mine, theirs)
    same = np.mean([edges([x]) == edges([y]) for x, y in zip(mine, theirs)])
    return (f'  identical windows {identical(mine, theirs):.3f}; traces with the same windows {same:.3f}; '
            f'windows per trace {len(edges(mine))/len(mine):.2f} (fwinb) and {len(edges(theirs))/len(mine):.2f} (pyflex)\n'
            f'  overlap of each window with the best of the other: median {np.median(o):.3f}, mean {o.mean():.3f}; '
            f'identical ones differ at most by {d[0]:.2g} in cc, {d[1]:.2g} s in lag, {d[2]:.1g} in dlnA')

def pack(name, z, p, folder):
    "File of traces, limits and parameters for pyflex"
    limits = window_limits(z['first'], z['distance'], z['obs'].shape[1], z['dt'], z['start'], p)
    path = Path(folder)/f'{name}.npz'
    np.savez(path, config=json.dumps(config(p)), low=limits.low, high=limits.high, **z)
    return path

def compare(name, z, p, python, folder):
    "Agreement, and what each cause of a difference does"
    mine, every, path = ours(z, p), range(len(z['obs'])), pack(name, z, p, folder)
    print(f'\n{name}: {len(every)} traces', flush=True)
    with Pyflex(python, str(path)) as flex:
        def found(causes):
            answer = flex(every, causes)
            if answer['failed']: print(f"  pyflex fails on {len(answer['failed'])} traces, which count as traces without windows; {answer['failed'][0]}")
            return answer['windows']
        steps = [found(flex.causes[:k]) for k in range(len(flex.causes)+1)]
        print(describe(mine, steps[0]))
        print('  identical if corrected: all down to this; all but this, and the windows that this changes; what pyflex does otherwise')
        for cause, step in zip(flex.causes, steps[1:]):
            without = found([k for k in flex.causes if k != cause])
            changed = len(edges(without) ^ edges(steps[-1]))
            print(f'  {identical(mine, step):9.3f} {identical(mine, without):9.3f} {changed:6}   {cause}', flush=True)
        print(f'  with all corrected:\n{describe(mine, steps[-1])}', flush=True)

def times(name, z, p, python, folder, rounds, few):
    "CPU time per trace, in turns: travel times of earthquakes not seen before, and picking"
    n, path, rows = len(z['obs']), pack(name, z, p, folder), []
    def pick(depth, first): pick_windows(z['obs'], z['syn'], z['dt'], z['distance'], depth, p, z['start'], first)
    pick(z['depth'], z['first'])
    with Pyflex(python, str(path)) as flex:
        for k in range(rounds):
            cpu = [process_time()]
            pick(z['depth'] + .1*(k+1), None)             # depths that no table is there for
            cpu.append(process_time())
            pick(z['depth'], z['first'])
            cpu.append(process_time())
            theirs = flex([(k*few + i) % n for i in range(few)], forget=True)
            rows.append((*(np.diff(cpu)/n), theirs['cpu']/few, (theirs['cpu']-theirs['ttimes'])/few))
    whole, alone, flex_whole, flex_alone = np.median(rows, axis=0)
    ratios = np.array([[r[2]/r[0], r[3]/r[1]] for r in rows])
    for k, (what, a, b) in enumerate((('with travel times', whole, flex_whole), ('picking alone', alone, flex_alone))):
        r = ratios[:,k]
        print(f'  {name:8} {what:18} {1e6*a:10.0f} {1e6*b:12.0f} {np.median(r):8.0f} ({r.min():.0f} to {r.max():.0f})', flush=True)

MANY = '''
import resource, sys, time
import numpy as np
from fwinb.features.windows import window_table
from fwinb.pairs.store import open_pairs
n, pairs, done, windows = int(sys.argv[1]), open_pairs(sys.argv[2], dask=False), 0, 0
start, cpu = time.perf_counter(), time.process_time()
while done < n:
    k = done % pairs.sizes['pair']
    block = pairs.isel(pair=slice(k, k+min(3072, n-done)))
    windows += (window_table(block).table.decision == 'accept').sum()
    done += block.sizes['pair']
gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/(1e9 if sys.platform == 'darwin' else 1e6)
print(f'{n:9,} traces: {time.perf_counter()-start:6.1f} s, {time.process_time()-cpu:6.1f} CPU-s, {windows:,} windows, peak {gb:.2f} GB', flush=True)
'''

STORE = '''
import sys
from fwinb.earth.simulate import simulate_pairs
simulate_pairs(24_576, seed=1, recipe='surface', path=sys.argv[1], progress=False)
'''

def many(sizes):
    "Three-component records of the recipe surface, read from a store of 24,576 traces again and again"
    with tempfile.TemporaryDirectory() as d:
        subprocess.run([sys.executable, '-c', STORE, f'{d}/pairs.zarr'], check=True)      # a process of its own: peaks are inherited
        for n in sizes: subprocess.run([sys.executable, '-c', MANY, str(3*n), f'{d}/pairs.zarr'], check=True)

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument('--pyflex', help='interpreter of an environment that has pyflex; default: one is made under build/')
    a.add_argument('--pairs', type=int, default=240, help='traces of each recipe')
    a.add_argument('--rounds', type=int, default=5, help='turns')
    a.add_argument('--real', help='folder of the published example')
    a.add_argument('--many', type=int, nargs='+', help='numbers of three-component records; nothing else is done')
    a = a.parse_args()
    if a.many: sys.exit(many(a.many))
    python = pyflex_python(a.pyflex)
    with tempfile.TemporaryDirectory() as folder:
        if a.real: compare('real', *real(a.real), python, folder)
        for name in RECIPES: compare(name, *simulated(name, a.pairs, 5), python, folder)
        print(f'\nCPU time per trace (us), median of turns: fwinb, {CHUNK} traces at once; pyflex, {FEW} of them, one by one; '
              'how many times (lowest to highest)')
        for name in RECIPES: times(name, *simulated(name, CHUNK, 6), python, folder, a.rounds, FEW)
