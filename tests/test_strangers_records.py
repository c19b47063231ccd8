"Strangers' records: clocks, stamps, fills and values that stand for no data, each with its sisters and the right times."
from io import BytesIO
from functools import lru_cache
import gzip
import numpy as np, obspy, pytest
from obspy import Stream, Trace, UTCDateTime
from scipy.interpolate import PchipInterpolator
from fwinb.data.events import Rejected
from fwinb.data.files import read_records
from fwinb.data.records import (
    ASTRAY, PAD, STAMPS, check_counts, check_finite, contiguous, fill_run, find_fills, read_stamped, record_stamps, window_of)
from fwinb.pairs.schema import STUDY, sample_times
from fwinb.pairs.signal import RISE, band_limited
from small_world import ONE, T0, counts, motion, table_of, world

DAY = UTCDateTime(2018, 3, 4)
ZERO = T0 - DAY                                # s of the day
AROUND = T0 - PAD, T0 + STUDY.length + PAD
HEAD = dict(network='XX', station='AAA', channel='LHZ')

def signal(t):
    "Counts at s of the day"
    u = 2e5*np.cos(2*np.pi*(t-ZERO-900)/60)*np.exp(-((t-ZERO-900)/300)**2)
    return np.rint(u + 3e4*np.cos(2*np.pi*t/7.3) + 2e3*np.cos(t**2/1e5)).astype(np.int32)

def stamped(true, per_record=100, dt=1., x=None):
    "Traces of so many samples each, at the true time of their first samples"
    x = signal(true) if x is None else x
    return Stream([Trace(x[k:k+per_record], HEAD | dict(delta=dt, starttime=DAY+float(true[k])))
                   for k in range(0, len(x), per_record)])

def mseed(path, st, **how):
    st.write(str(path), 'MSEED', reclen=512, **how)
    return path

def time_error(tr, true, x=None, whole=False):
    "Largest error of the times of a trace within the window, s, or of all of it; its samples are found by their values"
    t = tr.times() + (tr.stats.starttime - DAY)
    first, last = np.flatnonzero(whole | (t > ZERO) & (t < ZERO+STUDY.length))[[0, -1]]
    x, y = signal(true) if x is None else x, tr.data[first:last+1]
    found = [k for k in np.flatnonzero(x[:len(x)-len(y)] == y[0]) if np.array_equal(x[k:k+len(y)], y)]
    assert len(found) == 1
    return np.abs(t[first:last+1] - true[found[0]:found[0]+len(y)]).max()

SECONDS = np.arange(14_000., 26_000)           # of the day
FAST = np.arange(14_000*40, 26_000*40)/40
CLOCKS = dict(                                 # true times, samples per record, interval that the header states
    right=(SECONDS, 100, 1.), slow=(14_000+1.003*(SECONDS-14_000), 100, 1.), a_little_slow=(14_000+1.0005*(SECONDS-14_000), 100, 1.),
    fast=(14_000+.997*(SECONDS-14_000), 100, 1.), long_records=(14_000+1.003*(SECONDS-14_000), 300, 1.),
    fast_long_records=(14_000+.997*(SECONDS-14_000), 300, 1.), forty_hertz=(14_000+1.0005*(FAST-14_000), 400, .025),
    forty_hertz_gaps=(14_000+1.003*(FAST-14_000), 400, .025), forty_hertz_overlaps=(14_000+.997*(FAST-14_000), 400, .025))

@pytest.mark.parametrize('clock', CLOCKS)
@pytest.mark.parametrize('form', ['a file', 'many files'])
def test_clocks(clock, form, tmp_path):
    "The times are those of the stamps, and the record says so"
    true, per_record, dt = CLOCKS[clock]
    if form == 'many files' and dt < 1 and clock != 'forty_hertz': pytest.skip('a thousand files')
    st = stamped(true, per_record, dt)
    if form == 'a file': st = read_stamped(mseed(tmp_path/'a.mseed', st), *AROUND)
    tr = contiguous(st, T0)
    assert time_error(tr, true) < (1e-6 if clock == 'right' else .02)       # of 12 s, without the stamps
    assert ('stamps of the records' in tr.stats.get('remark', '')) == (clock != 'right')

