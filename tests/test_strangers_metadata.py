"""Metadata as strangers write them: placeholders, spellings, epochs, poles, gains and places that contradict each other.
Each case is the right answer, a remark with numbers, or a reason; never a wrong ground motion without a word."""
import warnings
import numpy as np, pytest
from obspy import UTCDateTime
from obspy.core.inventory.response import ResponseListElement, ResponseListResponseStage
from fwinb.data.events import Rejected
from fwinb.data.instruments import (
    CHECKED, GroundMotion, Place, displacement_response, find_instrument, find_place, ground_unit, settle_response)
from small_world import ONE, POLES, RESP, T0, ZEROS, inventory, paz

S = 2j*np.pi*CHECKED
VELOCITY = 6e8*S*S**2/np.prod([S-p for p in POLES], axis=0)    # counts per metre
NAME, WINDOW = 'XX.AAA..LHZ', (T0-60, T0+2100)

def find(response=None, station=NAME, rate=None, place=None, inv=None, **more):
    return find_instrument(inv or inventory(ONE, response, **more), station, *WINDOW, rate, place)

def sound(response, exact=VELOCITY, rtol=1e-3):
    new, remark = settle_response(response)
    np.testing.assert_allclose(displacement_response(new, CHECKED), exact, rtol=rtol)
    return remark

def refused(response, reason, *words):
    with pytest.raises(Rejected) as e: settle_response(response)
    assert e.value.reason == reason
    for word in words: assert word in e.value.detail, e.value.detail

# units

SI = {0: ('M', 'm', 'Meters', 'Displacement in Meters'),
      1: ('M/S', 'm/s', 'M/SEC', 'm s-1', 'm.s^-1', 'meters per second', 'Velocity in Meters Per Second', 'm*s**-1'),
      2: ('M/S**2', 'm/s^2', 'M/(S**2)', 'M/(S^2)', 'M/SEC**2', 'M/(SEC**2)', 'M/S/S', 'm/s2', 'm s-2', 'm/s²', 'm s⁻²',
          'M/(S*S)', 'meters/second/second', 'Acceleration in Meters Per Second Per Second', 'm/s**2 - Acceleration')}
OTHERS = {0: ('NM', 'mm', 'nanometers', 'µm'), 1: ('NM/S', 'NM/SEC', 'CM/S', 'cm/sec', 'MM/S', 'UM/S', 'µm/s', 'nm/s'),
          2: ('NM/S**2', 'NM/SEC**2', 'NM/(SEC**2)', 'CM/S**2', 'CM/(S**2)', 'cm/s^2', 'MM/SEC**2', 'mm/s2', 'um/s**2')}
FACTORS = dict(N=1e9, C=1e2, M=1e3, U=1e6, Μ=1e6)
CASES = [(o, u, 1.) for o, us in SI.items() for u in us] + [(o, u, FACTORS[u[0].upper()]) for o, us in OTHERS.items() for u in us]

@pytest.mark.parametrize('order, unit, scale', CASES, ids=[f'{o}-{u}' for o, u, _ in CASES])
def test_spelling(order, unit, scale):
    "The same accelerometer, velocity sensor or displacement sensor in any unit"
    zeros = ZEROS + (0j,)*(1-order) if order < 2 else ()
    poles = POLES if order < 2 else ()
    exact = 6e8*S**order*(np.prod([S]*len(zeros), axis=0)/np.prod([S-p for p in poles], axis=0) if poles else 1)
    response = paz(unit, gain=1500./scale, poles=poles, zeros=zeros, a0=1/abs(.2*np.pi) if order == 0 else 1.)
    if order == 0: exact = exact/(.2*np.pi)
    response.instrument_sensitivity = None
    assert sound(response, exact) == ''
    with warnings.catch_warnings():
        warnings.simplefilter('error')                         # evalresp gets a unit that it knows
        np.testing.assert_allclose(displacement_response(response, CHECKED), exact, rtol=1e-3)

@pytest.mark.parametrize('unit', ['G', 'g', 'COUNTS', 'V', 'V/M', 'PA', 'RAD/S', 'M/M', 'M**3/M**3', 'C', 'KM/S', 'MS', 'bananas'])
def test_no_ground_motion(unit): refused(paz(unit), 'no response', repr(unit))

def test_every_unit_of_obspy():
    "What ObsPy takes for ground motion is read, but for strain"
    import inspect, re
    from obspy.core.inventory.response import Response
    text = inspect.getsource(Response._call_eval_resp_for_frequencies)
    known = re.findall(r'"(\S+)": ew.ENUM_UNITS\["(DIS|VEL|ACC)"\]', text)
    assert len(known) > 25
    for unit, kind in known:
        assert (ground_unit(unit) or (None,))[0] == (None if unit in ('M/M', 'M**3/M**3') else ['DIS', 'VEL', 'ACC'].index(kind))

def test_unit_is_stated_twice():
    response = paz()
    response.instrument_sensitivity.input_units = 'M/S**2'
    refused(response, 'metadata', 'M/S in stage 1', 'M/S**2 in the sensitivity')
    response = paz(total=.6)                                    # counts per nm/s: the same gain
    response.instrument_sensitivity.input_units = 'NM/S'
    assert sound(response) == ''
    response = paz('NM/S', gain=1500., total=6e8)               # the same number in two units
    response.instrument_sensitivity.input_units = 'M/S'
    refused(response, 'metadata', 'gain: stages 6e+17, stated 6e+08')
    response = paz(unit=None)
    response.instrument_sensitivity.input_units = 'm/s'
    assert sound(response) == ''

