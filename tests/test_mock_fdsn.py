"The mock FDSN server: many at once, hostile paths, broken connections, and nothing left behind."
import http.client, io, os, shutil, signal, socket, subprocess, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.request import urlopen
import numpy as np, obspy, pytest
from obspy import UTCDateTime
from obspy.clients.fdsn import Client
from obspy.clients.fdsn.header import FDSNException, FDSNInternalServerException, FDSNNoDataException

pytest.importorskip('portable_fdsnws_dataselect', reason="pip install 'fwinb[mock]'")
from fwinb.data.mock_fdsn import ask_server, data_centre, holdings

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT/'data/sample/raw'

@pytest.fixture(scope='module')
def centre():
    with data_centre(SAMPLE) as c: yield c

@pytest.fixture(scope='module')
def records(): return [tr for p in sorted(SAMPLE.glob('obsd/*.mseed')) for tr in obspy.read(p)]

def line(tr): return (*tr.id.split('.'), tr.stats.starttime, tr.stats.endtime)

def raw(centre, request, hold=0.):
    "What a server answers to bytes, read to its end"
    with socket.create_connection(('127.0.0.1', int(centre.url.rsplit(':')[-1])), timeout=10) as s:
        s.sendall(request)
        time.sleep(hold)
        return b''.join(iter(lambda: s.recv(65536), b''))

def port_of(centre): return int(centre.url.rsplit(':')[-1])

# many at once

def test_many_at_once(records):
    "Twelve clients, sixty requests: each gets its own record, and no more than twelve are ever open"
    wait = threading.Barrier(12, timeout=30)
    def together(handler):
        if '/query' in handler.path and centre.count('dataselect', ok=False) == 0: wait.wait()   # the first twelve are truly open at once
        return False
    with data_centre(SAMPLE, together) as centre:
        client = Client(centre.url)
        def ask(k): return client.get_waveforms(*line(records[k % len(records)]))[0]
        with ThreadPoolExecutor(12) as pool: got = [*pool.map(ask, range(60))]
    for k, tr in enumerate(got): assert np.array_equal(tr.data, records[k % len(records)].data) and tr.id == records[k % len(records)].id
    assert centre.most_in_flight == 12
    assert centre.count('dataselect') == centre.count('dataselect', ok=False) == 60
    assert all(a.end >= a.start for a in centre.asked)

def test_one_after_the_other(centre, records):
    "A client that waits for each answer is never seen twice at the same time"
    client = Client(centre.url)
    centre.most_in_flight = 0
    for tr in records[:8]: client.get_waveforms(*line(tr))
    client.get_stations(level='response')
    assert centre.most_in_flight == 1

def test_bulk(centre, records):
    client = Client(centre.url)
    got = client.get_waveforms_bulk([line(tr) for tr in records])
    assert sorted((tr.id, str(tr.stats.starttime)) for tr in got) == sorted((tr.id, str(tr.stats.starttime)) for tr in records)
    some = sorted({tr.id for tr in records})[:3]
    inv = client.get_stations_bulk([(*i.split('.'), '*', '*') for i in some], level='channel')
    assert sorted(inv.get_contents()['channels']) == some
    with pytest.raises(FDSNNoDataException): client.get_stations_bulk([('ZZ', '*', '*', '*', '*', '*')])

# what is kept from the outside

@pytest.mark.parametrize('path', ['/files/../stationxml/SY.xml', '/files/../../../README.md', '/files/%2e%2e%2fREADME.md', '/files//etc/passwd', '/files/..', '/files/.', '/files/', '/files/obsd', '/files/%00', '/..', '//', '/fdsnws',
                                  '/fdsnws/station', '/fdsnws/station/1/', '/fdsnws/station/2/query', '/fdsnws/dataselect/1/../../../../etc/passwd', '/fdsnws/dataselect/1/%2e%2e/server.py', '/fdsnws/dataselect/1/..%5cserver.py', '/irisws/syngine/1/query'])
def test_hostile_paths(centre, path):
    assert raw(centre, f'GET {path} HTTP/1.0\r\n\r\n'.encode()).split()[1] in (b'404', b'400')

def test_links_out_of_the_folder(tmp_path):
    folder, secret = tmp_path/'raw', tmp_path/'secret.ndk'
    folder.mkdir()
    shutil.copy(SAMPLE/'quakeml/SIM1.xml', folder)
    secret.write_text('')
    (folder/'link.txt').symlink_to(secret)
    files = holdings(folder).files
    assert set(files) == {'SIM1.xml'}

def test_same_name_twice(tmp_path):
    for d in ('a', 'b'):
        (tmp_path/d).mkdir()
        shutil.copy(SAMPLE/'quakeml/SIM1.xml', tmp_path/d)
    with data_centre(tmp_path) as centre: assert ask_server(port_of(centre), 'GET', '/files/SIM1.xml')[0] == 404

