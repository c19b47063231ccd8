"Files of windows: the published one, files of pyflex's versions, and files that are broken"
import json
from pathlib import Path
import numpy as np, pytest

import vaults
from fwinb.data.window_files import WindowFileError, match_windows, read_windows, write_windows
from fwinb.pairs.schema import STUDY
from fwinb.pairs.store import open_pairs

ROOT = Path(__file__).resolve().parent.parent
SHARED = vaults.SHARED/'real_2010'/'windows'
ENTRY = dict(
    left_index=100, right_index=300, center_index=200, channel_id='SY.ADK.00.LHZ', dt=1., min_period=50.,
    time_of_first_sample='1969-12-31T23:59:30.500000Z', max_cc_value=.9, cc_shift_in_seconds=-3., cc_shift_in_samples=-3, dlnA=.1,
    window_weight=3.6)

def written(path, said):
    path.write_text(said if isinstance(said, str) else json.dumps(said), encoding='utf-8')
    return path

@pytest.mark.skipif(not SHARED.is_dir(), reason='the shared data are not here')
def test_published():
    found = read_windows(SHARED/'IU.KBL..BHR.window.json')
    assert found.left.tolist() == [1789, 2169, 3200, 4370, 4921] and (found.dt_s == .5).all() and found.station.nunique() == 1
    assert found.phases[0] == 'Pdiff pPdiff sPdiff' and found.phases[4] == ''

def test_before_1970(tmp_path):
    found = read_windows(written(tmp_path/'w.json', {'windows': [ENTRY]}))
    assert found.start[0] == 70.5 and found['first'][0] == -29.5 and found.lag_s[0] == -3

@pytest.mark.parametrize('said, words', [
    ('', 'is no JSON'), ('[{"left_index": 1', 'is no JSON'), ('7', 'is no list of windows'), ('["a"]', "entry 0 is 'a'"),
    ('{"IU.KBL": {"IU.KBL..BHR": "all"}}', "IU.KBL, IU.KBL..BHR: 'all'"), ([{**ENTRY, 'dt': '1'}], "dt is '1', no finite number"),
    ([{**ENTRY, 'right_index': 100}], 'SY.ADK.00.LHZ: samples 100 to 100 are no window'), ([{**ENTRY, 'left_index': -4}], '-4 to 300'),
    ([{**ENTRY, 'left_index': True}], 'left_index is True'), ([{}], 'missing')])
def test_broken(tmp_path, said, words):
    "The error names the file, and the channel where there is one"
    with pytest.raises(WindowFileError, match=words) as e: read_windows(written(tmp_path/'w.json', said))
    assert 'w.json' in str(e.value)

def test_nothing_is_lost(tmp_path):
    "Every window of a file is on a pair or in the list of the others; nothing of what is on none is written"
    pairs = open_pairs(ROOT/'data/sample/pairs.zarr').load()
    zero = {e: 1e9 + 1e5*k for k, e in enumerate(dict.fromkeys(pairs.event.values))}
    pairs = pairs.assign(event_time=('pair', [zero[e] for e in pairs.event.values]))
    rng, said = np.random.default_rng(0), []
    for k in range(60):
        i = rng.integers(pairs.sizes['pair'])
        first = np.datetime64(int((zero[pairs.event.values[i]] + rng.uniform(-500, 2500))*1e6), 'us')
        net, sta, loc, cha = pairs.station.values[i].split('.')
        name = '.'.join([net, sta, rng.choice([loc, '', '99']), rng.choice([cha, 'BHZ', 'BHN'])])
        said.append(ENTRY | dict(channel_id=name, time_of_first_sample=f'{first}Z'))
    found = read_windows(written(tmp_path/'w.json', said))
    on, lost = match_windows(found, pairs)
    assert len(on) + len(lost) == 60 and len(on) > 5 and set(lost.reason) >= {'no pair of this station and component', 'no pair of this station has its time'}
    assert (on.left >= 0).all() and (on.right < STUDY.npts).all()
    with pytest.raises(ValueError, match='time of the event'): write_windows(on, {}, STUDY, tmp_path/'out')
    files = write_windows(on, zero, STUDY, tmp_path/'out')
    again = sum(len(match_windows(read_windows(p), pairs)[0]) for p in files.values())
    assert again == len(on)
    none, _ = match_windows(found[:0], pairs)
    assert not len(none) and {'pair', 'start_s', 'decision'} <= set(none)
