"What fwinb-select promises: an answer for every trace, on real records and sound ones made bad; and what it does with a wrong command or a kill."
import os, shutil, signal, subprocess, sys
from pathlib import Path
import numpy as np, obspy, pandas as pd, pytest

pytest.importorskip('fwinb.models.pretrained')
from fwinb.earth.modes import prem_modes
from fwinb.data.events import safe_name
from fwinb.pairs.store import open_pairs, share_path
from fwinb.commands import select_main as main
from fwinb.select import select

ROOT = Path(__file__).resolve().parent.parent
SAMPLE, SYNT = ROOT/'data/sample/raw', ROOT/'data/sample/synt'

def weights():
    try: return share_path('data', 'weights', 'usable.safetensors')
    except FileNotFoundError: return None

pytestmark = pytest.mark.skipif(weights() is None, reason='there are no weights of the model `usable`')

def same(a, b, columns=('event', 'station', 'decision', 'reason', 'usable', 'misfit', 'lag_s'), tol=0):
    pd.testing.assert_frame_equal(a[[*columns]], b[[*columns]], rtol=tol, atol=tol, check_exact=tol == 0)

def usable(table): return table[table.decision != 'dropped'].set_index('station').usable

# records of vaults: simulated with another code, and real ones where they are

def test_real(world, tmp_path, capsys):
    assert main([str(world.folder), str(world.syn), '--out', str(tmp_path/'s.csv')]) == 0
    table = pd.read_csv(tmp_path/'s.csv')
    print(table[table.station.str.endswith('Z')][['station', 'decision', 'reason', 'usable', 'class', 'misfit', 'lag_s', 'correlation', 'dlnA']].to_string(index=False))
    sound = table[table.station.str.endswith('Z') & table.station.str.rsplit('.', n=2).str[0].isin(world.two)]
    assert len(sound) == 6 and (sound.usable > .8).all() and (sound.decision == 'accept').all()
    broken = table[table.station == world.gap].iloc[0]
    assert (broken.decision, broken.reason) == ('dropped', 'gap')
    stations = (tmp_path/f's_stations/STATIONS_{world.event}').read_text().split('\n')
    assert [line.split()[:2] for line in stations if line] == [s.split('.')[::-1] for s in world.two]

def test_real_on_the_fly(world):
    table = select(world.folder, '')
    assert (usable(table) > .8).all() and len(usable(table)) == 6

def test_another_code(simulated_vaults):
    "AxiSEM3D's waves through a sensor, a response and the modes of PREM: delay, size and form agree as the two codes do (shared facts: 2 s, 5 %, .99)"
    table = select(simulated_vaults.folder, '').query("decision != 'dropped'")
    assert (table['class'] == 'I').all() and (table.misfit < .25).all()
    assert (table.lag_s.abs() < 2).all() and (table.dlnA.abs() < .06).all() and (table.correlation > .99).all()

def in_band(x, dt):
    f, u = np.fft.rfftfreq(len(x), dt), np.fft.rfft(x - x.mean())
    return np.fft.irfft(u*((f > .004) & (f < .02)), len(x))

def noise(x, t, dt):
    "As strong in the band as the record in the half hour, and of its spectrum"
    u = np.fft.rfft(x - x.mean())
    n = np.fft.irfft(np.abs(u)*np.exp(2j*np.pi*np.random.default_rng(0).random(len(u))), len(x))
    here = (t > 0) & (t < 1800)
    return n*in_band(x, dt)[here].std()/in_band(n, dt)[here].std()

FAULTS = {
    'flip': lambda tr, x, t: -x,
    'clock': lambda tr, x, t: setattr(tr.stats, 'starttime', tr.stats.starttime + 60) or x,
    'gain': lambda tr, x, t: 10*x,
    'glitch': lambda tr, x, t: x + 3*np.ptp(x)*np.where(t > 900, np.exp(-np.clip(t-900, 0, None)/30), 0),
    'noise': lambda tr, x, t: x + noise(x, t, tr.stats.delta),
}

REASONS = {'flip': {'polarity'}, 'clock': {'cycle skip', 'late or early'}, 'gain': {'amplitude'}}

@pytest.fixture(scope='module')
def verticals(world, tmp_path_factory):
    "The sound vertical records"
    folder = tmp_path_factory.mktemp('verticals')
    for code in world.two: obspy.read(world.folder/f'obsd/{code}.mseed').select(channel='*Z').write(folder/f'{code}.mseed', 'MSEED')
    return folder