@pytest.mark.parametrize('unit, fine', [('V', True), ('VOLTS', True), ('volt', True), ('A', False), ('M/S', False), ('mV', False)])
def test_units_of_the_stages(unit, fine):
    response = paz()
    response.response_stages[1].input_units = unit
    if fine: assert sound(response) == ''
    else: refused(response, 'metadata', f"stage 1 ends in 'V', stage 2 begins in {unit!r}")

def test_no_digitiser():
    response = paz(total=1500.)
    del response.response_stages[1]
    assert settle_response(response)[1] == 'the response ends in V, not in counts'

# gains

@pytest.mark.parametrize('ratio, remark', [(1., ''), (1.07, ''), (.93, ''), (1.5, 'gain: stages 6e+08, stated 9e+08; the stages are used'),
    (.4, 'gain: stages 6e+08, stated 2.4e+08; the stages are used')])
def test_sensitivity(ratio, remark): assert sound(paz(total=6e8*ratio)) == remark

@pytest.mark.parametrize('ratio', [4, .1, 1/4e5, 1e9])
def test_sensitivity_far(ratio): refused(paz(total=6e8*ratio), 'metadata', 'gain: stages 6e+08, stated')

@pytest.mark.parametrize('total', [0., 1., -1., 123456., -12345., np.nan])
def test_sensitivity_is_a_placeholder(total): assert sound(paz(total=total)) == ''

def test_no_gain_in_the_stages():
    for gain in (1., None):
        response = paz(gain=gain, ad=1., total=6e8)
        assert sound(response) == 'gain: none in the stages, stated 6e+08; it is used'
    refused(paz(gain=1., ad=1., total=1.), 'metadata', 'gain: 1, a placeholder')
    for gain in (0., np.nan): refused(paz(gain=gain), 'metadata', 'in stage 1')

def test_negative_gain():
    assert sound(paz(gain=-1500.), -VELOCITY) == 'gain: negative, turned over'
    assert sound(paz(total=-6e8)) == 'gain: the sensitivity has the other sign'

@pytest.mark.parametrize('where', ['gain', 'normalisation', 'sensitivity', 'all'])
def test_frequency_is_a_placeholder(where):
    "evalresp stops at a gain at 0 Hz of an instrument without one; its stages are sound"
    response = paz()
    stage, total = response.response_stages[0], response.instrument_sensitivity
    if where in ('gain', 'all'): stage.stage_gain_frequency = 0.
    if where in ('normalisation', 'all'): stage.normalization_frequency = 0.
    if where in ('sensitivity', 'all'): total.frequency = 0.
    assert sound(response) == ''

def test_normalisation_factor():
    "A0 of 1 is a placeholder; otherwise it is compared"
    high = POLES + (-200+300j, -200-300j)
    exact = 6e8*S*S**2/np.prod([S-p for p in high], axis=0)*abs(np.prod([.2j*np.pi-p for p in high[2:]]))
    right = abs(np.prod([.2j*np.pi-p for p in high])/(.2j*np.pi)**2)
    assert sound(paz(poles=high, a0=right), exact) == ''
    assert 'A0 of stage 1: 1 stated, 1.3e+05' in sound(paz(poles=high), exact)
    assert 'the gain of the stage is used' in sound(paz(poles=high, a0=right*2.2), exact)
    hertz = right/(2*np.pi)**2                                  # of the same numbers in Hz
    numbers = [p/2/np.pi for p in high]
    for broken in (paz(poles=high, a0=hertz), paz(poles=numbers, a0=right)): refused(broken, 'metadata', 'one of them is in Hz, the other in rad/s')
    refused(paz(poles=high, zeros=ZEROS+(0j,), a0=right), 'metadata', 'it fits 1 zero at the origin less')
    refused(paz(poles=high, zeros=ZEROS[1:], a0=right), 'metadata', 'it fits 1 zero at the origin more')
    response = paz(poles=high, total=6e8/right)                 # a sensitivity made with the A0 that is stated
    assert sound(response, exact/right) == ''

# poles and zeros

def test_unstable(): refused(paz(poles=tuple(-np.conj(p) for p in POLES)), 'metadata', '2 of 2 with a positive real part')

def test_unstable_beyond_the_band():
    "Two poles of an accelerometer at 5 and 9 kHz without their minus: found in real metadata, without effect"
    remark = sound(paz('M/S**2', poles=(30300., 58900.), zeros=(), a0=30300.*58900.), 6e8*S**2)
    assert 'with a positive real part' in remark and 'without effect in the band' in remark
    refused(paz('M/S**2', poles=(30300.,), zeros=(), a0=30300.), 'metadata', 'positive real part')     # turns the record over

@pytest.mark.parametrize('poles', [(-.037+.037j, -.035-.030j), (-.037+.037j, -.037+.037j), (-.037+.037j,)])
def test_not_conjugate(poles): refused(paz(poles=poles), 'metadata', 'not in conjugate pairs')

def test_zeros_not_conjugate(): refused(paz(zeros=(0j, -.01+.02j)), 'metadata', 'not in conjugate pairs')

