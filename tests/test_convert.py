"What the doors to other tools promise: SPECFEM reads what we write, nothing of a foreign archive is lost or obeyed, ASDF keeps every bit, and Syngine's seismograms compare with ours."
import errno, io, os, pickle, shutil
from pathlib import Path
import numpy as np, obspy, pytest, xarray as xr
from obspy import Catalog, Trace, UTCDateTime
from obspy.core.event import Event, EventDescription, FocalMechanism, MomentTensor, Origin, SourceTimeFunction, Tensor

from fwinb.data import convert
from fwinb.data.events import Rejected, centroid, half_duration, read_source
from fwinb.data.synthetics import index_synthetics
from fwinb.data.convert import (
    export_asdf, fetch_syngine, hypocentre, import_obspydmt, known_stations, station_places, take_stations,
    write_specfem)
from fwinb.data.files import read_events, read_records, read_stations
from fwinb.data.archive import preprocess_folder

ROOT = Path(__file__).resolve().parent.parent
SAMPLE, SYNT = ROOT/'data/sample/raw', ROOT/'data/sample/synt'
FOLDERS = {'SIM1': '20010203_040506.a'}

@pytest.fixture(scope='module')
def inventory(): return read_stations(SAMPLE/'stationxml/SY.xml')

def sample_event(name='SIM1'): return read_events(SAMPLE/f'quakeml/{name}.xml')[0]

