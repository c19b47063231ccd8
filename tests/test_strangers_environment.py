"One bad event, file or station never ends a download or a conversion: it is a row with its reason, and nothing else is lost."
import runpy, shutil, warnings
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path
import numpy as np, obspy, pandas as pd, pytest
from obspy import UTCDateTime
from packaging.requirements import Requirement

pytest.importorskip('portable_fdsnws_dataselect')
from fwinb.data.download import (
    DownloadRequest, archive_places, choose_events, download, download_event, event_homes, examine, get_events, read_ledger, read_ledgers)
from fwinb.data import convert
from fwinb.data.convert import export_asdf, fetch_syngine, find_event, import_obspydmt, origin_times
from fwinb.data.events import Rejected
from fwinb.data.files import read_events
from fwinb.earth.modes import station_coordinates
from test_convert import as_obspydmt                       # the sample as obspyDMT would have stored it

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT/'data/sample/raw'
A, B = UTCDateTime(1990, 1, 1), UTCDateTime(2030, 1, 1)
EVENTS = choose_events(get_events(str(SAMPLE), None, None), A, B)[0]
REQUEST = DownloadRequest(networks=('SY',), stations='ADK,HRV')
FAST = dict(rate=1e4, tries=2, pause=.01, seed=0)

def fetch(centre, folder, events=EVENTS): return download(events, folder, [centre.url], REQUEST, **FAST)

def fetched(ledger): return sorted(zip(*(ledger[ledger.status == 'fetched'][k] for k in ('event', 'station'))))

def asked_records(centre): return [a for a in centre.asked if 'dataselect' in a.path and '/query' in a.path]

WHOLE = sorted((name, f'SY.{s}.00.LHZ') for name, _ in EVENTS for s in ('ADK', 'HRV'))

# a ledger that is no ledger

BROKEN = dict(
    empty=lambda old: b'', foreign=lambda old: b'a,b\n1,2\n', bytes=lambda old: bytes(range(256))*8,
    quote=lambda old: old + b'"never closed', fields=lambda old: old + b'1,2,3,4,5,6,7,8,9,10,11,12,13,14\n',
    short=lambda old: b'\n'.join(old.splitlines()[:-1]) + b'\n', half=lambda old: old[:-40])
@pytest.mark.parametrize('kind', BROKEN)
def test_broken_ledger(kind, centre, tmp_path):
    "It is put aside; the other event is not asked for, and of this one not the records that are there"
    assert fetched(fetch(centre, tmp_path)) == WHOLE
    path = tmp_path/EVENTS[0][0]/'ledger.csv'
    path.write_bytes(broken := BROKEN[kind](path.read_bytes()))
    told = read_ledgers(tmp_path)
    assert kind == 'half' or 'ledger.csv' in told[(told.event == EVENTS[0][0]) & (told.reason == 'unreadable')].detail.iloc[0]
    centre.asked.clear()
    if kind == 'half':      # the last line lacks its fields: that trace is asked about again, and nothing else
        again = fetch(centre, tmp_path)
    else:
        with pytest.warns(UserWarning, match=r'ledger.csv.*asked for again'): again = fetch(centre, tmp_path)
        assert path.with_name('ledger.csv.broken').read_bytes() == broken
    assert fetched(again) == WHOLE and not asked_records(centre)
    assert fetched(read_ledger(path)) == [w for w in WHOLE if w[0] == EVENTS[0][0]]

# files that were whole when the ledger was written

def test_metadata_broken_later(centre, tmp_path):
    "It is asked for again, and the records are not"
    first = fetch(centre, tmp_path)
    path = tmp_path/'stationxml/SY.ADK.xml'
    path.write_bytes(path.read_bytes()[:500])
    centre.asked.clear()
    with pytest.warns(UserWarning, match='SY.ADK.xml is put down as missing'): again = fetch(centre, tmp_path)
    pd.testing.assert_frame_equal(first, again)
    assert not asked_records(centre) and obspy.read_inventory(str(tmp_path/'stationxml/SY.ADK.2.xml'))[0][0].code == 'ADK'

@pytest.mark.parametrize('link', [False, True])
def test_record_gone(link, centre, tmp_path):
    "It is asked for again, alone"
    first = fetch(centre, tmp_path)
    lost = tmp_path/first.file[first.status == 'fetched'].iloc[1]
    lost.unlink()
    if link: (tmp_path/'stationxml/loose.xml').symlink_to('nowhere')
    centre.asked.clear()
    with warnings.catch_warnings():
        if link: warnings.simplefilter('ignore')
        again = fetch(centre, tmp_path)
    assert lost.is_file() and fetched(again) == WHOLE
    assert sum(a.body.count('LHZ') for a in asked_records(centre)) == 1

