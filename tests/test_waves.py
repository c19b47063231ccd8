"Waves of three components against other codes: AxiSEM3D in PREM and in a 3-D Earth, a plain propagator and disba for Love waves"
from pathlib import Path
import numpy as np, pytest
from scipy.optimize import brentq
from scipy.signal import butter, sosfiltfilt

from fwinb.data.events import sub_sources
from fwinb.data.files import read_events
from fwinb.earth.modes import PREM, RADIUS, Layer, medium, solve_modes, synthesize
from fwinb.earth.structure import (
    FAMILIES, FREQUENCY, component_seismograms, crust_map, crust_types, frequency_nodes, love, perturb, random_earth, rock,
    structure_maps, type_layers, wave_bases)
from fwinb.earth.toroidal import group_velocity, prem_components, prem_toroidal, synthesize_zne, three_components, toroidal_modes
from fwinb.pairs.recipes import load_recipe
from fwinb.pairs.schema import STUDY, Recipe
from test_strangers_events import FINITE, ONE, cmt

FACTS = Path(__file__).parent/'facts'

def facts(name):
    z = dict(np.load(FACTS/f'{name}.npz'))
    return z, z['samples']*z['scale'][...,None].astype(float)

def alike(a, b):
    "Correlation and ratio of amplitudes along the last axis"
    square = lambda x: (x**2).sum(-1)
    return (a*b).sum(-1)/np.sqrt(square(a)*square(b)), np.sqrt(square(a)/square(b))

# AxiSEM3D in PREM

@pytest.fixture(scope='module')
def axisem():
    "Waves of AxiSEM3D, and the mode sums of the same Earth two seconds early, in time, and two seconds late: (3, depth, azimuth, distance, ZRT, time)"
    z, u = facts('axisem_zrt')
    rho, vpv, vph, vsv, vsh, eta = z['crust']
    earth = (*PREM[:10], Layer(6346.6, 6371, (rho,), (vpv,), (vph,), (vsv,), (vsh,), (eta,), 600, 57823, 2))
    modes, toroidal = solve_modes(21.5, 'none', earth), toroidal_modes(21.5, earth[2:])
    t, d = np.arange(u.shape[-1])*float(z['dt']), z['distance_deg'].astype(float)
    make = lambda late: np.array([[
        three_components(modes, toroidal, depth, z['moment_tensor'], d, float(az), t-late, float(z['half_duration_s']))
        for az in z['azimuth_deg']] for depth in z['depth_km']])
    return u, np.stack([make(late) for late in (-2., -1., 0., 1., 2.)]), float(z['dt'])

@pytest.mark.parametrize('band, least, median', [((3e-3, 10e-3), .998, .999), ((5e-3, 18e-3), .98, .99)])
def test_another_code(axisem, band, least, median):
    "Three components to 5200 s; a delay of two seconds, which the dispersion of AxiSEM3D's linear solids may have, is left free"
    u, sums, dt = axisem
    f = lambda x: sosfiltfilt(butter(4, band, 'band', fs=1/dt, output='sos'), x)[...,:651]
    cc, gain = zip(*(alike(f(u), f(x)) for x in sums))
    cc, gain, plain = np.max(cc, 0), gain[2], cc[2]                       # (depth, azimuth, distance, ZRT)
    print('correlation', *(f'{c}: {x.min():.4f} {np.median(x):.4f}' for c, x in zip('ZRT', np.moveaxis(plain, -1, 0))),
          'amplitude', gain.min().round(3), gain.max().round(3), 'with a delay', cc.min().round(4))
    assert cc.min() >= least and (np.median(plain, (0, 1, 2)) >= median).all()
    if band[1] == 10e-3: assert np.abs(gain - 1).max() < .05

# AxiSEM3D in a 3-D Earth

