"Focusing, arrival angle and scattered waves, against rays traced in the same map and against closed forms"
import numpy as np, pytest
from scipy.integrate import solve_ivp
from fwinb.earth.structure import (
    FAMILIES, FREQUENCY, LATITUDE, LONGITUDE, RADIUS, branch_seismograms, mode_basis, path_angle, path_focusing, perturb, random_earth, scattered, smooth_maps)
from fwinb.pairs.schema import STUDY, path_geometry

TENSOR = np.array([1, -.3, -.7, -.8, .6, .5])*1e19

def globe(n, seed=0):
    rng = np.random.default_rng(seed)
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1, 1, (2, 2*n)))), rng.uniform(-180, 180, (2, 2*n))
    d, _ = path_geometry(lat[0], lon[0], lat[1], lon[1])
    ok = np.flatnonzero((d > 15) & (d < 165))[:n]
    return d[ok], (lat[0,ok], lon[0,ok], lat[1,ok], lon[1,ok])

def equator(d, start=0.): return [np.zeros_like(d), np.full_like(d, start), np.zeros_like(d), start+d]

@pytest.fixture(scope='module')
def earth(): return smooth_maps(random_earth(5).slowness)

# rays: an independent way to the same numbers

C = dict(a=.7, b=.4, s=.5)
def f(lat, lon): return C['a']*np.cos(2*lat) + C['b']*np.sin(2*lat)*np.cos(lon-.3) + C['s']*np.sin(lat)*np.cos(lat)*np.sin(lon)

def trace(e, azimuth, length):
    "Latitude, longitude and azimuth of a ray from 0 N 0 E after a length, and the derivative of the place to the first azimuth"
    def rate(_, y):
        lat, lon, az = y
        h = 1e-4
        north, east = (f(lat+h, lon)-f(lat-h, lon))/2/h, (f(lat, lon+h)-f(lat, lon-h))/2/h/np.cos(lat)
        # a great circle, and Snell's law: the ray turns toward lower velocity
        return [np.cos(az), np.sin(az)/np.cos(lat), np.sin(az)*np.tan(lat) - e*(np.cos(az)*east - np.sin(az)*north)/(1+e*f(lat, lon))]
    return solve_ivp(rate, (0, length), [0., 0., azimuth], rtol=1e-11, atol=1e-12).y[:,-1]

@pytest.mark.parametrize('degrees', [40., 90., 130.])
def test_rays(degrees):
    "ln A is -1/2 ln of the spreading of true rays, plus the quarter of the difference of f that makes it reciprocal"
    e, d, h = 1e-4, np.radians(degrees), 1e-4
    lat, lon = np.radians(LATITUDE)[:,None], np.radians(LONGITUDE)
    smooth = smooth_maps(-e*f(lat, lon)[None])
    aim = lambda az: np.array(trace(e, az, d))
    first = np.pi/2
    for _ in range(4):                                                     # the ray that comes back to the equator
        y = aim(first)
        first -= y[0]/((aim(first+h)[0] - aim(first-h)[0])/2/h)
    y, spread = aim(first), -(aim(first+h)[0] - aim(first-h)[0])/2/h
    exact = -.5*np.log(spread/np.sin(d)) + e*(f(0, d)-f(0, 0.))/4
    path = equator(np.array([degrees]))
    assert path_focusing(smooth, *path)[0,0] == pytest.approx(exact, rel=1e-2, abs=1e-2*e)
    assert path_angle(smooth, *path)[0,0] == pytest.approx(np.degrees(y[2]-np.pi/2), rel=1e-2, abs=.3*e)

# what must hold for every map

def test_channel():
    "Slow channel focuses, fast one spreads, as 3/4 e (1 - D cot D) for degree 2"
    z = np.sin(np.radians(LATITUDE))[:,None]*np.ones(180)
    d, e = np.array([20., 60, 90, 120, 150]), .01
    exact = .75*e*(1 - np.radians(d)/np.tan(np.radians(d)))
    for start in (0., 71.3, 175.):
        a = path_focusing(np.stack([-e*(3*z**2-1)/2, e*(3*z**2-1)/2]), *equator(d, start))
        np.testing.assert_allclose(a[:,0], exact, rtol=2e-3)
        np.testing.assert_allclose(a[:,1], -a[:,0], rtol=1e-6)