# one event

def raising(error):
    def act(name, *args, **kwargs):
        if name == EVENTS[0][0]: raise error
        return download_event(name, *args, **kwargs)
    return act

@pytest.mark.parametrize('error', [KeyError('x'), RuntimeError('no reader expects this'), ZeroDivisionError()])
def test_one_event_fails(error, centre, tmp_path, monkeypatch):
    "Its row has class and text; the other one is whole; the next run tries again"
    monkeypatch.setattr('fwinb.data.download.download_event', raising(error))
    ledger = fetch(centre, tmp_path)
    assert fetched(ledger) == WHOLE[2:]
    row = read_ledger(tmp_path/EVENTS[0][0]/'ledger.csv').iloc[0]
    assert (row.status, row.reason) == ('failed', 'error') and type(error).__name__ in row.detail and str(error) in row.detail
    monkeypatch.undo()
    assert fetched(fetch(centre, tmp_path)) == WHOLE

def test_failure_keeps_rows(centre, tmp_path, monkeypatch):
    fetch(centre, tmp_path)
    next((tmp_path/EVENTS[0][0]/'raw').iterdir()).unlink()
    monkeypatch.setattr('fwinb.data.download.download_event', raising(KeyError('x')))
    assert fetched(fetch(centre, tmp_path)) == WHOLE                      # what the ledger knew
    monkeypatch.undo()
    assert fetched(fetch(centre, tmp_path)) == WHOLE and len(list(tmp_path.glob('*/raw/*.mseed'))) == 4

def test_disk_error_ends_all(centre, tmp_path, monkeypatch):
    monkeypatch.setattr('fwinb.data.download.download_event', raising(OSError(5, 'input/output error')))
    with pytest.raises(OSError, match='input/output'): fetch(centre, tmp_path)

def test_event_without_tensor(centre, tmp_path):
    "The row has the reason, and nobody asks again"
    bad = EVENTS[0][1].copy(); bad.focal_mechanisms = []
    for _ in range(2):
        ledger = fetch(centre, tmp_path, [('bad', bad), EVENTS[1]])
        assert fetched(ledger) == WHOLE[2:]
        row = ledger[ledger.event == 'bad'].iloc[0]
        assert (row.status, row.reason) == ('refused', 'no moment tensor')

def test_names_alike(centre, tmp_path):
    "Two events whose names differ in signs only: each has its folder, in any order and in later runs"
    (_, a), (_, b) = EVENTS
    first = fetch(centre, tmp_path, [('x/1', a), ('x 1', b)])
    assert {k: len(v) for k, v in first[first.status == 'fetched'].groupby('event').file} == {'x/1': 2, 'x 1': 2}
    assert event_homes(tmp_path, ['x 1']) == {'x 1': 'x_1_2'} and event_homes(tmp_path, ['x?1']) == {'x?1': 'x_1_3'}
    centre.asked.clear()
    again = fetch(centre, tmp_path, [('x 1', b), ('x/1', a)])
    assert fetched(again) == fetched(first) and not asked_records(centre)
    times = {p.stem: read_events(p)[0].origins[0].time for p in (tmp_path/'quakeml').iterdir()}
    assert times == {'x_1': a.origins[0].time, 'x_1_2': b.origins[0].time}

# catalogues

@pytest.mark.parametrize('bad', [b'<quakeml>', b'<html>quakeml</html>', 'link'])
def test_catalogue_with_a_bad_file(bad, tmp_path):
    shutil.copytree(SAMPLE/'quakeml', tmp_path/'q')
    path = tmp_path/'q/bad.xml'
    if bad == 'link': path.symlink_to(tmp_path/'nowhere')
    else: path.write_bytes(bad)
    with pytest.warns(UserWarning, match='bad.xml'): assert len(get_events(str(tmp_path/'q'), A, B)) == 2
    for p in (tmp_path/'q').glob('SIM*'): p.unlink()
    with pytest.raises(ValueError, match='bad.xml'): get_events(str(tmp_path/'q'), A, B)

