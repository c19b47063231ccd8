"Catalogues of strangers: origins that disagree, tensors in another unit, placeholders, finite sources, names"
import pickle, time
from io import BytesIO
import numpy as np, obspy, pytest
from obspy import UTCDateTime
from obspy.core.event import (
    Catalog, Event, EventDescription, FocalMechanism, Magnitude, MomentTensor, Origin, SourceTimeFunction, Tensor)
from fwinb.data import events as module
from fwinb.data.events import (
    CHECKS, Rejected, Source, centroid, event_place, half_duration, name_events, origin_kind, read_source, safe_name,
    safe_names, scalar_moment, settle_events, sub_sources)
from fwinb.data.files import read_events
from fwinb.earth.modes import prem_traces, synthesize
from small_world import CMT, ONE, T0, counts, inventory, table_of, world

M = (2e19, -.5e19, -1.5e19, .6e19, .2e19, .4e19)        # N m, Mw 6.79: the earthquake of the small world
KEYS = 'm_rr', 'm_tt', 'm_pp', 'm_rt', 'm_rp', 'm_tp'

def mechanism(origin=None, tensor=M, triggering=None, **more):
    t = Tensor(**{k: None if x is None else float(x) for k, x in zip(KEYS, tensor)})
    moment = MomentTensor(tensor=t, derived_origin_id=origin and origin.resource_id, **more)
    return FocalMechanism(moment_tensor=moment, triggering_origin_id=triggering and triggering.resource_id)

def origin(late=0., north=0., id=None, **more):
    values = dict(time=T0+late, latitude=10.+north, longitude=-70., depth=20e3) | more
    return Origin(resource_id=id and f'smi:local/{id}', **values)

def event(origins, mechanisms=(), preferred=None, name='201803040506A', mags=()):
    e = Event(origins=list(origins), focal_mechanisms=list(mechanisms), preferred_origin_id=preferred and preferred.resource_id,
              event_descriptions=[EventDescription(name, 'earthquake name')]*bool(name),
              magnitudes=[Magnitude(mag=v, magnitude_type=k) for k, v in mags])
    return e

def simple(tensor=M, mags=(), name='201803040506A', late=0., north=0., **more):
    o = origin(late, north, origin_type='centroid', **more)
    return event([o], [mechanism(o, tensor)], o, name, mags)

def by_quakeml(*events):
    Catalog(list(events)).write(f := BytesIO(), 'QUAKEML')
    return list(obspy.read_events(BytesIO(f.getvalue())))

def why(e, **more):
    with pytest.raises(Rejected) as r: read_source(e, **more)
    return r.value.reason, r.value.detail

# ---- which origin ---------------------------------------------------------------------------------------------------
def two(early=-18.3, kinds=(None, None), ids=(None, None), derived=0, preferred=1, triggering=0, **more):
    "A hypocentre and a centroid; `derived`, `preferred` and `triggering` say which is named by whom"
    both = [origin(early, .4, ids[0], origin_type=kinds[0], **more), origin(0, 0, ids[1], origin_type=kinds[1])]
    m = mechanism(None if derived is None else both[derived], triggering=None if triggering is None else both[triggering])
    return event(both, [m], None if preferred is None else both[preferred])

SPUD = 'gcmtid/C201803040506A#reforigin', 'gcmtid/C201803040506A#cmtorigin'

@pytest.mark.parametrize('case', [
    dict(ids=SPUD), dict(ids=SPUD, triggering=None), dict(), dict(triggering=None), dict(kinds=('hypocenter', 'centroid')),
    dict(kinds=('hypocenter', None)), dict(kinds=(None, 'centroid'), preferred=None), dict(ids=SPUD, preferred=None),
    dict(ids=('e#prelim', 'e#cmt')), dict(ids=('e/hypocenter', 'e/origin_mww')), dict(early=-3.)])
def test_tensor_names_the_hypocentre(case):
    "SPUD and its sisters: the centroid is taken, and the remark names both origins and the difference"
    for e in (two(**case), *by_quakeml(two(**case))):
        s = read_source(e)
        assert s.time == T0 and s.latitude == 10
        assert 'own origin of the tensor' in s.remark and f"{-case.get('early', -18.3):.1f} s earlier" in s.remark

@pytest.mark.parametrize('case, said', [
    (dict(derived=1, preferred=0), '18.3 s earlier'),                                  # USGS: nothing typed
    (dict(derived=1, preferred=0, triggering=1), '18.3 s earlier'),
    (dict(derived=1, preferred=0, kinds=('hypocenter', 'centroid')), ''),              # a normal centroid time shift
    (dict(derived=1, preferred=0, kinds=('hypocenter', None), ids=('a', 'us1_mww')), ''),
    (dict(derived=1, preferred=0, kinds=('hypocenter', 'centroid'), early=-90.), '90.0 s earlier'),
    (dict(derived=1, preferred=0, kinds=('hypocenter', 'centroid'), depth=200e3), '180 km deeper'),
    (dict(derived=None, kinds=(None, 'centroid')), '18.3 s earlier'),
    (dict(derived=None, kinds=('hypocenter', 'centroid'), preferred=0), '')])