def test_file(centre):
    with urlopen(f'{centre.url}/files/SIM1.xml') as r: assert r.read() == (SAMPLE/'quakeml/SIM1.xml').read_bytes()

@pytest.mark.parametrize('request_', [b'', b'GET\r\n\r\n', b'\x00\xff'*50 + b'\r\n\r\n', b'DELETE / HTTP/1.0\r\n\r\n', b'POST /fdsnws/station/1/query HTTP/1.0\r\nContent-Length: many\r\n\r\n', b'GET /fdsnws/station/1/query?' + b'a'*70_000 + b' HTTP/1.0\r\n\r\n'])
def test_strange_requests(centre, request_):
    "Strange bytes are refused, and the server lives on"
    with socket.create_connection(('127.0.0.1', port_of(centre)), timeout=10) as s:
        s.sendall(request_)
        s.shutdown(socket.SHUT_WR)
        try: answer = b''.join(iter(lambda: s.recv(65536), b''))
        except ConnectionError: answer = b''
    assert b' 200 ' not in answer.split(b'\n')[0]
    assert ask_server(port_of(centre), 'GET', '/fdsnws/station/1/version')[0] == 200
    assert not centre.errors

def test_ndk(tmp_path):
    "A catalogue of Global CMT as a file, and its earthquakes by the event service"
    ndk = Path(obspy.__file__).parent/'io/ndk/tests/data/C200604092050A.ndk'
    if not ndk.is_file(): pytest.skip('this obspy has no test data')
    shutil.copy(ndk, tmp_path)
    with data_centre(tmp_path) as centre:
        with urlopen(f'{centre.url}/files/{ndk.name}') as r: assert r.read() == ndk.read_bytes()
        client = Client(centre.url)
        assert len(client.get_events(minmagnitude=4., starttime=UTCDateTime(2006, 4, 9), endtime=UTCDateTime(2006, 4, 10), minlatitude=-21., maxlatitude=-20., mindepth=38., maxdepth=40.)) == 1
        assert len(client.get_events(eventid='C200604092050A')) == 1
        for keys in (dict(minmagnitude=9.), dict(starttime=UTCDateTime(2007, 1, 1)), dict(minlatitude=0.), dict(mindepth=39.5), dict(eventid='C200604092050')):
            with pytest.raises(FDSNNoDataException): client.get_events(**keys)

def test_services_are_whole(recwarn):
    "obspy finds nothing missing in the descriptions, and the versions are told"
    with data_centre(SAMPLE, users={'a': 'b'}) as centre:
        client = Client(centre.url)
        assert [client.get_webservice_version(s)[:2] for s in ('dataselect', 'station', 'event')] == [[1, 1], [1, 2], [1, 2]]
        assert {'matchtimeseries', 'includerestricted', 'format'} <= set(client.services['station']) and 'eventid' in client.services['event']
        with urlopen(f'{centre.url}/fdsnws/dataselect/1/application.wadl') as r: wadl = r.read().decode()
    assert f'base="{centre.url}/fdsnws/dataselect/1/"' in wadl and 'queryauth' in wadl
    assert not [w for w in recwarn if 'service' in str(w.message)]
    assert centre.most_in_flight == 0 and {a.status for a in centre.asked} == {200}