@pytest.mark.parametrize('unit', ['M/S', 'M'])
def test_flat(unit):
    refused(paz(unit, poles=(), zeros=()), 'metadata', 'no poles and no zeros')
    refused(paz(unit, zeros=()), 'metadata', 'at 10000 s')

def test_flat_accelerometer(): assert sound(paz('M/S**2', poles=(), zeros=()), 6e8*S**2) == ''

def test_list_must_cover_the_band():
    f = np.array([.05, .1, 1., 10.])
    elements = [ResponseListElement(x, 1., 0.) for x in f]
    listed = ResponseListResponseStage(1, 1500., .1, 'M/S', 'V', response_list_elements=elements)
    response = paz()
    response.response_stages[0] = listed
    with pytest.raises(Rejected, match='a list from 0.05 to 10 Hz'): displacement_response(response, CHECKED)

@pytest.mark.parametrize('coefficients, remark', [([.5, .5], ''), ([.5, .505], ''), ([1.5, 1.5], 'filters: coefficients divided by their sum in stage 2 (3)')])
def test_filter(coefficients, remark, capfd):
    response = paz()
    response.response_stages[1].numerator = coefficients
    new, said = settle_response(response)
    assert said == remark
    assert abs(abs(displacement_response(new, CHECKED)/VELOCITY) - 1).max() < .01 and capfd.readouterr().err == ''

@pytest.mark.parametrize('broken', [dict(total=2e8), dict(a0=3.), dict(gain=-1500.), dict(total=0.)])
def test_evalresp_says_nothing(broken, capfd):
    "Its warnings are remarks in the row, not lines on the terminal"
    sensor = find(paz(**broken))
    displacement_response(sensor.response, CHECKED)
    assert capfd.readouterr() == ('', '') and (sensor.remark or 'total' in broken)

def test_stage_twice():
    response = paz()
    response.response_stages[1].stage_sequence_number = 1
    refused(response, 'metadata', 'stages 1, 1: one twice')

def test_stages_in_another_order():
    response = paz()
    response.response_stages.reverse()
    assert sound(response) == ''

@pytest.mark.parametrize('delay, correction, remark', [(31., 31., ''), (.43, .35, ''), (31., 0., 'filters: delay 31 s, corrected 0 s')])
def test_delay(delay, correction, remark):
    response = paz()
    response.response_stages[1].decimation_delay, response.response_stages[1].decimation_correction = delay, correction
    assert settle_response(response)[1] == remark

# place

def set_place(inv, channel=None, station=None):
    s = inv[0][0]
    for x, values in ((s[0], channel), (s, station)):
        if values: x.latitude, x.longitude, x.elevation = values
    return inv

SAC = Place(35., 20., 100., 0., 'SAC header')

@pytest.mark.parametrize('channel, station, place, expected, remark', [
    (None, None, None, (35., 20.), ''),
    ((0., 0., 123456.), (0., 0., 123456.), SAC, (35., 20.), 'place: of the SAC header'),
    ((0., 0., 123456.), None, None, (35., 20.), 'place: of the station'),
    ((0., 0., 0.), None, None, (35., 20.), 'place: of the station'),
    (None, (0., 0., 0.), None, (35., 20.), ''),
    ((35.02, 20., 0.), None, None, (35.02, 20.), 'place: channel 35.02 20.00, station 35.00 20.00, 2.22 km apart; that of the channel is used'),
    ((35.005, 20., 0.), None, SAC, (35.005, 20.), ''),
    ((-35., 20., 0.), None, SAC, (35., 20.), 'that of the station is used'),
    ((0., 0., -4900.), (0., 0., -4900.), None, (0., 0.), ''),
])
def test_place(channel, station, place, expected, remark):
    sensor = find(inv=set_place(inventory(ONE), channel, station), place=place)
    assert (sensor.latitude, sensor.longitude) == expected
    assert remark in sensor.remark and bool(remark) == bool(sensor.remark), sensor.remark
    assert sensor.elevation_m in (0., 100., -4900.) and sensor.burial_m == 0

@pytest.mark.parametrize('channel, station, place, reason', [
    ((0., 0., 123456.), (0., 0., 123456.), None, 'no coordinates'),
    ((0., 0., 0.), (0., 0., 0.), Place(-12345., -12345., -12345., -12345.), 'no coordinates'),
    ((0., 0., 0.), (0., 0., 0.), Place(np.nan, 20.), 'no coordinates'),
    ((35., -20., 0.), None, None, 'metadata'),
    (None, None, Place(35.5, 20., 0., 0., 'SAC header'), 'metadata'),
    ((35., -20., 0.), None, Place(20., 35., 0., 0., 'CSV'), 'metadata'),
])
def test_no_place(channel, station, place, reason):
    with pytest.raises(Rejected) as e: find(inv=set_place(inventory(ONE), channel, station), place=place)
    assert e.value.reason == reason and e.value.station == NAME

def test_elevation_placeholder():
    inv = set_place(inventory(ONE), (35., 20., 123456.))
    inv[0][0][0].depth = 123456.
    inv[0][0].elevation = 250.
    assert find(inv=inv)[5:7] == (250., 0.)
    inv[0][0].elevation, inv[0][0][0].elevation = 250., 2500.
    assert find(inv=inv).remark == 'elevation: 2500 m, 250 m'

