"Adjoint sources and windows as SPECFEM, pyatoa, LASIF and pypaw read and write them; each format by a reader of its own"
import json, re, sqlite3
from io import BytesIO
from pathlib import Path
import numpy as np, obspy, pandas as pd, pytest
from obspy import UTCDateTime

import small_world as w
from fwinb.adjoint.files import (
    SourceInfo, StationSource, adj_channel, adj_name, band_code, read_adj, read_asdf, write_adj, write_asdf, write_sem)
from fwinb.adjoint.layouts import (
    lasif_windows, read_lasif_windows, read_pyatoa_sources, read_pyatoa_windows, write_lasif_sources, write_lasif_windows, write_pyatoa)
from fwinb.data.archive import read_places
from fwinb.data.events import Rejected
from fwinb.data.instruments import Place

PYATOA = json.loads((Path(__file__).parent/'expected/pyatoa_layout.json').read_text())     # by bench/layouts.py --save
DT, START, NSTEP = .19, -12.3, 1000
INFO = SourceInfo(UTCDateTime(2018, 3, 4, 5, 6, 7).timestamp, START, DT, NSTEP, 'waveform', (50., 500.))
T = START + DT*np.arange(NSTEP)
F = {k: a*1e-6*np.exp(-((T-90)/20)**2)*np.cos(T/5) for k, a in zip('NEZ', (1, -2, 3))}
AAA, BBB = StationSource('XX.AAA', dict(Z=F['Z']), Place(35., 20., 12., 3.), dict(Z=.5)), StationSource('XX.BBB', F, Place(-20., 60.))
WINDOWS = pd.DataFrame(dict(
    event='E1', station=['XX.AAA.00.LHZ', 'XX.AAA.00.LHZ', 'XX.AAA.10.LHZ', 'XX.BBB..LHN'], component=['Z', 'Z', 'Z', 'N'],
    start_s=[20., 90., 30., 40.], end_s=[60., 150., 70., 99.], left=7, right=9, correlation=.9, lag_s=-1.9, dlnA=.1, weight=2., phases='',
    decision=['accept', 'accept', 'accept', 'refuse']))

NUMBER = re.compile(r'([+-]?(?:\d+\.?\d*|\.\d+))(?:[EeDdQq]([+-]?\d+)|([+-]\d+))?')

def list_directed(path, block=300):
    "Samples in the order in which the solver injects them: `read(IIN,*) junk, value`, lines counted first, blocks from the end, last sample first"
    lines = path.read_text(encoding='ascii').splitlines()
    def value(word):
        m = NUMBER.fullmatch(word)
        assert m, f'a Fortran program stops at {word!r}'
        with np.errstate(over='ignore'): return np.float32(float(f'{m[1]}e{m[2] or m[3] or 0}'))
    rows = [[value(x) for x in re.split(r'[\s,]+', line.strip())[:2]] for line in lines]
    assert all(len(r) == 2 for r in rows)
    out = []
    for end in range(len(rows), 0, -block): out += [r[1] for r in rows[max(0, end-block):end]][::-1]
    return np.array(out), np.array([r[0] for r in rows])

