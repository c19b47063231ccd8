"Strangers' synthetics: names, times, dates, units, tags and events, each said twice, and what is used."
from types import SimpleNamespace
import numpy as np, obspy, pytest
from obspy import UTCDateTime
from fwinb.data.events import Rejected
from fwinb.data.synthetics import (
    StationSynthetics, Synthetic, asdf_kind, index_synthetics, integrate, load_synthetic, place_remark, read_text_record, synthetics_of_event, text_records)
from fwinb.data.preprocess import synthetic_displacement
from small_world import CMT, ONE, T0, counts, motion, table_of, world
from fwinb.data import synthetics

NAME, CODE = '201803040506A', 'XX.AAA'
SOURCE = SimpleNamespace(name=NAME, time=T0, latitude=10., longitude=-70.)
ROUND = 2e-6                        # relative: single precision and seven printed digits

@pytest.fixture(scope='module')
def true():
    "Displacement at the station, m, from 60 s before to 40 min after the centroid time, where it has come to rest"
    tr, = motion(ONE, before=60., after=2400.)
    tr.data[-150:] *= .5+.5*np.cos(np.pi*np.arange(1, 151)/150)
    tr.stats.update(dict(network='XX', station='AAA', location='S3', channel='MXZ'))
    return tr

def after(tr): return tr.times() + (tr.stats.starttime - T0)
def text(path, tr, fmt='%.9e', t=None):
    path.parent.mkdir(exist_ok=True, parents=True)
    np.savetxt(path, np.c_[after(tr) if t is None else t, tr.data], fmt=fmt)
    return path
def sac(path, tr, data=None, start=None, **header):
    path.parent.mkdir(exist_ok=True, parents=True)
    tr = tr.copy()
    if data is not None: tr.data = data
    if start is not None: tr.stats.starttime = start
    tr.data, tr.stats.sac = tr.data.astype(np.float32), {k: v for k, v in header.items() if v is not None}
    tr.write(str(path), 'SAC')
    if gone := [k for k, v in header.items() if v is None]:
        import obspy.io.sac as s
        x = s.SACTrace.read(str(path))
        for k in gone: setattr(x, k, None)
        x.write(str(path))
    return path
def derivative(tr, order):
    "Exact derivative by the spectrum, of motion that begins and ends at rest"
    n = 4*len(tr)
    return np.fft.irfft(np.fft.rfft(tr.data, n)*(2j*np.pi*np.fft.rfftfreq(n, tr.stats.delta))**order, n)[:len(tr)]
def load(folder, code=CODE, source=SOURCE, names=(NAME,), known=(CODE,)):
    found, bad = index_synthetics(folder, known)
    return load_synthetic(found.get(code, []), source, names)
def same(tr, true, tol=ROUND, late=1e-3):
    assert abs(tr.stats.starttime - true.stats.starttime) < late
    assert len(tr) == len(true) and abs(tr.data - true.data).max() < tol*abs(true.data).max()
def in_band(tr): return synthetic_displacement(tr.data, tr.stats.delta, tr.stats.starttime-T0, lambda f: np.ones(len(f)), (-500., 2200.))
def near(tr, true, tol):
    a, b = in_band(tr), in_band(true)
    assert np.sqrt(np.mean((a-b)**2)/np.mean(b**2)) < tol
def refused(*says, reason=None, **more):
    with pytest.raises(Rejected) as e: load(**more)
    assert all(s in e.value.detail for s in says), e.value.detail
    assert reason in (None, e.value.reason), e.value.reason

# ---- names of files -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize('name', [
    'XX.AAA.MXZ.semd', 'AAA.XX.MXZ.semd', 'XX.AAA.MXZ.sem.ascii', 'XX.AAA.S3.MXZ.sem.ascii', 'XX.AAA..MXZ.semd', 'XX.AAA.FXZ.semd',
    'XX.AAA.BXZ.semd.ascii', 'XX.AAA.LHZ.semd.txt', 'XX.AAA.MXZ.fwd.semd', 'XX.AAA.MXZ.sem', 'XX.AAA.MXZ.SEMD', 'AAA.00.XX.BXZ.semd',
    f'{NAME}.XX.AAA.MXZ.semd', 'AAA_XX_disp_post_mij_conv0000_Z.dat'])
def test_names(tmp_path, true, name): same(load(text(tmp_path/name, true).parent), true)

@pytest.mark.parametrize('code', ['XX.A-1', 'X-1.AAA', 'XX.A_B', 'XX.A+', 'NETWORK.STATION1', 'XX.Ä1'])
@pytest.mark.parametrize('form', ['{0}.{1}.MXZ.semd', '{1}.{0}.MXZ.sem.ascii', '{0}.{1}.S3.MXZ.semd'])
def test_codes(tmp_path, true, code, form):
    same(load(text(tmp_path/form.format(*code.split('.')), true).parent, code, known=[code]), true)

@pytest.mark.parametrize('name', ['XX.AAA.MXN.semd', 'XX.AAA.MXE.sem.ascii', 'XX.AAA.BXX.semd', 'XX.AAA.BXY.semv', 'XX.AAA.MXR.sema', 'AAA_XX_disp_post_mij_conv0000_N.dat'])
def test_horizontal_names(tmp_path, true, name):
    text(tmp_path/name, true)
    assert index_synthetics(tmp_path) == ({}, [])

def test_swapped_codes(tmp_path, true):
    "Two stations whose network and station are each other's: neither may get the other's synthetic"
    both = ['AA.BB', 'BB.AA']
    text(tmp_path/'AA.BB.MXZ.semd', true)
    for code in both: refused('AA.BB.MXZ.semd may be of AA.BB or BB.AA', folder=tmp_path, code=code, known=both)
    text(tmp_path/'XX.AAA.MXZ.semd', true)                             # now the folder has an order
    same(load(tmp_path, 'AA.BB', known=[*both, CODE]), true)
    refused('no file is of this station', folder=tmp_path, code='BB.AA', known=[*both, CODE])
    text(tmp_path/'CCC.XX.MXZ.semd', true)                             # and none again
    refused('AA.BB.MXZ.semd may be of AA.BB or BB.AA', folder=tmp_path, code='BB.AA', known=[*both, CODE, 'XX.CCC'])

