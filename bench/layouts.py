"""Files of fwinb.adjoint read by the programs they are for, and files of theirs read by fwinb.

    python bench/layouts.py                           # pyatoa in an environment made under build/; two minutes the first time
    python bench/layouts.py --pyatoa ENV/bin/python   # an interpreter that has pyatoa, pyasdf and numpy below 2, for pyflex
    python bench/layouts.py --gfortran gfortran       # also: .adj files by a Fortran program that reads as SPECFEM does
    python bench/layouts.py --save                    # and write tests/expected/pyatoa_layout.json

pyatoa picks windows and measures on two wave trains, three seconds apart, and writes its ASDF file; fwinb reads it. fwinb writes
windows and adjoint sources; pyatoa loads them, makes files for SPECFEM of them, and lists them with its Inspector.
"""
import argparse, json, subprocess, tempfile, venv
from pathlib import Path

import h5py, numpy as np, pandas as pd
from fwinb.adjoint.files import SourceInfo, StationSource, attributes, read_adj, write_adj, write_sem
from fwinb.adjoint.layouts import read_pyatoa_sources, read_pyatoa_windows, write_pyatoa
from fwinb.data.instruments import Place
from obspy import UTCDateTime, read_events

ROOT = Path(__file__).resolve().parent.parent
EXPECTED = ROOT/'tests/expected/pyatoa_layout.json'
NEEDS = 'numpy<2', 'setuptools<70', 'scipy<1.14', 'pyatoa==0.4.2', 'pyasdf'

WORKER = r'''
import json, os, sys, warnings
warnings.simplefilter('ignore')
import numpy as np
from obspy import Stream, Trace, UTCDateTime
from obspy.core.event import Event, Magnitude, Origin, ResourceIdentifier
from obspy.core.inventory import Channel, Inventory, Network, Station
from pyasdf import ASDFDataSet
from pyatoa import Config, Inspector, Manager, logger
from pyatoa.utils.asdf import load
from pyatoa.utils.write import write_adj_src_to_ascii
logger.setLevel('WARNING')
what, folder = sys.argv[1:]
os.chdir(folder)
zero, dt, start, n = UTCDateTime(2020, 1, 1), .5, -20., 3000
t = start + dt*np.arange(n)

def said(windows, sources):
    out = dict(windows={}, sources={})
    for c, ws in windows.items():
        for k, w in enumerate(ws):
            out['windows'][f'{c}{k}'] = [w.channel_id, w.left, w.right, float(w.cc_shift*w.dt), float(w.dlnA), str(w.absolute_starttime)]
    for c, s in sources.items(): out['sources'][c] = [s.component, float(s.misfit), str(s.starttime), list(map(float, s.adjoint_source))]
    return out

if what == 'theirs':
    event = Event(resource_id=ResourceIdentifier('smi:local/source/A1/event'), magnitudes=[Magnitude(mag=6.)],
                  origins=[Origin(time=zero, latitude=0, longitude=0, depth=30e3)])
    event.preferred_origin_id = event.origins[0].resource_id
    parts = [Channel('BX' + c, '', 20., 10., 0., 0., azimuth=a, dip=d, sample_rate=2.)
             for c, a, d in (('Z', 0, -90), ('N', 0, 0), ('E', 90, 0))]
    inv = Inventory([Network('XX', [Station('AAA', 20., 10., 0., channels=parts)])])
    def trace(c, late, strong):
        x = sum(a*np.exp(-((t-m-late)/40)**2)*np.cos(2*np.pi*(t-m-late)/40) for m, a in ((300, .5), (600, 1.)))
        return Trace(1e-5*strong*x, dict(network='XX', station='AAA', location='', channel='BX' + c, delta=dt, starttime=zero + start))
    obs, syn = (Stream([trace(c, *how) for c in 'ZNE']) for how in ((3, 1.1), (0, 1.)))
    config = Config(event_id='A1', iteration=1, step_count=0, min_period=20., max_period=100., st_obs_type='syn')
    m = Manager(config=config, event=event, st_obs=obs, st_syn=syn, inv=inv)
    m.standardize(); m.preprocess(remove_response=False); m.window(); m.measure()
    with ASDFDataSet('theirs.h5', mpi=False) as ds: m.write_to_dataset(ds)
    json.dump(said(m.windows, m.adjsrcs), open('theirs.json', 'w'))
    event.write('event.xml', 'QUAKEML')
else:
    with ASDFDataSet('ours.h5', mode='r', mpi=False) as ds:
        stations = sorted({tuple(x.split('_')[:2]) for x in ds.auxiliary_data.MisfitWindows.i01.s00.list()})
        out = {'.'.join(s): said(load.load_windows(ds, *s, 1, 0), load.load_adjsrcs(ds, *s, 1, 0)) for s in stations}
        write_adj_src_to_ascii(ds, 1, 0, 'ascii')
        inspector = Inspector()
        inspector._get_windows_from_dataset(ds)
    w = inspector.windows
    out['inspector'] = w[['station', 'channel', 'dlnA', 'misfit']].values.tolist()
    json.dump(out, open('ours.json', 'w'))
'''