def test_tensor_names_the_centroid(case, said):
    "The tensor's own origin, or the only centroid; a shift of more than three half durations and 10 s is said"
    s = read_source(two(**case))
    assert s.time == T0 and (said in s.remark if said else s.remark == '')

def test_later_than_any_centroid():
    "11 minutes later is another event's; the tensor keeps its own origin, and the row says so"
    s = read_source(two(early=-660.))
    assert s.time == T0-660 and 'preferred origin is 660.0 s later' in s.remark

def test_other_solution():
    "Two agencies, nothing preferred: the first complete tensor with its own origin, the second one is compared"
    a, b, network = origin(0, id='a_mww'), origin(4., .3, id='b#cmt', depth=45e3), origin(-9, id='nc1', origin_type='hypocenter')
    e = event([network, a, b], [FocalMechanism(), mechanism(a), mechanism(b, np.array(M)*2)], network)
    s = read_source(e)
    assert (s.time, s.tensor) == (T0, M)
    assert '4.0 s later, 0.30 degrees away, 25 km deeper' in s.remark and 'another tensor of the event: Mw 6.99' in s.remark
    e.preferred_focal_mechanism_id = e.focal_mechanisms[2].resource_id
    assert read_source(e).time == T0+4
    e.preferred_focal_mechanism_id = e.focal_mechanisms[0].resource_id
    assert 'the preferred focal mechanism has no tensor' in read_source(e).remark and read_source(e).time == T0
    e.origins.remove(a)                                                 # its own origin is missing
    assert 'centroid of another solution' in read_source(e).remark

def test_opposite_tensor():
    o = origin(origin_type='centroid')
    s = read_source(event([o], [mechanism(o), mechanism(o, -np.array(M))]))
    assert 'similarity -1.00' in s.remark

@pytest.mark.parametrize('bad', [dict(time=UTCDateTime(1970, 1, 1)), dict(time=UTCDateTime(18, 3, 4)), dict(latitude=139.),
                                 dict(latitude=0., longitude=0., depth=0.), dict(depth=None), dict(depth=-12345.)])
def test_placeholder_passed_over(bad):
    "The hypocentre where the centroid is none, and the row says both"
    c, h = origin(origin_type='centroid', **bad), origin(-4, origin_type='hypocenter')
    s = read_source(event([c, h], [mechanism(c)], c))
    assert s.time == T0-4 and 'a better origin is not used: ' in s.remark and 'hypocentre' in s.remark

def test_names_count_inside_the_event():
    "ObsPy's identifiers are global: two events with the same ones (all CMTSOLUTIONs of one name) keep their own origins"
    first, second = (obspy.read_events(BytesIO(t.encode()))[0] for t in (CMT, CMT.replace('03.00', '33.00')))
    assert read_source(second).time - read_source(first).time == 30 and read_source(first).time == T0

NDK = '''MLI  2018/03/04 05:06:03.0  10.00  -70.00  20.0 0.0 6.8 NOWHERE                 
C201803040506A   B: 30   40  50 S: 60   70  50 M: 20   30 125 CMT: 1 TRIHD:  6.0
CENTROID:      4.0 0.1  10.00 0.01  -70.00 0.01  20.0  0.5 FREE S-20180304080000
26  2.000 0.010 -0.500 0.010 -1.500 0.010  0.600 0.010  0.200 0.010  0.400 0.010
V10   2.131 77  10  -0.483  9 236  -1.649  9 145   1.890 248 37  110  44 56   77
'''
def test_ndk():
    e, = obspy.read_events(BytesIO(NDK.encode()), format='NDK')
    s = read_source(e)
    assert s.time == T0 and s.remark == '' and s.tensor == pytest.approx(M, rel=1e-9) and s.name == 'C201803040506A'

def test_cmtsolution_is_as_before():
    e, = obspy.read_events(BytesIO(CMT.encode()))
    assert settle_events([e], CMT.encode())[0] is e
    s = read_source(e)
    assert s == Source('201803040506A', T0, 10., -70., 20., s.tensor, '', s.magnitude)
    assert s.tensor == pytest.approx(M, rel=1e-15) and s.magnitude == pytest.approx(6.79, abs=.01)

