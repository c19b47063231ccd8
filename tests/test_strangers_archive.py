"Ground motion without a response, places and events from headers and lists, units, two kinds of data in one folder, and what an index costs."
from importlib.util import find_spec
import numpy as np, obspy, pandas as pd, pytest
import small_world as w
from fwinb.data import archive
from fwinb.data.archive import as_ledger, event_pairs, index_archive, own_synthetics, read_places, unused_rows
from fwinb.data.preprocess import check_band, ground_motion, unit_fault
from fwinb.earth.modes import prem_traces

@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    "An index of its own for each test; the modes stay where they are"
    monkeypatch.setattr(archive, 'cache_dir', lambda: tmp_path/'cache')

def ledger(obs, syn=None, **more):
    "One row per trace, without the model"
    found = index_archive(obs, syn, **more)
    rows = unused_rows(found)
    for name, event in found.events: rows += event_pairs(name, event, found, prem_traces)[1]
    return as_ledger(rows)

def ground(order=0, unit=1., begin=-2400., noise=2e-9, places=w.ONE):
    "Ground motion of the small world in `unit` per metre, from `begin` s after the origin on"
    out = []
    for k, tr in enumerate(w.motion(places)):
        u = tr.data.astype(float) + noise*.05*np.cumsum(np.random.default_rng(k).normal(size=tr.stats.npts))
        for _ in range(order): u = np.gradient(u, tr.stats.delta)
        tr.data, tr.stats.channel, tr.stats.location = (unit*u).astype(np.float32), 'LHZ', ''
        out.append(tr.slice(w.T0 + begin))
    return out

def write_sac(folder, traces, ending='sac', place=True, event=True, **header):
    "SAC files whose headers know the place of the station and the event"
    folder.mkdir(exist_ok=True, parents=True)
    for tr in traces:
        latitude, longitude = w.PLACES[f'{tr.stats.network}.{tr.stats.station}']
        sac = dict(header)
        if place: sac |= dict(stla=latitude, stlo=longitude, stel=100.)
        if event: sac |= dict(o=float(w.T0 - tr.stats.starttime), evla=10., evlo=-70., evdp=20., kevnm='SMALL', mag=6.8)
        tr = tr.copy()
        tr.stats.sac = sac
        tr.write(str(folder/f'{tr.stats.network}.{tr.stats.station}.{ending}'), 'SAC')
    return folder

def model(folder, places=w.ONE, channel='MXZ'):
    "Synthetics of the small world"
    folder.mkdir(exist_ok=True, parents=True)
    for tr in w.motion(places, before=500.):
        tr.stats.channel, tr.stats.location = channel, 'S3'
        tr.write(str(folder/f'{tr.stats.network}.{tr.stats.station}.{channel}.sac'), 'SAC')
    return folder

# ---- ground motion ----

@pytest.mark.parametrize('idep, order, unit', [(7, 1, 1e9), (6, 0, 1e9), (6, 0, 1.), (8, 2, 1.)])
def test_header_says_ground_motion_and_metadata_have_a_response(tmp_path, idep, order, unit):
    "Two statements; none of them is chosen"
    d = w.world(tmp_path/'obs', w.ONE)
    for p in d.glob('*.mseed'): p.unlink()
    write_sac(d, ground(order, unit), idep=idep)
    row, = ledger(d).itertuples()
    assert row.reason == 'unit' and 'ground motion' in row.detail and '--units' in row.detail

@pytest.mark.parametrize('idep, order, unit, says', [(6, 0, 1., 'in m,'), (6, 0, 1e9, 'in nm,'), (7, 1, 1e9, 'in nm,'), (8, 2, 1., 'in m,')])
def test_header_says_ground_motion(tmp_path, idep, order, unit, says):
    "Neither metadata nor a catalogue nor a tensor is needed; nm or m is told by the amplitude"
    row, = ledger(write_sac(tmp_path/'obs', ground(order, unit), idep=idep), model(tmp_path/'syn')).itertuples()
    assert row.status == 'kept' and says in row.detail and 'SAC header' in row.detail, row
    assert (row.station_latitude, row.event, row.event_magnitude) == (35., 'SMALL', pytest.approx(6.8))

@pytest.mark.parametrize('order, units, unit', [(0, 'displacement', 1.), (1, 'velocity', 1.), (2, 'acceleration', 1.), (0, 'nm', 1e9), (1, 'cm/s', 100.)])
def test_units_by_the_user(tmp_path, order, units, unit):
    d = tmp_path/'obs'
    d.mkdir()
    for tr in ground(order, unit): tr.write(str(d/'a.mseed'), 'MSEED')
    (d/'CMTSOLUTION').write_text(w.CMT)
    places = tmp_path/'places.csv'
    places.write_text('network,station,latitude,longitude,elevation_m\nXX,AAA,35.0,20.0,12\n')
    row, = ledger(d, stations=[places], units=units).itertuples()
    assert row.status == 'kept' and (row.station_latitude, row.elevation_m) == (35., 12.), row