# ---- .adj -----------------------------------------------------------------------------------------------------------
def test_adj_as_the_solver_reads_it(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(NSTEP)*10.**rng.uniform(-37, 37, NSTEP)
    x[:5] = 0, -0., 1e-30, -3.4e38, 1e-101
    path = write_adj(tmp_path/'a.adj', x, DT, START)
    injected, times = list_directed(path)
    assert len(injected) == NSTEP
    np.testing.assert_allclose(injected[::-1], np.float32(x), rtol=1.3e-7)        # f(T-t): the last sample first; a bit of single precision
    np.testing.assert_allclose(times, T, atol=1e-5)
    columns = re.compile(r'[ \d.-]{14} [ \dE.+-]{18}')
    assert all(columns.fullmatch(line) for line in path.read_text().splitlines()) and path.read_text().endswith('\n')
    back = read_adj(path)
    np.testing.assert_allclose(back.x, x, rtol=5.1e-9, atol=0)
    assert abs(back.dt - DT) < 1e-9 and abs(back.start - START) < 1e-7
    assert [p.name for p in tmp_path.iterdir()] == ['a.adj']

@pytest.mark.parametrize('dt, start', [(1e-6, 0.), (.005, -7200.), (2.5, -100.), (.19, 1e5)])
def test_times_are_regular(tmp_path, dt, start):
    back = read_adj(write_adj(tmp_path/'a.adj', np.r_[0., np.ones(4999)], dt, start))
    assert abs(back.dt/dt - 1) < 1e-6 and abs(back.start - start) < dt/100

@pytest.mark.parametrize('how', [
    lambda t, v: f'{t:14.7g} {v:18.7g}',                                # dwrite_ascfile_c of SPECFEM's utilities
    lambda t, v: f'  {np.float32(t):.7f}      {np.float32(v):.8E}    ', # list-directed output of gfortran
    lambda t, v: f'{t:13.6f}      {v:13.6E}' if v else f'{t:13.6f}      {0:>13d}',   # pyatoa
    lambda t, v: f'{t:.18e} {v:.18e}',                                  # pyadjoint
    lambda t, v: f'{t:.6f} {v:.7E}'.replace('E', 'D')])
def test_theirs(tmp_path, how):
    x = np.where(np.arange(NSTEP) < 50, 0, F['Z'])
    (tmp_path/'a.adj').write_text(''.join(how(t, v) + '\n' for t, v in zip(T, x)))
    back = read_adj(tmp_path/'a.adj')
    np.testing.assert_allclose(back.x, x, rtol=2e-6, atol=1e-37)
    assert abs(back.dt - DT) < 1e-6 and abs(back.start - START) < 1e-4

@pytest.mark.parametrize('lines, said', [
    (' 0 1\n 1 1\n 3 1\n', 'not regular'), (' 0 1 2\n 1 1 2\n', '3 columns'), (' 0 1\n 1 NaN\n', 'not finite'), ('', 'empty')])
def test_broken(tmp_path, lines, said):
    (tmp_path/'a.adj').write_text(lines)
    with pytest.raises(Rejected, match=said): read_adj(tmp_path/'a.adj')

def test_names():
    "By the table of `band_instrument_code`; N, E, Z, or Y (north), X (east), Z without a map projection"
    table = {1.: 'L', 5.: 'L', .999: 'M', .1001: 'M', .1: 'B', .0126: 'B', .0125: 'H', .0041: 'H', .004: 'C', .0011: 'C', .001: 'F', 1e-6: 'F'}
    assert {dt: band_code(dt) for dt in table} == table and band_code(.1 + 1e-9) == 'B'
    assert [adj_channel(c, .19) for c in 'NEZ'] == ['MXN', 'MXE', 'MXZ']
    assert [adj_channel(c, .19, 'cartesian') for c in 'NEZ'] == ['MXY', 'MXX', 'MXZ']
    assert adj_name('IU', 'ANMO', 'E', .05) == 'IU.ANMO.BXE.adj'
    for bad in (dict(component='R'), dict(component=''), dict(dt=0), dict(dt=np.nan), dict(code='2d')):
        with pytest.raises(ValueError): adj_channel(**dict(component='Z', dt=.19) | bad)

@pytest.mark.parametrize('code, letters', [('globe', 'NEZ'), ('cartesian', 'YXZ')])
def test_a_run(tmp_path, code, letters):
    write_sem(tmp_path, iter([AAA, BBB]), INFO, code)
    places = dict(read_places(tmp_path/'DATA/STATIONS_ADJOINT'))
    for line in (tmp_path/'DATA/STATIONS_ADJOINT').read_text().splitlines(): assert len(line.split()) == 6
    assert {k: tuple(p[:4]) for k, p in places.items()} == {s.station: tuple(s.place[:4]) for s in (AAA, BBB)}
    for s in (AAA, BBB):                                                # as `check_adjoint_sources`: three files of NSTEP lines for each
        for k, letter in zip('NEZ', letters):
            x, _ = list_directed(tmp_path/f'SEM/{s.station}.MX{letter}.adj')
            np.testing.assert_allclose(x[::-1], np.float32(s.sources.get(k, np.zeros(NSTEP))), rtol=1.3e-7)
    assert len(list((tmp_path/'SEM').iterdir())) == 6

def test_an_interrupted_run_has_no_list(tmp_path):
    write_sem(tmp_path, [AAA], INFO)
    def stations():
        yield AAA
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): write_sem(tmp_path, stations(), INFO)
    assert not (tmp_path/'DATA/STATIONS_ADJOINT').exists() and len(list((tmp_path/'SEM').iterdir())) == 3

