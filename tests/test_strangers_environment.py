"One bad event, file or station never ends a download or a conversion: it is a row with its reason, and nothing else is lost."
import shutil, warnings
from pathlib import Path
import numpy as np, obspy, pandas as pd, pytest
from obspy import UTCDateTime

pytest.importorskip('portable_fdsnws_dataselect')
from fwinb.data.download import (
    DownloadRequest, choose_events, download, download_event, event_homes, examine, get_events, read_ledger, read_ledgers)
from fwinb.data.events import Rejected
from fwinb.data.files import read_events

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
