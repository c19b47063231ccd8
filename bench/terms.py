"""Event and station terms: how time and memory grow with the records, and how well wrong clocks and sources are found.

    python bench/terms.py                        # growing networks, to 2,000 events x 5,000 stations x 3 components
    python bench/terms.py --largest 500          # to 500 events only
    python bench/terms.py --found terms.csv      # simulated networks whose truth is known; some minutes

Growing networks have random delays at a tenth of all combinations of event and station, and a process each; memory is
its largest resident memory, and what it was before the terms. One BLAS thread. Without --found nothing is written.
"""
import argparse, os
for k in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS'): os.environ[k] = '1'
import multiprocessing, resource, time

import numpy as np, pandas as pd
from fwinb.earth.simulate import draw_source, misplace, prepare, simulate_event
from fwinb.earth.structure import seeded
from fwinb.features.network_terms import SERIES, network_term_table, source_shifts
from fwinb.features.pair import product_names
from fwinb.features.stations import pair_delays, station_history, station_suspects
from fwinb.pairs.schema import build_pairs, path_geometry

KM, SHARE, LATE = 111.2, .1, .1   # km per degree; combinations that are recorded; stations whose clock is wrong

def random_table(events, stations, share=SHARE, seed=0):
    "What `network_term_table` needs of `pair_features`, with random delays"
    rng = np.random.default_rng(seed)
    def places(n): return np.degrees(np.arcsin(rng.uniform(-.9, .9, n))), rng.uniform(-180, 180, n)
    (ea, eo), (sa, so) = places(events), places(stations)
    e, s = (np.repeat(x, 3) for x in np.nonzero(rng.random((events, stations)) < share))
    n, c = len(e), np.tile(np.arange(3), len(e)//3)
    distance, azimuth = path_geometry(ea[e], eo[e], sa[s], so[s])
    event = np.array([f'E{i:05d}' for i in range(events)], object)
    channel = np.array([[f'XX.S{i:05d}.00.LH{k}' for k in 'ZRT'] for i in range(stations)], object)
    out = dict(event=event[e], station=channel[s, c], component=np.array(list('ZRT'), object)[c], earth=0, status='ok')
    out |= dict(event_latitude=ea[e], event_longitude=eo[e], station_latitude=sa[s], station_longitude=so[s])
    out |= dict(distance_deg=distance, azimuth_deg=azimuth, correlation=.9)
    for k in SERIES:
        end = '' if k == 'lag' else f'_{k}'
        out |= {f'delay{end}' if end else 'lag': rng.normal(0, 5, n), f'amplitude{end}' if end else 'dlnA': rng.normal(0, .3, n)}
        if end: out |= {f'correlation{end}': .9, f'share{end}': .2}
    return pd.DataFrame(out | {k: rng.normal(size=n) for k in product_names()})

def gigabytes(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1e6

def measure(events, stations, send):
    table = random_table(events, stations)
    before, start = gigabytes(), time.monotonic()
    terms = network_term_table(table)
    send.send((len(table), time.monotonic()-start, gigabytes(), before, np.isfinite(terms.values).all()))

def grow(largest):
    print(f'{SHARE:.0%} of the combinations recorded; all 12 quantities of network_term_table')
    print(f'{"events":>7} {"stations":>9} {"records":>10} {"s":>7} {"us a record":>12} {"GB":>6} {"GB before":>10}')
    for events in (125, 250, 500, 1000, 2000):
        if events > largest: break
        stations = events*5//2
        here, there = multiprocessing.Pipe(False)
        child = multiprocessing.get_context('spawn').Process(target=measure, args=(events, stations, there))
        child.start(); there.close()
        n, seconds, peak, before, finite = here.recv()
        child.join()
        assert finite
        print(f'{events:7,} {stations:9,} {n:10,} {seconds:7.1f} {1e6*seconds/n:12.1f} {peak:6.2f} {before:10.2f}', flush=True)

def network(events, seed):
    "Delays of a simulated network without defects, and the true errors of its sources"
    setup, out, truth = prepare(seed=seed, earths=1, defects=0, per_event=150), [], []
    for i in range(events):
        e = simulate_event(setup, i)
        for k in ('linear', 'perturbed'): e.pop(k)
        out.append(pair_delays(build_pairs(e.pop('waveform'), **e)).assign(event_depth_km=e['event_depth_km']))
        given = draw_source(seeded(seed, 3, i), setup.zones)
        true = misplace(given, seeded(seed, 5, i))
        east = ((true.longitude-given.longitude+180) % 360 - 180)*np.cos(np.radians(given.latitude))
        truth.append(dict(event=out[-1].event[0], time_s=true.delay, north_km=(true.latitude-given.latitude)*KM, east_km=east*KM))
    return pd.concat(out, ignore_index=True), pd.DataFrame(truth)

def source_rows(table, truth, events):
    "True and found errors of the sources of a part of a network"
    m = source_shifts(table[table.event.isin(truth.event[:events])]).merge(truth, on='event', suffixes=('', '_true'))
    m = m[m.records > 0]
    for k in ('time_s', 'north_km', 'east_km'):
        name, unit = k.split('_')
        yield pd.DataFrame(dict(what=k, events=events, found=m[k], true=m[f'{k}_true'], error=m[f'{name}_error_{unit}'])).dropna()

def station_rows(table, truth, events, rng):
    "Stations of parts of a network, sound and with a tenth of the clocks wrong by 5 to 10 s: a row each"
    starts = range(0, len(truth)-events+1, max(events, 20))
    for part in (table[table.event.isin(truth.event[i:i+events])] for i in starts):
        stations = np.array(sorted(set(part.station)))
        wrong = rng.permutation(stations)[:int(LATE*len(stations))]
        late = pd.Series(rng.uniform(5, 10, len(wrong))*rng.choice([-1, 1], len(wrong)), wrong)
        for world, clock in (('sound', late[:0]), ('late', late)):
            add = part.station.map(clock).fillna(0.).values
            h = station_history(part.assign(lag=part.lag+add, turned_lag=part.turned_lag+add))
            s = station_suspects(h)
            s = s[s.kind == 'clock'].drop_duplicates('station').set_index('station').reindex(stations)
            records = h[h.delay.notna()].groupby('station').size().reindex(stations).fillna(0)
            yield pd.DataFrame(dict(world=world, events=events, records=records.values, true=clock.reindex(stations).fillna(0.).values,
                                    found=s.value.values.astype(float), error=s.error.values.astype(float), sure=s.sure.astype(float).fillna(0.).values))

def found_table(seeds, events=(3, 10, 30, 100)):
    "What is found, by the number of events: clocks, false alarms, and sources"
    rng, stations, sources = np.random.default_rng(0), [], []
    for seed in seeds:
        table, truth = network(max(events), seed)
        for n in events:
            sources += source_rows(table, truth, n)
            stations += station_rows(table, truth, n, rng)
    s, rows = pd.concat(stations), []
    for n, g in s.groupby('events'):
        for name, part in (('clock 5-10 s', g[g.true != 0]), ('clock 5-10 s, 10 records or more', g[(g.true != 0) & (g.records >= 10)]),
                           ('false alarms, sound network', g[g.world == 'sound']),
                           ('false alarms, a tenth late', g[(g.world == 'late') & (g.true == 0)])):
            hit = (part.sure > 0) & ((part.true == 0) | (np.sign(part.found) == np.sign(part.true)))
            z = ((part.found-part.true)/part.error)[hit & (part.true != 0)]
            rows.append(dict(what=name, events=n, number=len(part), share=hit.mean() if len(part) else np.nan, sure_half=(hit & (part.sure > .5)).mean() if len(part) else np.nan,
                             within_error=(z.abs() < 1).mean() if len(z) else np.nan, within_two=(z.abs() < 2).mean() if len(z) else np.nan))
    for (what, n), g in pd.concat(sources).groupby(['what', 'events'], sort=False):
        z = (g.found-g.true)/g.error
        rows.append(dict(what=what, events=n, number=len(g), correlation=g.found.corr(g.true), rms=np.sqrt((g.true**2).mean()),
                         left=np.sqrt(((g.found-g.true)**2).mean()), within_error=(z.abs() < 1).mean(), within_two=(z.abs() < 2).mean()))
    return pd.DataFrame(rows).round(3)

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--largest', type=int, default=2000, help='events of the largest growing network')
    p.add_argument('--found', help='CSV to write; instead of growing networks')
    p.add_argument('--seeds', type=int, nargs='+', default=[21, 22, 23], help='of the simulated networks')
    a = p.parse_args()
    if a.found:
        table = found_table(a.seeds)
        print(table.to_string(index=False))
        table.to_csv(a.found, index=False)
    else: grow(a.largest)