@pytest.mark.parametrize('which', range(3))
@pytest.mark.parametrize('fault', FAULTS)
def test_planted_fault(world, verticals, fault, which, tmp_path):
    "A fault in one station turns its answer, and not that of the others"
    zero, code = obspy.read_events(world.folder/f'quakeml/{world.event}.xml')[0].preferred_origin().time, world.two[which].split('.')[1]
    for p in verticals.iterdir():
        st = obspy.read(p)
        for tr in st:
            if tr.stats.station != code: continue
            x, t = tr.data.astype(float), tr.times() + (tr.stats.starttime - zero)
            changed = FAULTS[fault](tr, x, t)
            tr.data = x + world.noise*(changed - x) if fault == 'noise' else changed
        for tr in st: tr.stats.mseed = {}
        st.write(tmp_path/p.name, 'MSEED')
    table = select(tmp_path, world.syn, sorted(world.folder.glob('quakeml/*')), sorted(world.folder.glob('stationxml/*')))
    bad = table.station.str.contains(f'.{code}.', regex=False)
    print(table[['station', 'decision', 'reason', 'usable', 'misfit', 'lag_s', 'dlnA', 'snr']].to_string(index=False))
    assert bad.sum() == 2 and not (table.decision[bad] == 'accept').any()
    if fault in REASONS: assert set(table.reason[bad]) <= REASONS[fault]
    assert (table.decision[~bad] == 'accept').all()

# the same answer on every way

def test_workers(tmp_path):
    "Two processes write the same bytes as none"
    for n in '12': assert main([str(SAMPLE), '--out', str(tmp_path/f'{n}.csv'), '--workers', n]) == 0
    assert (tmp_path/'1.csv').read_bytes() == (tmp_path/'2.csv').read_bytes()
    lists = [{p.name: p.read_text() for p in (tmp_path/f'{n}_stations').iterdir()} for n in '12']
    assert lists[0] == lists[1] and len(lists[0]) == 2

def test_given_or_made():
    made, given = select(SAMPLE), select(SAMPLE, SYNT)
    same(made, given, tol=2e-3)

def test_store():
    "A store of pairs is used as it is"
    pairs, table = open_pairs(ROOT/'data/sample/pairs.zarr', dask=False), select(ROOT/'data/sample/pairs.zarr')
    assert list(table.station) == list(pairs.station.values) and (table.usable.notna() | (table.reason == 'outside of what the model knows')).all()
    raw = select(SAMPLE, SYNT).query("decision != 'dropped'").reset_index(drop=True)
    same(raw, table, tol=1e-6)

def test_asdf(tmp_path):
    pyasdf = pytest.importorskip('pyasdf')
    with pyasdf.ASDFDataSet(str(tmp_path/'obs.h5'), mode='w', mpi=False) as ds:
        for p in sorted(SAMPLE.glob('obsd/*')): ds.add_waveforms(str(p), tag='raw_recording')
        ds.add_stationxml(str(SAMPLE/'stationxml/SY.xml'))
        for p in sorted(SAMPLE.glob('quakeml/*')): ds.add_quakeml(str(p))
    with pyasdf.ASDFDataSet(str(tmp_path/'syn.h5'), mode='w', mpi=False) as ds:
        for p in sorted(SYNT.rglob('*.sac')): ds.add_waveforms(obspy.read(p), tag='synthetic')
    expected, table = select(SAMPLE, SYNT), select(tmp_path/'obs.h5', tmp_path/'syn.h5')
    same(table, expected, tol=1e-6)
    assert set(table.file) == {'obs.h5'}

BOMB = b'<?xml version="1.0"?><!DOCTYPE q [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><q:quakeml xmlns:q="http://quakeml.org/xmlns/quakeml/1.2">&b;</q:quakeml>'

@pytest.mark.parametrize('where', ['QuakeML', 'StationXML'])
def test_harmful_xml_in_asdf(few, tmp_path, where):
    pyasdf, h5py = pytest.importorskip('pyasdf'), pytest.importorskip('h5py')
    with pyasdf.ASDFDataSet(str(tmp_path/'obs.h5'), mode='w', mpi=False) as ds:
        for p in few.glob('obsd/*'): ds.add_waveforms(str(p), tag='raw_recording')
        ds.add_stationxml(str(few/'stationxml/SY.xml')); ds.add_quakeml(str(few/'quakeml/SIM1.xml'))
    with h5py.File(tmp_path/'obs.h5', 'a') as f:
        group = f if where == 'QuakeML' else next(iter(f['Waveforms'].values()))
        del group[where]; group[where] = np.frombuffer(BOMB, 'i1')
    with pytest.raises(ValueError, match='document type or entities'): select(tmp_path/'obs.h5')

