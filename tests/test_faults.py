"What a download promises when data centres fail: nothing that came is asked for again, nothing broken is kept, and the ledger tells the fate of every trace."
import shutil, time
from pathlib import Path
import pytest
from obspy import UTCDateTime

pytest.importorskip('portable_fdsnws_dataselect')
from fwinb.data.fdsn import connect
from fwinb.data.download import DownloadRequest, choose_events, download, get_events, is_done, question
from fwinb.data.files import read_records
from fwinb.data.mock_fdsn import data_centre
from fwinb.data.archive import preprocess_folder

ROOT = Path(__file__).resolve().parent.parent
SAMPLE, SYNT = ROOT/'data/sample/raw', ROOT/'data/sample/synt'
REQUEST = DownloadRequest(networks=('SY',))
EVENTS, _ = choose_events(get_events(str(SAMPLE), None, None), UTCDateTime(0), UTCDateTime(4e9))
ONE = EVENTS[:1]
SERVED = {(p.name.split('.')[0], '.'.join(p.name.split('.')[1:5])): p for p in (SAMPLE/'obsd').iterdir()}

slept = []
def fetch(centre, folder, events=ONE, **options):
    slept.clear()
    return download(events, folder, [centre.url], REQUEST, rate=1e4, **dict(sleep=slept.append, timeout=2., limit=4., tries=3, pause=.01, seed=0) | options)

def is_query(handler, service): return f'/{service}/1/query' in handler.path
def once(act, service='dataselect', where=lambda h: True):
    "Only the first request of a kind"
    left = [1]
    return lambda h: is_query(h, service) and where(h) and bool(left) and left.pop() and (act(h) or True)
def always(act, service='dataselect', where=lambda h: True): return lambda h: is_query(h, service) and where(h) and (act(h) or True)
def code(status, *headers): return lambda h: h.send(status, list(headers), b'so it is' if status > 299 else b'')
def change(of): return lambda h: (lambda status, headers, body: h.send(status, [x for x in headers if x[0].lower() != 'content-length'], of(body)))(*h.answer())
def reset(h):
    status, headers, body = h.answer()
    h.send_response(200); h.send_header('Content-Length', str(len(body))); h.end_headers()
    h.wfile.write(body[:700]); h.wfile.flush(); h.break_off()
def slow_loris(h):
    h.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n')
    for _ in range(300):
        h.wfile.write(b'x'); h.wfile.flush(); time.sleep(.05)

def answered(centre): return [(a.path, tuple(sorted(a.query.items())), a.body) for a in centre.asked if '/query' in a.path and a.status in (200, 204)]

def check_archive(folder, ledger, events=ONE):
    "Every trace has one row; what is there is what is served; nothing else is there"
    traces = ledger[ledger.station != '']
    names = {n for n, _ in events}
    assert sorted(zip(traces.event, traces.station)) == sorted(k for k in SERVED if k[0] in names)
    for r in traces[traces.status == 'fetched'].itertuples():
        a, b = (read_records(p)[0].merge(-1).sort(['starttime']) for p in (Path(folder)/r.file, SERVED[r.event, r.station]))
        b = b.slice(a[0].stats.starttime, a[-1].stats.endtime)
        assert sum(tr.stats.npts for tr in a) > 2000 and [tr.data.tolist() for tr in a] == [tr.data.tolist() for tr in b]
    files = sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob('*') if p.is_file())
    assert not [f for f in files if '.part' in f or '.new-' in f]
    assert {f for f in files if '.mseed' in f} == set(traces.file[traces.file != ''])

FAULTS = {'204': code(204), 'empty': code(200), '503': code(503), '500': code(500), '502': code(502), '429': code(429, ('Retry-After', '7')), '413': code(413), 'reset in the body': reset, 'slow-loris': slow_loris,
    'cut inside a record': change(lambda b: b[:-100]), 'no miniSEED': change(lambda b: b'<html>Please log in</html>'*20), '200 without gzip': lambda h: h.send(200, [('Content-Encoding', 'gzip')], b'\x1f\x8b no')}

