"What a download keeps when it is killed or the disk is full; a thousand traces; real records; two data centres; where events come from."
import runpy, shutil, subprocess, sys, textwrap, time
from pathlib import Path
import numpy as np, obspy, pytest
from obspy import UTCDateTime
from obspy.clients.fdsn import Client

pytest.importorskip('portable_fdsnws_dataselect')
from fwinb.data.fdsn import GaveUp
from fwinb.data.download import DownloadRequest, choose_events, download, get_events, is_done, question, read_ledgers
from fwinb.earth.modes import synthesize, write_synthetics
from fwinb.data.files import read_records, read_stations
from fwinb.data.mock_fdsn import data_centre
from fwinb.pairs.store import locked
from fwinb.data.archive import preprocess_folder

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT/'data/sample/raw'
REQUEST = DownloadRequest(networks=('SY',))
BENCH = runpy.run_path(str(ROOT/'bench/download.py'), run_name='bench')
EVENTS, _ = choose_events(get_events(str(SAMPLE), None, None), UTCDateTime(0), UTCDateTime(4e9))

def queries(centre): return [(a.path, tuple(sorted(a.query.items())), a.body) for a in centre.asked if '/query' in a.path and a.status in (200, 204)]

def sound(folder):
    "Every record in an archive can be read, every ledger row's file is there, nothing else is"
    ledger = read_ledgers(folder)
    for f in ledger.file[ledger.status == 'fetched']: assert len(read_records(Path(folder)/f)[0])
    return ledger

@pytest.fixture(scope='module')
def many(tmp_path_factory):
    folder = tmp_path_factory.mktemp('many')
    return folder, BENCH['serve_many'](folder, 260, 130)

SCRIPT = '''
import sys
from fwinb.data.download import DownloadRequest, choose_events, download, get_events
from obspy import UTCDateTime
{before}
events = choose_events(get_events(sys.argv[2], None, None), UTCDateTime(0), UTCDateTime(4e9), mw=(0, 10))[0]
download(events, sys.argv[3], [sys.argv[1]], DownloadRequest(networks=('SY',)), rate=1e6, threads=1)
'''
def start(url, served, out, before=''):
    return subprocess.Popen([sys.executable, '-c', SCRIPT.format(before=textwrap.dedent(before)), url, str(served), str(out)], stderr=subprocess.PIPE, text=True)

@pytest.mark.parametrize('after', [1, 2, 5, 40])
def test_kill(after, many, tmp_path):
    "kill -9 in the second portion of records, between them and the metadata, among the metadata: the next run asks only for the rest"
    served, events = many
    state = dict(n=0, hold=True)
    def intercept(h):
        if '/query' not in h.path or h.command != 'POST': return False
        state['n'] += 1
        while state['hold'] and state['n'] > after: time.sleep(.02)
        return False
    with data_centre(served, intercept=intercept) as centre:
        p, end = start(centre.url, served, tmp_path/'raw'), time.time()+60
        while state['n'] <= after: assert p.poll() is None and time.time() < end, p.stderr.read(); time.sleep(.02)
        p.kill(); p.wait(); p.stderr.close()
        before = queries(centre)
        state['hold'] = False
        time.sleep(.3)                                           # the held request ends, unheard
        assert not [q for q in (tmp_path/'raw').rglob('*.mseed')] and len(before) >= after
        centre.asked.clear()
        ledger = download(events, tmp_path/'raw', [centre.url], REQUEST, rate=1e6)
        assert not set(before) & set(queries(centre))
        assert len(ledger) == 262 and set(ledger.status) == {'done', 'fetched'} and set(ledger.response[ledger.station != '']) == {'ok'}
        n = len(centre.asked)
        assert download(events, tmp_path/'raw', [centre.url], REQUEST).equals(ledger) and len(centre.asked) == n
    assert len(sound(tmp_path/'raw')) == 262 and not list((tmp_path/'raw').rglob('*.part'))

def test_killed_between_files_and_ledger(many, tmp_path):
    served, events = many
    with data_centre(served) as centre:
        first = download(events[:1], tmp_path, [centre.url], REQUEST, rate=1e6)
        (tmp_path/events[0][0]/'ledger.csv').unlink()
        centre.asked.clear()
        again = download(events[:1], tmp_path, [centre.url], REQUEST, rate=1e6)
        assert not [a for a in centre.asked if 'dataselect' in a.path and '/query' in a.path] and not [a for a in centre.asked if 'level=response' in a.body]
        assert again.equals(first)

@pytest.mark.parametrize('size', [3000, 20_000, 100_000])
def test_disk_full(size, many, tmp_path):
    "No file may grow beyond `size`, as on a full disk: a clear error, nothing half is left, and the same command goes on"
    served, events = many
    limit = f'''
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, resource.RLIM_INFINITY))
    '''
    with data_centre(served) as centre:
        p = start(centre.url, served, tmp_path/'raw', limit)
        said = p.communicate(timeout=120)[1]
        assert p.returncode == 1 and 'the same command goes on' in said and str(tmp_path/'raw') in said, said[-800:]
        sound(tmp_path/'raw')
        ledger = download(events, tmp_path/'raw', [centre.url], REQUEST, rate=1e6)
    assert set(ledger.status) == {'done', 'fetched'} and set(ledger.response[ledger.station != '']) == {'ok'}
    assert len(sound(tmp_path/'raw')) == 262 and not [f for f in (tmp_path/'raw').rglob('*') if '.part' in f.name or '.new-' in f.name]