@pytest.mark.parametrize('s, said', [
    (AAA._replace(sources=dict(R=F['Z'])), 'turn R and T'), (AAA._replace(sources=dict(Z=F['Z'][1:])), '999 samples, not 1000'),
    (AAA._replace(sources=dict(Z=F['Z']*np.nan)), 'XX.AAA Z: 1000 of 1000'), (AAA._replace(sources=dict(Z=np.full(NSTEP, 1e39))), 'too large'),
    (AAA._replace(station='AAA'), 'not named NET.STA'), (AAA._replace(station='XX.A/A'), 'not named NET.STA')])
def test_refused(tmp_path, s, said):
    with pytest.raises(ValueError, match=said): write_sem(tmp_path, [s], INFO)

# ---- ASDF -----------------------------------------------------------------------------------------------------------
ATTRIBUTES = ('dt starttime misfit adjoint_source_type min_period max_period latitude longitude elevation_in_m depth_in_m station_id '
              'component location units').split()                       # `load_to_adjsrc` of pytomo3d

def test_asdf(tmp_path):
    h5py, pyasdf = pytest.importorskip('h5py'), pytest.importorskip('pyasdf')
    event = obspy.read_events(BytesIO(w.CMT.encode()))[0]
    path = write_asdf(tmp_path/'adjoint.h5', iter([AAA, BBB]), INFO, event)
    with h5py.File(path) as f:
        group = f['AuxiliaryData/AdjointSources']
        assert sorted(group) == [f'XX_{s}_MX{c}' for s in ('AAA', 'BBB') for c in 'ENZ']
        for x in group.values():                                        # H5T_IEEE_F32LE in one row; its length is also taken from the bytes
            assert x.shape == (NSTEP,) and x.dtype == '<f4' and x.chunks is None and x.id.get_storage_size() == 4*NSTEP
        assert (group['XX_AAA_MXZ'][()] == np.float32(F['Z'])).all() and not group['XX_AAA_MXN'][()].any()
    with pyasdf.ASDFDataSet(str(path), mode='r', mpi=False) as ds:
        known = ds.auxiliary_data.AdjointSources['XX_AAA_MXZ'].parameters
        assert set(ATTRIBUTES) <= set(known) and len(ds.events) == 1
        assert UTCDateTime(known['starttime']) == UTCDateTime(INFO.time + START) and known['station_id'] == 'XX.AAA' and known['misfit'] == .5
    info, (a, b) = read_asdf(path)
    np.testing.assert_allclose([*info[:4]], [*INFO[:4]], atol=1e-5)
    assert info[4:] == INFO[4:] and tuple(a.place[:4]) == tuple(AAA.place[:4]) and a.misfit == dict(N=0, E=0, Z=.5)
    assert all((b.sources[k] == np.float32(F[k])).all() for k in 'NEZ') and [p.name for p in tmp_path.iterdir()] == ['adjoint.h5']