@pytest.mark.parametrize('name', FAULTS)
def test_one_fault(name, centre, tmp_path):
    "One failure costs nothing but a request; a single 204 is an answer, and final"
    centre.fault.act = once(FAULTS[name])
    ledger = fetch(centre, tmp_path)
    assert set(ledger.status[ledger.station != '']) == ({'no data'} if name in ('204', 'empty') else {'fetched'})
    if name == '429': assert any(7 <= s <= 8 for s in slept)
    check_archive(tmp_path, ledger)
    n = len(centre.asked)
    assert fetch(centre, tmp_path).equals(ledger) and len(centre.asked) == n and not list(tmp_path.rglob('.answers'))

@pytest.mark.parametrize('name', ['503', '429', 'reset in the body', 'slow-loris', 'cut inside a record', '500'])
@pytest.mark.parametrize('service', ['dataselect', 'station', 'response'])
def test_down_then_up(name, service, centre, tmp_path):
    "A service that is down for the whole run: the next one completes, and repeats nothing that was answered"
    if name == 'slow-loris' and service != 'station': pytest.skip('one of them is slow enough')
    centre.fault.act = always(FAULTS[name], *(('station', lambda h: b'level=response' in h.body) if service == 'response' else (service, lambda h: True)))
    first = fetch(centre, tmp_path, tries=2, limit=1.)
    assert not is_done(first, question(REQUEST, [centre.url])) and 'failed' in {*first.status, *first.response}
    if service == 'response': assert set(first.status[first.station != '']) == {'fetched'} and set(first.response[first.station != '']) == {'failed'}
    kind = {'dataselect': lambda a: 'dataselect' in a[0], 'station': lambda a: 'station' in a[0], 'response': lambda a: 'level=response' in a[2]}[service]
    before = [a for a in answered(centre) if not (name == 'cut inside a record' and kind(a))]   # a body that is cut is no answer
    assert len([a for a in centre.asked if a.status not in (200, 204)]) < 60
    centre.fault.act = None; centre.asked.clear()
    second = fetch(centre, tmp_path)
    assert is_done(second, question(REQUEST, [centre.url])) and set(second.status[second.station != '']) == {'fetched'}
    assert not set(before) & set(answered(centre))
    check_archive(tmp_path, second)

@pytest.mark.parametrize('status, word', [(400, 'refused'), (403, 'refused'), (413, 'refused'), (500, 'failed')])
def test_poison(status, word, centre, tmp_path):
    "One channel makes every request fail that names it: the others come, and it is told by name"
    centre.fault.act = always(code(status), where=lambda h: b'PTCN' in h.body)
    ledger = fetch(centre, tmp_path)
    bad = ledger[ledger.station == 'SY.PTCN.00.LHZ'].iloc[0]
    assert bad.status == word and set(ledger.status[~ledger.station.isin(['', bad.station])]) == {'fetched'}
    check_archive(tmp_path, ledger)
    centre.asked.clear()
    again = fetch(centre, tmp_path)
    sent = [a.body for a in centre.asked if 'dataselect' in a.path and '/query' in a.path]
    assert not [b for b in sent if 'PTCN' not in b or b.count('LHZ') != 1]                # nobody else is asked for again
    assert (word == 'failed') == bool(sent)
    centre.fault.act = None
    healed = fetch(centre, tmp_path)
    assert healed[healed.station == bad.station].status.iloc[0] == ('fetched' if word == 'failed' else 'refused')
    check_archive(tmp_path, healed)

def test_too_large(centre, tmp_path):
    "413 for more than three channels: smaller portions"
    centre.fault.act = always(code(413), where=lambda h: h.body.count(b'LHZ') > 3)
    ledger = fetch(centre, tmp_path)
    assert set(ledger.status[ledger.station != '']) == {'fetched'}
    check_archive(tmp_path, ledger)