def test_reciprocal(earth):
    _, w = globe(300)
    np.testing.assert_allclose(path_focusing(earth, *w), path_focusing(earth, *w[2:], *w[:2]), atol=1e-5)

def test_constant_and_linear():
    _, w = globe(100)
    a, b = (random_earth(5, k).slowness[:3] for k in (0, 1))
    for measure, unit in ((path_focusing, 3e-5), (path_angle, 1e-4)):
        np.testing.assert_allclose(measure(np.full((1, 90, 180), .04), *w), 0, atol=unit)
        np.testing.assert_allclose(measure(2*a-b, *w), 2*measure(a, *w) - measure(b, *w), atol=unit)

def test_turned_globe():
    "The same map and paths turned about the axis by some cells; and a map of one degree about any axis, near the poles too"
    _, (a, b, c, d) = globe(200, 1)
    m = random_earth(5).slowness[4:5]
    np.testing.assert_allclose(path_focusing(np.roll(m, 20, 2), a, b+40, c, d+40), path_focusing(m, a, b, c, d), atol=1e-5)
    axis = np.array([.3, -.5, .8]); axis /= np.linalg.norm(axis)
    lat, lon = np.radians(LATITUDE)[:,None], np.radians(LONGITUDE)
    z = axis[0]*np.cos(lat)*np.cos(lon) + axis[1]*np.cos(lat)*np.sin(lon) + axis[2]*np.sin(lat)
    s = smooth_maps(z[None]**2)
    r = np.stack([np.cos(lat)*np.cos(lon), np.cos(lat)*np.sin(lon), np.sin(lat)+0*lon])
    side = axis[:,None,None] - z*r                                          # gradient of z
    np.testing.assert_allclose(s.slope[:,0], 2*z*side, atol=1e-5)
    for k, (i, j) in enumerate(((0,0), (1,1), (2,2), (0,1), (0,2), (1,2))):
        hessian = 2*side[i]*side[j] - 2*z**2*((i==j) - r[i]*r[j])
        np.testing.assert_allclose(s.curve[k,0], hessian, atol=1e-5)

def test_near_the_poles(earth):
    "A path across a pole is as good as its neighbours"
    y = np.array([60., 60.]), np.array([10., 10.]), np.array([70., 70.]), np.array([189.9, 190.1])
    a, b = path_focusing(earth, *y), path_angle(earth, *y)
    assert np.abs(a).max() < .5 and np.ptp(a, axis=0).max() < 5e-3 and np.ptp(b, axis=0).max() < .1

def test_angle_sign():
    "Fast in the north: a wave going east arrives turned to the right, one going west to the left"
    north = -.01*np.sin(np.radians(LATITUDE))[None,:,None]*np.ones(180)
    east = equator(np.array([90.]))
    a, b = path_angle(north, *east)[0,0], path_angle(north, *east[2:], *east[:2])[0,0]
    assert a == pytest.approx(np.degrees(.01), rel=5e-3) and b == pytest.approx(-a, rel=1e-3)

def test_size_at_50_to_150_s():
    "rms over paths of 15-165 degrees in random Earths with a crust: a tenth to a quarter, more at large distances"
    d, w = globe(800, 2)
    a = np.stack([path_focusing(smooth_maps(random_earth(9, k).slowness), *w) for k in range(2)])
    inside = (FREQUENCY > 6) & (FREQUENCY < 21)
    rms = lambda x: np.sqrt((x**2).mean())
    assert .08 < rms(a[:,:,inside]) < .25
    near, far = (rms(a[:,k][:,:,inside]) for k in (d < 90, d > 120))
    assert near < .08 < far < .5