def test_place_from_another_file():
    "RESP beside a list of stations: response of one, place of the other"
    resp, places = set_place(inventory(ONE), (0., 0., 123456.), (0., 0., 123456.)), inventory(ONE)
    places[0][0].channels = []
    sensor = find(inv=resp + places)
    assert (sensor.latitude, sensor.longitude, sensor.remark) == (35., 20., 'place: of the station')

def test_place_without_metadata():
    "Of records that are ground motion already"
    assert find_place(None, NAME, *WINDOW, SAC) == (SAC, '')
    assert find_place(inventory(ONE), 'XX.AAA..BXZ', *WINDOW)[0][:2] == (35., 20.)
    with pytest.raises(Rejected, match='no coordinates'): find_place(None, NAME, *WINDOW)
    f = np.array([.01, .02])
    np.testing.assert_allclose(displacement_response(GroundMotion(2, 1e9), f), -1e9*(2*np.pi*f)**2)
    np.testing.assert_allclose(displacement_response(GroundMotion(0), f), 1)

# epochs

LATER = UTCDateTime(2018, 3, 4)

def two(first=None, second=None, first_end=None, start=LATER, rates=(1., 1.), **more):
    inv, other = inventory(ONE, first or paz(), end=first_end, rate=rates[0]), inventory(ONE, second or paz(), start=start, rate=rates[1], **more)
    return inv + other

def test_two_epochs_that_agree():
    assert find(inv=two()).remark == '' and find(inv=two(second=paz(gain=1560.))).remark == ''
    assert find(inv=inventory(ONE) + inventory(ONE)).remark == ''                 # the same in two files

def test_two_epochs_that_disagree():
    with pytest.raises(Rejected) as e: find(inv=two(second=paz(gain=1500/32)), rate=1.)
    assert e.value.reason == 'metadata'
    for word in ('2 epochs valid', '2010-01-01', '2018-03-04', 'gains 6e+08 and 1.88e+07'): assert word in e.value.detail, e.value.detail
    with pytest.raises(Rejected, match='same gain, other poles'): find(inv=two(second=paz(poles=(-.37+.37j, -.37-.37j))))
    with pytest.raises(Rejected, match='dips'): find(inv=two(dip=90.))

def test_rate_decides():
    for rates, gain in (((1., 10.), 6e8), ((10., 1.), 6e8/16)):
        sensor = find(inv=two(second=paz(gain=1500/16), rates=rates), rate=1.)
        np.testing.assert_allclose(displacement_response(sensor.response, CHECKED), VELOCITY*gain/6e8, rtol=1e-3)
        assert '2 epochs valid: the one of 1 Hz is used' in sensor.remark
    assert find(inv=two(second=paz(gain=1500/16), rates=(1., 10.)), rate=1.0001)
    with pytest.raises(Rejected, match='2 epochs valid'): find(inv=two(second=paz(gain=1500/16), rates=(1., 10.)), rate=20.)

def test_rate_of_another_instrument():
    assert find(rate=20.).remark == 'rate: the record has 20 Hz, the metadata 1 Hz' and find(rate=.9995).remark == ''

def test_epoch_ends_in_the_record():
    "Epochs that meet within the record are one if they agree"
    at = T0 + 600
    assert find(inv=two(first_end=at-1, start=at)).remark == ''
    with pytest.raises(Rejected, match='gains'): find(inv=two(second=paz(gain=100.), first_end=at-1, start=at))
    with pytest.raises(Rejected, match='no epoch covers'): find(inv=two(first_end=at-600, start=at))

def test_epoch_ends_beside_the_window():
    at = T0 - 1000
    sensor = find(inv=two(first=paz(gain=100.), first_end=at-1, start=at))
    assert sensor.since == at and 'another response before 2018-03-04T04:49:27' in sensor.remark
    assert find(inv=two(first_end=at-1, start=at))[6:9] == (0., None, None)
    assert find(inv=two(second=paz(gain=100.), first_end=T0+3000, start=T0+3000)).until == T0+3000

def test_epoch_without_a_response():
    "A list of channels beside full metadata, in either order"
    bare = inventory(ONE, start=LATER)
    bare[0][0][0].response = None
    for inv in (inventory(ONE) + bare, bare + inventory(ONE)): assert find(inv=inv).response.response_stages

def test_dates():
    with pytest.raises(Rejected, match='no epoch covers'): find(start=UTCDateTime(2019, 1, 1), end=UTCDateTime(2011, 1, 1))
    assert find(start=None).sign == 1 and find(end=UTCDateTime(2599, 12, 31)).sign == 1

@pytest.mark.parametrize('loc, asked, fine', [('', '', True), ('--', '', True), ('  ', '', True), ('', '--', True), ('00', '', False), ('', '00', False)])
def test_location(loc, asked, fine):
    inv = inventory(ONE)
    inv[0][0][0]._location_code = loc
    if fine: assert find(inv=inv, station=f'XX.AAA.{asked}.LHZ').sign == 1
    else:
        with pytest.raises(Rejected, match=f'known of the station: {loc}.LHZ'): find(inv=inv, station=f'XX.AAA.{asked}.LHZ')

# dip