def test_cut_between_records(centre, tmp_path):
    "No server says so, and the download cannot know: one record is short, and the next stage drops it by name"
    centre.fault.act = once(change(lambda b: b[:-512*8]))
    ledger = fetch(centre, tmp_path)
    traces = ledger[ledger.station != '']
    assert set(traces.status) == {'fetched'}
    npts = lambda p: sum(tr.stats.npts for tr in read_records(p)[0])
    short = [r.station for r in traces.itertuples() if npts(tmp_path/r.file) < 1000]
    assert len(short) == 1
    _, rows = preprocess_folder(tmp_path, SYNT)
    assert rows.reason[rows.station == short[0]].tolist() == ['too short']

@pytest.mark.parametrize('edit, word', [((b'<Response>', b'</Response>'), 'no stages'), (b'M/S', "'PA'")], ids=['without a response', 'wrong unit'])
def test_useless_metadata(edit, word, centre, tmp_path):
    "The record is kept, its row says what is wrong, the next stage drops it by name, and nothing is asked again"
    def spoil(body):
        if isinstance(edit, bytes): return body.replace(b'<Name>M/S</Name>', b'<Name>PA</Name>').replace(b'<Name>m/s</Name>', b'<Name>PA</Name>')
        while edit[0] in body: i, j = body.index(edit[0]), body.index(edit[1]); body = body[:i] + body[j+len(edit[1]):]
        return body
    centre.fault.act = always(change(spoil), 'station', lambda h: b'level=response' in h.body)
    ledger = fetch(centre, tmp_path)
    traces = ledger[ledger.station != '']
    assert set(traces.status) == {'fetched'} and not (traces.response == 'ok').any()
    assert traces.response.str.contains(word).sum() >= len(traces)-1                       # one response of the sample is missing anyway
    n = len(centre.asked)
    fetch(centre, tmp_path)
    assert len(centre.asked) == n
    pairs, rows = preprocess_folder(tmp_path, SYNT)
    assert not pairs.sizes['pair'] and (rows.reason == 'no response').any()

SECRET = 'the secret of this machine'
BOMB = b'<?xml version="1.0"?><!DOCTYPE q [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><q:quakeml>&b;</q:quakeml>'

@pytest.mark.parametrize('where', ['response', 'event', 'wadl'])
def test_hostile_xml(where, centre, tmp_path):
    "Entities are not opened, wherever they come from"
    (tmp_path/'secret').write_text(SECRET)
    body = f'<?xml version="1.0"?><!DOCTYPE q [<!ENTITY s SYSTEM "file://{tmp_path}/secret">]><FDSNStationXML><Source>&s;</Source></FDSNStationXML>'.encode() if where == 'response' else BOMB
    act = lambda h: h.send(200, [('Content-Type', 'application/xml')], body)
    centre.fault.act = {'response': always(act, 'station', lambda h: b'level=response' in h.body), 'event': always(act, 'event'), 'wadl': lambda h: 'station/1/application.wadl' in h.path and (act(h) or True)}[where]
    if where == 'response':
        ledger = fetch(centre, tmp_path/'raw')
        assert set(ledger.response[ledger.station != '']) == {'failed'} and set(ledger.status[ledger.station != '']) == {'fetched'}
        assert not [p for p in (tmp_path/'raw').rglob('*') if p.is_file() and SECRET.encode() in p.read_bytes()] and not list((tmp_path/'raw').rglob('SY.*.xml'))
    else:
        with pytest.raises(Exception, match='not opened'):
            if where == 'event': get_events(centre.url, UTCDateTime(0), UTCDateTime(4e9), sleep=slept.append)
            else: fetch(centre, tmp_path/'raw')