def test_two_at_once(tmp_path):
    with locked(tmp_path, 'download'), pytest.raises(ValueError, match='another download is running'): download(EVENTS, tmp_path, ['http://127.0.0.1:19'], REQUEST)

def test_thousand():
    "Never more requests at a time than allowed"
    m = BENCH['measure'](1000, threads=3)
    print(m)
    assert m['traces'] == 1000 and m['most_in_flight'] <= 3 and m['requests'] < 250

# vaults with two sensors

def test_real(world, tmp_path):
    "obspy's own client finds three services; the MassDownloader's records become the pairs that the files are"
    with data_centre(world.folder) as centre:
        assert {'dataselect', 'station', 'event'} <= set(Client(centre.url).services)
        span = UTCDateTime(2009, 12, 1), UTCDateTime(2013, 1, 1)
        events, _ = choose_events(get_events(centre.url, *span), *span)
        ledger = download(events, tmp_path/'raw', [centre.url], DownloadRequest(networks=('II', 'IU', 'AX'), channels=('LHZ', 'BHZ')), rate=1e3)
    got = ledger[ledger.status == 'fetched']
    assert set(got.station) == {f'{s}.{l}.{world.channel}' for s in world.two for l in ('00', '10')} | {world.gap} and set(got.response) == {'ok'}
    assert 'gaps' in got.detail[got.station == world.gap].iloc[0]
    pairs, rows = preprocess_folder(tmp_path/'raw', world.syn, origin='fdsn')
    assert set(pairs.station.values) == set(got.station) - {world.gap} and rows.reason[rows.station == world.gap].iloc[0] == 'gap'
    w = pairs.waveform.values.astype(float)
    cc = (w[:,0]*w[:,1]).sum(-1)/np.linalg.norm(w[:,0], axis=-1)/np.linalg.norm(w[:,1], axis=-1)
    assert (cc > .9).all()
    own = write_synthetics([(events[0][0], events[0][1])], obspy.Inventory([n for p in (tmp_path/'raw/stationxml').iterdir() for n in read_stations(p)]), tmp_path/'synt')
    assert own.traces.sum() == 4 and preprocess_folder(tmp_path/'raw', tmp_path/'synt')[0].sizes['pair'] == 6

# records that fwinb.earth.modes makes

def test_preferences(tmp_path):
    "LHZ before BHZ for every sensor, 00 and 10 together, the blank location only where there is no other; and the seismogram that went in comes out"
    inventory = read_stations(SAMPLE/'stationxml/SY.xml')
    event = EVENTS[0][1]
    sound_ones = [s for s in inventory[0] if s.channels[0].response and s.channels[0].response.response_stages][:4]
    plan = dict(zip((s.code for s in sound_ones), ([('00', 'LHZ'), ('00', 'BHZ'), ('10', 'LHZ')], [('00', 'BHZ'), ('10', 'LHZ')], [('', 'LHZ'), ('', 'BHZ')], [('', 'LHZ'), ('10', 'BHZ')])))
    want = {f'SY.{s}.{l}.{c}' for s, of in zip(plan, ([('00', 'LHZ'), ('10', 'LHZ')], [('00', 'BHZ'), ('10', 'LHZ')], [('', 'LHZ')], [('10', 'BHZ')])) for l, c in of}
    served = tmp_path/'served'; served.mkdir()
    event.write(str(served/'event.xml'), 'QUAKEML')
    st = synthesize(event, {f'SY.{s.code}': (s.latitude, s.longitude) for s in sound_ones}, before=900., after=3000.)
    for s in sound_ones:
        one, tr = s.channels[0], next(t for t in st if t.stats.station == s.code)
        s.channels = []
        for loc, cha in plan[s.code]:
            c = type(one)(cha, loc, one.latitude, one.longitude, 0., 0., azimuth=0., dip=-90., sample_rate=1., start_date=UTCDateTime(1990, 1, 1), response=one.response)
            s.channels.append(c)
            f, n = np.fft.rfftfreq(2*tr.stats.npts, 1.), tr.stats.npts
            r = np.zeros(len(f), complex); r[1:] = one.response.get_evalresp_response_for_frequencies(f[1:], output='DISP')
            counts = np.fft.irfft(np.fft.rfft(tr.data, 2*n)*r)[:n]
            obspy.Trace(np.rint(counts + np.random.default_rng(0).normal(size=n)).astype(np.int32), dict(network='SY', station=s.code, location=loc, channel=cha, starttime=tr.stats.starttime)).write(str(served/f'{s.code}{loc}{cha}.mseed'), 'MSEED')
    inventory[0].stations = sound_ones
    inventory.write(str(served/'stations.xml'), 'STATIONXML')
    with data_centre(served) as centre: ledger = download(EVENTS[:1], tmp_path/'raw', [centre.url], REQUEST, rate=1e3)
    assert set(ledger.station[ledger.status == 'fetched']) == want
    write_synthetics(EVENTS[:1], inventory, tmp_path/'synt')
    pairs, _ = preprocess_folder(tmp_path/'raw', tmp_path/'synt')
    assert set(pairs.station.values) == want
    w = pairs.waveform.values.astype(float)
    assert ((w[:,0]*w[:,1]).sum(-1)/np.linalg.norm(w[:,0], axis=-1)/np.linalg.norm(w[:,1], axis=-1) > .999).all()

