"A download when the disk fills between an answer and its files; a second one in the same folder; data centres named twice or without a station; catalogues by month; seeds."
import errno, os, subprocess, sys, time
from pathlib import Path
import obspy, pytest
from obspy import UTCDateTime

pytest.importorskip('portable_fdsnws_dataselect')
from fwinb.data.fdsn import PoliteClient
from fwinb.data.download import DownloadRequest, choose_events, download, get_events, is_done, question
from fwinb.data.files import read_records
from fwinb.data.mock_fdsn import data_centre

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT/'data/sample/raw'
REQUEST = DownloadRequest(networks=('SY',))
A, B = UTCDateTime(1990, 1, 1), UTCDateTime(2030, 1, 1)
ONE = choose_events(get_events(str(SAMPLE), None, None), A, B)[0][:1]
SERVED = {'.'.join(p.name.split('.')[1:5]): p for p in (SAMPLE/'obsd').glob('SIM1*')}
FAST = dict(rate=1e4, tries=2, pause=.01, seed=0)

def queries(centre): return [(a.path, tuple(sorted(a.query.items())), a.body) for a in centre.asked if '/query' in a.path and a.status in (200, 204)]

def check_complete(folder, ledger, urls):
    "Every trace is there, as long as it is served, with its metadata, and nothing else"
    traces = ledger[ledger.station != '']
    assert is_done(ledger, question(REQUEST, urls)) and sorted(traces.station) == sorted(SERVED) and set(traces.status) == {'fetched'}
    for r in traces.itertuples():
        a, b = (read_records(p)[0].merge(-1).sort(['starttime']) for p in (folder/r.file, SERVED[r.station]))
        b = b.slice(a[0].stats.starttime, a[-1].stats.endtime)
        assert b[-1].stats.endtime > ONE[0][1].preferred_origin().time + 2300 and [t.data.tolist() for t in a] == [t.data.tolist() for t in b]
    assert not [p for p in folder.rglob('*') if '.part' in p.name or '.new-' in p.name or p.name.endswith('.rejected') or p.name == '.answers']

# a full disk

FILLS = '''
import resource, signal, sys
from fwinb.data import download as d, fdsn
from obspy import UTCDateTime
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def room(size): resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
bulk, metadata, run = fdsn.PoliteClient.get_waveforms_bulk, fdsn.PoliteClient.get_stations_bulk, d.MassDownloader.download
def full_after(self, *args, **kwargs): bulk(self, *args, **kwargs); room(int(sys.argv[4]))
def room_again(self, *args, **kwargs): room(resource.RLIM_INFINITY); return metadata(self, *args, **kwargs)
def run_and_room(self, *args, **kwargs):
    try: return run(self, *args, **kwargs)
    finally: room(resource.RLIM_INFINITY)
fdsn.PoliteClient.get_waveforms_bulk, fdsn.PoliteClient.get_stations_bulk, d.MassDownloader.download = full_after, room_again, run_and_room
events = d.choose_events(d.get_events(sys.argv[2], None, None), UTCDateTime(0), UTCDateTime(4e9))[0][:1]
d.download(events, sys.argv[3], [sys.argv[1]], d.DownloadRequest(networks=('SY',)), rate=1e4, threads=1)
'''
@pytest.mark.parametrize('size', [0, 3000, 4096])
def test_disk_full_while_records_are_divided(size, centre, tmp_path):
    "The answer was kept, the files made of it have room for `size` bytes, then there is room again: no short record passes for a whole one, none for missing"
    p = subprocess.run([sys.executable, '-c', FILLS, centre.url, str(SAMPLE), str(tmp_path), str(size)], stderr=subprocess.PIPE, text=True, timeout=120)
    assert p.returncode == 1 and 'the same command goes on' in p.stderr and str(tmp_path) in p.stderr, p.stderr[-800:]
    assert not list(tmp_path.rglob('ledger.csv')) and not list(tmp_path.rglob('*.mseed'))
    before = queries(centre)
    centre.asked.clear()
    check_complete(tmp_path, download(ONE, tmp_path, [centre.url], REQUEST, **FAST), [centre.url])
    assert any('dataselect' in path for path, *_ in before) and not set(before) & set(queries(centre))

@pytest.mark.parametrize('kind', ['.xml.part', ''])
def test_disk_full_at_metadata_or_beside(kind, centre, tmp_path, monkeypatch):
    "No room for StationXML, or for the file in which obspy puts an answer before it is divided"
    write = PoliteClient._write_to_file_object
    def full(self, filename, data):
        if str(filename).endswith('.part') == bool(kind): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, filename, data)
    with monkeypatch.context() as m:
        m.setattr(PoliteClient, '_write_to_file_object', full)
        with pytest.raises(OSError, match='the same command goes on') as e: download(ONE, tmp_path, [centre.url], REQUEST, **FAST)
    assert e.value.errno == errno.ENOSPC and e.value.filename == str(tmp_path)
    before = queries(centre)
    centre.asked.clear()
    check_complete(tmp_path, download(ONE, tmp_path, [centre.url], REQUEST, **FAST), [centre.url])
    assert not set(before) & set(queries(centre))

def test_disk_full_at_the_ledger(centre, tmp_path, monkeypatch):
    "All files are in their places, then there is no room for the ledger: nothing is asked again"
    def full(*args, **kwargs): raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with monkeypatch.context() as m:
        m.setattr('pandas.DataFrame.to_csv', full)
        with pytest.raises(OSError, match='the same command goes on'): download(ONE, tmp_path, [centre.url], REQUEST, **FAST)
    assert len(list(tmp_path.rglob('*.mseed'))) == len(SERVED)
    before = queries(centre)
    centre.asked.clear()
    check_complete(tmp_path, download(ONE, tmp_path, [centre.url], REQUEST, **FAST), [centre.url])
    assert not set(before) & set(queries(centre))