def test_rejected_by_the_agency():
    "QuakeML's evaluation status and event type are statements, too"
    e = two(derived=1, preferred=1)
    e.origins[1].evaluation_status = 'rejected'
    assert read_source(e).time == T0-18.3 and 'an origin that its agency rejected' in read_source(e).remark
    o = origin(origin_type='centroid')
    e = event([o], [mechanism(o, np.array(M)*3), mechanism(o)])
    e.focal_mechanisms[0].evaluation_status = 'rejected'
    assert read_source(by_quakeml(e)[0]).tensor == M
    e.focal_mechanisms.pop()
    assert why(e) == ('no moment tensor', 'none of 1 focal mechanisms has all six components (rejected by its agency)')
    e = simple()
    e.event_type = 'not existing'
    assert 'no such event' in why(e)[1]

# ---- placeholders ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize('bad, said', [
    (dict(time=UTCDateTime(18, 3, 4)), 'its year is 18'), (dict(time=UTCDateTime(1900, 1, 1)), 'its year is 1900'),
    (dict(time=UTCDateTime(1970, 1, 1)), '1970-01-01'), (dict(time=UTCDateTime(4)), 'not known'),
    (dict(time=UTCDateTime(2599, 12, 31)), 'its year is 2599'), (dict(time=UTCDateTime(2118, 3, 4)), 'its year is 2118'),
    (dict(time=None), 'none of 1'), (dict(depth=None), 'none of 1'), (dict(latitude=None), 'none of 1'),
    (dict(latitude=0., longitude=0., depth=0.), 'not known'), (dict(latitude=-12345.), 'none of 1'),
    (dict(latitude=139.1, longitude=29.), 'exchanged'), (dict(latitude=95., longitude=150.), 'latitude is 95'),
    (dict(longitude=400.), 'longitude is 400'), (dict(longitude=-200.), 'longitude is -200'),
    (dict(depth=33e6), 'event_depth_km is 33000, outside 0 .. 800: m given as km?'), (dict(depth=-2e3), 'depth_km is -2'),
    (dict(depth=33.), 'km given as m'), (dict(depth=0.), 'not known')])
def test_no_origin(bad, said):
    reason, detail = why(simple(**bad))
    assert reason == 'no origin' and said in detail

def test_dates_of_names():
    late = simple(time=T0-365*86400)
    assert why(late) == ('no origin', 'its origin is of 2017-03-04, its name 201803040506A of 2018-03-04')
    for name in ('C201803040506A', '20180304050603', 'Sumatra', '600516598', '030418A', 'us2000d7q6'):
        assert read_source(simple(name=name)).remark == ''
    for name in ('C010123A', '010100B'): assert 'its name' in read_source(simple(name=name)).remark   # six digits: no proof

def test_longitudes_and_shallow_small_events():
    assert read_source(simple(longitude=290.)).remark == ''
    assert 'km given as m' in read_source(simple(np.array(M)*1e-3, depth=33.)).remark             # Mw 4.8
    e = simple(depth=33.)
    e.origins.append(origin(-4, origin_type='hypocenter', depth=40e3))
    s = read_source(e)
    assert s.depth_km == 33 and 'depth 33 m taken as km: another origin is 40 km deep' in s.remark

@pytest.mark.parametrize('text', ['', ' ', 'None', 'nan', 'unknown', '-12345'])
def test_no_name(text):
    e = simple(name=text)
    e.resource_id = 'quakeml:us.anss.org/event/us2000abcd'
    assert read_source(e).name == 'us2000abcd'

def test_name_in_one_line(): assert read_source(simple(name='A\n  B')).name == 'A B'

# ---- tensors --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize('factor, mags, said', [
    (1e7, [('Mw', 6.8)], 'dyne cm taken for N m'), (1e7, [], 'outside 0 .. 9.7: 6.79 if it is in dyne cm'),
    (1e7, [('MS', 6.8), ('Mb', 0.)], 'stated MS is 6.8: 1e7 times too large'), (1e7, [('Mwc', -9.9)], 'outside'),
    (1e7*1e-3, [('Mwc', 4.8)], 'Mw of the tensor is 9.46, stated Mwc is 4.8: 1e7 times too large, dyne cm'),
    (1e-7, [('Mww', 6.8)], 'N m taken for dyne cm'), (1e-7, [('Mw', 2.13), ('MS', 6.8)], 'N m taken for dyne cm'),
    (1e-20, [], 'outside'), (1e4, [('Mw', 6.8)], 'Mw of the tensor is 9.46, stated Mw is 6.8'), (1e30, [], 'outside')])
def test_impossible_size(factor, mags, said):
    reason, detail = why(simple(np.array(M)*factor, mags))
    assert reason == 'no moment tensor' and said in detail