def test_harmful_xml_in_folder(few):
    expected = select(few)
    for name in ('quakeml/bomb.xml', 'stationxml/bomb.xml'): (few/name).write_bytes(BOMB.replace(b'quakeml xmlns', b'quakeml stationxml="" xmlns') if name[0] == 's' else BOMB)
    table = select(few)
    same(table[table.event != ''].reset_index(drop=True), expected)
    assert sorted(table.file[table.detail.str.contains('document type or entities')]) == ['quakeml/bomb.xml', 'stationxml/bomb.xml']

def test_specfem_text(few, tmp_path):
    (tmp_path/'syn').mkdir()
    zero = obspy.read_events(few/'quakeml/SIM1.xml')[0].preferred_origin().time
    for p in (SYNT/'SIM1').iterdir():
        tr, = obspy.read(p)
        np.savetxt(tmp_path/f'syn/{tr.stats.network}.{tr.stats.station}.MXZ.semd', np.c_[tr.times() + (tr.stats.starttime - zero), tr.data])
    same(select(few, tmp_path/'syn'), select(few, SYNT), tol=1e-4)

def test_one_synthetic_file(few):
    table = select(few, SYNT/'SIM1/SY.AFI.LXZ.sac')
    assert list(table[table.decision != 'dropped'].station) == ['SY.AFI.00.LHZ'] and 'no synthetic' in set(table.reason)

def test_separate_files(few):
    "Events and metadata named by the user do what those in the folder do"
    expected = select(few)
    for name in ('quakeml', 'stationxml'): (few/name).rename(few.parent/name)
    same(select(few, events=[few.parent/'quakeml/SIM1.xml'], inventory=[few.parent/'stationxml/SY.xml']), expected)
    assert set(select(few, events=[few.parent/'quakeml/SIM1.xml']).reason) == {'no response', 'dead', 'gap', 'clipped'} & set(expected.reason) | {'no response'}

# every trace has a row

def test_every_trace(few):
    (few/'obsd/junk.mseed').write_bytes(b'nothing that anybody reads'*20)
    old = obspy.read(next(few.glob('obsd/*ADK*')))
    old[0].stats.starttime -= 1e7
    old.write(few/'obsd/old.mseed', 'MSEED')
    table = select(few).set_index('file')
    assert table.loc['obsd/junk.mseed', 'reason'] == 'unreadable' and table.loc['obsd/old.mseed', 'reason'] == 'no event'
    assert len(table) == 8 and table.decision.isin(['accept', 'refuse', 'cannot say', 'dropped']).all()

def test_hostile_name(few, tmp_path):
    "An event's name stays a name"
    xml = few/'quakeml/SIM1.xml'
    xml.write_text(xml.read_text().replace('<text>SIM1</text>', '<text>../../x</text>'))
    before = {p for p in tmp_path.rglob('*')}
    assert main([str(few), '--out', str(tmp_path/'out/s.csv'), '--threshold', '1e-9']) == 0
    new = {p.relative_to(tmp_path).as_posix() for p in set(tmp_path.rglob('*')) - before}
    assert new == {'out', 'out/s.csv', 'out/s_settings.json', 'out/s_stations', 'out/s_stations/STATIONS_x'}
    assert set(pd.read_csv(tmp_path/'out/s.csv').event) == {'../../x'}

@pytest.mark.parametrize('name', ['..', '.', '/', '/etc/passwd', 'a\0b', 'a\nb', '~', '-', 'CON', 'x'*300, '\u202e', ''])
def test_safe_name(name):
    safe = safe_name(name)
    assert safe and len(safe) <= 80 and Path(safe).name == safe and safe.isascii() and safe.isprintable()

# the command

@pytest.mark.parametrize('args, said', [
    (['nowhere'], 'there is no folder or file nowhere'),
    ([str(SAMPLE), 'nowhere'], 'there is no folder or file nowhere'),
    ([str(SAMPLE/'quakeml')], 'holds no records'),
    ([str(SAMPLE), '--model', 'no-such-model'], 'no-such-model'),
    ([str(SAMPLE), '--events', 'nowhere.xml'], 'there is no file nowhere.xml'),
    ([str(SAMPLE), '--events', str(SAMPLE.parent/'README.md')], 'cannot be read as events'),
    ([str(SAMPLE), '--inventory', str(SAMPLE.parent/'README.md')], 'cannot be read as metadata'),
    ([str(SAMPLE.parent/'README.md')], 'README.md'),
    ([str(SAMPLE), str(SAMPLE/'stationxml')], 'holds no vertical synthetics'),
    ([str(SAMPLE), '--threshold', '1.5'], 'threshold is 1.5'),
    ([str(SAMPLE), '--precision', '0'], 'precision is 0'),
    ([str(SAMPLE), '--workers', '0'], 'workers is 0'),
    ([str(SAMPLE.parent/'pairs.zarr'), str(SYNT)], 'is a store of pairs'),
], ids=lambda x: None if isinstance(x, list) else x.replace(' ', '-'))
def test_wrong_command(args, said, tmp_path, capsys):
    assert main([*args, '--out', str(tmp_path/'s.csv')]) == 2
    assert said in capsys.readouterr().err
    assert not any(tmp_path.iterdir())