def test_points_and_degree(earth):
    "More points change little; a rougher map focuses more; a degree the cells do not carry is refused"
    d, w = globe(300, 3)
    near = d < 150
    a, b = (path_focusing(earth, *w, points=n) for n in (48, 192))
    assert np.abs(a-b)[near].max() < 5e-3
    m = random_earth(5).slowness[4:5]
    sizes = [np.sqrt((path_focusing(m, *w, lmax=k)**2).mean()) for k in (8, 12, 16, 20)]
    assert sizes == sorted(sizes)
    with pytest.raises(ValueError, match='lmax is 45'): smooth_maps(m, 45)

# seismograms

@pytest.fixture(scope='module')
def basis(): return mode_basis()

def direct(basis, d): return branch_seismograms(basis, 20., TENSOR, d, np.full(len(d), 60.))

def test_amplitude_of_perturb(basis):
    "None changes no bit; a slope over frequency multiplies the spectrum of the fundamental branch"
    d = np.array([30., 50.])
    u = direct(basis, d)
    p, shift = np.full((2, len(FREQUENCY)), .01), np.full((2, len(FAMILIES)-1), -.01)
    plain, same = perturb(basis, u, d, p, shift), perturb(basis, u, d, p, shift, amplitude=0*p)
    assert np.array_equal(plain, perturb(basis, u, d, p, shift, amplitude=None))
    np.testing.assert_allclose(same, plain, atol=1e-6*np.abs(plain).max())
    a = np.tile(np.linspace(-.3, .3, len(FREQUENCY)), (2, 1))
    v = perturb(basis, np.concatenate([u[:1], 0*u[1:]]), d, 0*p, 0*shift, amplitude=a)
    ratio = np.abs(np.fft.rfft(v, 2*v.shape[1])/np.fft.rfft(u[0], 2*v.shape[1]))
    inside = (basis.spectrum_hz > .006) & (basis.spectrum_hz < .018)
    np.testing.assert_allclose(np.log(ratio[:,inside]), (a@basis.node)[:,inside], atol=.02)

def test_scattered(basis):
    d = np.array([20., 35, 50, 60, 150.])
    u, size = direct(basis, d), np.array([.2, .4, .6, .3, .5])
    make = lambda seed: scattered(basis, u, d, size, np.random.default_rng(seed))
    v, norm = make(3), lambda x: np.linalg.norm(x, axis=-1)
    assert np.array_equal(v, make(3)) and not np.allclose(v, make(4)) and v.dtype == np.float32
    first = np.radians(d)*RADIUS/1e3/basis.modes.group[basis.modes.n==0].max()
    early = basis.time < first[:,None] - 1/STUDY.band[1]
    assert np.abs(v[early]).max() < 1e-3*np.abs(v).max() and not v[-1].any()           # at 150 degrees it comes after the record
    np.testing.assert_allclose(norm(v[:3])/norm(u[0,:3]), size[:3], rtol=.03)
    late = np.array([np.average(basis.time, weights=x**2) for x in (*v[:2], *u[0,:2])])
    assert (30 < late[:2]-late[2:]).all() and (late[:2]-late[2:] < 200).all()          # a coda, of limited duration
    hz = np.fft.rfftfreq(v.shape[1], basis.time[1])
    power = np.abs(np.fft.rfft(v[:2]))**2
    assert power[:,(hz < .003) | (hz > .023)].sum() < .01*power.sum()
    np.testing.assert_allclose(scattered(basis, u, d, 2*size, np.random.default_rng(3)), 2*v, rtol=1e-5, atol=1e-12)

def test_many_draws(basis):
    "The mean over draws is nothing, and the envelope falls behind the direct wave"
    d = np.full(200, 35.)
    u = np.repeat(direct(basis, d[:1]), 200, axis=1)
    v = scattered(basis, u, d, np.ones(200), np.random.default_rng(0))
    power = (v**2).mean(0)
    assert (v.mean(0)**2).sum() < .02*power.sum()
    peak = basis.time[(u[0,0]**2).argmax()]
    mean = lambda a, b: power[(basis.time > peak+a) & (basis.time < peak+b)].mean()
    assert mean(0, 150) > 5*mean(-150, 0) and mean(0, 150) > 4*mean(250, 400) > 16*mean(500, 650)