def tree(folder): return {p.relative_to(folder).as_posix(): (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(Path(folder).rglob('*')) if p.is_file()}

# SPECFEM

def get_cmt(text):
    "The file as SPECFEM3D_GLOBE's get_cmt.f90 reads it: numbers of the first line one after the other, the rest from fixed columns"
    lines, head, at = text.splitlines(), [], 0
    for k in range(6):
        while at < len(lines[0]) and not lines[0][at].isdigit(): at += 1
        assert at > 0, 'the first number must not be in the first column'
        end = at
        while lines[0][end].isdigit() or (k == 5 and lines[0][end] == '.'): end += 1
        head.append(float(lines[0][at:end])); at = end
    year, month, day, hour, minute, second = head
    assert 0 <= second < 60 and 0 <= minute < 60 and 0 <= hour <= 24 and 1 <= day <= 31 and 1 <= month <= 12
    columns = [11, 14, 9, 10, 6] + [4]*6
    return UTCDateTime(*map(int, head[:5])) + second, [float(line[c:]) for line, c in zip(lines[2:13], columns)]

def random_event(seed):
    rng = np.random.default_rng(seed)
    zero = UTCDateTime('2004-12-31T23:59:59.9') + float(rng.uniform(0, 5))
    start = zero - float(rng.uniform(0, 40))
    if seed == 0: start = UTCDateTime('2004-12-31T23:59:59.996')      # 60.00 s in two digits, and a new year
    last = Origin(time=zero, latitude=rng.uniform(-90, 90), longitude=rng.uniform(-180, 180), depth=rng.uniform(0, 7e5), origin_type='centroid')
    first = Origin(time=start, latitude=rng.uniform(-90, 90), longitude=rng.uniform(-180, 180), depth=rng.uniform(0, 7e5), origin_type='hypocenter')
    tensor = Tensor(**dict(zip(('m_rr', 'm_tt', 'm_pp', 'm_rt', 'm_rp', 'm_tp'), rng.normal(size=6)*10**rng.uniform(17, 22))))
    moment = MomentTensor(tensor=tensor, derived_origin_id=last.resource_id)
    if seed % 2: moment.source_time_function = SourceTimeFunction(type='triangle', duration=rng.uniform(0, 60))
    nothing = FocalMechanism()                                        # as NEIC's catalogues have it: a mechanism without a tensor comes first
    return Event(origins=[first, last], focal_mechanisms=[nothing, FocalMechanism(moment_tensor=moment)], preferred_origin_id=first.resource_id,
                 event_descriptions=[EventDescription(text=f'2004 Sumatra/{seed}', type='earthquake name')])

@pytest.mark.parametrize('seed', range(6))
def test_cmtsolution(seed, inventory, tmp_path):
    event = random_event(seed)
    source, data = read_source(event), write_specfem(event, inventory, tmp_path)
    assert data == tmp_path/f'2004_Sumatra_{seed}'/'DATA'
    start, numbers = get_cmt((data/'CMTSOLUTION').read_text())
    assert abs(start + numbers[0] - source.time) < 1e-4 and abs(start - hypocentre(event).time) < .0051
    np.testing.assert_allclose(numbers[1:5], [half_duration(event), source.latitude, source.longitude, source.depth_km], atol=6e-5)
    np.testing.assert_allclose(numbers[5:], 1e7*np.array(source.tensor), rtol=1e-6)
    back = obspy.read_events(data/'CMTSOLUTION')[0]
    np.testing.assert_allclose(read_source(back).tensor, source.tensor, rtol=1e-6)
    assert abs(centroid(back)[0].time - source.time) < 1e-4 and abs(half_duration(back) - half_duration(event)) < 1e-4

def test_stations_file(inventory, tmp_path):
    data = write_specfem(sample_event(), {'II.AAK': (42.6, 74.5, 1633, 30), 'IU.ADK': (51.9, -176.7)}, tmp_path)
    rows = [line.split() for line in (data/'STATIONS').read_text().splitlines()]
    assert [r[:2] for r in rows] == [['AAK', 'II'], ['ADK', 'IU']] and [float(x) for x in rows[0][2:]] == [42.6, 74.5, 1633, 30]
    assert len(station_places(inventory + inventory)) == len(station_places(inventory))

def test_specfem_whole_or_not(inventory, tmp_path, monkeypatch):
    monkeypatch.setattr(Path, 'write_text', lambda *a, **k: (_ for _ in ()).throw(OSError(errno.ENOSPC, 'disk full')))
    with pytest.raises(OSError, match='disk full'): write_specfem(sample_event(), inventory, tmp_path)
    assert not [p for p in tmp_path.rglob('*') if p.is_file() or p.name.endswith('DATA')]

def test_no_tensor(inventory, tmp_path):
    event = sample_event(); event.focal_mechanisms = []
    with pytest.raises(Rejected, match='no moment tensor'): write_specfem(event, inventory, tmp_path)
    assert not list(tmp_path.iterdir())

# obspyDMT

class Evil:
    "Unpickled, it leaves a mark"
    def __init__(self, path): self.path = path
    def __reduce__(self): return os.mkdir, (str(self.path),)

def as_obspydmt(top, inventory, stations=('ADK', 'CTAO', 'HRV', 'KIP'), raw='raw', resp='resp', catalogue=True):
    "Some records of the sample as obspyDMT would have stored them"
    events = {p.stem: read_events(p)[0] for p in sorted((SAMPLE/'quakeml').iterdir())}
    for name, event in events.items():
        home = top/FOLDERS.get(name, centroid(event)[0].time.strftime('%Y%m%d_%H%M%S.a'))
        for part in (raw, resp, 'info', 'processed', 'syngine_prem_a_20s'): (home/part).mkdir(parents=True)
        place, lines = centroid(event)[0], []
        for sta in stations:
            code = f'SY.{sta}.00.LHZ'
            if (path := SAMPLE/f'obsd/{name}.{code}.mseed').exists(): shutil.copy(path, home/raw/code)
            own = inventory.select(station=sta)
            own.created = UTCDateTime(2020, 1, len(name))              # every answer of a server has its own time
            if own.networks: own.write(str(home/resp/f'STXML.{code}'), 'STATIONXML')
            lines.append(f'SY,{sta},00,LHZ,0,0,0,0,IRIS,{home.name},{place.latitude},{place.longitude},{place.depth/1e3},6.9,0.0,-90.0,10,\n')
            for other in ('processed', 'syngine_prem_a_20s'): (home/other/code).write_bytes(b'x')
        (home/'info/station_event').write_text(''.join(lines))
        (home/'info/event.pkl').write_bytes(pickle.dumps(Evil(top.parent/'EVIL')))
    info = top/'EVENTS-INFO'; info.mkdir()
    (info/'event_list_pickle').write_bytes(pickle.dumps(Evil(top.parent/'EVIL')))
    if catalogue: Catalog(list(events.values())).write(str(info/'catalog.ml'), 'QUAKEML')
    return top

def whole_sample(stations):
    pairs, ledger = preprocess_folder(SAMPLE, SYNT)
    return pairs.isel(pair=[s.split('.')[1] in stations for s in pairs.station.values]), ledger[ledger.station.str.split('.').str[1].isin(stations)]

def same_pairs(a, b): xr.testing.assert_equal(*(x.sortby(['event', 'station']) for x in (a, b)))

@pytest.mark.parametrize('names', [('raw', 'resp'), ('BH_RAW', 'Resp')])
def test_same_pairs(tmp_path, inventory, names):
    stations = ['ADK', 'CTAO', 'HRV', 'KIP']
    source = as_obspydmt(tmp_path/'dmt', inventory, stations, *names)
    before = tree(source)
    table = import_obspydmt(source, tmp_path/'raw')
    pairs, ledger = preprocess_folder(tmp_path/'raw', SYNT)
    expected, rows = whole_sample(stations)
    assert len(expected.pair) >= 4
    same_pairs(pairs, expected)
    words = lambda t: sorted(zip(t.event, t.station, t.reason))
    ours = ledger[ledger.station.str.count(r'\.') == 3]
    assert words(ours) == words(rows[rows.station.str.count(r'\.') == 3])     # what is bad is bad for the same reason
    assert tree(source) == before and not (tmp_path/'EVIL').exists()
    assert set(table.file) >= set(before) and table.file.is_unique
    left = table[table.status == 'left out']
    assert (left.reason != '').all() and set(left.file.str.split('/').str[-2]) == {'info', 'processed', 'syngine_prem_a_20s', 'EVENTS-INFO'}

def test_metadata_once(tmp_path, inventory):
    "The metadata of a channel come with every event, and are kept once"
    table = import_obspydmt(as_obspydmt(tmp_path/'dmt', inventory, ['ADK', 'HRV']), tmp_path/'raw').query('what == "stations"')
    assert table.status.value_counts().to_dict() == {'taken over': 2, 'there already': 2}
    assert sorted(p.name for p in (tmp_path/'raw/stationxml').iterdir()) == ['SY.ADK.xml', 'SY.HRV.xml']

def test_disk_full_then_again(tmp_path, inventory, monkeypatch):
    source, copies = as_obspydmt(tmp_path/'dmt', inventory), []
    real = shutil.copyfile
    def fails(a, b):
        copies.append(b)
        if len(copies) == 4: Path(b).write_bytes(b'half'); raise OSError(errno.ENOSPC, 'disk full')
        return real(a, b)
    monkeypatch.setattr(convert.shutil, 'copyfile', fails)
    with pytest.raises(OSError, match='disk full'): import_obspydmt(source, tmp_path/'raw')
    assert not [p for p in (tmp_path/'raw').rglob('*') if p.is_file() and (p.name.startswith('.') or p.read_bytes() == b'half')]
    import_obspydmt(source, tmp_path/'raw')
    first = tree(tmp_path/'raw')
    monkeypatch.undo()
    again = import_obspydmt(source, tmp_path/'raw')
    assert tree(tmp_path/'raw') == first and not (again.query('what != "events"').status == 'taken over').any()
    same_pairs(preprocess_folder(tmp_path/'raw', SYNT)[0], whole_sample(['ADK', 'CTAO', 'HRV', 'KIP'])[0])

def test_hostile_names(tmp_path, inventory):
    source = as_obspydmt(tmp_path/'dmt', inventory, ['ADK'])
    home = source/'20010203_040506.a'
    tr = read_records(home/'raw/SY.ADK.00.LHZ')[0][0]
    for k, station in enumerate(('../x', '/x', 'A B', '..')):
        bad = tr.copy(); bad.stats.station = station
        bad.write(str(home/'raw'/f'SY.BAD{k}.00.LHZ'), 'MSEED')
    (home/'raw/SY.EVIL.00.LHZ').write_bytes(pickle.dumps(Evil(tmp_path/'EVIL')))
    (home/'raw/SY.EMPTY.00.LHZ').touch()
    (home/'raw/..%2f..%2fx').write_bytes(b'nothing')
    text = (home/'resp/STXML.SY.ADK.00.LHZ').read_text()
    (home/'resp/STXML.SY.X.00.LHZ').write_text(text.replace('code="ADK"', 'code="../../x"'))
    (home/'resp/STXML.SY.BOMB.00.LHZ').write_text(text.replace("?>", '?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>', 1))
    (home/'resp/STXML.SY.CUT.00.LHZ').write_text(text[:len(text)//2])
    text = (source/'EVENTS-INFO/catalog.ml').read_text()
    (source/'EVENTS-INFO/catalog.ml').write_text(text.replace('<text>SIM1</text>', '<text>../../../y</text>').replace('<ns0:text>SIM1</ns0:text>', '<ns0:text>../../../y</ns0:text>'))
    table = import_obspydmt(source, tmp_path/'deep/raw').set_index('file')
    assert not (tmp_path/'EVIL').exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ['deep', 'dmt'] and sorted(p.name for p in (tmp_path/'deep').iterdir()) == ['raw']
    assert {p.name for p in (tmp_path/'deep/raw').iterdir()} == {'quakeml', 'stationxml', 'y', 'SIM2'}
    bad = table[table.index.str.contains(r'BAD|EVIL|EMPTY|%2f|STXML.SY.X|BOMB|CUT')]
    assert len(bad) == 10 and (bad.status == 'left out').all() and bad.reason.str.contains('unreadable').all()

def test_link(tmp_path, inventory):
    source = as_obspydmt(tmp_path/'dmt', inventory, ['ADK'])
    table = import_obspydmt(source, tmp_path/'raw', link=True).query('what == "records"')
    assert all((tmp_path/'raw'/r.target).samefile(source/r.file) for r in table.itertuples()) and len(table) == 2
    assert (import_obspydmt(source, tmp_path/'raw', link=True).query('what == "records"').status == 'there already').all()

def test_catalogue_lost(tmp_path, inventory):
    source = as_obspydmt(tmp_path/'dmt', inventory, ['ADK'], catalogue=False)
    import_obspydmt(source, tmp_path/'raw')
    pairs, ledger = preprocess_folder(tmp_path/'raw', SYNT)
    assert len(pairs.pair) == 2 and np.isnan(pairs.moment_tensor).all()      # synthetics are given: no tensor is needed
    import_obspydmt(source, tmp_path/'better', events=sorted((SAMPLE/'quakeml').iterdir()))
    same_pairs(preprocess_folder(tmp_path/'better', SYNT)[0], whole_sample(['ADK'])[0])

def test_dataless(tmp_path):
    path = Path(obspy.__file__).parent/'signal/tests/data/IUANMO.dataless'
    if not path.is_file(): pytest.skip('obspy came without its test data')
    status, remark, name = take_stations(path, tmp_path, {})
    assert (status, remark, name) == ('taken over', 'converted from dataless SEED', 'IU.ANMO.xml')
    assert take_stations(path, tmp_path, known_stations(tmp_path))[0] == 'there already'

def test_no_archive(tmp_path, inventory):
    with pytest.raises(FileNotFoundError, match='no folder'): import_obspydmt(tmp_path/'nowhere', tmp_path/'raw')
    (tmp_path/'empty').mkdir()
    with pytest.raises(ValueError, match='no archive of obspyDMT'): import_obspydmt(tmp_path/'empty', tmp_path/'raw')
    source = as_obspydmt(tmp_path/'dmt', inventory, ['ADK'])
    with pytest.raises(ValueError, match='lie in each other'): import_obspydmt(source, source/'raw')
    with pytest.raises(ValueError, match='lie in each other'): import_obspydmt(source, tmp_path)

# ASDF

def test_asdf_decides_the_same(tmp_path):
    pytest.importorskip('pyasdf')
    from fwinb.select import select
    table = export_asdf(SAMPLE, tmp_path/'asdf')
    assert sorted(p.name for p in (tmp_path/'asdf').iterdir()) == ['SIM1.h5', 'SIM2.h5']
    a, b = (t.sort_values(['event', 'station']).reset_index(drop=True) for t in (select(SAMPLE, SYNT), select(tmp_path/'asdf', SYNT)))
    columns = ['event', 'station', 'decision', 'reason', 'usable', 'misfit']
    a, b = (t[t.station.str.count(r'\.') == 3].reset_index(drop=True) for t in (a, b))
    assert len(a) == len(table) and (a.decision == 'accept').any() and (a.decision == 'dropped').any()
    assert a[columns].equals(b[columns])

def test_asdf_bits(tmp_path):
    pyasdf = pytest.importorskip('pyasdf')
    export_asdf(SAMPLE, tmp_path)
    for name in ('SIM1', 'SIM2'):
        records = [tr for p in sorted((SAMPLE/'obsd').glob(f'{name}.*')) for tr in read_records(p)[0]]
        with pyasdf.ASDFDataSet(str(tmp_path/f'{name}.h5'), mode='r', mpi=False) as ds:
            stored = [tr for w in ds.waveforms for tr in w['raw_recording']]
            assert len(ds.events) == 1 and read_source(ds.events[0])[1:] == read_source(sample_event(name))[1:]
        key = lambda tr: (tr.id, tr.stats.starttime)
        assert len(records) == len(stored)
        for a, b in zip(sorted(records, key=key), sorted(stored, key=key)):
            assert a.id == b.id and a.data.dtype == b.data.dtype and np.array_equal(a.data, b.data)
            assert abs(a.stats.starttime - b.stats.starttime) < 1e-6 and a.stats.sampling_rate == b.stats.sampling_rate

def test_asdf_whole_or_not(tmp_path, monkeypatch):
    pyasdf = pytest.importorskip('pyasdf')
    monkeypatch.setattr(pyasdf.ASDFDataSet, 'add_waveforms', lambda *a, **k: (_ for _ in ()).throw(OSError(errno.ENOSPC, 'disk full')))
    with pytest.raises(OSError, match='disk full'): export_asdf(SAMPLE, tmp_path/'asdf')
    assert not list((tmp_path/'asdf').iterdir())

def test_asdf_two_versions(tmp_path):
    "Two versions of the same samples: neither is chosen in silence"
    pytest.importorskip('pyasdf')
    for p in [*sorted(SAMPLE.glob('obsd/SIM1*'))[:2], SAMPLE/'quakeml/SIM1.xml', SAMPLE/'stationxml/SY.xml']: shutil.copy(p, tmp_path)
    st, _ = read_records(tmp_path/'SIM1.SY.ADK.00.LHZ.mseed')
    st[0].data = st[0].data + 1
    st.write(str(tmp_path/'other.mseed'), 'MSEED')
    table = export_asdf(tmp_path, tmp_path/'asdf').set_index('station')
    assert table.status.to_dict() == {'SY.ADK.00.LHZ': 'left out', 'SY.AFI.00.LHZ': 'stored'}

# Syngine

PERIOD, DT, SHIFT = 20., 4.875, 8

def rate(t): return np.exp(-(3.5*t/PERIOD)**2)

def spectrum(f): return np.exp(-(np.pi*f*PERIOD/3.5)**2)

class Syngine:
    "fwinb.earth.modes as Syngine would answer: a step, smoothed by the source of a mesh; no duration of the earthquake"
    models = ['prem_a_20s']
    info = dict(period=PERIOD, dt=DT, length=3700., src_shift=SHIFT*DT, sliprate=list(rate((np.arange(759)-SHIFT)*DT)))
    def __init__(self, modes): self.modes, self.asked = modes, []
    def __call__(self, p):
        from fwinb.earth.modes import displacement
        from fwinb.pairs.schema import path_geometry
        self.asked.append(p)
        if p['stationcode'] == 'KIP': raise ValueError('not this station')
        number = lambda key: float(p[key])
        assert (p['units'], p['format'], p['model']) == ('displacement', 'miniseed', 'prem_a_20s') and p['components'] in [*'ZNE']
        start, length, dt = number('starttime'), number('endtime'), number('dt')      # the end counts from the start
        assert dt <= DT and start + length <= 3700 - SHIFT*DT - 12*DT
        t = start + np.arange(round(length/dt) + 1)*dt
        d, az = path_geometry(number('sourcelatitude'), number('sourcelongitude'), number('receiverlatitude'), number('receiverlongitude'))
        tensor = [float(x) for x in p['sourcemomenttensor'].split(',')]
        long = np.arange(t[0]-2000, t[-1]+2000, dt)
        u = displacement(self.modes, number('sourcedepthinmeters')/1e3, tensor, d, az, long, 0.)[0]
        f = np.fft.rfftfreq(len(u), dt)
        ramp = np.linspace(0, u[-1], len(u))                     # the static offset
        u = np.fft.irfft(np.fft.rfft(u - ramp)*spectrum(f), len(u)) + ramp
        x = u[round(2000/dt):][:len(t)].astype(np.float32)
        tr = Trace(x, dict(network=p['networkcode'], station=p['stationcode'], location='SE', channel='LX' + p['components'], delta=dt, starttime=UTCDateTime(p['origintime']) + start))
        out = io.BytesIO()
        tr.write(out, 'MSEED')
        return out.getvalue()

@pytest.fixture(scope='module')
def modes():
    from fwinb.earth.modes import prem_modes
    return prem_modes()

@pytest.fixture
def centre(tmp_path, modes):
    mock = pytest.importorskip('fwinb.data.mock_fdsn')
    pytest.importorskip('portable_fdsnws_dataselect')
    service, troubles = Syngine(modes), []
    def intercept(handler):
        if not handler.path.startswith('/irisws/syngine/1/query') or not troubles: return False
        trouble = troubles.pop(0)
        if trouble == 'reset': handler.break_off()
        elif str(trouble).startswith('cut'): status, headers, body = handler.answer(); handler.send(status, headers, body[:int(trouble[3:])])
        elif trouble == 'page': handler.send(200, [('Content-Type', 'text/html')], b'<html>please log in</html>')
        else: handler.send(trouble, [('Retry-After', '0')], b'later')
        return True
    (tmp_path/'served').mkdir()
    shutil.copytree(SAMPLE, tmp_path/'served', dirs_exist_ok=True)
    with mock.data_centre(tmp_path/'served', intercept, service) as c:
        c.syngine, c.troubles, c.base = service, troubles, f'{c.url}/irisws/syngine/1'
        yield c

def asked(centre): return [a for a in centre.asked if '/irisws/syngine/' in a.path]

def band(x, dt, low=1/250, high=1/50):
    f = np.fft.rfftfreq(len(x), dt)
    edge = np.interp(f, [.8*low, low, high, 1.1*high], [0, 1, 1, 0])
    return np.fft.irfft(np.fft.rfft(x)*edge, len(x))

FEW = ['SY.ADK', 'SY.ANMO', 'SY.KIP', 'SY.TUC']

def few(inventory): return {c: p for c, p in station_places(inventory).items() if c in FEW}

def test_syngine_is_prem(centre, modes, inventory, tmp_path):
    "The seismograms of fwinb.earth.modes through Syngine's way are those of fwinb.earth.modes"
    from fwinb.earth.modes import synthesize
    centre.troubles += [503]
    events = [(n, sample_event(n)) for n in ('SIM1', 'SIM2')]
    table = fetch_syngine(events, few(inventory), tmp_path/'synt', centre.base, pause=.01)
    assert table.status.value_counts().to_dict() == {'fetched': 6, 'refused': 2} and 'not this station' in table.reason[table.status == 'refused'].iloc[0]
    for name, event in events:
        for tr in synthesize(event, {c: few(inventory)[c][:2] for c in FEW if c != 'SY.KIP'}, modes):
            own, = obspy.read(tmp_path/f'synt/{name}/{tr.stats.network}.{tr.stats.station}.LXZ.sac')
            assert abs(own.stats.starttime - tr.stats.starttime) < 1e-3 and own.stats.delta == tr.stats.delta and own.stats.sac.kevnm.strip() == name
            u, v = (band(x.data.astype(float), 1.)[600:2700] for x in (own, tr))       # the half hour of a pair and its margin
            print(name, tr.stats.station, f'{np.linalg.norm(u - v)/np.linalg.norm(v):.1e}')
            assert np.linalg.norm(u - v) < 1e-3*np.linalg.norm(v)
    p = centre.syngine.asked[0]
    first = asked(centre)
    post = [a for a in first if a.path.endswith('/query')]
    assert post[0].status == 503 and all(a.method == 'POST' for a in post) and sum('/info' in a.path for a in first) == 1
    m = read_source(events[0][1])
    np.testing.assert_allclose([float(x) for x in p['sourcemomenttensor'].split(',')], m.tensor, rtol=1e-5)
    assert float(p['sourcedepthinmeters']) == 28e3 and UTCDateTime(p['origintime']) == m.time and float(p['starttime']) == -600 and float(p['dt']) == 1
    again = fetch_syngine(events, few(inventory), tmp_path/'synt', centre.base, pause=.01)
    assert asked(centre) == first                                                    # nothing was sent
    assert again.status.value_counts().to_dict() == {'there already': 6, 'refused': 2}

def test_syngine_grades_the_same(centre, inventory, tmp_path):
    "The pairs made with them are those of the shipped synthetics"
    wanted = {c: p for c, p in few(inventory).items() if c != 'SY.KIP'}
    fetch_syngine([('SIM1', sample_event())], wanted, tmp_path/'synt', centre.base)
    ours, _ = preprocess_folder(SAMPLE, tmp_path/'synt')
    shipped, _ = preprocess_folder(SAMPLE, SYNT)
    shipped = shipped.isel(pair=[k in set(zip(ours.event.values, ours.station.values)) for k in zip(shipped.event.values, shipped.station.values)])
    assert len(ours.pair) >= 2
    a, b = (x.sortby('station').waveform.sel(trace='syn').values.astype(float) for x in (ours, shipped))
    assert np.linalg.norm(a - b) < 3e-3*np.linalg.norm(b)

@pytest.mark.parametrize('trouble', [429, 500, 'reset', 'cut700', 'cut4096', 'cut6000', 'page'])
def test_syngine_troubles(centre, inventory, tmp_path, trouble):
    "What may go well later is asked again, and nothing that came in half is kept"
    centre.troubles += [trouble]
    one = {'SY.ADK': station_places(inventory)['SY.ADK']}
    table = fetch_syngine([('SIM1', sample_event())], one, tmp_path/'synt', centre.base, pause=.01)
    assert list(table.status) == ['fetched'] and sum(a.path.endswith('/query') for a in asked(centre)) == 2
    fetch_syngine([('SIM1', sample_event())], one, tmp_path/'more', centre.base, pause=.01, component='N')
    assert [p.name for p in (tmp_path/'more').rglob('*') if p.is_file()] == ['SY.ADK.LXN.sac']
    assert [*index_synthetics(tmp_path/'more', components=('R', 'T'))[0]] == ['SY.ADK.N'] and not index_synthetics(tmp_path/'more')[0]
    assert [p.name for p in (tmp_path/'synt').rglob('*') if p.is_file()] == ['SY.ADK.LXZ.sac'] and len(obspy.read(tmp_path/'synt/SIM1/SY.ADK.LXZ.sac')[0]) == 3301

def test_syngine_gives_up(centre, inventory, tmp_path):
    "A service that does not answer is asked as often as was said, and the next run goes on"
    centre.troubles += [503]*3
    events = [(n, sample_event(n)) for n in ('SIM1', 'SIM2')]
    one = {'SY.ADK': station_places(inventory)['SY.ADK']}
    table = fetch_syngine(events, one, tmp_path/'synt', centre.base, tries=3, pause=.01)
    assert list(table.status) == ['failed', 'failed'] and '503' in table.reason[0] and not list(tmp_path.glob('synt/**/*.sac'))
    assert sum(a.path.endswith('/query') for a in asked(centre)) == 3
    assert list(fetch_syngine(events, one, tmp_path/'synt', centre.base).status) == ['fetched', 'fetched']

def test_syngine_refuses_one_component(centre, inventory, tmp_path):
    "A refusal is of one component; the others are asked for"
    one = {'SY.KIP': station_places(inventory)['SY.KIP']}
    for part, n in (('N', 1), ('Z', 2), ('N', 2), ('Z', 2)):
        table = fetch_syngine([('SIM1', sample_event())], one, tmp_path/'synt', centre.base, pause=.01, component=part)
        assert list(table.status) == ['refused'] and sum(a.path.endswith('/query') for a in asked(centre)) == n

def test_syngine_other_model(centre, inventory, tmp_path):
    one = {'SY.ADK': station_places(inventory)['SY.ADK']}
    fetch_syngine([('SIM1', sample_event())], one, tmp_path/'synt', centre.base)
    with pytest.raises(ValueError, match='use another folder'): fetch_syngine([('SIM1', sample_event())], one, tmp_path/'synt', centre.base, model='ak135f_5s')
    bad = fetch_syngine([('SIM1', sample_event())], one | {'../x': (0, 0)}, tmp_path/'synt', centre.base).set_index('station')
    assert list(bad.status) == ['refused', 'there already'] and 'is not named' in bad.reason['../x']
