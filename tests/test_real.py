"The preset of real data from end to end, on a data centre of this machine: what a user with a network types, without a network."
from pathlib import Path
import numpy as np, pandas as pd, pytest, yaml

pytest.importorskip('portable_fdsnws_dataselect')
from obspy import UTCDateTime
from fwinb.data.files import read_events, read_records
from fwinb.data.mock_fdsn import data_centre
from fwinb.pairs.store import open_pairs, walk_files
from fwinb.commands import report_main as main
from fwinb.report import load_preset

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT/'data/sample/raw'

def serve_sample(folder, years=18):
    "The sample as if it had been recorded by network II in 2019, which real.yml asks for"
    shift = UTCDateTime(2001+years, 1, 1) - UTCDateTime(2001, 1, 1)
    for p in walk_files(SAMPLE):
        new = folder/p.relative_to(SAMPLE)
        new.parent.mkdir(parents=True, exist_ok=True)
        if p.parent.name == 'obsd':
            st = read_records(p)[0]
            for tr in st: tr.stats.network = 'II'; tr.stats.starttime += shift
            st.write(str(new), 'MSEED')
        elif p.parent.name == 'stationxml': new.write_text(p.read_text().replace('<Network code="SY"', '<Network code="II"'))
        else:
            event, = read_events(p)
            for o in event.origins: o.time += shift
            event.write(str(new), 'QUAKEML')
    return folder

def preset_for(centre, folder):
    "real.yml with this machine for a data centre; nothing else is changed"
    preset = yaml.safe_load((ROOT/'nbs/commands/real.yml').read_text())
    download = preset['stages'][0]
    assert download['notebook'] == '01_download.ipynb'
    download['parameters'] |= dict(providers=[centre.url], catalogue=centre.url, rate=200.)
    (folder/'real.yml').write_text(yaml.safe_dump(preset))
    return str(folder/'real.yml')

def test_settles(tmp_path):
    "The preset that ships asks the world, and every parameter of it exists"
    stages = {s.name: s for s in load_preset('real', tmp_path/'run')}
    p = stages['download'].parameters
    assert (p['providers'], p['catalogue'], p['locations']) == (['EARTHSCOPE'], 'gcmt', ['[01]0', '']) and p['networks'] == 'II IU IC G GE CU GT'.split()
    assert stages['preprocess_own'].missing and stages['preprocess_syngine'].missing and not stages['preprocess'].missing
    (tmp_path/'run/synt').mkdir(parents=True)
    assert not stages['preprocess_own'].missing                      # asked when its turn comes, not before

def test_end_to_end(tmp_path, capsys):
    with data_centre(serve_sample(tmp_path/'served')) as centre:
        preset = preset_for(centre, tmp_path)
        assert main([preset, '--out', str(tmp_path/'run')]) == 0, capsys.readouterr()
        first = len(centre.asked)
        assert main([preset, '--out', str(tmp_path/'run')]) == 0
        assert len(centre.asked) == first, 'a finished run asks again'
    run = tmp_path/'run'
    requests = pd.read_csv(run/'download/raw/requests.csv', dtype=str, keep_default_na=False)
    served = sorted(p.name.split('.')[0] + ' II.' + '.'.join(p.name.split('.')[2:5]) for p in (SAMPLE/'obsd').iterdir())
    fetched = requests[requests.status == 'fetched']
    assert sorted(fetched.event + ' ' + fetched.station) == served
    ours, theirs = (open_pairs(p, dask=False) for p in (run/'misfit/pairs.zarr', ROOT/'data/sample/pairs.zarr'))
    name = lambda d: [f'{e} {s[3:]}' for e, s in zip(d.event.values, d.station.values)]
    both = [(name(ours).index(k), j) for j, k in enumerate(name(theirs)) if k in name(ours)]
    assert len(both) == len(name(theirs)) == len(name(ours)) and set(ours.origin.values) == {'fdsn'}
    i, j = map(list, zip(*both))
    a, b = ours.waveform.values[i], theirs.waveform.values[j]
    assert np.abs(a-b).max() < .02*np.abs(b).max()                   # the window of 10 min before the event against the sample's longer records
    assert np.median(np.linalg.norm(a-b, axis=-1)/np.linalg.norm(b, axis=-1)) < .01
    selection = pd.read_csv(run/'select/selection.csv', keep_default_na=False)
    answered = selection[selection.station.str.endswith('Z')]
    assert set(served) <= set(answered.event + ' ' + answered.station) and (answered.decision == 'accept').any()
    assert (run/'stations/stations.csv').is_file() and len(list((run/'convert/specfem').glob('*/DATA/CMTSOLUTION'))) == 2
    text = (run/'report.html').read_text()
    assert 'left out: there is no synt in' in text and f'{len(served)} fetched' in text