@pytest.mark.parametrize('dip, sign, remark', [(-90., 1, ''), (90., -1, 'dip +90: turned over'), (None, 1, ''), (-89.9, 1, '')])
def test_dip(dip, sign, remark):
    sensor = find(dip=dip)
    assert (sensor.sign, sensor.remark) == (sign, remark)

def test_tilted():
    for dip in (0., -45.):
        with pytest.raises(Rejected, match='its dip is'): find(dip=dip)

# real metadata

REAL = {    # of ObsPy's own tests: file -> remark on its verticals, or the reason why they are dropped
    'core/tests/data/IU_ULN_00_LH1.xml': '', 'io/stationxml/tests/data/IRIS_single_channel_with_response.xml': '', 'io/xseed/tests/data/dataless.seed.II_COCO': '',
    'io/xseed/tests/data/dataless.seed.BW_RJOB': '', 'io/xseed/tests/data/dataless.seed.BW_ZUGS': 'metadata: poles of stage 1 or its zeros',
    'io/xseed/tests/data/RESP.JM.NMIA0.00.HHN': 'poles of stage 1: 2 of 2 with a positive real part'}

@pytest.mark.parametrize('file', REAL)
def test_real(file):
    "No false alarm on sound metadata; the fault of the others by its name"
    from pathlib import Path
    import obspy
    path = Path(obspy.__file__).parent/file
    if not path.is_file(): pytest.skip('this ObsPy came without its tests')
    responses = [c.response for n in obspy.read_inventory(str(path)) for s in n for c in s if c.response]
    said = set()
    for r in responses:
        try: said.add(settle_response(r)[1])
        except Rejected as e: said |= {f'{e.reason}: {e.detail}'} if e.reason == 'metadata' else set()
    assert said and all(x.startswith(REAL[file]) and bool(x) == bool(REAL[file]) for x in said), said

def test_real_archives(world):
    from fwinb.data.files import read_stations
    files = sorted({*world.folder.glob('stationxml/*.xml'), *world.folder.parent.glob('real_20*/stationxml/*.xml')})
    channels = [(n.code, s.code, c) for p in files for n in read_stations(p) for s in n for c in s if c.code.endswith('Z')]
    for n, s, c in channels:
        inv = [i for i in map(read_stations, files) if i[0].code == n and i[0][0].code == s][0]
        assert find_instrument(inv, f'{n}.{s}.{c.location_code}.{c.code}', c.start_date, c.start_date+2000, c.sample_rate).remark == ''

# kinds of files

PZ = """* **********************************
* NETWORK   (KNETWK): XX
* STATION    (KSTNM): AAA
* LOCATION   (KHOLE): 
* CHANNEL   (KCMPNM): LHZ
* START             : 2010-01-01T00:00:00
* END               : 2599-12-31T23:59:59
* LATITUDE          : 35.0
* LONGITUDE         : 20.0
* ELEVATION         : 1671.0
* DEPTH             : 145.0
* DIP               : 0.0
* INPUT UNIT        : M
* OUTPUT UNIT       : COUNTS
* SENSITIVITY       : 6.0e+08 (M/S)
* A0                : 1.0
* **********************************
ZEROS\t3
POLES\t2
\t-3.7e-02\t3.7e-02
\t-3.7e-02\t-3.7e-02
CONSTANT\t6.0e+08

"""
NDK = '''MLI  1976/01/01 01:29:39.6 -28.61 -177.64  59.0 6.2 0.0 KERMADEC ISLANDS REGION
M010176A         B:  0    0   0 S:  0    0   0 M: 12   30 135 CMT: 1 BOXHD:  9.4
'''
FULL = b'000001V 010009502.3121970,001,00:00:00.0000~2038,001,00:00:00.0000~2010,001,00:00:00.0000~X~Y~'.ljust(4096)
CONTENTS = {
    'stations': dict(
        dataless=FULL, resp=RESP.encode(), resp_with_comments=b'#\t\t<< IRIS SEED Reader, Release 4.8 >>\n#\n'+RESP.encode(),
        sacpz=PZ.encode(), bare_sacpz=PZ[PZ.index('ZEROS'):].encode(), stationxml=b'<?xml version="1.0"?>\n<FDSNStationXML xmlns="x"/>',
        prefixed=b'<?xml version="1.0"?><!-- a quakeml? -->\n<ns0:FDSNStationXML xmlns:ns0="x"/>', mark='\ufeff<FDSNStationXML/>'.encode(),
        sc3=b'<seiscomp xmlns="x"><Inventory/></seiscomp>', text=b'#Network | Station | Location | Channel | Latitude\nXX|AAA\n',
        dos=RESP.replace('\n', '\r\n').encode()),
    'events': dict(
        quakeml=b'<q:quakeml xmlns:q="x"/>', cmt=None, finite=None, ndk=NDK.encode(), bomb=b'<!DOCTYPE q [<!ENTITY a "b">]><quakeml/>',
        mentions=b'<?xml version="1.0"?><quakeml><text>FDSNStationXML</text></quakeml>'),
    'places': dict(stations=b'AAA XX 35.0000 20.0000 0.0 0.0\nBBB XX -20.0 60.0 0.0 0.0\n', one=b'AAA XX 35 20 0 0'),
    'records': dict(unknown=b'bla bla bla', windows=b'AAA XX 35.1 820.0 0.5 0.7\n', table=b'1 2 35 20 0 0\n', kml=b'<?xml version="1.0"?><kml/>', gzip=b'\x1f\x8b\x08', bzip2=b'BZh91AY&SY', zip=b'PK\x03\x04', empty=b'')}