READER = r'''
program reader
  implicit none
  character(len=512) :: name
  integer :: n, block, ier, i, k
  real(kind=8) :: skipped
  real(kind=4) :: time
  real(kind=4), allocatable :: x(:)
  call get_command_argument(1, name)
  open(unit=40, file=trim(name), status='old', action='read')
  n = 0
  do
    read(40, *, iostat=ier) skipped, skipped
    if (ier /= 0) exit
    n = n + 1
  enddo
  close(40)
  allocate(x(n))
  block = max(1, n/3)
  do k = (n-1)/block, 0, -1                     ! block by block, the last one first
    open(unit=40, file=trim(name), status='old', action='read')
    do i = 1, min((k+1)*block, n)
      if (i <= k*block) read(40, *) time, time
      if (i > k*block) read(40, *) time, x(i)
    enddo
    close(40)
  enddo
  do i = 1, n
    write(*, '(z8.8)') x(i)
  enddo
end program
'''

def environment():
    "Interpreter with pyatoa, made once"
    folder = ROOT/'build/pyatoa'
    python = folder/'bin/python'
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, '-m', 'pip', 'install', '-q', *NEEDS], check=True)
    return python

def structure(path):
    "Names, shapes, types and attributes of the auxiliary data of an ASDF file; of sources two rows"
    out = {}
    with h5py.File(path) as f:
        for group in ('MisfitWindows', 'AdjointSources'):
            def visit(key, x):
                if not isinstance(x, h5py.Dataset): return
                data = x[()] if group == 'MisfitWindows' else x[[0, -1]]
                out[f'{group}/{key}'] = dict(shape=x.shape, dtype=str(x.dtype), data=data.tolist(), attributes=attributes(x))
            f[f'AuxiliaryData/{group}'].visititems(visit)
    return out

def run(python, folder, what):
    (folder/'worker.py').write_text(WORKER)
    subprocess.run([python, folder/'worker.py', what, folder], check=True)

def theirs(python, folder):
    "pyatoa's file, as pyatoa has it and as fwinb reads it"
    run(python, folder, 'theirs')
    said = json.loads((folder/'theirs.json').read_text())
    w, sources = read_pyatoa_windows(folder/'theirs.h5'), read_pyatoa_sources(folder/'theirs.h5')
    for (name, r), mine in zip(sorted(said['windows'].items()), w.sort_values('station').itertuples()):
        assert [r[0], r[1], r[2]] == [mine.station, mine.left, mine.right] and abs(r[3] - mine.lag_s) < 1e-9, name
        assert abs(UTCDateTime(r[5]).timestamp - mine.start) < 1e-5 and abs(r[4] - mine.dlnA) < 1e-12
    t = sources[0][0].start + sources[0][0].dt*np.arange(sources[0][0].npts)
    for info, s in sources:
        (k, x), = s.sources.items()
        assert (x == np.array(said['sources'][k][3])[::-1]).all() and info.start == -20 and info.time == UTCDateTime(2020, 1, 1).timestamp
        syn = sum(a*np.exp(-((t-m)/40)**2)*np.cos(2*np.pi*(t-m)/40) for m, a in ((300, .5), (600, 1.)))
        change = (x*-np.gradient(syn, t)).sum()                       # a synthetic that is later: the delay, and the misfit, shrink
        assert change < 0, 'the sign of the source'
    print(f'pyatoa -> fwinb: {len(w)} windows, {len(sources)} sources, equal; the source lowers the misfit')
    return said