# several data centres, and events from several places

def test_two_centres(tmp_path):
    "What the first does not have or give comes from the second, and nothing comes twice"
    half = tmp_path/'half'
    shutil.copytree(SAMPLE, half)
    for p in list((half/'obsd').glob('SIM1.SY.[A-M]*')): p.unlink()
    poison = lambda h: 'dataselect' in h.path and b'TUC' in h.body and (h.send(403, [], b'') or True)
    with data_centre(half, intercept=poison) as one, data_centre(SAMPLE) as two:
        ledger = download(EVENTS[:1], tmp_path/'raw', [one.url, two.url], REQUEST, rate=1e4, tries=2, pause=.01)
        asked_two = ' '.join(a.body for a in two.asked if 'dataselect' in a.path)
    assert set(ledger.status[ledger.station != '']) == {'fetched'} and 'TUC' in asked_two and 'PTCN' not in asked_two
    assert len(ledger.station) == len(set(ledger.station))

def test_empty_centre(tmp_path):
    "A data centre that has none of the stations does not hide what the other has"
    with data_centre(SAMPLE) as one, data_centre(SAMPLE, intercept=lambda h: '/station/1/query' in h.path and (h.send(204, [], b'') or True)) as none:
        ledger = download(EVENTS[:1], tmp_path/'raw', [one.url, none.url], REQUEST, rate=1e4)
        assert ledger.status.iloc[0] == 'done' and set(ledger.status[1:]) == {'fetched'}
        nothing = download(EVENTS[:1], tmp_path/'empty', [none.url], REQUEST, rate=1e4)
        assert nothing.status.tolist() == ['no data'] and is_done(nothing, question(REQUEST, [none.url]))

def test_wrong_centre(tmp_path):
    with pytest.raises(ValueError, match='NOSUCH'): download(EVENTS, tmp_path, ['NOSUCH'], REQUEST)
    with pytest.raises(GaveUp, match='no connection'): download(EVENTS, tmp_path, ['http://127.0.0.1:19'], REQUEST, tries=2, pause=.01)
    with pytest.raises(ValueError, match='no data centre'): download(EVENTS, tmp_path, [], REQUEST)

def test_sources_of_events(tmp_path):
    "A service, a folder, a file, an NDK file by address"
    ndk = next(Path(obspy.__file__).parent.glob('io/ndk/tests/data/C200604092050A.ndk'))
    shutil.copytree(SAMPLE, tmp_path/'served'); shutil.copy(ndk, tmp_path/'served')
    a, b = UTCDateTime(1990, 1, 1), UTCDateTime(2030, 1, 1)
    with data_centre(tmp_path/'served') as centre:
        by = {k: choose_events(get_events(s, a, b, min_mw=0), a, b, mw=(0, 10))[0] for k, s in dict(service=centre.url, folder=str(tmp_path/'served'), file=str(ndk), address=f'{centre.url}/files/{ndk.name}').items()}
        with pytest.raises(FileNotFoundError, match='there is no http'): get_events('gcmt', UTCDateTime(2009, 1, 2), UTCDateTime(2009, 1, 3), gcmt=f'{centre.url}/files')
    names = {k: sorted(n for n, _ in v) for k, v in by.items()}
    assert names['folder'] == names['service'] and len(names['folder']) == 3 and names['file'] == names['address'] == ['C200604092050A']

def test_gcmt_ends(tmp_path):
    "The last months are not there yet: a warning that names the first of them; the first month missing is an error"
    ndk = next(Path(obspy.__file__).parent.glob('io/ndk/tests/data/C200604092050A.ndk'))
    served = tmp_path/'served'
    shutil.copytree(SAMPLE, served); shutil.copy(ndk, served/'apr06.ndk')
    def months(h):
        if '/NEW_MONTHLY/' not in h.path: return False
        name = h.path.rsplit('/', 1)[-1]
        h.send(200, [], (served/name).read_bytes()) if (served/name).is_file() else h.send(404, [], b'')
        return True
    with data_centre(served, intercept=months) as centre:
        with pytest.warns(UserWarning, match='ends before .*may06'): events = get_events('gcmt', UTCDateTime(2006, 4, 2), UTCDateTime(2006, 7, 1), min_mw=0, gcmt=centre.url)
        assert len(events) == 1
        with pytest.raises(FileNotFoundError, match='mar06'): get_events('gcmt', UTCDateTime(2006, 3, 2), UTCDateTime(2006, 4, 20), gcmt=centre.url)