def test_unreadable_file(tmp_path, capsys):
    for name in ('x.mseed', 'x.h5'):
        (tmp_path/name).write_bytes(b'x'*5000)
        assert main([str(tmp_path/name), '--out', str(tmp_path/'s.csv')]) == 2
        assert f'{name} cannot be read' in capsys.readouterr().err

def test_no_pair(few, tmp_path, capsys):
    "Nothing to decide on: status 1, and the table says why"
    shutil.rmtree(few/'stationxml')
    assert main([str(few), '--out', str(tmp_path/'s.csv')]) == 1
    table = pd.read_csv(tmp_path/'s.csv')
    assert len(table) == 6 and (table.decision == 'dropped').all() and table.usable.isna().all()

def test_stranger_in_the_way(tmp_path, capsys):
    "A folder that we did not make is left alone"
    (tmp_path/'s_stations').mkdir(); (tmp_path/'s_stations/thesis.tex').write_text('x')
    assert main([str(SAMPLE), '--out', str(tmp_path/'s.csv')]) == 2
    assert (tmp_path/'s_stations/thesis.tex').read_text() == 'x' and not (tmp_path/'s.csv').exists()

def test_again_inside_of_obs(few, monkeypatch):
    "The table may lie in OBS: a second run does not read what the first wrote"
    monkeypatch.chdir(few)
    for _ in range(2): assert main(['.', '--out', 'selection.csv', '--threshold', '1e-9']) == 0
    assert len(pd.read_csv('selection.csv')) == 6

# kills

HALF = """import os, signal, sys, pandas as pd
from fwinb.commands import select_main as main
def half(self, path, **kw): open(path, 'w').write('event,sta'); os.kill(os.getpid(), signal.SIG{})
pd.DataFrame.to_csv = half
sys.exit(main())"""

@pytest.mark.parametrize('old', [False, True])
def test_killed(few, tmp_path, old):
    "kill -9 in the middle of writing leaves no table, or the old one"
    out = tmp_path/'s.csv'
    if old: out.write_text('old')
    p = subprocess.run([sys.executable, '-c', HALF.format('KILL'), few, '--out', out], capture_output=True, text=True)
    assert p.returncode == -signal.SIGKILL, p.stderr
    assert out.read_text() == 'old' if old else not out.exists()
    assert main([str(few), '--out', str(out)]) == 0 and len(pd.read_csv(out)) == 6

def test_interrupted(few, tmp_path):
    wait = ("import sys, time\nfrom pathlib import Path\nimport fwinb.select as s\nfrom fwinb.commands import select_main\n"
            "def run_tasks(*a): Path('started').touch(); time.sleep(60)\ns.run_tasks = run_tasks\nsys.exit(select_main())")
    p = subprocess.Popen([sys.executable, '-c', wait, few, '--out', 's.csv'], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
                         preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))   # a test run in the background ignores it, and so would its children
    while not (tmp_path/'started').exists():
        assert p.poll() is None, p.stderr.read()
    p.send_signal(signal.SIGINT)
    said = p.communicate(timeout=60)[1]
    assert p.returncode == 130 and 'interrupted; nothing was written' in said
    assert not (tmp_path/'s.csv').exists()

def test_windows_heed_what_is_known_of_their_trace():
    "Sensors that disagree refuse the windows too, whoever decided; a pair outside of the model those that the model accepted"
    from fwinb.select import join_windows
    traces = pd.DataFrame(dict(event='E', station=list('ABCD'), component='Z', decision=['cannot say']*3 + ['refuse'], usable=.9,
                               reason=['sensors disagree', 'outside of what the model knows', 'between yes and no', 'late or early']))
    rows = pd.DataFrame(dict(event='E', station=list('ABCD'), window=1, decision='accept', reason='', usable_window=.99))
    judged = join_windows(rows, traces).set_index('station')
    assert judged.decision.tolist() == ['refuse', 'refuse', 'accept', 'accept']
    assert judged.reason['A'] == 'sensors disagree' and judged.reason['B'] == 'outside of what the model knows' and judged.reason['D'] == ''
    by_rules = join_windows(rows.drop(columns='usable_window'), traces)
    assert by_rules.decision.tolist() == ['refuse', 'accept', 'accept', 'accept']