@pytest.mark.parametrize('name', ['x', 'x.dat', 'X.MSEED', 'X.XML', 'x.sac', 'x.txt'])
@pytest.mark.parametrize('kind', CONTENTS)
def test_kind(kind, name, tmp_path):
    "By content, whatever the name; a note (.txt) is skipped unless it is data"
    from fwinb.data.files import kind_of_file
    from small_world import CMT
    for what, data in CONTENTS[kind].items():
        (tmp_path/name).write_bytes(CMT.encode()*(4 if what == 'finite' else 1) if data is None else data)
        assert kind_of_file(tmp_path/name) == ('' if name.endswith('.txt') and kind == 'records' else kind), what

@pytest.mark.parametrize('name', ['dataless.HL_ARG', 'HL_ARG.dataless', 'dataless_HL_ARG.seed', 'RESP.IU.ANMO.00.BHZ', 'IU.seed'])
def test_dataless_by_any_name(name, tmp_path):
    from fwinb.data.files import kind_of_file, kinds_of_file
    (tmp_path/name).write_bytes(FULL)
    assert kind_of_file(tmp_path/name) == 'stations' and kinds_of_file(tmp_path/name) == ('stations',)
    (tmp_path/name).write_bytes(FULL + b'000002D '.ljust(4096, b'\0'))           # a full volume
    assert kinds_of_file(tmp_path/name) == ('stations', 'records')

@pytest.mark.parametrize('name', ['README', 'README.md', 'LICENSE', 'x.part', 'x.answer', '.x', 'x.html', 'x.py', 'x.json', 'NOTES'])
def test_skipped(name, tmp_path):
    from fwinb.data.files import kind_of_file
    (tmp_path/name).write_bytes(b'see <quakeml> and StationXML')
    assert kind_of_file(tmp_path/name) == ''

def test_no_file_at_all(tmp_path):
    "A broken link, a folder or a pipe named like a file: a reason, and no wait"
    import os
    from fwinb.data.files import kind_of_file, read_events, read_records, read_stations
    (tmp_path/'link.mseed').symlink_to(tmp_path/'nothing')
    (tmp_path/'folder.mseed').mkdir()
    os.mkfifo(tmp_path/'pipe.mseed')
    (tmp_path/'loop.mseed').symlink_to(tmp_path/'loop.mseed')
    for name in ('link', 'folder', 'pipe', 'loop'):
        assert kind_of_file(tmp_path/f'{name}.mseed') == 'records'
        for read in (read_records, read_stations, read_events):
            with pytest.raises(Rejected, match='unreadable: (a broken link|a folder)'): read(tmp_path/f'{name}.mseed')

def test_full_seed(tmp_path, monkeypatch):
    "Control headers and records in one volume: both are read"
    from pathlib import Path
    import obspy
    from fwinb.data import files
    from fwinb.data.files import kinds_of_file, read_records, read_stations
    dataless = Path(obspy.__file__).parent/'io/xseed/tests/data/dataless.seed.BW_RJOB'
    if not dataless.is_file(): pytest.skip('this ObsPy came without its tests')
    tr = obspy.Trace(np.arange(4000, dtype=np.int32), dict(network='BW', station='RJOB', channel='EHZ'))
    tr.write(str(tmp_path/'x.mseed'), 'MSEED', reclen=4096)
    (tmp_path/'full.seed').write_bytes(dataless.read_bytes() + (tmp_path/'x.mseed').read_bytes())
    assert kinds_of_file(tmp_path/'full.seed') == ('stations', 'records')
    monkeypatch.setattr(files, 'LARGEST', dataless.stat().st_size + 100)        # of metadata, not of the records behind
    assert len(read_stations(tmp_path/'full.seed')[0]) == len(obspy.read_inventory(str(dataless))[0])
    st, _ = read_records(tmp_path/'full.seed')
    assert sum(t.stats.npts for t in st) == 4000

# SAC pole-zero files

def test_sacpz(tmp_path):
    from fwinb.data.files import read_stations
    (tmp_path/'a').write_text(PZ + PZ.replace('LHZ', 'BHZ').replace('* DIP   ', '* DIP (SEED)   '), encoding='utf-8')
    inv = read_stations(tmp_path/'a')
    sensor = find(inv=inv)
    np.testing.assert_allclose(displacement_response(sensor.response, CHECKED), VELOCITY, rtol=1e-3)
    assert sensor[1:7] == (35., 20., 1, '', 1671., 145.)
    with pytest.raises(Rejected, match='its dip is 0'): find(inv=inv, station='XX.AAA..BHZ')       # of SEED: horizontal

@pytest.mark.parametrize('change, reason, words', [
    (('CONSTANT\t6.0e+08', 'CONSTANT\t6.0e+02'), 'metadata', 'gain: stages'), (('35.0', '0.0'), '', ''),
    (('\t-3.7e-02\t', '\t3.7e-02\t'), 'metadata', 'positive real part'), (('INPUT UNIT        : M', 'INPUT UNIT        : PA'), 'no response', "'PA'"),
    (('CONSTANT', '*'), 'unreadable', 'cut short'), (('POLES\t2', 'POLES\t1'), 'unreadable', '2 POLES of 1'), (('AAA', ''), 'unreadable', 'without its channel')])