@pytest.mark.parametrize('byteorder', '<>')
def test_byte_orders(byteorder, tmp_path):
    true = CLOCKS['slow'][0]
    path = mseed(tmp_path/'a.mseed', stamped(true), byteorder=byteorder)
    assert time_error(contiguous(read_stamped(path, *AROUND), T0), true) < .02

def test_a_pair_at_its_true_time(tmp_path):
    "Through the whole program: no lag where there was one of 60 s"
    full, drift, n = counts(motion(ONE)[0]), .003, 86400
    true = (1+drift)*np.arange(n)
    x = np.interp(true, full.times() + (full.stats.starttime - DAY), full.data.astype(float), left=0, right=0)
    x = np.rint(x + np.random.default_rng(0).normal(size=n)*20).astype(np.int32)
    folder = world(tmp_path/'w', ONE)
    (folder/'XX.AAA.mseed').unlink()
    st = Stream([Trace(x[k:k+100], HEAD | dict(starttime=DAY+float(true[k]))) for k in range(0, n, 100)])
    mseed(folder/'day.mseed', st)
    row = table_of(folder).iloc[0]
    assert row.decision == 'accept' and abs(row.lag_s) < .5 and 'stamps of the records' in row.detail

@lru_cache(None)
def ordinary():
    f = BytesIO()
    stamped(SECONDS + 12e-6).write(f, 'MSEED', reclen=512)       # the microseconds need a blockette 1001
    return f.getvalue()

def patched(data, size=512, **fields):
    "Records with other bytes in their headers: offset, length, value"
    out = bytearray(data)
    for k in range(0, len(out), size):
        for at, n, value in fields.values(): out[k+at:k+at+n] = int(value).to_bytes(n, 'big', signed=value < 0)
    return bytes(out)

def other_length(length): f = BytesIO(); stamped(SECONDS+12_000).write(f, 'MSEED', reclen=length); return f.getvalue()
def other_channel(): f = BytesIO(); st = stamped(SECONDS); [setattr(tr.stats, 'channel', 'LHN') for tr in st]; st.write(f, 'MSEED', reclen=512); return f.getvalue()
def mixed(a, b): return b''.join(x[k:k+512] for k in range(0, max(len(a), len(b)), 512) for x in (a, b))
BYTES = dict(
    plain=lambda: ordinary(),
    correction=lambda: patched(ordinary(), correction=(40, 4, 12345)),
    negative_correction=lambda: patched(ordinary(), correction=(40, 4, -12345)),
    applied_correction=lambda: patched(ordinary(), correction=(40, 4, 12345), activity=(36, 1, 2)),
    microseconds=lambda: patched(ordinary(), micro=(53, 1, 0x9d)),                 # -99 in two's complement
    new_year=lambda: patched(ordinary(), year=(20, 2, 2016), day=(22, 2, 366)),
    quality=lambda: patched(ordinary(), quality=(6, 1, ord('Q'))),
    lengths=lambda: ordinary() + other_length(4096) + other_length(256),
    channels=lambda: mixed(ordinary(), other_channel()),
    noise=lambda: ordinary()[:5120] + b'000011' + b' '*506 + ordinary()[5120:],
    truncated=lambda: ordinary()[:-100])

