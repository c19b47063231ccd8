"Weights of stations, earthquakes and categories: facts, and the numbers of the program of Ruan et al. (2019)."
import numpy as np, pandas as pd, pytest

from fwinb.adjoint.weights import category_weights, crowding, measurement_weights, receiver_weights, reference_distance, source_weights
from fwinb.pairs.store import share_path

# computed with the formulas of spaceweight (SphereDistRel, the module that pytomo3d calls) at geocentric latitudes, for every 12th station of data/facts/stations.csv;
# its search by steps of .5 degrees for the same share of the range of the condition number
REFERENCE = {
    10: [1.134135, .819676, 1.123227, 1.134135, 1.130379, .683471, .628802, .911668, 1.123633, 1.133663, 1.134024, 1.134135, .819668, 1.131662, .645213, 1.134121, 1.134135, .910132, 1.134122],
    30: [1.478273, .959673, .651619, 1.726137, .776172, .512454, .487118, .716935, .630284, 1.013226, .864992, 1.857109, .895403, 1.062727, .485701, 1.311849, 1.927379, .720713, .922237]}
CHOSEN = {(1, .35): 6., (1, .5): 8., (12, .35): 13., (12, .5): 18.}

@pytest.fixture(scope='module')
def stations(): return pd.read_csv(share_path('data', 'facts', 'stations.csv'))

@pytest.mark.parametrize('distance', REFERENCE)
def test_numbers_of_spaceweight(stations, distance):
    some = stations.iloc[::12]
    np.testing.assert_allclose(receiver_weights(some.latitude, some.longitude, distance), REFERENCE[distance], atol=1e-6)

@pytest.mark.parametrize('each, share', CHOSEN)
def test_reference_distance_of_spaceweight(stations, each, share):
    some = stations.iloc[::each]
    scan = reference_distance(some.latitude, some.longitude, share)
    assert abs(scan.chosen - CHOSEN[each, share]) <= .5                       # its step
    at = np.interp(scan.chosen, scan.distance, scan.condition)
    assert abs((at-1)/(scan.condition.max()-1) - share) < .02 and scan.chosen < scan.distance[scan.condition.argmax()]

def rotated(latitude, longitude, vector):
    "Geographic places after a rotation of the geocentric sphere"
    from fwinb.pairs.schema import geocentric_latitude
    from scipy.spatial.transform import Rotation
    a, b = np.radians(geocentric_latitude(latitude)), np.radians(longitude)
    x, y, z = Rotation.from_rotvec(vector).apply(np.stack([np.cos(a)*np.cos(b), np.cos(a)*np.sin(b), np.sin(a)], -1)).T
    return np.degrees(np.arctan2(z, np.hypot(x, y)*(1-1/298.257223563)**2)), np.degrees(np.arctan2(y, x))

def test_rotated_globe(stations):
    before = receiver_weights(stations.latitude, stations.longitude)
    after = receiver_weights(*rotated(stations.latitude, stations.longitude, [.4, -1.1, 2.]))
    np.testing.assert_allclose(after, before, rtol=1e-6)
    assert before.std() > .2

@pytest.mark.parametrize('copies', [2, 5])
def test_sensors_of_one_vault_share_its_weight(stations, copies):
    far = stations.iloc[::40]                                                 # so far that none is near another
    w = receiver_weights(far.latitude, far.longitude, .5)
    more = pd.concat([far, *[far.iloc[:1]]*(copies-1)])
    shared = receiver_weights(more.latitude, more.longitude, .5)
    own = np.r_[0, len(far):len(more)]
    np.testing.assert_allclose(shared[own], shared[1]/copies)
    np.testing.assert_allclose(w, 1)
    assert shared.mean() == pytest.approx(1)

def test_uniform_stations_weigh_alike():
    "The corners of an icosahedron, turned; a ring on the equator; one and two points"
    g = (1+5**.5)/2
    corners = np.array([c for a in (-1, 1) for b in (-g, g) for c in ((0, a, b), (a, b, 0), (b, 0, a))])
    z, flat = corners[:,2]/np.linalg.norm(corners, axis=1), (1-1/298.257223563)**2
    latitude = np.degrees(np.arctan2(z, np.sqrt(1-z*z)*flat))
    np.testing.assert_allclose(receiver_weights(latitude, np.degrees(np.arctan2(corners[:,1], corners[:,0])), 40), 1, rtol=1e-9)
    for n in (1, 2, 24): np.testing.assert_allclose(source_weights(np.zeros(n), np.arange(n)*360/n), 1, rtol=1e-6)