def test_sacpz_broken(change, reason, words, tmp_path):
    from fwinb.data.files import read_stations
    (tmp_path/'a.pz').write_text(PZ.replace(*change), encoding='utf-8')
    try: assert (find(inv=read_stations(tmp_path/'a.pz')).latitude, reason) == (0., '')
    except Rejected as e: assert e.reason == reason and words in e.detail

def test_sacpz_without_comments(tmp_path):
    "Its name says which channel; no place"
    from fwinb.data.files import read_stations
    path = tmp_path/'SAC_PZs_XX_AAA_LHZ__2010.001.00.00.00.0000_2599.365.23.59.59.99999'
    path.write_text(PZ[PZ.index('ZEROS'):], encoding='utf-8')
    with pytest.raises(Rejected, match='no coordinates'): find(inv=read_stations(path))
    assert find(inv=read_stations(path), place=SAC).remark == 'place: of the SAC header'

def test_resp(tmp_path):
    from fwinb.data.files import read_stations
    (tmp_path/'a').write_text(RESP, encoding='utf-8')
    with pytest.raises(Rejected, match='no coordinates'): find(inv=read_stations(tmp_path/'a'), rate=1.)
    sensor = find(inv=read_stations(tmp_path/'a'), place=SAC)
    np.testing.assert_allclose(displacement_response(sensor.response, CHECKED), VELOCITY, rtol=1e-3)
    assert (sensor.elevation_m, sensor.burial_m) == (100., 0.)

def test_channel_without_coordinates(tmp_path):
    "ObsPy leaves it out with a warning; the row has the cause"
    import re
    from fwinb.data.files import read_stations
    inventory(ONE).write(str(tmp_path/'a.xml'), 'STATIONXML')
    text = (tmp_path/'a.xml').read_text()
    at = text.index('<Channel')
    (tmp_path/'a.xml').write_text(text[:at] + re.sub(r'<Depth.*?</Depth>', '', text[at:]))
    with pytest.raises(Rejected) as e: find(inv=read_stations(tmp_path/'a.xml'))
    assert e.value.reason == 'metadata' and 'left out by ObsPy' in e.value.detail

# hostile input

BIG = 60_000_000

def packed(how):
    import bz2, gzip, io, lzma, tarfile, zipfile
    zeros, file = bytes(BIG), io.BytesIO()
    if how == 'bz2': return bz2.compress(zeros)
    if how == 'gz': return gzip.compress(zeros)
    if how == 'xz': return lzma.compress(zeros)
    if how == 'lzma': return lzma.compress(zeros, lzma.FORMAT_ALONE)
    if how == 'zip':
        with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as z: z.writestr('x', zeros)
    if how.startswith('tar'):
        with tarfile.open(fileobj=file, mode='w:' + how[4:]) as t:
            info = tarfile.TarInfo('x')
            info.size = len(zeros) if how[4:] else 1000
            t.addfile(info, io.BytesIO(zeros))
    return file.getvalue()

@pytest.mark.parametrize('how', ['bz2', 'gz', 'xz', 'lzma', 'zip', 'tar', 'tar.bz2', 'tar.gz'])
def test_packed(how, tmp_path):
    "ObsPy would unpack them to whatever they hold; here their first bytes are enough"
    import tracemalloc
    from fwinb.data.files import kind_of_file, read_events, read_records, read_stations
    data = packed(how)
    for name in ('x.mseed', 'x.xml', f'x.{how}', 'x'):
        (tmp_path/name).write_bytes(data)
        assert kind_of_file(tmp_path/name) == 'records'
        for read in (read_records, read_stations, read_events):
            tracemalloc.start()
            with pytest.raises(Rejected, match='unreadable: a packed file: unpack it first'): read(tmp_path/name)
            assert tracemalloc.get_traced_memory()[1] < 2e6
            tracemalloc.stop()

def test_sound_records_with_a_zip_behind(tmp_path):
    "A table of contents of a zip at the end of a file makes ObsPy unpack it"
    import io, zipfile
    from fwinb.data.files import read_records
    from small_world import counts, motion
    counts(motion(ONE)[0]).write(str(tmp_path/'a.mseed'), 'MSEED')
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as z: z.writestr('x', bytes(BIG))
    (tmp_path/'a.mseed').write_bytes((tmp_path/'a.mseed').read_bytes() + file.getvalue())
    try: st, remark = read_records(tmp_path/'a.mseed')
    except Rejected as e: assert 'mseed' in e.detail.lower()
    else: assert len(st) == 1 and remark

@pytest.mark.parametrize('npts', [2**31-1, 10**8, -5])
def test_sac_claims(npts, tmp_path):
    import struct, obspy
    from fwinb.data.files import read_records
    obspy.Trace(np.arange(1000, dtype=np.float32), dict(station='A', channel='LHZ')).write(str(tmp_path/'a'), 'SAC')
    data = bytearray((tmp_path/'a').read_bytes())
    data[316:320] = struct.pack('<i', npts)
    (tmp_path/'a').write_bytes(data)
    for headonly in (True, False):
        with pytest.raises(Rejected, match='unreadable'): read_records(tmp_path/'a', headonly)