@pytest.mark.parametrize('case', BYTES)
def test_stamps_are_those_of_single_records(case, tmp_path):
    "The oracle is ObsPy, which gives the true stamp of a record that is read alone"
    data, path = BYTES[case](), tmp_path/'a.mseed'
    path.write_bytes(data)
    names, npts, stamp = record_stamps(path)
    at, alone = 0, []
    while at + 128 <= len(data):
        header = data[at+6:at+7] in (b'D', b'Q')
        size = 1 << data[at + (54 if data[at+48:at+50] == b'\x03\xe8' else 62)]        # in blockette 1000
        if header and at + size <= len(data): alone += obspy.read(BytesIO(data[at:at+size]), headonly=True)
        at += size if header else 128
    assert len(alone) == len(names) and (stamp % 100).any()
    assert [tr.stats.starttime.ns//1000 for tr in alone] == stamp.tolist()
    assert [tr.stats.npts for tr in alone] == npts.tolist()
    if case != 'new_year':                                   # whose stamps go on in the next year
        assert 'not checked' not in str([tr.stats.get('remark') for tr in read_stamped(path)])

def test_leap_second(tmp_path):
    "23:59:60 is the second before the next minute, as libmseed has it"
    data, path = bytearray(ordinary()), tmp_path/'a.mseed'
    path.write_bytes(data)
    _, _, before = record_stamps(path)
    data[512*3+26] = 60
    path.write_bytes(data)
    _, _, after = record_stamps(path)
    assert (after - before).tolist() == [0]*3 + [(60 - ordinary()[512*3+26])*1_000_000] + [0]*(len(before)-4)

def test_several_channels(tmp_path):
    "The records of one channel are its own, also between those of another"
    slow = stamped(CLOCKS['slow'][0])
    for tr in slow: tr.stats.channel = 'LHN'
    f = BytesIO(); slow.write(f, 'MSEED', reclen=512)
    (tmp_path/'a.mseed').write_bytes(mixed(f.getvalue(), ordinary()))
    st = read_stamped(tmp_path/'a.mseed', *AROUND)
    assert len(st.select(channel='LHZ')) == 1 and len(st.select(channel='LHN')) > 10
    assert not contiguous(st.select(channel='LHZ'), T0).stats.get('remark')
    assert time_error(contiguous(st.select(channel='LHN'), T0), CLOCKS['slow'][0]) < .02

def test_sound_files_are_read_as_before(tmp_path):
    path = tmp_path/'a.mseed'
    path.write_bytes(BYTES['channels']())
    for new, old in zip(read_stamped(path, *AROUND), read_records(path)[0].slice(*AROUND), strict=True):
        assert new.stats.starttime == old.stats.starttime and new.stats.delta == old.stats.delta
        np.testing.assert_array_equal(new.data, old.data)

def test_packed_file(tmp_path):
    "Of a packed file the stamps cannot be read; it says so, unless it is refused"
    (tmp_path/'a.mseed.gz').write_bytes(gzip.compress(ordinary()))
    try: st = read_stamped(tmp_path/'a.mseed.gz', *AROUND)
    except Rejected as e: assert e.reason == 'unreadable'
    else: assert 'not checked' in contiguous(st, T0).stats.remark

i = SECONDS
UNEVEN = dict(
    stops_to_drift=(i + .003*np.maximum(i-ZERO-900, 0), 'timing'),
    stops_drifting=(i + .4*np.minimum((i-i[0])//100, (ZERO+900-i[0])//100), 'timing'),
    one_step=(i + .4*(i > ZERO+500), .3),
    after=(i + .003*np.maximum(i-ZERO-2200, 0), 1e-6),
    before=(i + .003*np.maximum(i-ZERO+300, 0), .02),
    jitter=(i + np.repeat(np.random.default_rng(0).uniform(-.2, .2, len(i)//100), 100), .25))

@pytest.mark.parametrize('case', UNEVEN)
def test_uneven_stamps(case, tmp_path):
    "Stamps that no straight line describes to `ASTRAY` in the window are a reason, others an error of less than that"
    true, right = UNEVEN[case]
    st = read_stamped(mseed(tmp_path/'a.mseed', stamped(true)), *AROUND)
    if right == 'timing':
        with pytest.raises(Rejected, match='timing: stamps of the records leave the rate by .* not evenly'): contiguous(st, T0)
    else:
        tr = contiguous(st, T0)
        assert time_error(tr, true) < right <= ASTRAY
        assert time_error(tr, true, whole=True) < ASTRAY + .4    # cut where its times do not hold; .3 s within a record

TWO = Trace(signal(SECONDS), HEAD | dict(delta=1., starttime=DAY+14_000))
@pytest.mark.parametrize('shift', [1., -2., 7.3, 3600.])
def test_same_samples_twice(shift):
    other = TWO.copy()
    other.stats.starttime += shift
    if shift == 3600: other.trim(T0-100, T0+8000)
    with pytest.raises(Rejected, match=f'timing: the same samples twice, {abs(shift):g} s apart'): contiguous(Stream([TWO, other]), T0)

def test_same_samples_a_fraction_apart():
    other = TWO.copy()
    other.stats.starttime += .3
    assert contiguous(Stream([TWO, other]), T0).stats.remark == 'the same samples twice, 0.3 s apart'

@pytest.mark.parametrize('lost, reason', [(1, 'gap'), (-1, 'overlap differs'), (300, 'gap')])
def test_a_step_of_the_clock_is_no_slow_clock(lost, reason):
    "Whole samples that are missing, once or every ten minutes"
    for often in (False, True):
        steps = (SECONDS-14_000)//600 if often else SECONDS > ZERO+500
        with pytest.raises(Rejected) as e: contiguous(stamped(SECONDS + lost*steps, 100, x=signal(SECONDS)), T0)
        assert e.value.reason == reason

def test_rates_equal_to_rounding():
    "Two parts of .99997 and 1 Hz: 74 ms within the window, which is left; three times that is not"
    first, second = TWO.slice(None, DAY+18_000), TWO.slice(DAY+18_001)
    for rate, remark in ((.99997, False), (.99991, True)):
        second.stats.sampling_rate = rate
        tr = contiguous(Stream([first, second]), T0)
        t = np.r_[np.arange(first.stats.npts), first.stats.npts + np.arange(second.stats.npts)/rate] + 14_000
        assert time_error(tr, t, TWO.data) < STAMPS and bool(tr.stats.get('remark')) == remark

def sac(tmp_path, tr, **fields):
    tr.write(str(tmp_path/'a.sac'), 'SAC')
    data = bytearray((tmp_path/'a.sac').read_bytes())
    for at, value in fields.values(): data[at:at+4] = np.float32(value).tobytes()
    (tmp_path/'a.sac').write_bytes(data)
    return tmp_path/'a.sac'

@pytest.mark.filterwarnings('ignore:Sample spacing read from SAC')
def test_sac(tmp_path):
    "ObsPy rounds the interval to a microsecond, a second in a day at 25.6 Hz; and a header says its end twice"
    n = int(86400*25.6)
    tr = Trace(np.random.default_rng(0).normal(size=n).astype(np.float32), HEAD | dict(delta=1/25.6, starttime=DAY))
    found = read_stamped(sac(tmp_path, tr))[0]
    assert abs(found.stats.endtime - (DAY + (n-1)/25.6)) < .01 and not found.stats.get('remark')
    hour = TWO.slice(DAY+15_000, DAY+18_599)
    assert not read_stamped(sac(tmp_path, hour))[0].stats.get('remark')
    assert not read_stamped(sac(tmp_path, hour, e=(24, 3600.)))[0].stats.get('remark')        # counted one too many
    assert not read_stamped(sac(tmp_path, hour, e=(24, -12345.)))[0].stats.get('remark')
    assert 'SAC header: 7200.0 s by B and E, 3599.0 s' in read_stamped(sac(tmp_path, hour, e=(24, 7200.)))[0].stats.remark
    with pytest.raises(Rejected, match='timing: SAC header: 3609.0 s by B and E'): read_stamped(sac(tmp_path, hour, e=(24, 3609.)))

@lru_cache(None)
def station(noise=2e-8): return counts(motion(ONE)[0], noise=noise)      # m: a count, of up to 2,000; 1e-6: 55 counts

def filled(kind, length, at=1600, noise=2e-8):
    tr = station(noise).copy()
    a = 2400 + at - length//2
    if kind == 'a float line': tr.data = tr.data.astype(float); tr.data[a:a+length] = np.linspace(*tr.data[[a, a+length]], length)
    else: tr.data = fill_run(tr.data, a, a+length, kind)
    return tr

WINDOW = window_of(T0)
@pytest.mark.parametrize('kind, says', [('zeros', 'the value 0.0'), ('held value', 'the value [-0-9.e]+'), ('straight line', 'a straight line'),
    ('a float line', 'a straight line'), ('spline', 'a curve without noise'), ('copy', 'a copy of what is .* before')])
@pytest.mark.parametrize('length', [20, 55, 600])
@pytest.mark.parametrize('scale', [1, 1e-9, 256], ids=['counts', 'metres', 'shifted'])
def test_fills(kind, says, length, scale):
    "Each kind in counts, in units of 1e-9 m and with eight empty bits, in the surface waves"
    if kind == 'spline' and length == 600: pytest.skip('leaves the range of the record')
    noisy = kind == 'spline' or kind == 'copy' and length < 60       # what has no noise may be smooth, or like itself
    tr = filled(kind, length, noise=1e-6 if noisy else 2e-8)
    tr.data = tr.data*scale
    with pytest.raises(Rejected, match=f'gap: {says} for [0-9.]+ s from '): check_counts(contiguous(tr, T0), *WINDOW)
    a, b = 2400+1600-length//2, 2400+1600-length//2+length
    f = max(find_fills(tr.data, 1.), key=lambda f: f.last-f.first)
    assert abs(f.first-a) <= 12 and abs(f.last-b) <= 12       # the record goes on smoothly

def test_zeros_of_a_few_seconds():
    "From 5 s on at the largest wave"
    at = int(np.argmax(np.abs(station().data[2400:4200])))
    for length in (5, 8, 12): assert find_fills(filled('zeros', length, at).data, 1.)

@pytest.mark.parametrize('scale', [1, 256, 1e-9])
def test_a_sound_record_has_none(scale):
    assert find_fills(station().data*scale, 1.) == []

def test_slow_waves_of_few_counts():
    "Straight near each inflection, flat near each extremum, and sound, at any amplitude, period and rate"
    for dt in (1., .05):
        t = np.arange(0, 3000, dt)
        for amplitude in (3, 10, 30, 100, 300, 1000, 1e4, 1e6):
            for period in (17.3, 50.7, 110.9, 240.1):
                wave = amplitude*np.cos(2*np.pi*(t + t**2/2e4)/period)*np.exp(-((t-1500)/700)**2)
                kinds = {f.kind for f in find_fills(np.rint(wave)[t > 300], dt) if (f.last-f.first)*dt < 60}
                assert not kinds, (dt, amplitude, period, kinds)

def test_fill_outside_of_the_window_shortens_the_piece():
    tr = filled('straight line', 300, at=-900)
    tr = contiguous(tr, T0)
    assert -751 < tr.stats.starttime - T0 < -740
    check_counts(tr, *WINDOW)

NO_DATA = [2147483647, -2147483648, -12345, 1e35, np.nan, np.inf]
@pytest.mark.parametrize('value', NO_DATA, ids=str)
@pytest.mark.parametrize('length', [2, 55, 600])
def test_values_for_no_data(value, length):
    tr = station().copy()
    tr.data = tr.data.astype(float)
    tr.data[3500:3500+length] = value
    if np.isfinite(value): reason, says = 'gap', rf'the value {value:.1f} for {length:.1f} s from 1099.0 s'.replace('+', r'\+')
    else: reason, says = 'not finite', f'{length} of 2161 samples in the window: {value}, the first at 05:24:27'
    if value == 1e35: says = r'the value 1e\+35 for'
    with pytest.raises(Rejected, match=f'{reason}: {says}'):
        check_finite(tr, *WINDOW)
        contiguous(tr, T0)

def test_a_count_of_the_same_value_is_a_count():
    tr = station().copy()
    tr.data = tr.data - tr.data[3500] - 12345                     # one sample, and a smooth wave through it
    assert contiguous(tr, T0).stats.npts == contiguous(station(), T0).stats.npts

def test_clipped_below_a_glitch():
    tr = station().copy()
    level = 200
    tr.data = tr.data.clip(None, level)
    with pytest.raises(Rejected, match='clipped: .* at the largest value'): check_counts(tr, *WINDOW)
    tr.data[3000] = 2*level
    with pytest.raises(Rejected, match=f'clipped: .* flat tops at the value {level}'): check_counts(tr, *WINDOW)
    tr.data = tr.data.clip(-level, None) + 5000                # on both sides, with an offset
    with pytest.raises(Rejected, match='clipped'): check_counts(tr, *WINDOW)

def test_records_that_begin_late():
    "With `late` a record may begin at or after the origin; in the band it is what it was, from the end of the taper on"
    none = lambda f: np.ones(len(f))
    tr = motion(ONE)[0]
    full = contiguous(tr, T0)
    u = band_limited(full.data, 1., full.stats.starttime-T0, none, (-1000., 2800.))
    for begin in (-9.3, 0., 20.):
        cut = tr.copy()
        cut.data, cut.stats.starttime = cut.data[2400+int(np.ceil(begin)):], T0 + float(np.ceil(begin))
        with pytest.raises(Rejected, match='too short'): contiguous(cut, T0)
        late = contiguous(cut, T0, late=20.)
        start = late.stats.starttime - T0
        w = band_limited(late.data, 1., start, none, (start, 2800.))
        t = sample_times() > start + RISE + 500                   # before, noise and the edge itself
        assert np.abs(w-u)[t].max() < .02*np.abs(u).max()
    with pytest.raises(Rejected, match='needs 20 to'): contiguous(cut.slice(T0+21), T0, late=20.)

def test_fills_without_a_side():
    "A record may begin or end straight, but not stand still for a minute; a synthetic may, before its first wave"
    x = station(1e-6).data.astype(float)
    ramp = x.copy()
    ramp[:100], ramp[-100:] = np.arange(100)*30., np.arange(100)*-30.
    assert find_fills(ramp, 1.) == []
    for n, found in ((50, 0), (70, 1)):
        still = x.copy()
        still[:n] = still[n]
        assert len(find_fills(still, 1.)) == found
    begins = motion(ONE)[0]
    begins.data[:2400+200] = 0
    with pytest.raises(Rejected, match='gap: the value 0.0 for 2600'): check_counts(begins, *WINDOW)
    check_counts(begins, *WINDOW, silent=T0+300)
    with pytest.raises(Rejected, match='gap: the value 0.0 for 2600'): check_counts(begins, *WINDOW, silent=T0+100)

def test_five_equal_samples_at_40_hertz_do_not_matter():
    "They would hardly be chance, but are an eighth of a second"
    rng = np.random.default_rng(0)
    x = np.rint(1e5*np.cos(2*np.pi*np.arange(40*2000)/40/60) + rng.normal(size=40*2000)*2e3)
    x[30_000:30_005] = x[30_000]
    assert find_fills(x, 1/40) == []
    x[30_000:30_400] = x[30_000]
    assert [f.kind for f in find_fills(x, 1/40)] == ['value']

def test_remarks_of_all_parts():
    first, second = TWO.slice(None, DAY+18_000), TWO.slice(DAY+18_001)
    second.stats.remark = 'SAC header: of the second'
    assert contiguous(Stream([first, second]), T0).stats.remark == 'SAC header: of the second'

@pytest.mark.parametrize('peak', [30, 300, 3000, 1e5])
def test_synthetics_as_counts(peak):
    "A synthetic without noise, rounded, is a record; of few counts it stands still for a minute and more"
    u = motion(ONE)[0].data
    for x in (u, np.diff(u)):
        fills = find_fills(np.rint(x/np.abs(x).max()*peak), 1.)
        assert not [f for f in fills if f.kind != 'value' or f.last-f.first < 60]

def short_fills(x, dt): return [f for f in find_fills(x, dt) if f.kind != 'value' or (f.last-f.first)*dt < 60]

@pytest.mark.parametrize('dt', [1., .17, .05])
def test_no_false_alarms_in_waves(dt):
    "Trains of waves of 15 to 60 s without noise, in which groups and nodes follow each other"
    rng, t = np.random.default_rng(1), np.arange(0, 2700, dt)
    for k in range(120):
        period, phase = rng.uniform(15, 60, 8), rng.uniform(0, 2*np.pi, 8)
        x = (np.cos(2*np.pi*t[:, None]/period + phase)*rng.normal(size=8)).sum(1)*np.exp(-((t-1500)/600)**2)
        x = np.rint(x/np.abs(x).max()*10**rng.uniform(1, 4.5))
        assert not short_fills(x, dt), (k, np.abs(x).max(), short_fills(x, dt))

@pytest.mark.parametrize('dt', [1., .05])
def test_no_false_alarms_in_noise(dt):
    "White noise of 1 to 300 counts, alone and with a strong wave"
    rng, t = np.random.default_rng(2), np.arange(0, 2700, dt)
    for sigma in (.3, 1, 3, 10, 30, 100, 300):
        for wave in (0, 100, 1e4):
            for _ in range(4):
                x = rng.normal(size=len(t))*sigma + wave*np.cos(2*np.pi*t/70)
                assert not short_fills(np.rint(x), dt), (sigma, wave)

def test_a_test_signal_is_no_copy():
    for rate in (1, 40): assert not find_fills(np.rint(300*np.sin(2*np.pi*np.arange(rate*2400)/rate/90)), 1/rate)

def test_runs_that_may_be_chance():
    "In white noise of 12 counts four samples at a level or nine on a line are not yet a fill, twelve and twenty are"
    noise = np.rint(np.random.default_rng(4).normal(size=2700)*12)
    for n, found in ((4, False), (12, True)):
        x = noise.copy()
        x[1000:1000+n] = 40
        assert bool(find_fills(x, 1.)) == found
    for n, found in ((9, False), (20, True)):
        x = noise.copy()
        x[1000:1000+n] = np.rint(np.linspace(12, -8, n))
        assert bool(find_fills(x, 1.)) == found

def test_what_comes_gradually_is_no_fill():
    "A level left with the sixth power of time; a node between groups of waves; noise that dies down and comes back"
    t = np.arange(-1000., 1000)
    assert not short_fills(np.rint((t[900:1100]/25)**6), 1.)
    waves = np.rint(2e6*np.cos(2*np.pi*t/17)*np.minimum(abs(t)/60, 2)**6)
    assert not [f for f in short_fills(waves, 1.) if f.kind == 'curve without noise']
    noise = np.random.default_rng(5).normal(size=len(t))*np.minimum((t/90)**2, 20)*2
    assert not find_fills(np.rint(200*np.cos(2*np.pi*t/110) + noise), 1.)

def share_found(fill, length, noise):
    "Share of fills that are found at places from the P wave to the surface waves"
    x, at = station(noise).data.astype(float), range(3000, 4100, 50)
    def found(y, a): return any(f.first < a+length and f.last > a for f in find_fills(y, 1.))
    return np.mean([found(fill(x, a, a+length), a) for a in at])

def test_how_many_fills_are_found():
    "In a record of a few dozen counts, with a noise of one"
    def line(x, a, b): return fill_run(x, a, b, 'straight line')
    def curve(x, a, b):
        i, y = np.r_[a-5:a, b:b+5], x.copy()
        y[a:b] = np.rint(PchipInterpolator(i, x[i])(np.arange(a, b)))
        return y
    assert share_found(line, 300, 0) == 1 and share_found(line, 120, 2e-8) == 1 and share_found(line, 55, 2e-8) > .9
    assert share_found(lambda *of: fill_run(*of, 'zeros'), 20, 2e-8) == 1 and share_found(curve, 60, 2e-8) > .4