def test_a_run_with_asdf(tmp_path):
    h5py = pytest.importorskip('h5py'); pytest.importorskip('pyasdf')
    write_sem(tmp_path, iter([AAA, BBB]), INFO, asdf=True)
    assert list(dict(read_places(tmp_path/'DATA/STATIONS_ADJOINT'))) == ['XX.AAA', 'XX.BBB']
    with h5py.File(tmp_path/'SEM/adjoint.h5') as f: assert len(f['AuxiliaryData/AdjointSources']) == 6
    with pytest.raises(ValueError, match='comes twice'): write_sem(tmp_path, [AAA, AAA], INFO, asdf=True)
    assert not (tmp_path/'DATA/STATIONS_ADJOINT').exists()

def test_asdf_of_pypaw(tmp_path):
    "As `reshape_adj` gives it to pyasdf: compressed, no time zero"
    pyasdf = pytest.importorskip('pyasdf')
    for name, starts in (('a.h5', (0, 0)), ('b.h5', (0, 30))):
        with pyasdf.ASDFDataSet(str(tmp_path/name), mpi=False) as ds:
            for c, late in zip('ZN', starts):
                known = dict(zip(ATTRIBUTES, [
                    DT, str(UTCDateTime(INFO.time + START + late)), .5, 'waveform_misfit', 17., 40., 35., 20., 0., 3., 'XX.AAA', f'MX{c}', '', 'm']))
                ds.add_auxiliary_data(F[c].astype(np.float32), 'AdjointSources', f'XX_AAA_MX{c}', known)
    info, (s,) = read_asdf(tmp_path/'a.h5', INFO.time)
    assert abs(info.start - START) < 1e-5 and info.periods == (17, 40) and (s.sources['N'] == np.float32(F['N'])).all()
    assert abs(read_asdf(tmp_path/'a.h5')[0].time - INFO.time - START) < 1e-5
    with pytest.raises(ValueError, match='2 time axes'): read_asdf(tmp_path/'b.h5')

# ---- pyatoa ---------------------------------------------------------------------------------------------------------
def test_windows_of_pyatoa(tmp_path):
    "What pyatoa 0.4.2 wrote; of its sources the first and the last row"
    pyasdf, h5py = pytest.importorskip('pyasdf'), pytest.importorskip('h5py')
    with pyasdf.ASDFDataSet(str(tmp_path/'a.h5'), mpi=False) as ds: ds.add_quakeml(obspy.read_events(BytesIO(w.CMT.encode())))
    with h5py.File(tmp_path/'a.h5', 'r+') as f:
        for name, x in PYATOA.items(): f.create_dataset(f'AuxiliaryData/{name}', data=np.array(x['data'], x['dtype'])).attrs.update(x['attributes'])
    found = read_pyatoa_windows(tmp_path/'a.h5', origin_time='2020-01-01').sort_values('station')
    assert found.station.tolist() == [f'XX.AAA..BX{c}' for c in 'ENZ'] and (found.lag_s == 3).all() and (found.left == 938).all()
    np.testing.assert_allclose(found[['start_s', 'end_s', 'dlnA']], [[449., 869.5, np.log(1.1)]]*3, atol=1e-4)
    assert 'SS' in found.phases.iloc[0].split()
    (info, s), *_ = read_pyatoa_sources(tmp_path/'a.h5')
    assert (info.time, info.start, info.dt) == (UTCDateTime(2020, 1, 1).timestamp, -20, .5) and s.misfit == dict(E=4.5)