@pytest.mark.parametrize('mags, said', [
    ([('Mw', 6.8)], ''), ([('Mwc', 6.7), ('mb', 5.9), ('MS', 7.1)], ''), ([('Mw', 6.5)], 'stated Mw is 6.5'),
    ([('Mw', 5.5), ('Mww', 6.8)], 'stated Mw is 5.5'), ([('ML', 3.)], 'stated ML is 3'), ([('mb', 0.), ('MS', 0.)], ''),
    ([('mw(mB)', 6.2)], ''), ([('Mw', 99.)], ''), ([('', 6.8)], ''), ([(None, 6.8)], '')])
def test_magnitudes(mags, said):
    s = read_source(simple(mags=mags))
    assert said in s.remark if said else s.remark == ''
    assert s.magnitude == pytest.approx(6.794, abs=.001)

@pytest.mark.parametrize('m0, mags, said', [
    (scalar_moment(M), [], ''), (scalar_moment(M)*.87, [], ''), (scalar_moment(M)*1.5, [], 'scalar moment is 1.5 times'),
    (scalar_moment(M)*1e7, [], 'scalar moment is 1e+07 times'), (scalar_moment(M)/1e7, [('Mw', 6.8)], 'scalar moment is 1e-07'),
    (scalar_moment(M)*100, [], None), (scalar_moment(M)/1e7, [], None), (0., [], '')])
def test_scalar_moment(m0, mags, said):
    "A moment that is itself impossible, or contradicted by a magnitude, is a remark; else nobody knows which is right"
    e = simple(mags=mags)
    e.focal_mechanisms[0].moment_tensor.scalar_moment = float(m0)
    if said is None: assert 'Mw of the scalar moment' in why(e)[1]
    else: assert said in read_source(e).remark if said else read_source(e).remark == ''

@pytest.mark.parametrize('tensor, said', [
    ([0.]*6, 'all components 0'), ([None]*6, 'no tensor'), ((1e19, None, None, 0, 0, 0), '2 components missing')])
def test_no_tensor(tensor, said):
    for e in (simple(tensor), *by_quakeml(simple(tensor))): assert said in why(e)[1]
    s = read_source(simple(tensor, [('mb', 6.1), ('Mw', 6.5)]), tensor=False)
    assert np.isnan(s.tensor).all() and len(s.tensor) == 6 and s.magnitude == 6.5 and s.remark == ''

def test_isotropic_and_duration():
    assert 'isotropic part 33%' in read_source(simple((2e19, 1e19, -1e19, 1e19, 0, 0))).remark
    great = np.array(M)*100                                               # Mw 8.1: half duration 28.2 s by its moment
    for half, said in ((28., ''), (0., 'half duration 0.0 s, by its moment 28.2 s'), (-5., 'half duration -5 s is not used')):
        e = simple(great)
        e.focal_mechanisms[0].moment_tensor.source_time_function = SourceTimeFunction(type='triangle', duration=2*half)
        assert read_source(e).remark == said
        assert half_duration(e) == pytest.approx(half if half >= 0 else 28.2, abs=.1)

def test_no_tensor_needed():
    "Pairs with given synthetics: a source without a tensor, or with an impossible one, has the catalogue's magnitude"
    o = origin(origin_type='centroid')
    s = read_source(event([o], mags=[('mb', 6.1)]), tensor=False)
    assert np.isnan(s.tensor).all() and s.magnitude == 6.1 and s.time == T0 and s.remark == ''
    assert np.isnan(read_source(event([o]), tensor=False).magnitude)
    s = read_source(simple(np.array(M)*1e7, [('Mw', 6.8)]), tensor=False)
    assert s.magnitude == 6.8 and np.isnan(s.tensor).all() and 'dyne cm' in s.remark
    assert read_source(simple(), tensor=False) == read_source(simple())
    assert why(event([]), tensor=False)[0] == 'no origin'

def test_position_of_fields(): assert Source._fields == ('name', 'time', 'latitude', 'longitude', 'depth_km', 'tensor', 'remark', 'magnitude')

# ---- CMTSOLUTION: first lines and finite sources --------------------------------------------------------------------
LINE = CMT.splitlines()[0]
def cmt(first=LINE, shift=4., north=0., part=1., half=6., name='201803040506A', swap=()):
    lines = [first, f'event name:     {name}', f'time shift: {shift:12.4f}', f'half duration: {half:.4f}', f'latitude: {10+north:.4f}',
             'longitude: -70.0000', 'depth: 20.0000', *(f'M{k[2:]}: {x*1e7*part:.6e}' for k, x in zip(KEYS, M))]
    text = '\n'.join([*lines, ''])
    for a, b in swap: text = text.replace(a, b)
    return text

def read(tmp_path, text, name='CMTSOLUTION'):
    (tmp_path/name).write_text(text)
    return read_events(tmp_path/name)