def test_same_pair_by_counts_and_by_ground_motion(tmp_path):
    "The waveform of a pair is the same whether the response is taken off here or was before"
    found = index_archive(w.world(tmp_path/'counts', w.ONE))
    a, = event_pairs(*found.events[0], found, prem_traces)[0]
    d = w.world(tmp_path/'ground', w.ONE)
    ground(noise=2e-8)[0].write(str(d/'XX.AAA.mseed'), 'MSEED')
    found = index_archive(d, units='displacement')
    b, = event_pairs(*found.events[0], found, prem_traces)[0]
    assert np.linalg.norm(a['waveform'] - b['waveform']) < .01*np.linalg.norm(a['waveform'])

@pytest.mark.parametrize('order, unit, units, says', [
    (1, 1., 'displacement', 'if it is velocity'), (0, 1., 'velocity', 'integrated once too often'), (2, 1., 'displacement', 'if it is acceleration'),
    (0, 1e9, 'displacement', 'nanometres'), (0, 1e-9, 'displacement', 'times the synthetic'), (0, 100., 'displacement', 'centimetres')])
def test_wrong_units_are_no_fault_of_the_record(tmp_path, order, unit, units, says):
    d = w.world(tmp_path/'obs', w.ONE)
    ground(order, unit)[0].write(str(d/'XX.AAA.mseed'), 'MSEED')
    row, = ledger(d, units=units).itertuples()
    assert row.reason == 'unit' and says in row.detail, row

def test_unit_fault_leaves_gains_and_delays_alone():
    "A gain of 20, a late clock, a flip and noise are no units"
    t = np.arange(1024)*1800/1024
    def wave(late=0): return np.exp(-((t-900-late)/200)**2)*np.cos(2*np.pi*(t-900-late)/80)
    noise = np.convolve(np.random.default_rng(0).normal(size=1100), np.ones(30)/30)[:1024]
    for obs in (wave(), 20*wave(), -wave()*3, wave(30)/3, wave(60)*5, noise, 10*noise): assert unit_fault(obs, wave()) == ''

@pytest.mark.parametrize('begin', (-9.3, 0., 20.))
def test_records_that_begin_late(tmp_path, begin):
    "A taper hides the rest before the first wave, which both traces lack alike; noise before the event is not known"
    row, = ledger(write_sac(tmp_path/'obs', ground(begin=begin), idep=6), model(tmp_path/'syn')).itertuples()
    assert row.status == 'kept' and np.isnan(row.snr), row

def test_records_that_begin_too_late(tmp_path):
    row, = ledger(write_sac(tmp_path/'obs', ground(begin=900.), idep=6), model(tmp_path/'syn')).itertuples()
    assert row.reason == 'too short'

@pytest.mark.parametrize('text', (True, False))
def test_synthetics_as_observations(tmp_path, text):
    "A checkerboard test: no noise, exactly zero before the first wave"
    d = tmp_path/'obs'
    d.mkdir()
    (d/'CMTSOLUTION').write_text(w.CMT)
    (d/'STATIONS').write_text('AAA XX 35.0 20.0 0.0 0.0\n')
    tr, = w.motion(w.ONE, before=60.)
    tr.data[:400] = 0
    if text: np.savetxt(d/'XX.AAA.MXZ.sem.ascii', np.c_[tr.times()-60, tr.data])
    else: tr.write(str(d/'XX.AAA.MXZ.sac'), 'SAC')
    row, = ledger(d, model(tmp_path/'syn'), units='displacement').itertuples()
    assert row.status == 'kept', row

# ---- places, events ----

def test_lists_of_stations(tmp_path):
    p = tmp_path/'STATIONS'
    p.write_text('AAA  XX  35.0  20.0  10.0  2.0\nB-1 XX -20. 60. 0. 0.\n')
    assert [(code, place[:4]) for code, place in read_places(p)] == [('XX.AAA', (35., 20., 10., 2.)), ('XX.B-1', (-20., 60., 0., 0.))]
    p.write_text('#Network|Station|Latitude|Longitude|Elevation|SiteName\nXX|AAA|35.0|20.0|10.0|x\n')
    assert read_places(p)[0][1][:3] == (35., 20., 10.)
    assert archive.is_station_list(p) is False
    p.write_text('AAA XX 135.0 20.0 0 0\n')
    assert archive.is_station_list(p)
    with pytest.raises(archive.Rejected, match="AAA XX 135.0.*latitude"): read_places(p)

def test_headers_that_disagree(tmp_path):
    "Two SAC headers put one station at two places"
    a, = ground()
    b = a.copy()
    write_sac(tmp_path/'obs', [a.slice(w.T0-300, w.T0+500)], 'a.sac', idep=6)
    b = b.slice(w.T0+501)
    b.stats.sac = dict(stla=36., stlo=20., idep=6)
    b.write(str(tmp_path/'obs'/'b.sac'), 'SAC')
    row, = ledger(tmp_path/'obs', model(tmp_path/'syn')).itertuples()
    assert '1 degrees away' in row.detail or row.reason in ('metadata', 'no coordinates'), row