def test_miniseed_claims(tmp_path):
    import struct, obspy
    from fwinb.data.files import read_records
    obspy.Trace(np.arange(1000, dtype=np.int32), dict(station='A', channel='LHZ')).write(str(tmp_path/'a'), 'MSEED', reclen=512)
    data = bytearray((tmp_path/'a').read_bytes())
    data[30:32] = struct.pack('>H', 65535)
    (tmp_path/'a').write_bytes(data)
    with pytest.raises(Rejected, match='samples claimed by a file of'): read_records(tmp_path/'a', True)
    with pytest.raises(Rejected, match='unreadable'): read_records(tmp_path/'a')

def test_gse_claims(tmp_path):
    from fwinb.data.files import read_records
    import obspy
    obspy.Trace(np.arange(1000, dtype=np.int32), dict(station='A', channel='LHZ')).write(str(tmp_path/'a'), 'GSE2')
    data = (tmp_path/'a').read_bytes()
    (tmp_path/'a').write_bytes(data.replace(b' CM6     1000', b' CM6 99999999'))
    for headonly in (True, False):
        with pytest.raises(Rejected, match='99999999 samples claimed'): read_records(tmp_path/'a', headonly)

def test_too_large(tmp_path, monkeypatch):
    "Text and XML multiply in memory: their size has a limit, which the row states"
    from fwinb.data import files
    (tmp_path/'a.xml').write_text('<quakeml>' + '<event publicID="a"/>'*1000 + '</quakeml>')
    monkeypatch.setattr(files, 'MOST_EVENTS', 999)
    with pytest.raises(Rejected, match='more than 999 events in one file: divide it'): files.read_events(tmp_path/'a.xml')
    monkeypatch.setattr(files, 'LARGEST', 20_000)
    for read in (files.read_events, files.read_stations):
        with pytest.raises(Rejected, match='0 MB of text or XML, more than 0: divide it'): read(tmp_path/'a.xml')

@pytest.mark.parametrize('kind', ['bomb', 'endless', 'announced', 'sound'])
def test_server(kind, monkeypatch):
    "0.06 MB that unpack to 60 MB, an answer without an end, one that announces 9 GB: refused, with the limit in the message"
    import gzip, threading, tracemalloc
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from urllib.request import build_opener
    from fwinb.data import fdsn
    monkeypatch.setattr(fdsn, 'LARGEST', 20_000_000)
    bomb, sound = gzip.compress(bytes(BIG)), gzip.compress(b'<xml/>'*1000)
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args): pass
        def do_GET(self):
            self.send_response(200)
            if kind in ('bomb', 'sound'):
                body = bomb if kind == 'bomb' else sound
                self.send_header('Content-Encoding', 'gzip')
                self.send_header('Content-Length', str(len(body)))
            elif kind == 'announced': self.send_header('Content-Length', str(9*10**9))
            self.end_headers()
            try:
                if kind in ('bomb', 'sound'): self.wfile.write(body)
                elif kind == 'endless':
                    for _ in range(10_000): self.wfile.write(bytes(100_000))
            except OSError: pass
    server = HTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    tracemalloc.start()
    def ask(): return fdsn.ask_once(build_opener(), f'http://127.0.0.1:{server.server_port}/', timeout=10.)
    try:
        if kind == 'sound': assert ask() == (200, b'<xml/>'*1000)
        else:
            with pytest.raises(fdsn.GaveUp, match='MB'): ask()
        assert tracemalloc.get_traced_memory()[1] < 60e6
    finally:
        tracemalloc.stop()
        server.shutdown()
        server.server_close()

# all the way to the table of fwinb-select

def row_of(folder, response=None, cha='LHZ', kind=0, resp=False, inv=None):
    from small_world import table_of, world
    world(folder, ONE, inv=inv or inventory(ONE, response, cha=cha), cha=cha, kind=kind)
    if resp:
        (folder/'inv.xml').unlink()
        (folder/'any_name.dat').write_text(RESP, encoding='utf-8')
    return table_of(folder).iloc[0]

@pytest.mark.parametrize('case', ['accelerometer in nm/s^2', 'no place', 'unstable', 'dip',
    'two rates'])
def test_table(case, tmp_path):
    "The right decision, or the true cause in the row"
    pytest.importorskip('fwinb.models.pretrained')
    given = {'accelerometer in nm/s^2': lambda: dict(response=paz('NM/SEC**2', gain=1500e-9, poles=(), zeros=()), cha='LNZ', kind=1),
             'no place': lambda: dict(resp=True), 'unstable': lambda: dict(response=paz(poles=tuple(-np.conj(p) for p in POLES))),
             'two rates': lambda: dict(inv=two(second=paz(gain=1500/16), rates=(1., 10.))), 'dip': lambda: dict(inv=inventory(ONE, dip=90.))}
    row = row_of(tmp_path/'w', **given[case]())
    expected = {'accelerometer in nm/s^2': ('accept', '', ''), 'no place': ('dropped', 'no coordinates', 'no place in the metadata'),
                'unstable': ('dropped', 'metadata', 'positive real part'), 'two rates': ('accept', '', 'the one of 1 Hz is used'),
                'dip': ('refuse', 'polarity', 'dip +90: turned over')}[case]
    assert row.decision == expected[0] and row.reason in (expected[1], 'ok') and expected[2] in row.detail, row.to_dict()