@pytest.mark.parametrize('first', [
    LINE, 'PDE 2018 03 04 05 06 03.00  10.0000 -70.0000  20.0 0.0 6.8 NOWHERE',
    'PDEW2018 03 04 05 06 03.00  10.0000 -70.0000  20.0 0.0 6.8 NOWHERE', ' PDEW2018  3  4  5  6  3.00  10.0000 -70.0000  20.0 0.0 6.8 NOWHERE',
    'PDE 2018 03 04  05 06 03.00 10.00 -70.00  20.0 0.0 6.8', ' MLI   2018   3   4  05 06 03.00  10.0 -70.0  20.0 0.0 6.8 X',
    '2018 03 04 05 06 03.00  10.0000 -70.0000  20.0 0.0 6.8 NOWHERE NOWHERE', 'PDEW2018 03 04 05 05 63.00  10.0000 -70.0000  20.0 0.0 6.8 NOWHERE',
    ' PDEW2018 03 04 05 06 03.000000  10.0000 -70.0000  20.0 0.0 6.8 NOWHERE'])
def test_first_line(tmp_path, first):
    "Whatever ObsPy makes of a first line, the year is right, and so are time and place"
    events = settle_events(obspy_events(cmt(first)), cmt(first).encode())
    s = read_source(events[0])
    assert len(events) == 1 and s[:5] == ('201803040506A', T0, 10., -70., 20.) and s.remark == ''
    assert s.tensor == pytest.approx(M, rel=1e-9) and half_duration(events[0]) == 6
    h, = [o for o in events[0].origins if o.origin_type == 'hypocenter']
    assert (h.time, h.latitude, h.longitude, h.depth) == (T0-4, 10., -70., 20e3)

def obspy_events(text):
    try: return list(obspy.read_events(BytesIO(text.encode()), format='CMTSOLUTION'))
    except Exception: return []                                    # ObsPy cannot read it: read_cmtsolution can

@pytest.mark.parametrize('first, said', [
    ('PDE 18 03 04 05 06 03.00  10.0000 -70.0000  20.0 0.0 6.8 NOWHERE', 'year 18 in its first line, 2018 in its name'),
    ('PDE 17 03 04 05 06 03.00  10.0000 -70.0000  20.0 0.0 6.8 NOWHERE', None),
    ('PDE 2017 03 04 05 06 03.00  10.0000 -70.0000  20.0 0.0 6.8 NOWHERE', None),
    ('ABCD 0000 00 00 00 00 00.00  0.0000 000.0000 0.0 0.0 0.0 EFG', None), ('PDE unknown', None)])
def test_year_that_no_rule_gives(first, said):
    "Two digits are those of the name if month and day agree; else the row names the years"
    e, = settle_events(obspy_events(cmt(first)), cmt(first).encode())
    if said: assert read_source(e).time == T0 and said in read_source(e).remark
    else:
        reason, detail = why(e)
        assert reason == 'no origin' and any(w in detail for w in ('its year is 17', '2017-03-04', 'none of 2'))

PARTS = [dict(shift=s, north=.3*k, part=.25) for k, s in enumerate((15, 10, 5, 0))]
FINITE = ''.join(cmt(**p) for p in PARTS)

def test_finite_source(tmp_path):
    "SPECFEM's rules: all blocks are summed, time zero is the first line's plus the smallest shift"
    for text in (FINITE, FINITE.replace(' PDEW', 'PDEW'), FINITE.replace('PDEW2018', 'PDE 2018'), FINITE.replace('\nevent', '\n\nevent')):
        events = settle_events(obspy_events(text), text.encode())
        s = read_source(events[0])
        assert len(events) == 1 and s.time == T0-4 and s.latitude == pytest.approx(10.45) and s.depth_km == 20
        assert s.tensor == pytest.approx(M) and s.remark == 'finite source of 4 sub-sources, summed'
        parts = sub_sources(events[0])
        assert [round(p.time - s.time, 6) for p in parts] == [15, 10, 5, 0] and parts[0].half_duration == 6
        assert [p.latitude for p in parts] == pytest.approx([10, 10.3, 10.6, 10.9])
        for again in (pickle.loads(pickle.dumps(events[0])), *by_quakeml(events[0]), *settle_events(by_quakeml(events[0]))):
            assert read_source(again) == s and sub_sources(again) == parts
        assert name_events(events)[0][1] is events[0]

def test_finite_source_by_way_of_quakeml():
    "Read by ObsPy and written as QuakeML, the sub-sources are four events with the same name and hypocentre"
    e, = settle_events(by_quakeml(*obspy.read_events(BytesIO(FINITE.encode()))))
    assert len(sub_sources(e)) == 4 and read_source(e).time == T0-4