def test_pyatoa_finds_ours(tmp_path):
    "Names, types and attributes as in its own file"
    h5py = pytest.importorskip('h5py')
    pytest.importorskip('pyasdf')
    path = write_pyatoa(tmp_path/'E1.h5', WINDOWS, [AAA, BBB], INFO)
    with h5py.File(path) as f:
        mine, sources = f['AuxiliaryData/MisfitWindows/i01/s00'], f['AuxiliaryData/AdjointSources/i01/s00']
        assert sorted(mine) == ['XX_AAA_Z_0', 'XX_AAA_Z_1', 'XX_AAA_Z_2']                 # two sensors of a station are counted on
        assert sorted(sources) == ['XX_AAA_MXZ', *(f'XX_BBB_MX{c}' for c in 'ENZ')]       # blanks are pyatoa's to write
        for group, x in (('MisfitWindows', mine['XX_AAA_Z_1']), ('AdjointSources', sources['XX_AAA_MXZ'])):
            theirs = next(v for k, v in PYATOA.items() if k.startswith(group))
            assert str(x.dtype) == theirs['dtype'] and len(x.shape) == len(theirs['shape'])
            for k, v in theirs['attributes'].items():
                if not k.startswith('phase_arrival_'): assert isinstance(x.attrs[k], (type(v), np.integer) if isinstance(v, int) else type(v)), k
        left, right = mine['XX_AAA_Z_1'][()]
        assert abs(T[left] - 90) <= DT/2 and abs(T[right] - 150) <= DT/2
        np.testing.assert_array_equal(sources['XX_AAA_MXZ'][()], np.column_stack([T, F['Z']]))          # both forward

def test_pyatoa_file_is_kept(tmp_path):
    pyasdf = pytest.importorskip('pyasdf')
    trace, = w.motion(w.ONE)
    with pyasdf.ASDFDataSet(str(tmp_path/'E1.h5'), mpi=False) as ds: ds.add_waveforms(trace, tag='observed')
    write_pyatoa(tmp_path/'E1.h5', WINDOWS, [AAA], INFO, 'i02/s01')
    write_pyatoa(tmp_path/'E1.h5', WINDOWS[1:], [], INFO, 'i02/s01')                      # replaced as a whole
    before = (tmp_path/'E1.h5').read_bytes()
    with pytest.raises(ValueError): write_pyatoa(tmp_path/'E1.h5', WINDOWS, [AAA, AAA], INFO)
    assert (tmp_path/'E1.h5').read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ['E1.h5']
    assert len(read_pyatoa_windows(tmp_path/'E1.h5')) == 2
    with pytest.raises(ValueError, match='no AdjointSources'): read_pyatoa_sources(tmp_path/'E1.h5')
    with pyasdf.ASDFDataSet(str(tmp_path/'E1.h5'), mode='r', mpi=False) as ds: assert (ds.waveforms['XX.AAA'].observed[0].data == trace.data).all()

# ---- LASIF ----------------------------------------------------------------------------------------------------------
def lasif_reads(path, event):
    "{channel: [(start, end, weight)]} with LASIF's types: `utc_datetime` is converted by its name"
    sqlite3.register_converter('utc_datetime', lambda b: UTCDateTime(b.decode()))
    db = sqlite3.connect(path, detect_types=sqlite3.PARSE_DECLTYPES)
    ids = dict(db.execute('SELECT event_name, event_id FROM events'))
    out = {}
    for trace, channel in db.execute('SELECT trace_id, channel_name FROM traces WHERE event_id = ?', (ids[event],)).fetchall():
        out[channel] = db.execute('SELECT start_time, end_time, weight FROM windows WHERE trace_id = ?', (trace,)).fetchall()
    db.close()
    return out

def test_lasif(tmp_path):
    lasif_windows(tmp_path).parent.mkdir(parents=True)
    lasif_windows(tmp_path).touch()                                     # as a new project has it
    times = dict(E1=INFO.time, E2=INFO.time + 1e5)
    write_lasif_windows(tmp_path, pd.concat([WINDOWS, WINDOWS.assign(event='E2')]), times)
    write_lasif_windows(tmp_path, WINDOWS[:1], times)                   # those of E2 stay
    path, zero = lasif_windows(tmp_path), UTCDateTime(INFO.time)
    assert lasif_reads(path, 'E1') == {'XX.AAA.00.LHZ': [(zero + 20, zero + 60, 1.)], 'XX.AAA.10.LHZ': []}
    assert {k: len(v) for k, v in lasif_reads(path, 'E2').items()} == {'XX.AAA.00.LHZ': 2, 'XX.AAA.10.LHZ': 1}
    db = sqlite3.connect(path)                                          # as LASIF writes: Python's own adapter, no fraction of a whole second
    db.execute('UPDATE windows SET start_time = ? WHERE window_id = 1', ('2018-03-04 05:06:27',)); db.commit(); db.close()
    assert read_lasif_windows(tmp_path, 'E2', origin_time=times['E2']).start_s.round(3).tolist() == [20, 90, 30]
    assert not len(read_lasif_windows(tmp_path, 'E3'))
    with pytest.raises(FileNotFoundError): read_lasif_windows(tmp_path, 'E1', 'B')
    with pytest.raises(ValueError, match='on T'): write_lasif_windows(tmp_path, WINDOWS.assign(component='T'), times)