# ---- times of text files --------------------------------------------------------------------------------------------
@pytest.fixture(scope='module')
def fine(true):
    "The same at intervals of 47.3 ms, such as SPECFEM's own"
    tr = true.copy()
    tr.data = np.interp(np.arange(0, len(tr)-1, .0473), np.arange(len(tr)), tr.data)
    tr.stats.delta = .0473
    return tr

@pytest.mark.parametrize('write', ['%.6e', '%.7g', '%14.7E', '%.3f', 'single'])
def test_printed_times(tmp_path, fine, write):
    "Times in steps of 1 ms after 1000 s: the interval follows from first and last"
    t = after(fine)
    if write == 'single': t, write = t.astype(np.float32).astype(float), '%.9g'
    tr = load(text(tmp_path/'XX.AAA.MXZ.semd', fine, [write, '%.9e'], t).parent)
    assert abs(tr.stats.delta - .0473) < 1e-3/len(fine) and abs(tr.stats.starttime - fine.stats.starttime) < 5e-4
    assert abs(tr.stats.endtime - fine.stats.endtime) < 2e-3

def test_single_precision(tmp_path):
    "Times of single precision late in a record, 0.24 ms apart, at 4.7 ms between samples"
    t = 2000 + .0047*np.arange(3000)
    p = tmp_path/'XX.AAA.HXZ.semd'
    np.savetxt(p, np.c_[t.astype(np.float32), np.cos(t)], fmt='%.9g')
    assert abs(load(tmp_path).stats.delta - .0047) < 1e-7

def test_whole_seconds(tmp_path, true):
    "Times printed without decimals: regular, and with a lost line"
    p = text(tmp_path/'XX.AAA.MXZ.semd', true, ['%.0f', '%.9e'])
    same(load(tmp_path), true)
    p.write_text('\n'.join(edited(p.read_text().splitlines(), 'lost line')))
    refused('not regular: off by 0.5', folder=tmp_path)

def edited(lines, how):
    n = len(lines)//2
    return {
        'comments': ['# time  displacement', *lines, '! the end'], 'blank': ['', *lines, '', ''],
        'Fortran D': [x.replace('e', 'D') for x in lines], 'no E': [lines[0][:-4] + '-101', *lines[1:]],
        'lost line': lines[:n] + lines[n+1:], 'twice': lines + lines, 'restart': lines[:n] + lines[n-9:], 'backwards': lines[::-1],
        'header': ['time displ', *lines], 'one column': [x.split()[1] for x in lines], 'three columns': [x + ' 0' for x in lines],
        'NaN': [*lines[:n], lines[n].split()[0] + ' NaN', *lines[n+1:]], 'Inf': [*lines[:n], lines[n].split()[0] + ' -Infinity', *lines[n+1:]],
        'time NaN': [*lines[:n], 'NaN 0', *lines[n+1:]], 'stars': [*lines[:n], lines[n].split()[0] + ' ************', *lines[n+1:]],
        'cut': [*lines[:n], lines[n].split()[0]], 'empty': [], 'only blanks': ['', ''], 'one line': lines[:1], 'commas': [x.replace(' ', ', ') for x in lines],
    }[how]

@pytest.mark.parametrize('how', ['comments', 'blank', 'Fortran D', 'no E'])
def test_text_read(tmp_path, true, how):
    p = text(tmp_path/'XX.AAA.MXZ.semd', true)
    p.write_text('\n'.join(edited(p.read_text().splitlines(), how)))
    same(load(tmp_path), true)

@pytest.mark.parametrize('how, said', [
    ('lost line', 'not regular: off by 0.5'), ('twice', 'not regular'), ('restart', 'not regular'), ('backwards', 'not regular'),
    ('header', "'time'"), ('one column', '1 columns'), ('three columns', '3 columns'), ('NaN', '1 of 2461 samples are not finite'),
    ('Inf', '1 of 2461 samples are not finite'), ('time NaN', 'times that are not finite'), ('stars', '****'), ('cut', 'columns'), ('empty', 'is empty'),
    ('only blanks', 'is empty'), ('one line', 'a single sample'), ('commas', "could not convert")])
def test_text_refused(tmp_path, true, how, said):
    p = text(tmp_path/'XX.AAA.MXZ.semd', true)
    p.write_text('\n'.join(edited(p.read_text().splitlines(), how)))
    refused('XX.AAA.MXZ.semd', said, folder=tmp_path)