def test_without_the_packages(monkeypatch):
    monkeypatch.setattr('fwinb.data.mock_fdsn.find_spec', lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'fwinb\[mock\]'"):
        with data_centre(SAMPLE): pass

# failures to order

@pytest.mark.parametrize('how', ['break_off', 'shutdown', 'short', 'silence', 'error'])
def test_broken(records, how):
    def broken(handler):
        if '/dataselect/1/query' not in handler.path or len(broken.seen): return False
        broken.seen.append(1)
        if how == 'silence': return True
        if how == 'error': raise ConnectionResetError('on purpose')
        status, headers, body = handler.answer()
        handler.send_response(status)
        handler.send_header('Content-Length', str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[:700])
        if how == 'break_off': handler.break_off()
        if how == 'shutdown': handler.connection.shutdown(socket.SHUT_RDWR)
        return True
    broken.seen = []
    with data_centre(SAMPLE, broken) as centre:
        client = Client(centre.url, timeout=10)
        with pytest.raises((OSError, http.client.HTTPException, FDSNException)): client.get_waveforms(*line(records[0]))
        assert np.array_equal(client.get_waveforms(*line(records[0]))[0].data, records[0].data)
    assert [a.status for a in centre.queries('dataselect', ok=False)] == [0, 200]
    assert centre.count('dataselect') == 1

def test_client_that_leaves(records):
    "A client that closes before the answer is noted as broken off, and is no error"
    def slow(handler):
        if '/query' in handler.path: time.sleep(.3)
        return False
    with data_centre(SAMPLE, slow) as centre:
        with socket.create_connection(('127.0.0.1', port_of(centre))) as s:
            s.sendall(b'GET /fdsnws/station/1/query?level=response HTTP/1.0\r\n\r\n')
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\x01\0\0\0\0\0\0\0')
        until = time.monotonic() + 10
        while not (centre.asked and centre.asked[0].status == 0) and time.monotonic() < until: time.sleep(.02)
    assert [a.status for a in centre.asked] == [0] and centre.count('station', ok=False) == 1

def test_faulty_intercept():
    "A mistake in a test's own function is answered with 500 and raised at the end"
    def wrong(handler):
        if '/event/1/query' in handler.path: raise AssertionError('my own mistake')
    with pytest.raises(RuntimeError, match='my own mistake'):
        with data_centre(SAMPLE, wrong) as centre:
            with pytest.raises(FDSNInternalServerException): Client(centre.url).get_events()

# nothing is left behind

def running(pid):
    try: os.kill(pid, 0)
    except ProcessLookupError: return False
    return Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] != 'Z' if Path('/proc').is_dir() else True

PARENT = """
import sys, time, fwinb.data.mock_fdsn as l
start = l.subprocess.Popen
def popen(*a, **k):
    p = start(*a, **k)
    print('child', p.pid, flush=True)
    return p
l.subprocess.Popen = popen
with l.data_centre(sys.argv[1]) as centre:
    print('url', centre.url, flush=True)
    time.sleep(60)
"""

@pytest.mark.skipif(os.name != 'posix', reason='kills by signal')
@pytest.mark.parametrize('how', [signal.SIGKILL, signal.SIGINT])
def test_ends_with_its_parent(how, tmp_path):
    "A killed test leaves no server behind"
    parent = subprocess.Popen([sys.executable, '-c', PARENT, str(SAMPLE)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, 'TMPDIR': str(tmp_path)}, cwd=ROOT)
    child = [int(x.split()[1]) for x in iter(parent.stdout.readline, '') if x.startswith('child') or x.startswith('url') and parent.send_signal(how)][-1]
    parent.wait(20)
    until = time.monotonic() + 10
    while running(child) and time.monotonic() < until: time.sleep(.05)
    assert not running(child)
    if how == signal.SIGINT: assert not [*tmp_path.iterdir()]      # nor files; after a kill the system's cleaning takes them

def test_ends_with_the_block():
    before = set(threading.enumerate())
    with data_centre(SAMPLE) as centre: port = port_of(centre)
    with pytest.raises(ConnectionError): socket.create_connection(('127.0.0.1', port), timeout=5)
    until = time.monotonic() + 10
    while set(threading.enumerate()) - before and time.monotonic() < until: time.sleep(.02)
    assert not set(threading.enumerate()) - before

# the content

def test_empty_folder(tmp_path):
    with data_centre(tmp_path) as centre:
        client = Client(centre.url)
        for ask in (client.get_stations, client.get_events, lambda: client.get_waveforms('*', '*', '*', '*', UTCDateTime(2000, 1, 1), UTCDateTime(2001, 1, 1))):
            with pytest.raises(FDSNNoDataException): ask()

def test_blank_location_and_epochs(tmp_path, records):
    "A channel without a location code, with two epochs in two files, one of which is still open"
    tr = records[0].copy()
    tr.stats.location = ''
    tr.write(tmp_path/'blank.mseed', 'MSEED')
    inv = obspy.read_inventory(SAMPLE/'stationxml/SY.xml').select(station=tr.stats.station)
    change = tr.stats.starttime + 86400
    for name, start, end in (('old', tr.stats.starttime - 86400, change), ('new', change, None)):
        for n in inv:
            for s in n:
                s.start_date = s.end_date = None
                for c in s: c.location_code, c.start_date, c.end_date = '', start, end
        inv.write(tmp_path/f'{name}.xml', 'STATIONXML')
    with data_centre(tmp_path) as centre:
        client = Client(centre.url)
        assert len(client.get_stations(level='channel')[0]) == 1
        assert len(client.get_stations(level='channel')[0][0]) == 2
        assert len(client.get_stations(level='channel', location='--', endtime=change - 1)[0][0]) == 1
        assert len(client.get_stations(level='channel', location='', matchtimeseries=True, starttime=tr.stats.starttime, endtime=tr.stats.endtime, format='text')[0][0]) == 1
        with pytest.raises(FDSNNoDataException): client.get_stations(level='channel', location='00')
        with pytest.raises(FDSNNoDataException): client.get_stations(level='channel', matchtimeseries=True, starttime=change + 1, endtime=change + 9)
        with urlopen(f'{centre.url}/fdsnws/station/1/query?level=channel&format=text') as r: ends = sorted(x.split('|')[-1] for x in r.read().decode().splitlines()[1:])
        assert ends == [change.strftime('%Y-%m-%dT%H:%M:%S'), '2599-12-31T23:59:59']
        for loc in ('', '--', '*'): assert np.array_equal(client.get_waveforms(tr.stats.network, tr.stats.station, loc, 'LHZ', tr.stats.starttime, tr.stats.endtime)[0].data, tr.data)