def test_versions_that_disagree(tmp_path):
    "Two versions of the same samples: kept aside, told, never read, not asked again"
    served = tmp_path/'served'
    shutil.copytree(SAMPLE, served)
    path = served/'obsd'/SERVED[ONE[0][0], 'SY.ANMO.00.LHZ'].name
    tr = read_records(path)[0][0]
    other = tr.slice(EVENTS[0][1].preferred_origin().time+300, EVENTS[0][1].preferred_origin().time+600).copy()
    other.data = other.data + 5
    other.write(str(served/'obsd'/'other.mseed'), format='MSEED')
    twin = read_records(served/'obsd'/SERVED[ONE[0][0], 'SY.TUC.00.LHZ'].name)[0][0]
    twin.write(str(served/'obsd'/'twin.mseed'), format='MSEED')                             # the same once more is no fault
    with data_centre(served) as centre:
        ledger = fetch(centre, tmp_path/'raw').set_index('station')
        assert ledger.loc['SY.ANMO.00.LHZ', ['status', 'reason']].tolist() == ['rejected', 'overlap differs'] and ledger.status['SY.TUC.00.LHZ'] == 'fetched'
        assert ledger.file['SY.ANMO.00.LHZ'].endswith('.rejected') and (tmp_path/'raw'/ledger.file['SY.ANMO.00.LHZ']).is_file()
        n = len(centre.asked)
        fetch(centre, tmp_path/'raw')
        assert len(centre.asked) == n
    assert 'SY.ANMO.00.LHZ' not in set(preprocess_folder(tmp_path/'raw', SYNT)[1].query("file != ''").station)

def test_password_stays_inside(centre, tmp_path, capsys, monkeypatch):
    for k, v in dict(USER='seismo', PASSWORD='pa55word', HOST='127.0.0.1').items(): monkeypatch.setenv(f'FWINB_FDSN_{k}', v)
    with data_centre(SAMPLE, users={'seismo': 'pa55word'}) as centre:
        ledger = fetch(centre, tmp_path/'raw')
        assert set(ledger.status[ledger.station != '']) == {'fetched'} and any('queryauth' in a.path for a in centre.asked)
    with data_centre(SAMPLE, users={'seismo': 'another'}) as centre:
        wrong = fetch(centre, tmp_path/'wrong')
        assert set(wrong.status[wrong.station != '']) == {'failed'}
    assert not [p for p in tmp_path.rglob('*') if p.is_file() and b'pa55word' in p.read_bytes()]
    assert 'pa55word' not in ''.join(capsys.readouterr())

def test_ledger_remembers(centre, tmp_path):
    "A run whose station service is down forgets nothing that an earlier one wrote"
    centre.fault.act = always(code(500), where=lambda h: b'PTCN' in h.body)
    first = fetch(centre, tmp_path)
    shutil.rmtree(tmp_path/ONE[0][0]/'.answers')                           # the station service must be asked again
    centre.fault.act = always(code(503), 'station')
    second = fetch(centre, tmp_path, tries=1)
    assert second.status.iloc[0] == 'failed' and (second.status == 'fetched').sum() == (first.status == 'fetched').sum() == 23
    centre.fault.act = None; centre.asked.clear()
    third = fetch(centre, tmp_path)
    assert [a.body.count('LHZ') for a in centre.asked if 'dataselect' in a.path and '/query' in a.path] == [1]
    check_archive(tmp_path, third)

def test_token_stays_inside(centre, tmp_path):
    "What an EIDA token is exchanged for is not kept among the answers"
    client = connect(centre.url, answers=tmp_path)
    client._ask = lambda *a: (200, b'name:secret')
    client._download('https://somewhere.org/fdsnws/dataselect/1/auth', data=b'token')
    assert not list(tmp_path.iterdir())

def test_events_keep_their_answers(centre, tmp_path):
    "A finished event does not take the answers of one that is not, and kept answers are no data"
    centre.fault.act = always(code(500), where=lambda h: b'PTCN' in h.body and b'2001-02' in h.body)
    first = fetch(centre, tmp_path, EVENTS)
    assert first.status[first.status == 'failed'].size == 1 and (tmp_path/ONE[0][0]/'.answers').is_dir() and not (tmp_path/EVENTS[1][0]/'.answers').exists()
    assert not (preprocess_folder(tmp_path, SYNT)[1].reason == 'unreadable').any()
    before = answered(centre)
    centre.fault.act = None; centre.asked.clear()
    second = fetch(centre, tmp_path, EVENTS)
    assert not set(before) & set(answered(centre))
    check_archive(tmp_path, second, EVENTS)
