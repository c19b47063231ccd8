"What fwinb.features.stations says of real records, of sound ones made bad, and of hostile or empty folders."
import shutil
from pathlib import Path
import numpy as np, obspy, pandas as pd, pytest

from fwinb.pairs.store import open_pairs
from fwinb.features.stations import (
    RECORDS, REPORT, check_records, pair_delays, plot_history, plot_stations, station_history, station_report,
    station_state)

ROOT = Path(__file__).resolve().parent.parent
RAW, PAIRS = ROOT/'data/sample/raw', ROOT/'data/sample/pairs.zarr'

@pytest.fixture(scope='module')
def real(world):
    "Facts of the records of the vaults"
    return check_records(world.folder).set_index('station')

@pytest.fixture(scope='module')
def table(): return pair_delays(open_pairs(PAIRS, dask=False))

# one station has a gap, one sensor of another a glitch, and nothing else is wrong

def test_real_faults(real, world):
    print(real[['covered', 'gap_s', 'sharpness', 'snr', 'other', 'other_correlation', 'other_dlnA', 'other_lag_s', 'remark']].to_string())
    assert sorted(real.index) == sorted([world.gap, *(f'{s}.{l}.{world.channel}' for s in world.two for l in ('00', '10'))])
    assert list(real.index[real.gap]) == [world.gap] and list(real.index[real.glitch]) == [world.glitch]
    assert real.gap_s[world.gap] == pytest.approx(119, abs=.2)
    assert not (real.clipped | real.dead).any() and (real.differ_s == 0).all() and (real.flat_tops == 0).all()
    assert set(real.index[real.remark != '']) == {world.gap, world.glitch}
    assert (real.drop(world.gap).covered > .999).all()

def test_real_glitch(real, world):
    "It is where the two sensors part, half an hour after the origin"
    at = float(real.remark[world.glitch].split(' s after')[0].split()[-1])
    assert 'glitch' in real.remark[world.glitch] and world.glitch_at[0] < at < world.glitch_at[1]

def test_real_sensors(real, world):
    "Both sensors of a vault agree: response sanity without a synthetic"
    two = real.drop(world.gap)
    assert (two.other_dlnA.abs() <= .10).all() and (two.other_correlation > .98).all() and (two.other_lag_s.abs() < .5).all()
    for station, other in two.other.items():
        assert station.split('.')[:2] == other.split('.')[:2] and station != other
        assert two.other_dlnA[station] == pytest.approx(-two.other_dlnA[other], abs=1e-9)
    assert np.isfinite(two[['snr', 'rms_m', 'noise_m', 'latitude', 'longitude']].astype(float)).all(axis=None) and (two.snr > 1.5).all()

def test_real_report(real, world):
    "One event accuses nobody"
    report = station_report(records=real.reset_index())
    assert len(report) == 7 and (report.suspect == '').all() and (report.events == 1).all()
    assert report.gap_share[world.gap] == 1 and report.glitch_share[world.glitch] == 1
    plot_stations(report)