def test_event_without_facts(tmp_path, centre):
    "Without an origin, a preferred one or a size of the magnitude: a row of the choice, not the end of the search"
    events = [e.copy() for _, e in EVENTS] + [EVENTS[0][1].copy()]
    events[0].preferred_origin_id = None
    events[1].magnitudes[0].mag = None
    events[2].origins, events[2].preferred_origin_id = [], None
    events[2].resource_id = obspy.core.event.ResourceIdentifier('x/none')
    out = tmp_path/'a.xml'
    obspy.Catalog(events).write(str(out), 'QUAKEML')
    text = out.read_bytes()
    centre.fault.act = lambda h: h.path.endswith('.ndk') and (h.send(200, [], text) or True)
    chosen, table = choose_events(get_events(f'{centre.url}/files/x.ndk', A, B), A, B)
    assert len(chosen) == 2 and sorted(table.status) == ['chosen', 'chosen', 'no origin']

# one file

def test_examine_rates_and_text(tmp_path):
    tr = obspy.read(str(next((SAMPLE/'obsd').iterdir())))[0]
    def written(*parts):
        for x in parts: x.stats.pop('mseed', None)
        obspy.Stream(parts).write(str(tmp_path/'x.mseed'), 'MSEED')
        return tmp_path/'x.mseed'
    head = {k: tr.stats[k] for k in ('network', 'station', 'location', 'channel')}
    slow = obspy.Trace(np.arange(500, dtype=np.int32), head | dict(delta=2., starttime=tr.stats.endtime + 100))
    with pytest.raises(Rejected, match='timing: sampling rates of 0.5 to 1 Hz'): examine(written(tr, slow), tr.id)
    said = obspy.Trace(np.array([b'a', b' ', b'l']*20, '|S1'), head | dict(starttime=tr.stats.starttime))
    with pytest.raises(Rejected, match='text instead of samples'): examine(written(said), tr.id)

# an archive of obspyDMT

@pytest.fixture
def weird(tmp_path):
    "Two stations, and whatever an archive of years collects"
    top = as_obspydmt(tmp_path/'dmt', obspy.read_inventory(SAMPLE/'stationxml/SY.xml'), ['ADK', 'HRV'])
    home = top/'20010203_040506.a'
    (home/'raw/SY.LOOSE.00.LHZ').symlink_to('nowhere')
    (home/'resp/STXML.SY.LOOSE.00.LHZ').symlink_to('nowhere')
    (home/'raw/SY.TEXT.00.LHZ').write_text('a note, no record')
    (home/'raw/folder').mkdir(); (home/'raw/folder/x').write_text('deeper')
    (home/'raw/folder/up').symlink_to(home)                # a loop
    (top/'no_time').mkdir(); (top/'no_time/raw').mkdir()
    shutil.copy(home/'raw/SY.ADK.00.LHZ', top/'no_time/raw/SY.ADK.00.LHZ')
    (top/'99999999_999999.a/raw').mkdir(parents=True)
    (top/'EVENTS-INFO/loose.ndk').symlink_to('nowhere'); (top/'EVENTS-INFO/cut.xml').write_text('<quakeml>')
    return top

def test_weird_archive(weird, tmp_path):
    "Every file has its row; the sound ones are taken over"
    table = import_obspydmt(weird, tmp_path/'raw')
    got = table[table.status == 'taken over']
    assert sorted(got.what) == ['events']*3 + ['records']*5 + ['stations']*2
    row = table.set_index('file')
    for name in ('raw/SY.LOOSE.00.LHZ', 'resp/STXML.SY.LOOSE.00.LHZ', 'raw/SY.TEXT.00.LHZ'):
        assert row.status[f'20010203_040506.a/{name}'] == 'left out' and row.reason[f'20010203_040506.a/{name}']
    for name in ('no_time', '99999999_999999.a'): assert 'knows this event' in row.reason[name]
    for name in ('loose.ndk', 'cut.xml'): assert row.status[f'EVENTS-INFO/{name}'] == 'left out'
    assert table.file.is_unique and not table.file.str.contains('/up/').any()      # loops of links end

def test_import_again_with_broken_metadata(weird, tmp_path):
    "A file of the new archive that somebody has cut is not written over, and does not end the next import"
    import_obspydmt(weird, tmp_path/'raw')
    path = tmp_path/'raw/stationxml/SY.ADK.xml'
    path.write_bytes(path.read_bytes()[:800])
    with pytest.warns(UserWarning, match='SY.ADK.xml is not used'): import_obspydmt(weird, tmp_path/'raw')
    assert path.stat().st_size == 800 and obspy.read_inventory(str(tmp_path/'raw/stationxml/SY.ADK.2.xml'))[0][0].code == 'ADK'