def test_finite_source_is_summed():
    e, = settle_events([], FINITE.encode())
    whole = prem_traces(e, ONE)['XX.AAA']
    total = 0.
    for p in PARTS:
        tr, = synthesize(obspy.read_events(BytesIO(cmt(**p).encode()))[0], ONE, before=60., dt=4.)
        total = total + np.interp(whole.times() - (tr.stats.starttime - whole.stats.starttime), tr.times(), tr.data)
    assert whole.stats.starttime == T0-4-60
    assert np.abs(whole.data - total).max() < .05*np.abs(total).max()          # linear interpolation of 4-s samples

@pytest.mark.parametrize('text, said, n', [
    (cmt()*2, '2 blocks, 1 of them copies', 1), (cmt(part=.5) + cmt(part=0., north=1., shift=-2), '', 1),
    (cmt(part=.5) + cmt(part=.5, north=.1) + cmt(part=0., shift=0), 'finite source of 2 sub-sources, summed; 1 more have no moment', 2),
    (cmt(part=.5) + cmt(LINE.replace('03.00', '05.00'), part=.5), 'first lines of its sub-sources differ by 2.0 s', 2),
    (cmt(name='sub_1', part=.5) + cmt(name='sub_2', part=.5, north=.1), 'finite source of 2', 2)])
def test_kinds_of_blocks(text, said, n):
    e, = settle_events([], text.encode())
    s = read_source(e)
    assert said in s.remark and len(sub_sources(e)) == max(n, 1)
    if 'shift: ' in text and n == 1 and not said: assert s.time == T0-6        # SPECFEM's minimum is over all blocks

def test_zero_time_counts_blocks_without_moment():
    e, = settle_events([], (cmt(part=.5) + cmt(part=.5, north=.1) + cmt(part=0., shift=0)).encode())
    assert read_source(e).time == T0-4

@pytest.mark.parametrize('other', [
    dict(first=LINE.replace('03.00', '12.00'), name='201803040506B', north=.2),     # an aftershock after 9 s
    dict(first=LINE.replace('05 06', '09 06'), name='201803040906A'),
    dict(first=LINE.replace('05 06', '09 06'))])                                   # the same name four hours later
def test_two_earthquakes_in_one_file(other):
    events = settle_events([], (cmt() + cmt(**other)).encode())
    assert len(events) == 2 and [len(sub_sources(e)) for e in events] == [1, 1]
    assert len(name_events(events)) == 2 and len(name_events(reversed(events))) == 2

@pytest.mark.parametrize('text', [cmt()[:-30], cmt() + cmt()[:60], cmt(swap=[('20.0000', 'deep')]), cmt() + 'and so on\n'])
def test_broken_cmtsolution(text):
    with pytest.raises(Rejected, match='CMTSOLUTION, source') as r: settle_events([], text.encode())
    assert r.value.reason == 'unreadable'

def test_fortran_exponents():
    e, = settle_events([], cmt().replace('e+', 'D+').encode())
    assert read_source(e).tensor == pytest.approx(M)

def test_many_sub_sources():
    "A finite-fault model of 2,000 patches is one event, in time that grows with their number"
    text = ''.join(cmt(shift=k/20, part=1/2000, north=k/4000) for k in range(2000))
    e, = settle_events([], text.encode())
    assert len(sub_sources(e)) == 2000 and read_source(e).magnitude == pytest.approx(6.794, abs=.001)

# ---- the same earthquake? -------------------------------------------------------------------------------------------
def names(*events): return [n for n, _ in name_events(events)]
def remark(*events): return read_source(name_events(events)[0][1]).remark

def test_two_catalogues():
    "GCMT and a W-phase of another name, 3 s and .3 degrees off: one earthquake, and its rows say that they differ"
    gcmt, us = simple(name='C201803040506A'), simple(np.array(M)*.4, name='us2000abcd', late=3., north=.3)
    assert names(gcmt, us) == ['C201803040506A']
    assert remark(gcmt, us) == 'another entry of the event (us2000abcd): 3.0 s later, 0.30 degrees away, Mw 6.53, here 6.79'
    assert remark(simple(), simple(-np.array(M))) == 'another entry of the event (201803040506A): similarity of the tensors -1.00'
    assert remark(simple(), simple()) == '' and read_source(gcmt).remark == ''       # nobody's own event was changed
    assert name_events([*name_events([gcmt, us])[0][1:], us])[0][1].comments == name_events([gcmt, us])[0][1].comments

