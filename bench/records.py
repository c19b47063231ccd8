"""Raw records: the cost of time stamps and of the search for fills, and how often a sound record is taken for a filled one.

    python bench/records.py FOLDER [--n 2000] [--seed 0]

FOLDER holds raw miniSEED of real earthquakes, sound in the sense of this page (no fills). Cost: CPU time in the one process,
the median of several runs. False alarms: records at random, half of each at a random place, resampled to 40, 20, 10, 5 or 1 Hz
as far as their rate allows, and divided by a random number (log-uniform) down to five counts at the largest sample. Constant
samples for a minute are not counted: in records of a few counts they are natural, and always a gap.
"""
import argparse, tempfile, time
from collections import Counter
from pathlib import Path

import numpy as np, obspy
from scipy.signal import resample_poly

from fwinb.data.files import read_records
from fwinb.data.records import FLAT, check_counts, contiguous, find_fills, read_stamped, window_of

def cpu_ms(*runs, repeats=51):
    "Median CPU time of each of some calls, in turns, ms"
    spent = np.zeros((repeats, len(runs)))
    for i in range(repeats):
        for k, run in enumerate(runs):
            begin = time.process_time()
            run()
            spent[i, k] = time.process_time() - begin
    return 1e3*np.median(spent, axis=0)

def cost_of_stamps(files):
    "Reading with and without stamps: files of the folder, and a simulated day of 1 Hz"
    noise = np.rint(np.random.default_rng(0).normal(size=86400)*1e3).astype(np.int32)
    day = obspy.Trace(noise, dict(network='XX', station='DAY', channel='LHZ', starttime=obspy.UTCDateTime(2020, 1, 1)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/'day of 1 Hz'
        day.write(str(path), 'MSEED', reclen=512)
        print(f'{"file":24} {"records":>7} {"ObsPy":>8} {"stamps":>8}')
        for p in [*files, path]:
            st = obspy.read(str(p), headonly=True)
            start = st[0].stats.starttime + 60
            n = sum(tr.stats.mseed.number_of_records for tr in st)
            plain, stamped = cpu_ms(lambda: read_records(p)[0].slice(start, start+5800),
                                    lambda: read_stamped(p, start, start+5800))
            extra = stamped - plain
            print(f'{p.name:24} {n:7} {plain:5.2f} ms {extra:5.2f} ms ({extra/plain:+.0%})')

def cost_of_fills(records):
    "Search for fills in the piece around a window, by rate"
    for rate in (1, 20, 40):
        x = next((x for _, x, r in records if r >= rate), None)
        if x is None: continue
        tr = obspy.Trace(np.rint(resample_poly(x, 1, round(next(r for _, _, r in records if r >= rate)/rate)))[:5800*rate],
                         dict(network='XX', station='A', channel='BHZ', sampling_rate=rate, starttime=obspy.UTCDateTime(2020, 1, 1)))
        zero = tr.stats.starttime + 2000
        piece = contiguous(tr, zero)
        search, whole, check = cpu_ms(lambda: find_fills(tr.data, 1/rate), lambda: contiguous(tr, zero),
                                      lambda: check_counts(piece, *window_of(zero)))
        print(f'{rate:2} Hz, {tr.stats.npts} samples: search {search:.2f} ms, contiguous {whole:.2f} ms, '
              f'check_counts {check:.2f} ms')

def false_alarms(records, n, rng):
    "Fills found in n sound records of many rates and amplitudes"
    kinds, alarms = Counter(), 0
    for _ in range(n):
        name, x, rate = records[rng.integers(len(records))]
        k = int(rng.choice([k for k in (1, 2, 4, 8, 20, 40) if rate % k == 0 and rate >= k]))
        first = int(rng.integers(0, len(x)//2))
        y = resample_poly(x[first:first+len(x)//2], 1, k) if k > 1 else x[first:first+len(x)//2]
        largest = np.abs(y - np.median(y)).max()
        y = np.rint(y/10**rng.uniform(0, np.log10(max(largest, 10)/5)) + rng.uniform(-.5, .5))
        found = [f for f in find_fills(y, k/rate) if not (f.kind == 'value' and (f.last-f.first)*k/rate >= FLAT)]
        kinds.update(f.kind for f in found)
        alarms += bool(found)
        for f in found: print(f'  {name} at {rate/k:g} Hz, {np.abs(y - np.median(y)).max():.0f} counts: {f}')
    print(f'false alarms: {alarms} of {n} records {dict(kinds)}; 95 % below {(alarms + 1.645*np.sqrt(alarms) + 3)/n:.1e} a record')

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('folder', type=Path, help='raw miniSEED, in any sub-folders')
    p.add_argument('--n', type=int, default=2000, help='records with random rate and amplitude')
    p.add_argument('--seed', type=int, default=0)
    a = p.parse_args()
    files = sorted(f for f in a.folder.rglob('*.mseed'))
    cost_of_stamps(files)
    records = [(tr.id, tr.data.astype(float), round(tr.stats.sampling_rate)) for f in files for tr in obspy.read(str(f))
               if tr.stats.npts*tr.stats.delta > 3000]
    cost_of_fills(records)
    false_alarms(records, a.n, np.random.default_rng(a.seed))

if __name__ == '__main__': main()
