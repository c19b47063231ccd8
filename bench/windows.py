"""Windows of fwinb and of pyflex on the same traces with the same parameters: do they agree, why not, and what does a trace cost?

    python bench/windows.py                               # agreement and CPU time, recipes study and surface; ten minutes
    python bench/windows.py --pyflex ENV/bin/python       # an interpreter that has pyflex; else one is made under build/
    python bench/windows.py --real FOLDER                 # and the example of pytomo3d: proc, quakeml, stationxml, windows
    python bench/windows.py --many 1000 10000 100000      # three-component records: seconds and peak memory; five minutes

pyflex 0.2.0 needs numpy below 2 and setuptools below 70, so it has an environment and a process of its own. Both sides get the same
limits of noise and signal, because pyflex takes seconds for samples there, and traces in micrometres, because its STA/LTA has an
absolute threshold. The causes of the differences are found by correcting pyflex step by step in that process. Times are CPU times of one
thread, in turns.
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
EQUATOR = 111.319491/111.194927       # a degree of the equator over a degree of the sphere: pyflex measures on the ellipsoid

WORKER = r'''
import json, sys, warnings
from time import process_time
warnings.simplefilter('ignore')
import numpy as np, obspy, pyflex
from pyflex import window_selector as ws
from pyflex.window import Window
Selector, clock, orders = ws.WindowSelector, {}, {}

def timed(f):
    def g(self, *args):
        start = process_time(); out = f(self, *args); clock['ttimes'] = clock.get('ttimes', 0) + process_time() - start
        return out
    return g
Selector.calculate_ttimes = timed(Selector.calculate_ttimes)

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

CAUSES = {
    'as it is': lambda: None,
    'rejected windows stay rejected': lambda: setattr(Selector, 'separate_rejects', rejects),
    'curtailing counts the central maximum': lambda: setattr(Selector, 'curtail_length_of_windows', curtail),
    'the maximum decides what is too early or late': lambda: setattr(Selector, 'reject_on_traveltimes', box),
    'the first window has a weight': lambda: setattr(ws, 'schedule_weighted_intervals', schedule),
    'no ringing of the envelope at the ends': lambda: setattr(ws, 'envelope', mirrored),
    'a record that ends in a wave': lambda: setattr(ws.utils, 'find_local_extrema', with_ends(ws.utils.find_local_extrema)),
    'delay and correlation between the samples': lambda: setattr(Window, '_calc_criteria', criteria)}

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
    if 'cause' in order: CAUSES[order['cause']]()
    clock.clear()
    start, out = process_time(), [pick(i) for i in order['traces']]
    print(json.dumps(dict(cpu=process_time()-start, ttimes=clock.get('ttimes', 0.), windows=out)), flush=True)
'''

def pyflex_python(given):
    "An interpreter that has pyflex; made if none is given"
    if given: return given
    home = ROOT/'build'/'pyflex'
    python = home/('Scripts' if os.name == 'nt' else 'bin')/'python'
    if not python.is_file():
        print(f'making {home} with pyflex', flush=True)
        venv.create(home, with_pip=True)
        subprocess.run([python, '-m', 'pip', 'install', '-q', 'numpy<2', 'setuptools<70', 'pyflex==0.2.0', 'obspy'], check=True)
    return python

class Pyflex:
    "pyflex in a process of its own"
    def __init__(self, python, path):
        self.process = subprocess.Popen([python, '-c', WORKER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.causes = json.loads(self.process.stdout.readline())
    def __call__(self, **order):
        self.process.stdin.write(json.dumps(order) + '\n'); self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())
    def __enter__(self): return self
    def __exit__(self, *_): self.process.stdin.close(); self.process.wait()

def config(p):
    "Our parameters as those of pyflex"
    names = ('min_period', 'max_period', 'stalta_waterlevel', 'tshift_acceptance_level', 'tshift_reference', 'dlna_acceptance_level', 'dlna_reference',
             'cc_acceptance_level', 's2n_limit', 'earth_model', 'max_time_before_first_arrival', 'c_0', 'c_1', 'c_2', 'c_3a', 'c_3b', 'c_4a', 'c_4b',
             'check_global_data_quality', 'snr_integrate_base', 'snr_max_base', 'window_signal_to_noise_type', 'resolution_strategy')
    return {k: getattr(p, k) for k in names} | dict(min_surface_wave_velocity=p.min_surface_wave_velocity*EQUATOR)

def simulated(name, n, seed):
    "Traces in micrometres whose noise is long enough, their paths, and the parameters"
    recipe = load_recipe(name)
    pairs = simulate_pairs(n, seed=seed, earths=2, recipe=recipe, progress=False)
    p = parameters_for(recipe)._replace(earth_model='ak135')
    first = travel_times(pairs.distance_deg.values, pairs.event_depth_km.values, ('P',), 'ak135')[:,0]
    w = 1e6*pairs.waveform.values.astype(float)
    return dict(obs=w[:,0], syn=w[:,1], dt=recipe.dt, start=recipe.start, distance=pairs.distance_deg.values, depth=pairs.event_depth_km.values, first=first), p

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
    return dict(obs=obs, syn=syn, dt=.5, start=0., distance=np.full(3, d), depth=np.full(3, event.depth/1e3), first=first), \
        read_parameters(folder/'windows'/'27_60.BHZ.config.yaml')

def ours(z, p):
    "Accepted windows of each trace: (left, right, cc, lag, dlnA)"
    t = pick_windows(z['obs'], z['syn'], z['dt'], z['distance'], z['depth'], p, z['start'], z['first']).table
    t = t[t.decision == 'accept']
    return [t.loc[t.pair == i, ['left', 'right', 'correlation', 'lag_s', 'dlnA']].values.tolist() for i in range(len(z['obs']))]

def overlap(a, b):
    "Intersection over union of two windows"
    return max(0, min(a[1], b[1]) - max(a[0], b[0]))/(max(a[1], b[1]) - min(a[0], b[0]))

def agreement(a, b):
    "Share of identical windows of all that are different in either; mean overlap of each with the best of the other; differences of the identical ones"
    same, ious, differences, n = 0, [], [], 0
    for x, y in zip(a, b):
        edges = {(u[0], u[1]): u for u in y}
        twins = [(u, edges[u[0],u[1]]) for u in x if (u[0], u[1]) in edges]
        same, n = same + len(twins), n + len(x) + len(y) - len(twins)
        differences += [np.abs(np.subtract(u[2:], v[2:])) for u, v in twins]
        for u, others in [(u, y) for u in x] + [(u, x) for u in y]: ious.append(max((overlap(u, v) for v in others), default=0))
    traces = sum({(u[0], u[1]) for u in x} == {(u[0], u[1]) for u in y} for x, y in zip(a, b))
    return same/max(n, 1), float(np.mean(ious)), np.max(differences, axis=0) if differences else np.zeros(3), traces/len(a)

def compare(name, z, p, python, folder):
    "Agreement, with one cause of difference after the other taken away"
    limits = window_limits(z['first'], z['distance'], z['obs'].shape[1], z['dt'], z['start'], p)
    path = Path(folder)/f'{name}.npz'
    np.savez(path, config=json.dumps(config(p)), low=limits.low, high=limits.high, **{k: v for k, v in z.items() if k != 'first'})
    mine, every = ours(z, p), list(range(len(z['obs'])))
    print(f'\n{name}: {len(every)} traces, {sum(map(len, mine))} windows of fwinb')
    print('  identical  overlap  equal traces  windows  largest differences of the identical: cc, lag (s), dlnA; what pyflex does otherwise')
    with Pyflex(python, str(path)) as flex:
        for cause in flex.causes:
            theirs = flex(traces=every, cause=cause)['windows']
            same, iou, diff, traces = agreement(mine, theirs)
            print(f'  {same:9.3f}  {iou:7.3f}  {traces:12.3f}  {sum(map(len, theirs)):7}  {diff[0]:.4f} {diff[1]:.2f} {diff[2]:.1e}   {cause}', flush=True)
    return path

def times(name, z, p, path, python, rounds, few):
    "CPU time per trace, in turns"
    n, rows = len(z['obs']), []
    with Pyflex(python, str(path)) as flex:
        for k in range(rounds):
            cpu = [process_time()]
            for first in (None, z['first']):
                pick_windows(z['obs'], z['syn'], z['dt'], z['distance'], z['depth'], p, z['start'], first)
                cpu.append(process_time())
            theirs = flex(traces=[(k*few + i) % n for i in range(few)])
            rows.append((*(np.diff(cpu)/n), theirs['cpu']/few, (theirs['cpu']-theirs['ttimes'])/few))
    mine, mine_alone, whole, alone = np.median(rows, axis=0)
    ratio = np.median([[r[2]/r[0], r[3]/r[1]] for r in rows], axis=0)
    print(f'  {name}: with travel times {1e6*mine:.0f} us and {1e3*whole:.0f} ms, {ratio[0]:.0f} times; '
          f'picking alone {1e6*mine_alone:.0f} us and {1e3*alone:.0f} ms, {ratio[1]:.0f} times', flush=True)

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

def many(sizes):
    "Three-component records of the recipe surface, read from a store of 24,576 traces again and again"
    with tempfile.TemporaryDirectory() as d:
        simulate_pairs(24_576, seed=1, recipe='surface', path=f'{d}/pairs.zarr', progress=False)
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
        paths = {}
        for name in ('study', 'surface'):
            z, p = simulated(name, a.pairs, 5)
            paths[name] = z, p, compare(name, z, p, python, folder)
        print('\nCPU time per trace of fwinb, which picks all traces at once, and of pyflex; median of turns')
        for name, (z, p, path) in paths.items(): times(name, z, p, path, python, a.rounds, 16)