def test_cmtsolution_and_quakeml(tmp_path):
    a, b = read(tmp_path, CMT), by_quakeml(*read(tmp_path, CMT))
    assert names(*a, *b) == ['201803040506A'] and remark(*a, *b) == ''
    assert names(*a, *obspy.read_events(BytesIO(NDK.encode()), format='NDK')) == ['201803040506A']
    ndk = settle_events(obspy.read_events(BytesIO(2*NDK.encode()), format='NDK'))
    assert names(*ndk) == ['C201803040506A'] and remark(*ndk) == ''

def test_bulletin_and_centroid():
    bulletin = event([origin(-5, .2, depth=35e3)], name='us2000abcd', mags=[('mb', 6.1)])
    assert names(bulletin, simple()) == ['201803040506A'] and remark(bulletin, simple()) == ''
    great = [origin(-139., 1.2)], origin(origin_type='centroid')
    e = event([great[1]], [mechanism(great[1], np.array(M)*2000)])                    # Mw 9.0
    assert names(event(great[0]), e) == ['201803040506A']                             # the same dated name
    assert len(names(event(great[0], name='us1'), e)) == 2                            # nearness does not reach so far

def test_names_outrank_nearness():
    a, b = simple(name='201803040506A'), simple(name='201803040506B', late=8., north=.3)
    assert names(a, b) == ['201803040506A', '201803040506B']
    assert names(simple(name='S201803040506A'), simple(name='C201803040506A')) == ['S201803040506A']
    main, after = settle_events([simple(name='us1'), simple(name='us2', late=8., north=.3)])      # two entries of one file
    assert names(main, after) == ['us1', 'us2'] and names(*by_quakeml(main, after)) == ['us1', 'us2']
    assert remark(main, after) == ''
    assert names(simple(name='us1'), simple(name='us2', late=8., north=.3)) == ['us1']            # of two files
    listed = event([origin(2.)], name='')                                                         # a bulletin's line
    assert len(names(*settle_events([simple(), listed]))) == 1

def test_unnamed_at_one_second():
    "Three places at one time with one name: nobody gets lost"
    es = [simple(name='Fiji', north=20.*k) for k in range(3)]
    assert names(*es) == ['Fiji', 'Fiji 2018-03-04T05:06:07', 'Fiji 2018-03-04T05:06:07 (2)']

def test_order():
    rng = np.random.default_rng(0)
    es = [simple(name=f'e{k}', late=3600.*k) for k in range(20)] + [Event(resource_id='smi:local/none')]
    shuffled = [es[i] for i in rng.permutation(21)]
    assert names(*shuffled) == ['none', *(f'e{k}' for k in range(20))]

def test_catalogue_is_not_quadratic(monkeypatch):
    "Comparisons in a catalogue of 1,000 events, some of them twice: a few for each"
    calls, compared = [], module._is_same
    monkeypatch.setattr(module, '_is_same', lambda *a: calls.append(1) or compared(*a))
    es = [simple(name=f'e{k}', late=3600.*k) for k in range(1000)] + [simple(name=f'x{k}', late=3600.*k+2) for k in range(50)]
    assert len(name_events(settle_events(es))) == 1050                               # one file, other names
    assert len(calls) < 3*len(es)
    assert len(name_events(simple(name=f'e{k % 1000}', late=3600.*(k % 1000)) for k in range(1100))) == 1000

# ---- one bad event --------------------------------------------------------------------------------------------------
def broken(what):
    e = simple(name='bad', late=3600.)
    o, m = e.origins[0], e.focal_mechanisms[0].moment_tensor
    if what == 'time': dict.__setattr__(o, 'time', 'yesterday')
    if what == 'latitude': dict.__setattr__(o, 'latitude', 'north')
    if what == 'origins': dict.__setattr__(e, 'origins', None)
    if what == 'tensor': dict.__setattr__(m.tensor, 'm_rr', 'big')
    if what == 'nan': dict.__setattr__(m.tensor, 'm_rr', np.nan)
    if what == 'stf': dict.__setattr__(m, 'source_time_function', 5)
    if what == 'magnitude': dict.__setattr__(Magnitude(mag=1.), 'mag', 'x'); e.magnitudes = [Magnitude(mag=5.)]; dict.__setattr__(e.magnitudes[0], 'mag', 'x')
    return e

@pytest.mark.parametrize('what', ['time', 'latitude', 'origins', 'tensor', 'nan', 'stf', 'magnitude'])
def test_one_bad_event(what):
    bad = broken(what)
    found = name_events([bad, simple(), bad])
    assert [n for n, _ in found if n != 'bad'] == ['201803040506A'] and 'bad' in [n for n, _ in found]
    for function in (read_source, sub_sources, half_duration):
        with pytest.raises(Rejected) as r: function(bad)
        assert r.value.reason in ('error', 'no moment tensor', 'no origin')
    assert len(settle_events([bad, simple()])) == 2