def test_blocks_and_limits(stations):
    lat, lon = stations.latitude, stations.longitude
    np.testing.assert_allclose(crowding(lat, lon, [1, 20], block=17), crowding(lat, lon, [1, 20]), rtol=1e-12)
    np.testing.assert_allclose(crowding(lat, lon, [1e6]), len(lat), rtol=1e-6)
    assert len(receiver_weights([], [])) == 0
    with pytest.raises(ValueError, match='not above 0'): receiver_weights(lat, lon, 0)

# measurements

@pytest.fixture(scope='module')
def table(stations):
    rng, rows = np.random.default_rng(1), []
    for k, (la, lo) in enumerate([(-20., -70), (-22, -68), (-21, -69), (40, 143), (0, 100)]):
        for s in stations.iloc[rng.permutation(len(stations))[:60]].itertuples():
            for c, most in (('Z', 4), ('T', 2)):
                for r in range(rng.integers(0, most)):
                    rows.append(dict(event=f'E{k}', station=f'{s.network}.{s.station}..LH{c}', component=c, region='body' if r else 'surface', event_latitude=la,
                                     event_longitude=lo, station_latitude=s.latitude, station_longitude=s.longitude))
    return pd.DataFrame(rows).sample(frac=1, random_state=2)

def test_sums(table):
    w = measurement_weights(table)
    assert list(w.index) == list(table.index) and w.weight_adjoint.sum() == pytest.approx(len(table))
    by = w.groupby(['component', 'region'])
    np.testing.assert_allclose(by.weight_adjoint.sum(), len(table)/len(by))
    assert by.size().min() >= 30 and by.size().max() > 1.5*by.size().min()
    np.testing.assert_allclose(w.weight_adjoint, w.weight_receiver*w.weight_source*w.weight_category)
    three = w.drop_duplicates('event').set_index('event').weight_source                  # neighbours weigh less than lonely ones
    assert three[['E0', 'E1', 'E2']].max() < .8*three[['E3', 'E4']].min()
    only = measurement_weights(table, parts=['category'])
    np.testing.assert_allclose(only.weight_adjoint, category_weights(table.component + table.region))
    np.testing.assert_allclose(measurement_weights(table.drop(columns=['component', 'region'])).weight_category, 1)
    assert len(measurement_weights(table[:0])) == 0

def test_small_category_does_not_steer():
    "Two windows among many: with `fewest` they weigh as two of a category of this size"
    name = ['many']*600 + ['some']*60 + ['two']*2
    strict, kept = category_weights(name), category_weights(name, fewest=30)
    np.testing.assert_allclose([strict[-2:].sum(), strict[:600].sum()], 662/3)
    np.testing.assert_allclose([kept[-1]/kept[0], kept[-1]/kept[600], kept.mean()], [20, 2, 1])

def test_receivers_are_weighted_in_their_event_and_category(table):
    w = measurement_weights(table)
    one = w[(w.event == 'E3') & (w.component == 'Z') & (w.region == 'body')]
    first = one.drop_duplicates('station')
    alone = dict(zip(first.station, receiver_weights(first.station_latitude, first.station_longitude)))
    np.testing.assert_allclose(one.weight_receiver/one.weight_receiver.iloc[0], one.station.map(alone)/alone[one.station.iloc[0]])
    assert one.weight_receiver.mean() == pytest.approx(1) and one.station.duplicated().any()

def test_wrong_tables(table):
    with pytest.raises(ValueError, match='lacks station_latitude'): measurement_weights(table.drop(columns='station_latitude'))
    with pytest.raises(ValueError, match='have no coordinates'): measurement_weights(table.assign(station_latitude=np.nan))
    with pytest.raises(ValueError, match='stations'): measurement_weights(table, parts=['stations'])