def test_no_event_names_the_nearest(tmp_path):
    d = w.world(tmp_path/'obs', w.ONE, w.CMT.replace('2018 03 04', '2017 03 04').replace('201803', '201703'))
    row, = ledger(d).itertuples()
    assert row.reason == 'no event' and 'the nearest of 1 events' in row.detail and '2017-03-04' in row.detail

def test_folders_of_events_and_metadata(tmp_path):
    d = w.world(tmp_path/'obs', w.ONE)
    for name, file in (('cmt', 'CMTSOLUTION'), ('inv', 'inv.xml')):
        (tmp_path/name).mkdir()
        (d/file).rename(tmp_path/name/file)
    row, = ledger(d, events=[tmp_path/'cmt'], inventory=[tmp_path/'inv']).itertuples()
    assert row.status == 'kept'
    (tmp_path/'none').mkdir()
    with pytest.raises(ValueError, match='none holds no file of events'): index_archive(d, events=[tmp_path/'none'])

# ---- records and synthetics together ----

def test_records_and_synthetics_in_one_folder(tmp_path):
    d = model(write_sac(tmp_path/'both', ground(), 'd.sac', idep=6))
    assert own_synthetics(d) == d
    row, = ledger(d, own_synthetics(d)).itertuples()
    assert row.status == 'kept' and row.file == 'XX.AAA.d.sac'

@pytest.mark.skipif(find_spec('pyasdf') is None, reason='needs pyasdf')
@pytest.mark.parametrize('tags, reason', [(('raw_observed', 'synthetic'), 'ok'), (('processed_observed', 'synthetic'), 'unit')])
def test_asdf_with_both(tmp_path, tags, reason):
    import pyasdf
    with pyasdf.ASDFDataSet(str(tmp_path/'a.h5'), compression=None, mpi=False) as ds:
        ds.add_quakeml(obspy.read_events(str(w.world(tmp_path/'obs', w.ONE)/'CMTSOLUTION')))
        ds.add_stationxml(w.inventory(w.ONE))
        ds.add_waveforms(obspy.read(str(tmp_path/'obs'/'XX.AAA.mseed'))[0], tag=tags[0])
        tr, = w.motion(w.ONE, before=500.)
        tr.stats.channel, tr.stats.location = 'MXZ', 'S3'
        ds.add_waveforms(tr, tag=tags[1])
    assert own_synthetics(tmp_path/'a.h5') == tmp_path/'a.h5'
    row, = ledger(tmp_path/'a.h5', tmp_path/'a.h5').itertuples()
    assert row.reason == reason, row

# ---- one bad item; the index ----

def test_an_error_of_one_trace(tmp_path, monkeypatch):
    d = w.world(tmp_path/'obs')
    def fail(record, *args, **kw):
        if record[0].stats.station == 'BBB': raise ZeroDivisionError('by hand')
        return right(record, *args, **kw)
    right = archive.pair_values
    monkeypatch.setattr(archive, 'pair_values', fail)
    t = ledger(d).set_index('station')
    assert t.reason.to_dict() == {'XX.AAA..LHZ': 'ok', 'XX.BBB..LHZ': 'error', 'XX.CCC..LHZ': 'ok'}
    assert t.detail['XX.BBB..LHZ'] == 'ZeroDivisionError: by hand'

def test_a_station_with_a_dot(tmp_path):
    d = w.world(tmp_path/'obs')
    tr = obspy.read(str(d/'XX.BBB.mseed'))[0]
    tr.stats.station = 'A.B'
    tr.write(str(d/'dot.sac'), 'SAC')
    t = ledger(d)
    assert (t.status == 'kept').sum() == 3 and t.set_index('file').reason['dot.sac'] == 'metadata'

def test_an_index_is_kept(tmp_path, monkeypatch):
    d = w.world(tmp_path/'obs')
    first = index_archive(d)
    looked = []
    right = archive.index_records
    monkeypatch.setattr(archive, 'index_records', lambda p: looked.append(p.name) or right(p))
    again = index_archive(d)
    pd.testing.assert_frame_equal(first.records, again.records)
    assert not looked
    w.counts(w.motion(w.ONE)[0], seed=5, cha='LHZ', loc='00').write(str(d/'XX.AAA.mseed'), 'MSEED')
    assert 'XX.AAA.00.LHZ' in set(index_archive(d).records.station) and looked == ['XX.AAA.mseed']

def test_bands_and_units_are_refused(tmp_path):
    with pytest.raises(ValueError, match='beyond 0.03 Hz'): check_band((.004, .0055, .03, .04))
    with pytest.raises(ValueError, match='modes'): check_band((.004, .0055, .02, .025), computed=True)
    with pytest.raises(ValueError, match='rise'): check_band((.004, .0055, .005, .021))
    with pytest.raises(ValueError, match="'Pa' is no unit of ground motion"): ground_motion('Pa')