PLANTED = {
    'gain': (lambda tr: tr.data*2, lambda r, o: abs(r.other_dlnA - np.log(2)) < .1),
    'flip': (lambda tr: -tr.data, lambda r, o: r.other_correlation < -.98),
    'clock': (lambda tr: setattr(tr.stats, 'starttime', tr.stats.starttime + 20) or tr.data, lambda r, o: abs(r.other_lag_s - 20) < 1),
    'clipped': (lambda tr: np.clip(tr.data, *(np.median(tr.data) + np.array([-1, 1])*.2*np.ptp(tr.data))), lambda r, o: r.clipped),
    'dead': (lambda tr: tr.data*0 + 7, lambda r, o: r.dead),
    'spike': (lambda tr: tr.data + (np.arange(tr.stats.npts) == tr.stats.npts//4)*3*int(np.ptp(tr.data)), lambda r, o: r.glitch and not o.glitch),
    'step': (lambda tr: tr.data + (np.arange(tr.stats.npts) > tr.stats.npts//4)*int(np.ptp(tr.data)), lambda r, o: r.glitch and not o.glitch),
}

@pytest.mark.parametrize('which', [0, 2])
@pytest.mark.parametrize('fault', PLANTED)
def test_planted(world, fault, which, tmp_path):
    "A fault in one sensor of a vault shows in its row, and the other one stays sound"
    (change, shows), code = PLANTED[fault], world.two[which]
    for name in ('quakeml', 'stationxml'): shutil.copytree(world.folder/name, tmp_path/name)
    st = obspy.read(world.folder/f'obsd/{code}.mseed').select(channel='*Z')
    for tr in st.select(location='10'): tr.data = np.asarray(change(tr)).astype(np.int32)
    for tr in st: tr.stats.mseed = {}
    st.write(tmp_path/'x.mseed', 'MSEED')
    rows = check_records(tmp_path).set_index('station')
    bad, good = rows.loc[f'{code}.10.{world.channel}'], rows.loc[f'{code}.00.{world.channel}']
    assert shows(bad, good), bad
    assert not (good.gap or good.clipped or good.dead or good.glitch)

def test_response_suspect(world, tmp_path):
    "Twice the gain at one of two sensors is said in words, from one event"
    for name in ('quakeml', 'stationxml'): shutil.copytree(world.folder/name, tmp_path/name)
    st = obspy.read(world.folder/f'obsd/{world.two[0]}.mseed').select(channel='*Z')
    for tr in st.select(location='10'): tr.data = tr.data*2
    st.write(tmp_path/'x.mseed', 'MSEED')
    report = station_report(records=check_records(tmp_path))
    assert report.suspect.str.contains(f'response: it and {world.two[0]}').all() and len(report) == 2

# folders

def test_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere'): check_records(tmp_path/'nowhere')
    empty = check_records(tmp_path)
    assert len(empty) == 0 and list(empty) == list(RECORDS) and list(station_report(records=empty)) == list(REPORT)

def test_every_file(tmp_path):
    "Junk is a row; an event without records, metadata without a channel and records without an event do not stop the others"
    for name in ('quakeml', 'stationxml'): shutil.copytree(RAW/name, tmp_path/name)
    for p in sorted(RAW.glob('obsd/SIM1*'))[:3]: shutil.copy(p, tmp_path)
    (tmp_path/'junk.mseed').write_bytes(b'nothing that anybody reads'*20)
    whole = next(tmp_path.glob('SIM1*AFI*'))
    whole.write_bytes(whole.read_bytes()[:512*4+100])
    old = obspy.read(next(tmp_path.glob('SIM1*ADK*')))
    old[0].stats.starttime -= 1e7
    old.write(tmp_path/'old.mseed', 'MSEED')
    rows = check_records(tmp_path)
    assert sorted(rows.station[rows.station != '']) == ['SY.ADK.00.LHZ', 'SY.AFI.00.LHZ', 'SY.ANMO.00.LHZ']
    assert 'junk.mseed' in set(rows.file[rows.station == ''])
    cut = rows[rows.station == 'SY.AFI.00.LHZ'].iloc[0]
    assert cut.covered < 1 and 'too short' in cut.remark
    station_report(records=rows)

# few events, one station, no voice

def test_one_event(table):
    one = table[table.event == table.event[0]]
    for t in (one, one[:1], one[:0]):
        report = station_report(station_history(t))
        assert len(report) == t.station.nunique() and (report.suspect == '').all() and set(station_state(report)) <= {'too few', 'no data'}
        plot_stations(report)

def test_no_voice(table):
    "Pairs that are nothing like their synthetic say nothing"
    report = station_report(station_history(table.assign(correlation=.2, turned_correlation=.3)))
    assert (report.votes == 0).all() and (report.clock_events == 0).all() and (report.suspect == '').all()

def test_broken_pairs():
    pairs = open_pairs(PAIRS, dask=False).load()
    pairs.waveform[0] = 0; pairs.waveform[1,0,5] = np.nan
    pairs['status'] = pairs.status.astype(object); pairs.status[2] = 'gap'
    t = pair_delays(pairs)
    assert t.lag[:3].isna().all() and t.lag[3:].notna().all() and list(t.status[:3]) == ['obs trace is all zero', 'obs trace is not finite', 'gap']
    assert station_report(station_history(t)).pairs.sum() == len(t) - 3

def test_order_and_dates(table):
    "Rows in any order give the same; times order the events, and a missing one is named"
    a, b = (station_report(station_history(t)) for t in (table, table.sample(frac=1, random_state=0)))
    pd.testing.assert_frame_equal(a, b, rtol=1e-6, atol=1e-6)
    time = {e: f'20{20-i}-01-01' for i, e in enumerate(sorted(set(table.event)))}
    h = station_history(table, time)
    assert h.groupby('station').event.apply(list).map(lambda x: x == sorted(x, reverse=True)).all()
    plot_history(h, h.station[0], station_report(h), time)
    with pytest.raises(ValueError, match='no time is known of the events SIM2'): station_history(table, {'SIM1': 0})
    with pytest.raises(ValueError, match='no record of XX.NO'): plot_history(h, 'XX.NO..LHZ')