def test_slow_times(tmp_path, true):
    "Small errors that add up: intervals 0.5 % short, then 0.5 % long, are off by 6 s in the middle"
    n = len(true)
    t = -60 + np.r_[0, np.cumsum(np.where(np.arange(n-1) < n//2, .995, 1.005))]
    text(tmp_path/'XX.AAA.MXZ.semd', true, t=t)
    refused('not regular: off by 6.15 s', folder=tmp_path)

def test_content_not_name(tmp_path, true):
    "SAC under the name of a text file; ASDF without its ending is below"
    sac(tmp_path/'XX.AAA.MXZ.semd', true)
    same(load(tmp_path), true)

# ---- velocity, acceleration -----------------------------------------------------------------------------------------
@pytest.mark.parametrize('how, order', [(how, k) for how in ('text', 'IDEP', 'name of SAC', 'AxiSEM') for k in range(3)][:-1])
def test_units(tmp_path, true, how, order):
    tr, letter = true.copy(), 'dva'[order]
    if order: tr.data = derivative(true, order)
    if how == 'text': text(tmp_path/f'XX.AAA.MXZ.sem{letter}', tr)
    if how == 'IDEP': sac(tmp_path/'a.sac', tr, idep=6+order)
    if how == 'name of SAC': sac(tmp_path/f'XX.AAA.MXZ.sem{letter}.sac', tr)
    if how == 'AxiSEM': text(tmp_path/f'AAA_XX_{("disp", "velo")[order]}_post_mij_conv0000_Z.dat', tr)
    got = load(tmp_path)
    near(got, true, 1e-4)                               # integral: 5e-2 (pi f dt)^4 = 1e-6; single precision, twice summed
    assert ('integrated' in got.stats.remark) == bool(order) and got.stats.get('sac', {}).get('idep', 6) in (5, 6)

def test_displacement_first(tmp_path, true):
    "SPECFEM wrote all three"
    for order in (2, 1, 0):
        tr = true.copy()
        if order: tr.data = derivative(true, order)
        text(tmp_path/f'XX.AAA.MXZ.sem{"dva"[order]}', tr)
    same(load(tmp_path), true)
    (tmp_path/'XX.AAA.MXZ.semd').write_text('')         # died while writing it
    near(load(tmp_path), true, 1e-4)

@pytest.mark.parametrize('name, idep, says', [
    ('XX.AAA.MXZ.semv.sac', 6, 'its name says velocity, its header displacement'), ('XX.AAA.MXZ.semd.sac', 7, 'its name says displacement, its header velocity'),
    ('XX.AAA.MXZ.semp', None, 'pressure'), ('XX.AAA.MXZ.semp.sac', None, 'pressure'), ('XX.AAA.MXZ.semx', None, 'semx')])
def test_units_disagree(tmp_path, true, name, idep, says):
    if name.endswith('sac'): sac(tmp_path/name, true, **({'idep': idep} if idep else {}))
    else: text(tmp_path/name, true)
    refused(name, says, folder=tmp_path)

def test_integral_of_a_step():
    "From rest: a boxcar of unit area becomes a step of 1"
    tr = integrate(obspy.Trace(np.r_[np.zeros(5), np.ones(10), np.zeros(5)], dict(delta=.1)))
    assert abs(tr.data[0]) < 1e-12 and abs(tr.data[-1] - 1) < 1e-12 and tr.stats.starttime == UTCDateTime(0) - .05

# ---- dates ----------------------------------------------------------------------------------------------------------
DATES = dict(nzyear=None, nzjday=None, nzhour=None, nzmin=None, nzsec=None, nzmsec=None)

@pytest.mark.parametrize('gone', [DATES, dict(nzyear=None), dict(nzmsec=None), dict(nzjday=None)], ids=['all', 'year', 'ms', 'day'])
@pytest.mark.parametrize('origin', [None, 0., 100.])
def test_sac_without_date(tmp_path, true, gone, origin):
    "Any part missing is no date; `b` counts from the origin marker"
    mark = {} if origin is None else dict(o=origin)
    sac(tmp_path/'XX.AAA.MXZ.sac', true, start=UTCDateTime(2000, 1, 1) - 60 + (origin or 0), b=-60+(origin or 0), **mark, **gone)
    same(load(tmp_path), true)

@pytest.mark.parametrize('default', ['1900-01-01', '1970-01-01', '2000-01-01', '2018-01-01'])
@pytest.mark.parametrize('form', ['SAC', 'MSEED'])
def test_default_dates(tmp_path, true, default, form):
    "Syngine's default date is 1900, Instaseis' 1970"
    start = UTCDateTime(default) - 60
    if form == 'SAC': sac(tmp_path/'a.sac', true, start=start, b=-60, o=0)
    else:
        tr = true.copy(); tr.stats.starttime = start
        tr.write(str(tmp_path/'a.mseed'), 'MSEED')
    if form == 'MSEED' and default > '1971': return refused('0 of 1 belong to', 'the start of a.mseed is', folder=tmp_path)
    same(load(tmp_path), true)
    if not default.startswith('2018'): refused('counts from a centroid, and names none of 2', folder=tmp_path, names=[NAME, 'another'])

@pytest.mark.parametrize('mark', [{}, dict(o=600)])
def test_new_year(tmp_path, true, mark):
    "An earthquake 10 min after midnight of 1 January, and a reference time of midnight: the time is meant"
    zero = UTCDateTime(2018, 1, 1, 0, 10)
    sac(tmp_path/'a.sac', true, start=zero-60, b=540, **mark)
    tr = load(tmp_path, source=SimpleNamespace(name=NAME, time=zero))
    assert abs(tr.stats.starttime - (zero-60)) < 1e-3

@pytest.mark.parametrize('late, said', [(-18.3, 'origin is -18.3 s from the centroid'), (0., ''), (.4, ''), (7, 'origin is +7.0 s from')])
def test_origin_marker(tmp_path, true, late, said):
    sac(tmp_path/'a.sac', true, b=-60-late, o=0)       # reference time: T0 + late
    tr = load(tmp_path)
    same(tr, true)                                     # the time of the header is used
    assert tr.stats.remark == tr.stats.remark and said in tr.stats.remark and bool(said) == bool(tr.stats.remark)

@pytest.mark.parametrize('event, said', [((10., -70.), ''), ((10.9, -70.), 'epicentre is 10.90, -70.00, 0.9 degrees'), ((0., 0.), ''), ((-40., 100.), None)])
def test_epicentre(tmp_path, true, event, said):
    sac(tmp_path/'a.sac', true, evla=event[0], evlo=event[1], o=0, b=-60)
    if said is None: return refused('epicentre is -40.00, 100.00', 'degrees from that of 201803040506A', folder=tmp_path)
    assert said in load(tmp_path).stats.remark and bool(said) == bool(load(tmp_path).stats.remark)

@pytest.mark.parametrize('place, said', [((35., 20.), ''), ((0., 0.), ''), ((35.1, 20.), 'computed at 35.100, 20.000, 0.10 degrees'), ((37., 20.), None), ((95., 0.), '')])
def test_place(true, place, said):
    tr = true.copy(); tr.stats.sac = dict(stla=place[0], stlo=place[1])
    if said is not None:
        assert said in place_remark(tr, 35., 20.) and bool(said) == bool(place_remark(tr, 35., 20.))
        return
    with pytest.raises(Rejected, match='computed at 37.000, 20.000, 2.00 degrees from the station'): place_remark(tr, 35., 20.)

def test_turned_over(tmp_path, true):
    sac(tmp_path/'a.sac', true, -true.data, cmpinc=180.)
    for _ in range(2):                                  # of the same file, as read before
        tr = load(tmp_path)
        same(tr, true)
        assert 'CMPINC 180' in tr.stats.remark

# ---- headers and names ----------------------------------------------------------------------------------------------
def blank(tr, **ids):
    tr = tr.copy(); tr.stats.update(ids)
    return tr

@pytest.mark.parametrize('name, ids', [
    ('XX.AAA.MXZ.sac', dict(network='')), ('AAA.XX.MXZ.sem.sac', dict(network='')), ('a.sac', dict(network='')), ('XX.AAA.MXZ.sac', dict(network='', station='')),
    ('XX.AAA.MXZ.sac', dict(channel='')), ('XX.AAA.MXZ.sem.sac', dict(network='', station='', channel=''))])
def test_header_says_nothing(tmp_path, true, name, ids):
    "Network, station and channel of the header, then of the name, then the only such station"
    sac(tmp_path/name, blank(true, **ids))
    same(load(tmp_path), true)

def test_vertical_by_inclination(tmp_path, true):
    for inc, n in ((0., 1), (90., 0)):
        sac(tmp_path/'a.sac', blank(true, channel=''), cmpinc=inc)
        assert len(index_synthetics(tmp_path)[0]) == n
    sac(tmp_path/'a.sac', blank(true, channel=''))
    (p, e), = index_synthetics(tmp_path)[1]
    assert 'no component' in e.detail

@pytest.mark.parametrize('name, known, ok', [
    ('XX.BBB.MXZ.sem.sac', [CODE], False), ('XX.BBB.MXZ.sac', [CODE, 'XX.BBB'], False), ('XX.BBB.MXZ.sac', [CODE], True), ('run.7.MXZ.sac', [CODE], True),
    ('AAA.XX.MXZ.sem.sac', [CODE], True), ('event.AAA.MXZ.sac', [CODE], True)])
def test_station_said_twice(tmp_path, true, name, known, ok):
    sac(tmp_path/name, true)
    if ok: return same(load(tmp_path, known=known), true)
    for code in set(known): refused(name, 'its header says XX.AAA', 'its name XX.BBB', folder=tmp_path, code=code, known=known)

def test_eight_letters(tmp_path, true):
    "Two stations whose names SAC cuts to the same eight letters"
    codes = ['XX.STATION_01', 'XX.STATION_02']
    for k, code in enumerate(codes): sac(tmp_path/f'{code}.MXZ.sem.sac', blank(true, station='STATION_'), true.data*(k+1))
    for k, code in enumerate(codes):
        assert load(tmp_path, code, known=codes).data.max() == pytest.approx((k+1)*true.data.max(), rel=ROUND)

@pytest.mark.parametrize('name', ['XX.AAA.MXZ.sem.sacan', 'a.sac'])
def test_sac_as_text(tmp_path, true, name):
    "SPECFEM's alphanumeric SAC: rows of five numbers, but no text of two columns"
    for n in (2460, 2461):                              # ObsPy 1.5 reads whole rows only
        tr = true.copy(); tr.data = tr.data[:n].astype(np.float32)
        tr.write(str(tmp_path/'x.sac'), 'SACXY'); (tmp_path/'x.sac').rename(tmp_path/name)
        if n % 5 == 0: same(load(tmp_path), tr, 1e-5)
    refused(name, 'inhomogeneous', reason='unreadable', folder=tmp_path)

def test_text_as_sac(tmp_path, true):
    text(tmp_path/'XX.AAA.MXZ.sem.sac', true)
    refused('XX.AAA.MXZ.sem.sac', reason='unreadable', folder=tmp_path)

def test_shift_before_the_minute(tmp_path, true):
    "SPECFEM writes a negative second where the centroid is before the hypocentre of :02; ObsPy takes it for 1970"
    p = sac(tmp_path/'XX.AAA.MXZ.sem.sac', true, start=T0-60, b=-60, o=0)
    x = bytearray(p.read_bytes()); x[4*74:4*75] = np.array([-3], '<i4').tobytes(); p.write_bytes(x)      # NZSEC
    same(load(tmp_path), true)

@pytest.mark.parametrize('how, said', [('SAC', 'XX.AAA.MXZ.sem.sac: '), ('MSEED', 'cut short')])
def test_cut_short(tmp_path, true, how, said):
    "A header may be sound and the samples not there"
    if how == 'SAC':
        p = sac(tmp_path/'XX.AAA.MXZ.sem.sac', true)
        p.write_bytes(p.read_bytes()[:3000])
        refused(said, reason='unreadable', folder=tmp_path)
        text(tmp_path/'XX.AAA.MXZ.semd', true)
        return same(load(tmp_path), true)
    p = tmp_path/'a.mseed'
    true.write(str(p), 'MSEED', reclen=512)
    p.write_bytes(p.read_bytes()[:-100])
    assert said in load(tmp_path).stats.remark

# ---- several files of one station -----------------------------------------------------------------------------------
def test_broken_among_events(tmp_path):
    "The cause is the file's, also where it names no event"
    text_file = tmp_path/'XX.AAA.MXZ.semd'
    text_file.write_text('')
    refused('XX.AAA.MXZ.semd is empty', folder=tmp_path, names=[NAME, 'another'])

@pytest.mark.parametrize('other, ok', [
    ('text', True), ('louder', False), ('late', False), ('longer', False), ('other channel', False), ('same, other channel', True), ('broken', True)])
def test_two_files(tmp_path, true, other, ok):
    "The same seismogram twice is one; two are none"
    sac(tmp_path/'XX.AAA.MXZ.sem.sac', true, idep=6)
    tr = true.copy()
    if other == 'louder': tr.data = tr.data*1.001
    if other == 'late': tr.stats.starttime += .5
    if other == 'longer': tr.data = np.r_[tr.data, 0]
    if 'other channel' in other: tr.stats.channel, tr.data = 'LXZ', tr.data if 'same' in other else tr.data*2
    name = f'XX.AAA.{tr.stats.channel}.sem.ascii'
    text(tmp_path/name, tr)
    if other == 'broken': (tmp_path/name).write_text('')
    if ok: return same(load(tmp_path), true)
    refused('2 of 2 belong to', 'they differ', name, 'XX.AAA.MXZ.sem.sac', reason='no synthetic', folder=tmp_path)

def test_pieces_in_one_file(tmp_path, true):
    st = obspy.Stream([true.slice(None, T0+500), true.slice(T0+600)])
    for tr in st: tr.data = tr.data.astype(np.float32)
    st.write(str(tmp_path/'a.mseed'), 'MSEED')
    tr = load(tmp_path)                                     # the piece of the event; `find_synthetic` says that it is too short
    assert tr.stats.endtime == T0+500

def test_one_file_of_all(tmp_path, true):
    "miniSEED with all stations and components"
    st = obspy.Stream()
    for k, sta in enumerate(('AAA', 'BBB', 'CCC')):
        for cha in ('MXZ', 'MXN'): st.append(blank(true, station=sta, channel=cha)); st[-1].data = st[-1].data*(k+1 if cha == 'MXZ' else 99)
    st.write(str(tmp_path/'all.mseed'), 'MSEED')
    st.append(blank(true, channel='LOG')); st.write(str(tmp_path/'all.mseed'), 'MSEED')
    for k, sta in enumerate(('AAA', 'BBB', 'CCC')): assert load(tmp_path, f'XX.{sta}').data.max() == pytest.approx((k+1)*true.data.max())

@pytest.mark.parametrize('idep', [5, 6, 7])
def test_records_in_the_same_folder(tmp_path, true, idep):
    "Corrected records and synthetics side by side, as SPECFEM users keep them: X is the instrument code of synthetics"
    record = blank(true, channel='BHZ', location=''); record.data = 3*true.data
    sac(tmp_path/'XX.AAA..BHZ.d.sac', record, idep=6, kuser0='SY', kevnm=NAME)
    tr = true.copy()
    if idep == 7: tr.data = derivative(true, 1)
    sac(tmp_path/'XX.AAA..BHZ.s.sac', tr, idep=idep, kuser0='SY', kevnm=NAME)
    (near if idep == 7 else same)(load(tmp_path), true, 1e-4)

def test_no_record_is_its_own_synthetic(tmp_path, true):
    "Of a folder with records only, and of one tag only"
    p = sac(tmp_path/'a.sac', blank(true, channel='BHZ', location=''))
    def get(records): return load_synthetic(index_synthetics(tmp_path)[0][CODE], SOURCE, [NAME], records)
    with pytest.raises(Rejected, match='a.sac is the record itself'): get([(p, 'XX.AAA..BHZ', '')])
    same(get([(p, 'XX.AAA.00.BHZ', '')]), true)
    p.unlink()
    p = asdf(tmp_path/'a.h5', (true, 'prem'))
    with pytest.raises(Rejected, match='a.h5, XX.AAA.S3.MXZ, tag prem is the record itself'): get([(p, true.id, 'prem')])
    same(get([(p, true.id, 'other')]), true)

# ---- events ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize('event, path', [
    ('C201803040506A', '201803040506A/{}'), ('201803040506A', 'C201803040506A/{}'), ('C201803040506A', 'CMTSOLUTION_201803040506A/{}'),
    ('Near coast, Chile', 'Near_coast_Chile/{}'), ('Near coast, Chile', 'near_coast_chile/OUTPUT_FILES/{}'), ('C2020', 'C2020.{}'), ('C2020', 'C2020_m01/{}'), ('C010176A', 'M010176A/{}')])
def test_event_by_name(tmp_path, true, event, path):
    "Text files among two events: the name must be found, in any of its forms"
    text(tmp_path/path.format('XX.AAA.MXZ.semd'), true)
    source = SimpleNamespace(name=event, time=T0)
    same(load(tmp_path, source=source, names=[event, 'C1999']), true)
    other = SimpleNamespace(name='C1999', time=T0)
    refused('XX.AAA.MXZ.semd is of ' + event, folder=tmp_path, source=other, names=[event, 'C1999'])

def test_event_by_folder_given(tmp_path, true):
    "The folder of one event is given itself"
    text(tmp_path/'C2020/XX.AAA.MXZ.semd', true)
    same(load(tmp_path/'C2020', source=SimpleNamespace(name='C2020', time=T0), names=['C2020', 'C1999']), true)

def test_folders_alike(tmp_path, true):
    "Safe names that would be the same are told apart as they were written"
    names = ['Fiji 1', 'Fiji/1']
    text(tmp_path/'Fiji_1_2/XX.AAA.MXZ.semd', true)
    same(load(tmp_path, source=SimpleNamespace(name='Fiji/1', time=T0), names=names), true)
    refused('is of Fiji/1', folder=tmp_path, source=SimpleNamespace(name='Fiji 1', time=T0), names=names)

@pytest.mark.parametrize('name', ['2', 'AAA', 'semd', 'MXZ', 'XX'])
def test_event_named_like_a_code(tmp_path, true, name):
    "The name of an event that is a word of every file's name says nothing"
    source = SimpleNamespace(name='C2020', time=T0)
    text(tmp_path/'text/run_2/C2020/XX.AAA.MXZ.semd', true)
    same(load(tmp_path/'text', source=source, names=['C2020', name]), true)
    sac(tmp_path/'sac/run_2/XX.AAA.MXZ.sem.sac', true)
    same(load(tmp_path/'sac', source=source, names=['C2020', name]), true)

def test_sixteen_letters(tmp_path, true):
    "All that SAC keeps of a name"
    sac(tmp_path/'a.sac', true, start=UTCDateTime(2000, 1, 1)-60, b=-60, kevnm='Tonga Islands af', **DATES)
    names = ['Tonga Islands aftershock', 'Fiji Islands aftershock']
    same(load(tmp_path, source=SimpleNamespace(name=names[0], time=T0), names=names), true)
    refused('is of Tonga', folder=tmp_path, source=SimpleNamespace(name=names[1], time=T0), names=names)

def test_folder_within_folder(tmp_path, true):
    "The folder given has the name of one event, a folder in it that of another"
    text(tmp_path/'C2020/C1999/XX.AAA.MXZ.semd', true)
    same(load(tmp_path/'C2020', source=SimpleNamespace(name='C1999', time=T0), names=['C2020', 'C1999']), true)
    refused('is of C1999', folder=tmp_path/'C2020', source=SimpleNamespace(name='C2020', time=T0), names=['C2020', 'C1999'])

@pytest.mark.parametrize('late', [86400., -7*3600., 3600.])
def test_name_against_time(tmp_path, true, late):
    "The name of one event, the time of another: a time zone, another day"
    sac(tmp_path/f'{NAME}/XX.AAA.MXZ.sac', true, start=true.stats.starttime+late)
    refused('XX.AAA.MXZ.sac has the name of 201803040506A, but', reason='bad synthetic', folder=tmp_path)

def test_named_twice(tmp_path, true):
    "The folder of one event and KEVNM of another: the time decides, and without a date nothing does"
    p = tmp_path/f'{NAME}/XX.AAA.MXZ.sac'
    sac(p, true, kevnm='C2020')
    same(load(tmp_path, names=[NAME, 'C2020']), true)
    late = SimpleNamespace(name='C2020', time=T0+1e6)
    refused('has the name of C2020, but its start is -1000060 s from it', folder=tmp_path, source=late, names=[NAME, 'C2020'])
    sac(p, true, kevnm='C2020', start=UTCDateTime(2000, 1, 1)-60, b=-60, **DATES)
    refused('names 201803040506A and C2020', folder=tmp_path, names=[NAME, 'C2020'])

@pytest.mark.parametrize('gap', [120., 600., 800.])
def test_aftershock(tmp_path, true, gap):
    "Nameless files: the aftershock without one of its own does not get that of the main shock"
    times = {'main': T0.timestamp, 'after': (T0+gap).timestamp}
    sac(tmp_path/'a.sac', true)
    main, late = (SimpleNamespace(name=n, time=UTCDateTime(t)) for n, t in times.items())
    same(load(tmp_path, source=main, names=times), true)
    refused('0 of 1 belong to after', folder=tmp_path, source=late, names=times)
    sac(tmp_path/'b.sac', true, start=true.stats.starttime+gap)
    assert load(tmp_path, source=late, names=times).stats.starttime == true.stats.starttime + gap
    same(load(tmp_path, source=main, names=times), true)

def test_own_event_is_not_the_nearest(tmp_path, true):
    "Begins 60 s before its event: another, 30 s before it begins, is none of it. Its origin, where the header has it, decides"
    times = {'own': T0.timestamp, 'before': T0.timestamp-90}
    own = SimpleNamespace(name='own', time=T0)
    sac(tmp_path/'a.sac', true)
    same(load(tmp_path, source=own, names=times), true)
    long = blank(true); long.stats.starttime -= 740; long.data = np.r_[np.zeros(740), true.data]
    sac(tmp_path/'a.sac', long, b=-800, o=0)
    times = {'own': T0.timestamp, 'before': T0.timestamp-700}
    assert load(tmp_path, source=own, names=times).stats.starttime == T0-800
    refused('0 of 1 belong to before', folder=tmp_path, source=SimpleNamespace(name='before', time=T0-700), names=times)
    before = blank(true); before.stats.starttime -= 700             # begins later, and its event is earlier
    sac(tmp_path/'b.sac', before, b=-60, o=0)
    assert load(tmp_path, source=SimpleNamespace(name='before', time=T0-700), names=times).stats.starttime == T0-760
    assert load(tmp_path, source=own, names=times).stats.starttime == T0-800

def test_cost(true, monkeypatch):
    "Each synthetic is compared with the names once, not once for each event"
    seen = []
    monkeypatch.setattr(synthetics, '_named_events', lambda s, spelled, f=synthetics._named_events: (seen.append(s), f(s, spelled))[1])
    names = {f'C{k:04d}': (T0 + 9000*k).timestamp for k in range(200)}
    every = StationSynthetics(Synthetic(None, CODE, t-60, t+3600, frozenset(['all' if i % 2 else n.lower()])) for i, (n, t) in enumerate(names.items()))
    for n, t in names.items():
        (s,) = synthetics_of_event(every, SimpleNamespace(name=n, time=UTCDateTime(t)), names)
        assert s.start == t-60
    assert len(seen) == len(names)

# ---- the CMTSOLUTION of a simulation --------------------------------------------------------------------------------
def cmt(path, late=0., name=NAME, more=''):
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(CMT.replace('4.0000', f'{4+late:.4f}').replace(NAME, name) + more)

@pytest.mark.parametrize('late, said', [(0., ''), (-18.3, 'its CMTSOLUTION is -18.3 s from the centroid time'), (.5, '')])
@pytest.mark.parametrize('where', ['CMTSOLUTION', 'run0001/OUTPUT_FILES/CMTSOLUTION', 'run0001/DATA/CMTSOLUTION', 'run0001/CMTSOLUTION_X'])
def test_time_of_the_simulation(tmp_path, true, late, said, where):
    "Text counts from the time of its own CMTSOLUTION"
    text(tmp_path/('run0001/OUTPUT_FILES' if '/' in where else '.')/'XX.AAA.MXZ.semd', true)
    cmt(tmp_path/where, late)
    tr = load(tmp_path)
    assert abs(tr.stats.starttime - (T0-60+late)) < 1e-3 and tr.stats.remark == said

def test_several_sources(tmp_path, true):
    "A finite source: time zero is that of its first sub-source"
    text(tmp_path/'XX.AAA.MXZ.semd', true)
    cmt(tmp_path/'CMTSOLUTION', 20, more=CMT.replace('4.0000', '3.0'))
    assert abs(load(tmp_path).stats.starttime - (T0-61)) < 1e-3

def test_event_of_the_simulation(tmp_path, true):
    "Runs without names among several events: by time and by the name in the CMTSOLUTION"
    times = {f'C{k}': (T0 + 3e4*k).timestamp for k in range(3)}
    for k, name in ((0, 'x'), (1, 'c1'), (2, 'C0')):
        tr = blank(true); tr.data = true.data*(k+1)
        text(tmp_path/f'run{k}/OUTPUT_FILES/XX.AAA.MXZ.semd', tr); cmt(tmp_path/f'run{k}/DATA/CMTSOLUTION', 3e4*k, name)
    def of(k): return load(tmp_path, source=SimpleNamespace(name=f'C{k}', time=UTCDateTime(times[f'C{k}'])), names=times)
    assert of(1).data.max() == pytest.approx(2*true.data.max(), rel=ROUND)
    with pytest.raises(Rejected, match='XX.AAA.MXZ.semd has the name of C0, but its origin is .60000 s'): of(0)
    with pytest.raises(Rejected, match='0 of 3 belong to C2: XX.AAA.MXZ.semd is of C0'): of(2)

@pytest.mark.parametrize('how', ['two', 'empty', 'no date', 'no shift'])
def test_no_time_of_the_simulation(tmp_path, true, how):
    text(tmp_path/'XX.AAA.MXZ.semd', true)
    cmt(tmp_path/'CMTSOLUTION', 50)
    p = tmp_path/'CMTSOLUTION'
    if how == 'two': cmt(tmp_path/'CMTSOLUTION_2')
    if how == 'empty': p.write_text('')
    if how == 'no date': p.write_text(p.read_text().replace('2018 03 04', '2018 13 44'))
    if how == 'no shift': p.write_text(p.read_text().replace('time shift', 'shift'))
    same(load(tmp_path), true)

# ---- ASDF -----------------------------------------------------------------------------------------------------------
def asdf(path, *waveforms, event=None):
    pyasdf = pytest.importorskip('pyasdf')
    with pyasdf.ASDFDataSet(str(path), compression=None, mpi=False) as ds:
        for tr, tag, *of in waveforms: ds.add_waveforms(tr, tag=tag, **({'event_id': of[0]} if of else {}))
    return path

@pytest.mark.parametrize('kind, tags', [
    ('raw', 'raw raw_recording raw_observed observed_raw unprocessed us1000abcd_unprocessed'), ('unknown', 'observed obsd default recording a_tag'),
    ('processed', 'processed_observed proc_obsd_50_100 prem_preprocessed preprocessed_40s_to_100s filtered observed_filtered_50_100 displacement vel_obs deconvolved'),
    ('synthetic', 'synthetic synthetic_m01 proc_synt raw_synthetic prem_synthetic synt simulated SYNTHETIC_i01s00')])
def test_asdf_kind(kind, tags):
    assert {t: asdf_kind(t) for t in tags.split()} == dict.fromkeys(tags.split(), kind)

@pytest.mark.parametrize('tags, said', [
    (['raw_observed', 'synthetic'], ''), (['processed_observed', 'proc_synt'], ''), (['observed', 'prem_synthetic'], ''), (['prem3'], ''), (['raw_recording', 'model1'], ''), (['prem3', 'synthetic'], ''),
    (['synthetic_m00', 'synthetic_m01'], 'tag synthetic_m01'), (['raw_synthetic', 'proc_synthetic'], 'tag proc_synthetic'), (['prem3', 's40rts'], 'tag s40rts'),
    (['raw_observed'], 'only the tags raw_observed'), (['observed', 'processed_observed'], 'only the tags observed, processed_observed')])
def test_asdf_tags(tmp_path, true, tags, said):
    "The synthetic is the last tag; every other waveform is another"
    waves = [(blank(true), tag) for tag in tags]
    for tr, tag in waves:
        if 'obs' in tag or 'rec' in tag: tr.id = 'XX.AAA.00.LHZ'
    for tr, _ in waves[:-1]: tr.data = tr.data*7
    path = asdf(tmp_path/'a.h5', *waves)
    if not said: return same(load(tmp_path), true)
    if 'only' not in said: return refused('2 of 2 belong to', 'a.h5, XX.AAA', said, reason='no synthetic', folder=tmp_path)
    found, ((p, e),) = index_synthetics(path)
    assert not found and said in e.detail and p == path

@pytest.mark.parametrize('ending', ['.h5', '.asdf', '.H5', '.hdf5', ''])
def test_asdf_by_content(tmp_path, true, ending):
    asdf(tmp_path/'a.h5', (true, 'synthetic')).rename(tmp_path/f'synthetics{ending}')
    same(load(tmp_path), true, 1e-15)

def test_asdf_units(tmp_path, true):
    "Tags that say the unit; displacement first"
    v, a = blank(true), blank(true)
    v.data, a.data = derivative(true, 1), derivative(true, 2)
    asdf(tmp_path/'v.h5', (v, 'synthetic_velocity'))
    near(load(tmp_path), true, 1e-4)
    asdf(tmp_path/'a.h5', (a, 'synthetic_acc'))
    near(load(tmp_path), true, 1e-4)
    assert 'velocity integrated' in load(tmp_path).stats.remark
    asdf(tmp_path/'d.h5', (true, 'synthetic_disp'))
    same(load(tmp_path), true, 1e-15)

def test_asdf_many_events(tmp_path, true):
    "In one file: by identifier, and without one by time"
    times = {f'C{k}': (T0 + 700*k).timestamp for k in range(4)}
    ids = [(f'smi:local/cmt/C{k}#event',) for k in range(3)] + [()]
    def one(k): tr = blank(true); tr.stats.starttime += 700*k; tr.data = true.data*(k+1); return tr
    asdf(tmp_path/'all.h5', *((one(k), 'synthetic', *of) for k, of in enumerate(ids)))
    for k, (n, t) in enumerate(times.items()):
        tr = load(tmp_path, source=SimpleNamespace(name=n, time=UTCDateTime(t)), names=times)
        assert tr.data.max() == pytest.approx((k+1)*true.data.max())
    asdf(tmp_path/'wrong.h5', (blank(true, station='BBB'), 'synthetic', 'smi:local/cmt/C1'))
    refused('wrong.h5, XX.BBB.S3.MXZ, tag synthetic is of C1', folder=tmp_path, code='XX.BBB', source=SimpleNamespace(name='C0', time=T0), names=times)

@pytest.mark.parametrize('how, said', [('cut', 'cut short'), ('other HDF5', 'no group Waveforms'), ('text', 'cut short'), ('no attributes', "without its attribute")])
def test_broken_asdf(tmp_path, true, how, said):
    h5py = pytest.importorskip('h5py')
    p = asdf(tmp_path/'a.h5', (true, 'synthetic'))
    if how == 'cut': p.write_bytes(p.read_bytes()[:4000])
    if how == 'text': p.write_text('no HDF5')
    if how == 'other HDF5':
        p.unlink()
        with h5py.File(p, 'w') as f: f['Snapshots'] = [1, 2, 3]
    if how == 'no attributes':
        with h5py.File(p, 'a') as f:
            x = f['Waveforms/XX.AAA']; del x[[k for k in x][0]].attrs['starttime']
    sac(tmp_path/'b.sac', true)
    found, ((q, e),) = index_synthetics(tmp_path)
    assert q == p and said in e.detail and list(found) == [CODE]

def test_record_and_synthetic_in_one_file(tmp_path):
    "Issue 24, trial 16; `observed` is raw where nothing else is"
    pyasdf = pytest.importorskip('pyasdf')
    world(tmp_path/'w', ONE)
    with pyasdf.ASDFDataSet(str(tmp_path/'a.h5'), compression=None, mpi=False) as ds:
        ds.add_quakeml(obspy.read_events(str(tmp_path/'w/CMTSOLUTION'))); ds.add_stationxml(str(tmp_path/'w/inv.xml'))
        for tr in motion(ONE, before=800.):
            ds.add_waveforms(counts(tr), tag='raw_observed')
            tr.stats.channel, tr.stats.location = 'MXZ', 'S3'
            ds.add_waveforms(tr, tag='synthetic')
    row, = table_of(tmp_path/'a.h5', tmp_path/'a.h5').itertuples()
    assert row.decision == 'accept' and row.misfit < .01

# ---- every file that is not used ------------------------------------------------------------------------------------
def test_unused_files(tmp_path, true):
    "Files that cannot be used are named with the cause; catalogues, metadata, notes and horizontal components are not missed"
    world(tmp_path, ONE); (tmp_path/'XX.AAA.mseed').unlink()
    for n in ('note.txt', 'README', 'Par_file', 'STATIONS_FILTERED'): (tmp_path/n).write_text('AAA XX 35.0 20.0 0.0 0.0\n'*9)
    text(tmp_path/'XX.AAA.MXN.semd', true); sac(tmp_path/'e.sac', blank(true, channel='MXE'))
    assert index_synthetics(tmp_path) == ({}, [])
    text(tmp_path/'AAA_Z.txt', true); text(tmp_path/'AAA_Z.dat', true); text(tmp_path/'XX.AAA.MXQ.semd', true)
    sac(tmp_path/'g.sac', blank(true, channel='MXG')); (tmp_path/'a.sac').write_bytes(b'\0\1\2'*99); (tmp_path/'z.sac').write_bytes(b'')
    (tmp_path/'all.tar.gz').write_bytes(b'\x1f\x8b' + b'0'*99)
    found, bad = index_synthetics(tmp_path)
    assert not found
    assert {p.name: e.detail.split(':')[0][:40] for p, e in bad} == {
        'AAA_Z.txt': '2 columns of numbers, but no name such a', 'AAA_Z.dat': '2 columns of numbers, but no name such a', 'XX.AAA.MXQ.semd': 'channel MXQ is no component of ground mo',
        'g.sac': "channel 'MXG' is no component of ground ", 'a.sac': 'TypeError', 'z.sac': 'the file is empty', 'all.tar.gz': 'a packed file'}

@pytest.mark.parametrize('name', ['XX.AAA.MXZ.sem.sac', 'XX.AAA.MXZ.semd'])
def test_cause_reaches_the_station(tmp_path, name):
    "A file that cannot be read is the reason of its station's row"
    world(tmp_path/'w', ONE)
    (tmp_path/'syn').mkdir(); (tmp_path/'syn'/name).write_bytes(b'')
    row, = table_of(tmp_path/'w', tmp_path/'syn').itertuples()
    assert (row.reason, row.station) == ('unreadable', 'XX.AAA..LHZ') and name in row.detail and 'empty' in row.detail

def test_velocity_through_select(tmp_path, true):
    "A `.semv` gives the table of the displacement: to 1e-3, the noise of the record"
    world(tmp_path/'w', ONE)
    tr = true.copy()
    text(tmp_path/'d/XX.AAA.MXZ.semd', tr)
    tr.data = derivative(tr, 1)
    text(tmp_path/'v/XX.AAA.MXZ.semv', tr)
    (a,), (b,) = (table_of(tmp_path/'w', tmp_path/x).itertuples() for x in 'dv')
    assert a.decision == b.decision == 'accept' and abs(a.dlnA - b.dlnA) < 1e-3 and abs(a.lag_s - b.lag_s) < .02

# ---- a synthetic as a record ----------------------------------------------------------------------------------------
def test_text_records(tmp_path, true):
    "Each text file at the time of the event that its path names, with the codes of the known station"
    events = {NAME: T0.timestamp, 'C2020': (T0+1e6).timestamp}
    a, b = text(tmp_path/f'{NAME}/XX.AAA.S3.MXZ.sem.ascii', true), text(tmp_path/'C2020/AAA.XX.LXZ.semv', true)
    text(tmp_path/'C2020/AAA.XX.LXN.semv', true); bad = [text(tmp_path/'XX.AAA.MXZ.semd', true)]
    (tmp_path/'C2020/BBB.XX.MXZ.semd').write_text(''); bad.append(tmp_path/'C2020/BBB.XX.MXZ.semd')
    rows, worse = text_records(tmp_path, events, [CODE])
    zero = [T0.timestamp, events['C2020']]
    assert [r[:2] + r[4:] for r in rows] == [(a, 'XX.AAA.S3.MXZ', 'displacement'), (b, 'XX.AAA..LXZ', 'velocity')]
    assert np.allclose([[r[2]-z, r[3]-z] for r, z in zip(rows, zero)], [[-60, 2400]]*2, atol=1e-5)
    assert sorted((p, e.reason) for p, e in worse) == sorted(zip(bad, ['no event', 'unreadable']))
    tr = read_text_record(a, *rows[0][1:3])
    same(tr, true)
    assert tr.id == 'XX.AAA.S3.MXZ' and not text_records(bad[0], {NAME: T0.timestamp})[1]