# two at once

TWO = '''
import sys
from fwinb.data.download import DownloadRequest, choose_events, download, get_events
from obspy import UTCDateTime
events = choose_events(get_events(sys.argv[2], None, None), UTCDateTime(0), UTCDateTime(4e9))[0][:1]
download(events, sys.argv[3], [sys.argv[1]], DownloadRequest(networks=('SY',)), rate=1e4)
'''
def test_two_processes(centre, tmp_path):
    "While one program waits for records, a second in the same folder is refused and asks nothing; the first ends well, and then the folder is free"
    came, hold = [], [True]
    def wait(handler):
        if 'dataselect' in handler.path and '/query' in handler.path:
            came.append(1)
            while hold: time.sleep(.02)
        return False
    centre.fault.act = wait
    p = subprocess.Popen([sys.executable, '-c', TWO, centre.url, str(SAMPLE), str(tmp_path)], stderr=subprocess.PIPE, text=True)
    try:
        end = time.time() + 60
        while not came: assert p.poll() is None and time.time() < end; time.sleep(.02)
        n = len(centre.asked)
        with pytest.raises(ValueError, match='another download is running in .*'): download(ONE, tmp_path, [centre.url], REQUEST, timeout=1., limit=1., **FAST)
        assert len(centre.asked) == n
    finally: hold.clear()
    said = p.communicate(timeout=60)[1]
    assert p.returncode == 0, said[-800:]
    check_complete(tmp_path, download(ONE, tmp_path, [centre.url], REQUEST, **FAST), [centre.url])

# two data centres

def test_named_twice(tmp_path, centre):
    "Before anything is asked or written"
    with pytest.raises(ValueError, match='named twice.*127.0.0.1'): download(ONE, tmp_path/'a', [centre.url, f'{centre.url}/'], REQUEST)
    with pytest.raises(ValueError, match="named twice.*'EARTHSCOPE', 'iris'"): download(ONE, tmp_path/'a', ['iris', 'EARTHSCOPE'], REQUEST)
    assert not centre.asked and not (tmp_path/'a').exists()

def test_no_data_at_the_first(centre, tmp_path):
    "The first data centre knows the stations and says 204 to every request for records; the second has them, and is asked once for each"
    centre.fault.act = lambda h: 'dataselect' in h.path and '/query' in h.path and (h.send(204, [], b'') or True)
    with data_centre(SAMPLE) as two:
        ledger = download(ONE, tmp_path, [centre.url, two.url], REQUEST, **FAST)
        lines = [line.split()[:4] for a in two.asked if 'dataselect' in a.path for line in a.body.splitlines() if '=' not in line]
        assert len(lines) == len(SERVED) == len({tuple(x) for x in lines})
        check_complete(tmp_path, ledger, [centre.url, two.url])

# events

def test_catalogue_by_month(centre, tmp_path):
    "Global CMT as it is laid out: a file for every month, of which each is fetched once; a last month that is not there yet is named"
    ndk = next(Path(obspy.__file__).parent.glob('io/ndk/tests/data/C200604092050A.ndk')).read_bytes()
    centre.fault.act = lambda h: h.path == '/files/NEW_MONTHLY/2006/apr06.ndk' and (h.send(200, [('Content-Type', 'text/plain')], ndk) or True)
    a = UTCDateTime(2006, 4, 3)
    found = get_events('gcmt', a, a+20*86400, min_mw=0, gcmt=f'{centre.url}/files')
    (name, event), = choose_events(found, a, a+20*86400, mw=(0, 10))[0]
    assert name == 'C200604092050A' and event.focal_mechanisms[0].moment_tensor.tensor.m_rr is not None
    assert [r.path for r in centre.asked] == ['/files/NEW_MONTHLY/2006/apr06.ndk']
    with pytest.warns(UserWarning, match='ends before .*may06.ndk'): assert len(get_events('gcmt', a, a+40*86400, min_mw=0, gcmt=f'{centre.url}/files')) == 1   # not there yet

def test_broken_catalogue(centre, tmp_path):
    "A catalogue that is none, by address and as a file, is named"
    page = b'<html>Please log in</html>'
    (tmp_path/'page.xml').write_bytes(page)
    centre.fault.act = lambda h: h.path.endswith('.ndk') and (h.send(200, [], page) or True)
    with pytest.raises(ValueError, match='x.ndk cannot be read as events'): get_events(f'{centre.url}/files/x.ndk', A, B)
    with pytest.raises(ValueError, match='page.xml cannot be read as events'): get_events(str(tmp_path/'page.xml'), A, B)

def test_quakeml_file():
    (name, event), = choose_events(get_events(str(SAMPLE/'quakeml/SIM1.xml'), A, B), A, B)[0]
    assert (name, event.preferred_origin().time) == (ONE[0][0], ONE[0][1].preferred_origin().time)

def test_seed_of_the_choice():
    "The same seed gives the same events, another seed others; by time, and spread over depths"
    first, many = ONE[0][1], []
    for k in range(60):
        e = first.copy()
        e.event_descriptions = [obspy.core.event.EventDescription(f'E{k:02d}', 'earthquake name')]
        e.preferred_origin().time += 86400*k
        e.preferred_origin().depth = (15e3, 120e3, 550e3)[k % 3]
        many.append(e)
    pick = lambda seed: [n for n, _ in choose_events(many, A, B, n=12, seed=seed)[0]]
    assert pick(3) == pick(3) == sorted(pick(3)) and len(set(pick(3))) == 12 and pick(3) != pick(4)
    assert [sum(int(n[1:]) % 3 == k for n in pick(3)) for k in range(3)] == [4, 4, 4]