def test_two_events_of_one_name(weird, tmp_path):
    "Neither loses its QuakeML: the second has its time in its name; also in the next run"
    text = (weird/'EVENTS-INFO/catalog.ml').read_text(encoding='utf-8')
    (weird/'EVENTS-INFO/catalog.ml').write_text(text.replace('text>SIM2<', 'text>SIM1<'), encoding='utf-8')
    for status in ('taken over', 'there already'):
        table = import_obspydmt(weird, tmp_path/'raw').query("what == 'events' and target.str.endswith('.xml')")
        assert sorted(table.event) == ['SIM1', 'SIM1_20010605_040302'] and set(table.status) == {status}
    times = sorted(read_events(p)[0].origins[0].time for p in (tmp_path/'raw/quakeml').iterdir())
    assert [str(t)[:10] for t in times] == ['2001-02-03', '2001-06-05']

def test_event_that_no_writer_accepts(weird, tmp_path, monkeypatch):
    "It is a row; the other event and all records are taken over"
    write = obspy.Catalog.write
    def picky(self, path, format):
        if 'SIM1' in str(path): raise KeyError('no such attribute')
        return write(self, path, format)
    monkeypatch.setattr(obspy.Catalog, 'write', picky)
    table = import_obspydmt(weird, tmp_path/'raw')
    bad = table[table.status.eq('left out') & table.event.eq('SIM1') & table.what.eq('events')]
    assert 'KeyError' in bad.reason.iloc[0] and (table.status.eq('taken over') & table.what.eq('records')).sum() == 5

def test_user_events_named(weird, tmp_path):
    "A folder of events is read; a file that is none is named"
    assert (import_obspydmt(weird, tmp_path/'a', events=[SAMPLE/'quakeml']).what == 'events').sum() > 2
    (tmp_path/'bad.xml').write_text('<quakeml>')
    with pytest.raises(ValueError, match='bad.xml cannot be read as events'): import_obspydmt(weird, tmp_path/'b', events=[tmp_path/'bad.xml'])

def test_find_event_in_a_long_catalogue():
    "The time grows with folders plus events, not with their product; and the nearest origin is the one"
    def at(t): return obspy.core.event.Event(origins=[obspy.core.event.Origin(time=t)])
    events = [at(A + 50*k) for k in range(4000)]
    times = origin_times(events)
    for k in range(0, 4000, 7):
        assert find_event(A + 50*k, events, times) is events[k] and find_event(A + 50*k + 10, events, times) is None
    close = [at(A + .2), at(A + .6), at(A + 1.9)]
    assert find_event(A, close) is close[1] and find_event(None, close) is None and find_event(A - 1, close) is close[0]

# ASDF

def small_archive(folder):
    for p in [*sorted(SAMPLE.glob('obsd/SIM1*'))[:3], SAMPLE/'quakeml/SIM1.xml', SAMPLE/'quakeml/SIM2.xml', SAMPLE/'stationxml/SY.xml']:
        shutil.copy(p, folder)
    return folder