def test_lasif_sources(tmp_path):
    "data minus synthetic, times the sample interval, as its waveform_misfit.py"
    pytest.importorskip('pyasdf')
    h5py = pytest.importorskip('h5py')
    syn, obs = F['Z'], .5*F['Z']
    path = write_lasif_sources(tmp_path, 'E1', '3', [AAA._replace(sources=dict(Z=syn - obs))], INFO)
    assert path == tmp_path/'ADJOINT_SOURCES/ITERATION_3/E1/adjoint_source_auxiliary.h5'
    with h5py.File(path) as f:
        station = f['AuxiliaryData/AdjointSources/XX_AAA']
        by = {name[-1]: station[name][()] for name in station}           # `finalize_adjoint_sources` goes by the last letter
        assert all(len(name.split('_')) == 3 for name in station)
    np.testing.assert_allclose(by['Z'], (obs - syn)*DT, rtol=1e-12)
    assert set(by) == set('ENZ') and not by['E'].any()

# ---- the waveforms of these programs --------------------------------------------------------------------------------
def asdf(path, waves, parts=True):
    import pyasdf
    path.parent.mkdir(parents=True, exist_ok=True)
    with pyasdf.ASDFDataSet(str(path), compression=None, mpi=False) as ds:
        if parts: ds.add_quakeml(obspy.read_events(BytesIO(w.CMT.encode()))); ds.add_stationxml(w.inventory(w.ONE))
        for tr, tag, factor in waves:
            tr = tr.copy()
            if factor: tr.stats.channel, tr.data = 'MXZ', factor*tr.data
            ds.add_waveforms(tr, tag=tag)
    return path

@pytest.mark.parametrize('program', ['pyatoa', 'LASIF', 'pypaw'])
def test_waveforms(tmp_path, program):
    "Their observed and synthetic waveforms are pairs; of pyatoa's evaluations the last counts"
    pytest.importorskip('pyasdf')
    true, = w.motion(w.ONE, before=300.)
    raw = w.counts(w.motion(w.ONE)[0])
    if program == 'pyatoa':
        obs = syn = asdf(tmp_path/'E1.h5', [(raw, 'observed', 0), (true, 'synthetic_i01s02', 3), (true, 'synthetic_i02s00', 1), (true, 'synthetic_i01s10', 5)])
    if program == 'LASIF':
        obs, syn = tmp_path/'DATA/EARTHQUAKES', tmp_path/'SYNTHETICS/EARTHQUAKES/ITERATION_1'
        asdf(obs/'E1.h5', [(raw, 'raw_recording', 0)]); asdf(syn/'E1/receivers.h5', [(true, 'displacement', 1)], parts=False)
    if program == 'pypaw':
        obs, syn = asdf(tmp_path/'E1.raw_obsd.h5', [(raw, 'raw_obsd', 0)]), asdf(tmp_path/'E1.synt.h5', [(true, 'synthetic', 1)])
    row, = w.table_of(obs, syn).itertuples()
    assert row.decision == 'accept' and abs(row.dlnA) < .01, row
    assert ('tag synthetic_i02s00' in row.detail) == (program == 'pyatoa')