def test_broken_files(tmp_path):
    (tmp_path/'bad.mseed').write_bytes(b'000001D ' + bytes(500))
    with pytest.raises(ValueError, match='mseedindex'):
        with data_centre(tmp_path): pass

def test_mass_downloader(tmp_path, records):
    "obspy's MassDownloader finds the services and stores every record of an earthquake"
    from obspy.clients.fdsn.mass_downloader import GlobalDomain, MassDownloader, Restrictions
    event = obspy.read_events(SAMPLE/'quakeml/SIM1.xml')[0].origins[0].time
    mine = [tr for tr in records if tr.stats.starttime < event + 1800 and tr.stats.endtime > event - 300]
    with data_centre(SAMPLE) as centre:
        MassDownloader(providers=[Client(centre.url)], configure_logging=False).download(
            GlobalDomain(), Restrictions(event - 300, event + 1800, reject_channels_with_gaps=False, minimum_length=0., channel_priorities=['LHZ'], minimum_interstation_distance_in_m=0.),
            mseed_storage=str(tmp_path/'mseed'), stationxml_storage=str(tmp_path/'xml'), print_report=False)
    got = [tr for p in (tmp_path/'mseed').glob('*.mseed') for tr in obspy.read(p)]
    assert sorted(tr.id for tr in got) == sorted(tr.id for tr in mine) and len(mine) > 10
    for tr in got:
        whole = next(x for x in mine if x.id == tr.id and x.stats.starttime <= tr.stats.starttime and x.stats.endtime >= tr.stats.endtime)
        assert np.array_equal(tr.data, whole.slice(tr.stats.starttime, tr.stats.endtime).data)

def test_syngine_zip():
    "Archives for several receivers come as one"
    import zipfile
    from obspy.clients.syngine import Client as Syngine
    asked = []
    def sac(p):
        asked.append(p)
        out, tr = io.BytesIO(), obspy.Trace(np.arange(5, dtype=np.float32), dict(network='XX', station=p['stationcode'], channel='LXZ'))
        tr.write(one := io.BytesIO(), 'SAC')
        with zipfile.ZipFile(out, 'w') as z: z.writestr(f"XX.{p['stationcode']}.sac", one.getvalue())
        return out.getvalue()
    with data_centre(SAMPLE/'quakeml', syngine=sac) as centre:
        st = Syngine(f'{centre.url}/irisws/syngine/1').get_waveforms_bulk('m', [dict(latitude=1., longitude=2., stationcode=s) for s in ('A', 'B')], sourcemomenttensor=[1e18, 2e18, 0, 0, 0, 3e18], format='saczip')
    assert sorted(tr.stats.station for tr in st) == ['A', 'B']
    assert asked[0]['sourcemomenttensor'] == '1e+18,2e+18,0,0,0,3e+18' and asked[1]['receiverlatitude'] == '1.0'

def test_real(world):
    "Records, metadata and an earthquake: what is asked for comes back, with its responses"
    real = world.folder
    with data_centre(real) as centre:
        client = Client(centre.url)
        inv = client.get_stations(level='response')
        assert sorted(f'{n.code}.{s.code}' for n in inv for s in n) == sorted([*world.two, world.gap.rsplit('.', 2)[0]])
        assert len(client.get_events(minmagnitude=5.)) == 1
        for p in sorted(real.glob('obsd/*.mseed')):
            st = obspy.read(p)
            for tr in st:
                got = client.get_waveforms(*tr.id.split('.'), tr.stats.starttime - .01, tr.stats.endtime + .01)   # clocks of single records differ by microseconds
                assert any(np.array_equal(x.data, tr.data) for x in got), tr
                code = (inv.get_response(tr.id, tr.stats.starttime), obspy.read_inventory(real/f'stationxml/{tr.stats.network}.{tr.stats.station}.xml').get_response(tr.id, tr.stats.starttime))
                assert [len(r.response_stages) for r in code] == [len(code[1].response_stages)]*2 and code[0].instrument_sensitivity.value == code[1].instrument_sensitivity.value