def test_three_dimensions():
    "One slowness of the fundamental branch and one shift of the overtones per path explain most of what 3-D structure does, on every component"
    z, u = facts('axisem3d_zrt')
    recipe = Recipe('3-D', ('Z', 'R', 'T'), 0., 1802., 901, (90., 500.), (.001, .002, .011, .013))
    sos = butter(4, [3.5e-3, 9.5e-3], 'band', fs=.5, output='sos')
    record = lambda x: sosfiltfilt(sos, np.asarray(x, float)[...,:901])[...,::10]
    bases, d = wave_bases(recipe), z['distance_deg'].astype(float)
    parts = component_seismograms(bases, float(z['depth_km']), z['moment_tensor'], d, z['azimuth_deg'], 20.)
    P, E, n, found = np.linspace(-.04, .04, 81), np.linspace(-.02, .02, 11), len(d), {}
    still, flat = np.zeros((n, len(FAMILIES)-1)), np.zeros((n, len(frequency_nodes(recipe))))
    for i, c in enumerate('ZRT'):
        one, rest = (np.where((np.arange(len(parts[c])) == 0)[:,None,None] == k, parts[c], 0) for k in (True, False))
        fundamental = np.array([record(perturb(bases[c], one, d, flat+p, still)) for p in P])
        overtones = np.array([record(perturb(bases[c], rest, d, flat, still+e)) for e in E])
        obs, syn = u[:,i,0], u[:,i,1]
        goal, power = obs - syn + record(parts[c].sum(0)), (obs**2).sum(-1)
        left = np.array([[((goal-a-b)**2).sum(-1)/power for b in overtones] for a in fundamental]).reshape(-1, n)
        found[c] = P[left.argmin(0)//len(E)], left.min(0), ((obs-syn)**2).sum(-1)/power
    explained = {c: 1 - left.sum()/before.sum() for c, (_, left, before) in found.items()}
    near = d < 60                                                         # beyond them the Rayleigh wave comes after the record
    same = np.corrcoef(found['Z'][0][near], found['R'][0][near])[0,1]
    print('variance of the difference explained', {k: round(v, 3) for k, v in explained.items()}, f'slowness on Z and R: {same:.3f}')
    assert explained['Z'] > .5 and explained['R'] > .5 and explained['T'] > .7
    assert same > .98                                                     # the same Rayleigh wave on both

# radiation

def test_nodes():
    "A vertical strike-slip source sends no Love waves along its planes' bisectors, and no Rayleigh waves along its planes"
    strike, d = [0, 0, 0, 0, 0, 1e20], np.full(5, 70.)
    u = component_seismograms(wave_bases(load_recipe('surface')), 20., strike, d, np.array([0., 22.5, 45., 90., 135.]))
    peak = {c: np.abs(x.sum(0)).max(-1) for c, x in u.items()}
    assert (peak['T'][[2, 4]] < 1e-5*peak['T'][0]).all() and (peak['Z'][[0, 3]] < 1e-5*peak['Z'][2]).all()
    assert (peak['R'][[0, 3]] < 1e-5*peak['R'][2]).all()
    near = np.abs(u['T'][-1]).max(-1)/np.abs(u['T'][:-1].sum(0)).max(-1)
    assert near[0] < .1                                                   # the near-field branch is small

@pytest.mark.parametrize('components', [('T',), ('R',), ('Z', 'T'), ('R', 'Z')])
def test_any_components(components):
    "Each component is the same in whatever company it is asked for"
    tensor, where = np.array([1, -.3, -.7, -.8, .6, .5])*1e19, (50., np.array([30., 80.]), np.array([10., 200.]))
    all_, some = load_recipe('surface'), load_recipe('surface')._replace(components=components)
    whole, part = (component_seismograms(wave_bases(r), where[0], tensor, *where[1:], 5.) for r in (all_, some))
    assert set(part) == set(components)
    for c in components: np.testing.assert_allclose(part[c].sum(0), whole[c].sum(0), atol=1e-5*np.abs(whole[c]).max())

def test_earth_of_a_wide_band():
    "Nodes to 28 mHz, and the same structure as the study's where the nodes are the study's"
    wide, study = random_earth(3, 0, load_recipe('middle')), random_earth(3)
    assert len(wide.slowness) == len(wide.love) == len(frequency_nodes(load_recipe('middle'))) == len(wide.frequency) == len(FREQUENCY)+2
    np.testing.assert_allclose(wide.slowness[:7], study.slowness[:7], atol=2e-3)
    assert study.love is None and structure_maps(wide, 'T')[1].shape == study.shift.shape

# Love waves: a plain propagator. In the variables W/r and z = a ln(a/r) the toroidal equation of a sphere is that of a flat Earth.

def profile(layers, step=2.):
    "Layers downward to the mantle's floor: (thickness, density, L, N) of the flat Earth"
    r, out = RADIUS/1e3, []
    def add(top, bottom, law):
        edges = np.linspace(top, bottom, int(np.ceil((top-bottom)/step))+1)*1e3
        for a, b in zip(edges, edges[1:]):
            middle = np.sqrt(a*b)
            m, x = law(np.array([middle])), middle/RADIUS
            out.append((RADIUS*np.log(a/b), m.rho[0]*x**5, m.L[0]*x**3, m.N[0]*x**3))
    for thickness, *values in reversed(layers):
        add(r, r-thickness, values[0] if callable(values[0]) else rock(*values))
        r -= thickness
    add(r, 6291., lambda x: medium(PREM[9], x))
    for k in (8, 7, 6, 5, 4, 3): add(PREM[k].top, max(PREM[k].bottom, 5000.), lambda x, k=k: medium(PREM[k], x))
    return np.array(out)

def wavenumber(l): return np.sqrt((l-1)*(l+2))/RADIUS

def traction(omega, l, rows):
    "At the surface, of the solution that is zero at the floor"
    y, s = 0., 1.
    for h, rho, L, N in rows[::-1]:
        q = (wavenumber(l)**2*N - rho*omega**2)/L
        x = np.sqrt(abs(q))
        c, sine = (np.cosh(x*h), np.sinh(x*h)) if q > 0 else (np.cos(x*h), np.sin(x*h))
        y, s = c*y + sine/(L*x)*s, np.sign(q)*L*x*sine*y + c*s
        size = np.hypot(y, s/1e6)
        y, s = y/size, s/size
    return s

def lowest(l, rows):
    "omega of the fundamental mode"
    k = (l+.5)/RADIUS
    c = 2000.
    while traction(c*k, l, rows)*traction((c+50)*k, l, rows) > 0: c += 50
    return brentq(traction, c*k, (c+50)*k, args=(l, rows), xtol=1e-12)

def velocities(period, rows):
    "Phase and group velocity, km/s"
    l = brentq(lambda l: lowest(l, rows)*period/2/np.pi - 1, 20, 330, xtol=1e-5)
    slope = (lowest(l+.05, rows) - lowest(l-.05, rows))/(wavenumber(l+.05) - wavenumber(l-.05))
    return 2*np.pi/period/wavenumber(l)/1e3, slope/1e3

# km/s, of isotropic layers (N = L) by disba 0.7.0 (Luu 2021, doi:10.5281/zenodo.3987395; after Herrmann's surf96), given those of `profile`
DISBA = {'R5': {40: (3.907185, 3.536803), 50: (4.003244, 3.600773), 100: (4.325818, 3.889121)},
         'A0': {40: (4.429053, 4.323803), 50: (4.455628, 4.328133), 100: (4.588374, 4.332407)}}

@pytest.mark.parametrize('name', DISBA)
def test_propagator(name):
    rows = profile(type_layers(name))
    rows[:,3] = rows[:,2]
    for period, (c, U) in DISBA[name].items():
        found = velocities(period, rows)
        assert found[0] == pytest.approx(c, rel=1e-5) and found[1] == pytest.approx(U, rel=3e-4)

@pytest.mark.parametrize('name', DISBA)
def test_love_of_crust(name):
    "Two types, Tibet's and the old Pacific's, with the mantle's anisotropy"
    which, _ = crust_map()
    assert crust_types().index[which[{'R5': (40-11-1, 134), 'A0': (45, 10)}[name]]] == name
    degrees, rows = np.array([32, 72, 122, 205, 290]), profile(type_layers(name))
    assert love(type_layers(name), degrees) == pytest.approx([lowest(l, rows) for l in degrees], rel=1e-4)

@pytest.mark.parametrize('period', [50, 100])
def test_love_of_prem(period):
    "Group velocity of PREM, its moduli at the period of the wave"
    crust = [(PREM[k].top - PREM[k].bottom, lambda x, k=k: medium(PREM[k], x)) for k in (10, 11)]
    c, U = velocities(period, profile(crust))
    ours = float(group_velocity(prem_toroidal(), 1e3/period))
    print(f'Love wave of {period} s: {ours:.4f} km/s, propagator {U:.4f}')
    assert ours == pytest.approx(U, rel=3e-3)

# an event of several points

def test_finite_source(tmp_path):
    "Three components of a sum of points: the vertical one is that of `synthesize`, the others are summed in north and east"
    (tmp_path/'CMTSOLUTION').write_text(FINITE, encoding='utf-8')
    event, = read_events(tmp_path/'CMTSOLUTION')
    assert len(sub_sources(event)) == 4
    whole, vertical = synthesize_zne(event, ONE, before=60., dt=4.), synthesize(event, ONE, before=60., dt=4.)[0]
    assert np.abs(whole[0].data - vertical.data).max() < 1e-5*np.abs(vertical.data).max()
    total = 0.
    for k, s in enumerate((15, 10, 5, 0)):
        (tmp_path/'PART').write_text(cmt(shift=s, north=.3*k, part=.25), encoding='utf-8')
        e, = read_events(tmp_path/'PART')
        st = synthesize_zne(e, ONE, before=60., dt=4.)
        late = st[0].stats.starttime - whole[0].stats.starttime
        total = total + np.array([np.interp(whole[0].times() - late, tr.times(), tr.data) for tr in st])
    for tr, x in zip(whole, total): assert np.abs(tr.data - x).max() < .05*np.abs(x).max()   # linear interpolation of 4-s samples

def test_components_of_an_event(tmp_path):
    "R and T are N and E turned; an event without a path to a station is not made up"
    (tmp_path/'CMTSOLUTION').write_text(cmt(), encoding='utf-8')
    event, = read_events(tmp_path/'CMTSOLUTION')
    recipe = load_recipe('surface')
    traces, (z, n, e) = prem_components(event, ONE, recipe)['XX.AAA'], synthesize_zne(event, ONE, before=60., after=recipe.end+900, dt=4.)
    back = np.radians(z.stats.sac['baz'])
    assert [traces[c].id for c in 'ZRT'] == [f'XX.AAA..LX{c}' for c in 'ZRT']
    assert np.abs(traces['R'].data + np.cos(back)*n.data + np.sin(back)*e.data).max() < 1e-6*np.abs(e.data).max()
    assert np.abs(traces['T'].data - np.sin(back)*n.data + np.cos(back)*e.data).max() < 1e-6*np.abs(e.data).max()
    assert traces['Z'].times()[-1] + z.stats.sac['b'] >= recipe.end + recipe.margin[1]
    assert set(prem_components(event, ONE, recipe._replace(components=('T',)))['XX.AAA']) == {'Z', 'R', 'T'}        # R and T need each other