def ours(python, folder):
    "fwinb's file, as pyatoa loads it"
    dt, start, n = .19, -12.3, 5000
    t = start + dt*np.arange(n)
    info = SourceInfo(UTCDateTime(2020, 1, 1).timestamp, start, dt, n, 'cc_traveltime', (20., 100.))
    f = {k: 1e-6*np.exp(-((t-m)/50)**2)*np.cos(t/10) for k, m in zip('ZNE', (300, 400, 500))}
    a = StationSource('XX.AAA', dict(Z=f['Z']), Place(10., 5.), dict(Z=4.5))
    b = StationSource('XX.BBB', f, Place(20., 5.), dict(Z=1., N=2., E=3.))
    rows = [('XX.AAA.00.BHZ', 250, 350), ('XX.BBB.00.BHZ', 250, 350), ('XX.BBB.10.BHZ', 400, 500), ('XX.BBB.00.BHN', 350, 450)]
    station, left, right = zip(*rows)
    windows = pd.DataFrame(dict(event='A1', station=station, component=[s[-1] for s in station], start_s=left, end_s=right, dlnA=.1,
                                correlation=.9, lag_s=1.9, weight=4.5, phases='', decision='accept'))
    write_pyatoa(folder/'ours.h5', windows, [a, b], info, event=read_events(str(folder/'event.xml'))[0])
    write_sem(folder, [a, b], info)
    run(python, folder, 'ours')
    said = json.loads((folder/'ours.json').read_text())
    count = 0
    for s in (a, b):
        got = said[s.station]
        for k, x in s.sources.items():
            assert got['sources'][k][:2] == [f'MX{k}', s.misfit[k]] and (np.array(got['sources'][k][3])[::-1] == x).all()
        for channel, first, last, lag, dlnA, begin in got['windows'].values():
            mine = windows[(windows.station == channel)].iloc[0]
            assert abs(UTCDateTime(begin).timestamp - info.time - mine.start_s) <= dt/2 and (lag, dlnA) == (1.9, .1)
            assert abs((last-first)*dt - 100) <= dt
            count += 1
    assert count == len(windows) == len(said['inspector'])
    for p in sorted((folder/'ascii').iterdir()):                      # pyatoa's files for SPECFEM against ours
        x, y = read_adj(p), read_adj(folder/'SEM'/p.name)
        assert len(x.x) == len(y.x) and abs(x.start - y.start) < 1e-5
        assert abs(x.x - y.x).max() <= 1e-6*max(abs(y.x).max(), 1e-30)
    names = {p.name for p in (folder/'ascii').iterdir()}
    assert names == {p.name for p in (folder/'SEM').iterdir()}
    print(f'fwinb -> pyatoa: {count} windows and 4 sources loaded, {len(names)} .adj files agree with ours to seven digits')

def fortran(compiler, folder):
    "Is what the Fortran program reads what `read_adj` reads, in single precision?"
    (folder/'reader.f90').write_text(READER)
    subprocess.run([compiler, folder/'reader.f90', '-o', folder/'reader'], check=True)
    rng = np.random.default_rng(0)
    x = rng.standard_normal(5000)*10.**rng.uniform(-44, 37, 5000)
    x[:3] = 0, 1e-101, -3.4e38
    path = write_adj(folder/'x.adj', x, .19, -12.3)
    out = subprocess.run([folder/'reader', path], check=True, capture_output=True, text=True).stdout.split()
    read = np.array([int(w, 16) for w in out], np.uint32).view(np.float32)
    assert (read == read_adj(path).x.astype(np.float32)).all()
    normal = abs(x) > 1.2e-38
    print(f'Fortran: {len(read)} values as read_adj has them; {abs(read[normal]/x[normal] - 1).max():.1e} from what was written')

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--pyatoa', help='interpreter with pyatoa')
    p.add_argument('--gfortran', help='Fortran compiler')
    p.add_argument('--save', action='store_true', help='write the reference of the tests')
    args = p.parse_args()
    python = args.pyatoa or environment()
    with tempfile.TemporaryDirectory() as d:
        theirs(python, Path(d))
        ours(python, Path(d))
        if args.gfortran: fortran(args.gfortran, Path(d))
        if args.save:
            text = json.dumps(structure(Path(d)/'theirs.h5'), indent=1)
            EXPECTED.write_text(text + '\n', encoding='utf-8')