def test_reason_of_prem():
    "An event without a tensor is the catalogue's fault, not the synthetic's"
    with pytest.raises(Rejected) as r: prem_traces(event([origin()]), ONE)
    assert r.value.reason == 'no moment tensor'
    bad = settle_events([], FINITE.replace('depth: 20.0000', 'depth: 900.0', 1).encode())[0]
    with pytest.raises(Rejected, match='sub-source 1 of 4: event_depth_km is 900'): prem_traces(bad, ONE)

# ---- in the table ---------------------------------------------------------------------------------------------------
def test_table(tmp_path):
    "The centroid of a SPUD file, a tensor in dyne cm and an event of the year 18 in one folder: the sound one loses nothing"
    d = world(tmp_path/'obs', ONE, CMT)
    spud = two(ids=SPUD)
    Catalog([spud]).write(str(d/'spud.xml'), 'QUAKEML')
    (d/'CMTSOLUTION').unlink()
    (d/'CMTSOLUTION_2').write_text(CMT.replace('201803040506A', 'BAD').replace('06 03.00', '09 03.00').replace('e+26', 'e+33')
                                   .replace('latitude:       10', 'latitude:       30'))
    Catalog([simple(name='old', time=UTCDateTime(18, 3, 4))]).write(str(d/'old.xml'), 'QUAKEML')
    t = table_of(d).set_index('event')
    good, bad, old = (t.loc[n] for n in ('201803040506A', 'BAD', 'old'))
    assert good.decision == 'accept' and abs(good.lag_s) < .1 and '18.3 s earlier' in good.detail
    assert bad.reason == 'no moment tensor' and 'dyne cm' in bad.detail and bad.station == 'XX.AAA..LHZ'
    assert old.reason == 'no origin' and 'its year is 18' in old.detail

def test_finite_source_in_the_table(tmp_path):
    "Against PREM of all sub-sources, and against SPECFEM's text, whose zero is the first line plus the smallest shift"
    (d := tmp_path/'obs').mkdir()
    (d/'CMTSOLUTION').write_text(FINITE)
    inventory(ONE).write(str(d/'inv.xml'), 'STATIONXML')
    e, = settle_events([], FINITE.encode())
    tr, = synthesize(e, ONE, before=2400, after=4200)
    counts(tr).write(str(d/'XX.AAA.mseed'), 'MSEED')
    (syn := tmp_path/'syn').mkdir()
    t = np.arange(-60., 2400.)
    np.savetxt(syn/'XX.AAA.MXZ.sem.ascii', np.c_[t, np.interp(t, tr.times()-2400, tr.data)])
    for given in (None, syn):
        row = table_of(d, given).iloc[0]
        assert row.decision == 'accept' and abs(row.lag_s) < .1 and abs(row.dlnA) < .02
        assert 'finite source of 4 sub-sources, summed' in row.detail

# ---- names of files, and the table of checks ------------------------------------------------------------------------
@pytest.mark.parametrize('name, safe', [
    ('A-B', 'A-B'), ('2004 Sumatra/1', '2004_Sumatra_1'), ('../../etc', 'etc'), ('CON', 'CON_'), ('com1.xml', 'com1_.xml'), ('São', 'Sao'),
    ('', 'event'), ('地震', 'event'), ('x'*90, 'x'*80), ('a.'*60, ('a.'*60)[:79]), ('$x^{$', 'x'), ('a\nb', 'a_b'), ('COMB', 'COMB')])
def test_safe_name(name, safe): assert safe_name(name) == safe

def test_safe_names_of_many():
    "Thousands of names without a Latin letter: unique, and soon"
    many, start = [chr(0x4e00 + k) for k in range(20000)], time.process_time()
    files = safe_names(many)
    assert time.process_time() - start < 5                                # each against each: a minute
    assert len({f.lower() for f in files.values()}) == 20000 and files[many[0]] == 'event'
    assert list(safe_names(['Ä', 'A', 'a', 'A_2']).values()) == ['A', 'A_2', 'a_3', 'A_2_2']

def test_checks(): assert len(CHECKS) > 15 and all(c.facts and c.otherwise for c in CHECKS)

def test_kinds_of_origins():
    kinds = {'x/C201803040506A#cmtorigin': 'centroid', 'ndk/C201803040506A/origin#reforigin': 'hypocenter', 'us1_mww': 'centroid',
             'cmtsolution/1': '', 'gcmtid/12': '', 'cmtsolution/A/origin#prelim': 'hypocenter', 'isc/origid=12': '', 'mwxyz': ''}
    assert {k: origin_kind(Origin(resource_id=f'smi:local/{k}')) for k in kinds} == kinds
    assert origin_kind(Origin(depth_type='from moment tensor inversion')) == 'centroid'
    assert event_place(Event()) is None and centroid(simple())[1] == ''