def test_asdf_bad_pieces(tmp_path):
    "A loose link, a record cut after its header, samples of 16 bits and text: rows or exact copies, and the rest is stored"
    pyasdf = pytest.importorskip('pyasdf')
    (raw := tmp_path/'raw').mkdir(); small_archive(raw)
    tr = obspy.read(str(next(raw.glob('SIM1*ADK*'))))[0]
    (raw/'loose.mseed').symlink_to('nowhere')
    tr.stats.pop('mseed'); tr.stats.location = '16'
    tr.data = np.clip(tr.data, -2**15, 2**15-1).astype(np.int16)
    tr.write(str(raw/'short.mseed'), 'MSEED', encoding='INT16')
    said = tr.copy(); said.stats.location = 'TX'; said.data = np.array([b'a', b' ']*(tr.stats.npts//2), '|S1')
    said.write(str(raw/'text.mseed'), 'MSEED')
    sac = tr.copy(); sac.stats.location = 'CU'; sac.data = sac.data.astype(np.float32)
    sac.write(str(raw/'cut.sac'), 'SAC')
    (raw/'cut.sac').write_bytes((raw/'cut.sac').read_bytes()[:5000])
    table = export_asdf(raw, tmp_path/'out')
    by = table.set_index('station')
    assert by.status['SY.ADK.16.LHZ'] == 'stored' and (table.status == 'stored').sum() == 4
    assert by.reason['SY.ADK.TX.LHZ'] == 'text instead of samples'
    assert {'loose.mseed', 'cut.sac'} <= set(table.file[table.status == 'left out'])
    with pyasdf.ASDFDataSet(str(tmp_path/'out/SIM1.h5'), mode='r', mpi=False) as ds:
        kept = next(t for t in ds.waveforms['SY.ADK']['raw_recording'] if t.stats.location == '16')
        assert kept.data.dtype == np.int32 and np.array_equal(kept.data, tr.data)

def test_asdf_one_event_fails(tmp_path, monkeypatch):
    pytest.importorskip('pyasdf')
    write = convert.write_asdf
    def picky(path, event, *args):
        if 'SIM1' in str(path): raise TypeError('dtype is not allowed')
        return write(path, event, *args)
    monkeypatch.setattr(convert, 'write_asdf', picky)
    table = export_asdf(SAMPLE, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ['SIM2.h5']
    assert set(table.status[table.event == 'SIM1']) == {'left out'} and 'stored' in set(table.status[table.event == 'SIM2'])
    assert table.reason[table.event == 'SIM1'].str.contains('TypeError: dtype').all()

def test_asdf_names_alike(tmp_path):
    pytest.importorskip('pyasdf')
    (raw := tmp_path/'raw').mkdir(); small_archive(raw)
    for p, name in ((raw/'SIM1.xml', 'x/1'), (raw/'SIM2.xml', 'x 1')):
        p.write_text(p.read_text(encoding='utf-8').replace(f'text>{p.stem}<', f'text>{name}<'), encoding='utf-8')
    export_asdf(raw, tmp_path/'out')
    assert sorted(p.name for p in (tmp_path/'out').iterdir()) == ['x_1.h5', 'x_1_2.h5']

# Syngine

def test_syngine_bad_file_and_name(tmp_path):
    "A file that was cut, and a station that no request can name: rows; nobody is asked for them"
    class Client:
        def get_model_info(self, model): raise AssertionError('asked')
    (tmp_path/'SIM1').mkdir()
    (tmp_path/'SIM1/SY.ADK.LXZ.sac').write_bytes(b'cut')
    (tmp_path/'SIM1/refused.csv').write_bytes(b'station,model,reason\nSY.HRV,prem_a_20s,\xe9 no\nbroken\n')
    places = {'SY.ADK': (51.9, -176.7), '../x': (0, 0), 'SY.NAN': (float('nan'), 0), 'SY.HRV': (42.5, -71.6)}
    table = fetch_syngine(EVENTS[:1], places, tmp_path, client=Client()).set_index('station')
    assert table.status.to_dict() == {'../x': 'refused', 'SY.NAN': 'refused', 'SY.ADK': 'failed', 'SY.HRV': 'refused'}
    assert 'cannot be read' in table.reason['SY.ADK'] and 'no latitude' in table.reason['SY.NAN']

# the environment: what pip may bring, and where a network is trained

def requirements(lines, seen):
    "What lines of requirements bring, by name, with what that needs; the lines that name torch"
    for line in lines:
        need = Requirement(line)
        if need.marker is not None and not need.marker.evaluate(dict(extra='')): continue
        known = need.name.lower() in seen
        seen.setdefault(need.name.lower(), []).append(need.specifier)
        if not known: requirements(metadata.requires(need.name) or [], seen)
    return seen

def test_base_leaves_torch_alone():
    "Nothing that the base needs pins torch, or brings what pins it (torchvision, which fastai needs); nor Dask or Jupyter"
    ini = ConfigParser(interpolation=None)
    ini.read(ROOT/'settings.ini', encoding='utf-8')
    seen = requirements(ini['DEFAULT']['requirements'].split(), {})
    assert {'torch', 'obspy', 'zarr'} <= set(seen)
    assert not set(seen) & {'torchvision', 'fastai', 'dask', 'jupyterlab', 'ipython', 'scikit-learn', 'pyasdf'}
    assert all(s.operator == '>=' for given in seen['torch'] for s in given)

def test_mps_only_if_asked(monkeypatch):
    "A Mac whose MPS is there trains on the CPU all the same, as the tests on macOS do; fastai itself would take MPS"
    torch, fastai = pytest.importorskip('torch'), pytest.importorskip('fastai.torch_core')
    from fwinb.models.resnet import ResNet1d
    from fwinb.models.train import choose_device, fit, index_loaders, make_learner
    monkeypatch.setattr(fastai, '_has_mps', lambda: True)             # to fake it in torch itself breaks torch
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert fastai.default_device().type == 'mps' and choose_device().type == 'cpu' and choose_device('mps').type == 'mps'
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((32, 2, 64))).float()
    kinds = np.array(['a', 'b'], object)[np.arange(32) % 2]
    learn = make_learner(index_loaders(x, kinds, np.arange(24), np.arange(24, 32), ('a', 'b'), bs=8), ResNet1d(classes=2, filters=(4, 4, 4)), 1e-3)
    assert len(fit(learn, 1, progress=False)) == 1 and next(learn.model.parameters()).device.type == 'cpu'

def test_release_is_tested():
    "Nothing is published before the tests have passed, on the tree and on the built wheel"
    yaml = pytest.importorskip('yaml')
    flows = {p.stem: yaml.safe_load(p.read_text(encoding='utf-8')) for p in (ROOT/'.github/workflows').glob('*.yml')}
    jobs = flows['release']['jobs']
    assert set(jobs['publish']['needs']) == set(jobs) - {'publish'} and 'workflow_call' in flows['test'][True]      # `on` is True in YAML 1.1
    assert jobs['tree']['uses'] == './.github/workflows/test.yml' and jobs['wheel']['needs'] == 'build'
    assert any('make test-wheel' in s.get('run', '') for s in jobs['wheel']['steps'])

def test_dead_links(tmp_path):
    "The build of the site ends with an error where a link, an anchor or a picture is missing"
    build = runpy.run_path(str(ROOT/'docs/build.py'))
    (tmp_path/'a.html').write_text('<h1 id="top">a</h1><a href="b.html#x">b</a><a href="#top">a</a><a href="https://x.org">x</a>'
                                   '<pre>href="nowhere.html"</pre><a href="c%20d.html">c</a>', encoding='utf-8')
    (tmp_path/'c d.html').write_text('<p>c</p>', encoding='utf-8')
    (tmp_path/'b.html').write_text('<p id="y">b</p><img src="none.png"><a href="gone.html">gone</a><a href="a.html#low">a</a>', encoding='utf-8')
    assert sorted(build['dead_links'](tmp_path)) == ['a.html: b.html#x', 'b.html: a.html#low', 'b.html: gone.html', 'b.html: none.png']

# a placeholder is no place: obspy reads a RESP file as 0 N, 0 E, 123456 m

def test_placeholder_is_no_place(tmp_path):
    "Neither in STATIONS, nor on the map, nor for the modes; the channel's place stands in for the station's, and an ocean bottom stays"
    inv = obspy.read_inventory(SAMPLE/'stationxml/SY.xml').select(station='[AHK]*')
    codes = sorted({f'SY.{s.code}' for s in inv[0]})
    no_place, by_channel, sea = inv[0].stations[:3]
    for x in (no_place, *no_place.channels, by_channel): x.latitude = x.longitude = 0.; x.elevation = 123456.
    sea.latitude = sea.longitude = 0.; sea.elevation = -4900.
    with pytest.warns(UserWarning, match=f'1 stations have no place .*SY.{no_place.code}'): places = convert.station_places(inv)
    assert sorted(places) == [c for c in codes if c != f'SY.{no_place.code}']
    assert places[f'SY.{by_channel.code}'].latitude == by_channel.channels[0].latitude and places[f'SY.{sea.code}'].elevation_m == -4900
    with pytest.warns(UserWarning, match='no place'): data = convert.write_specfem(EVENTS[0][1], inv, tmp_path)
    assert no_place.code not in [line.split()[0] for line in (data/'STATIONS').read_text().splitlines()]
    (tmp_path/'stationxml').mkdir(); inv.write(str(tmp_path/'stationxml/SY.xml'), 'STATIONXML')
    (tmp_path/'stationxml/cut.xml').write_text('<FDSNStationXML')
    assert f'SY.{no_place.code}' not in archive_places(tmp_path) and len(archive_places(tmp_path)) >= len(codes) - 2
    assert f'SY.{no_place.code}' not in station_coordinates(inv) and f'SY.{sea.code}' in station_coordinates(inv)
