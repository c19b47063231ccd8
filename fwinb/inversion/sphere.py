
from functools import lru_cache
from typing import NamedTuple

import numpy as np, xarray as xr

from ..earth.simulate import Source
from ..earth.structure import (
    FAMILIES, LATITUDE, LONGITUDE, RADIUS, Earth, bent_branches, component_seismograms, family_slowness, harmonics,
    in_band, in_window, linear_effect, path_average, structure_maps, time_derivative, wave_bases)
from ..pairs.schema import recipe_of

class Maps(NamedTuple):
    "What is unknown of an Earth, for each wave: maps of spherical harmonics"
    periods:tuple=(55., 75., 110., 180.)     # s: dp/p of the fundamental branch, linear in ln(frequency) between
    groups:tuple=((1, 2), (3, 4, 5, 6, 7))   # families of overtones with one map of dln(omega) each
    lmax:int=10                              # highest degree

    @property
    def number(self): return len(self.periods) + len(self.groups)      # of maps of a wave
    @property
    def size(self): return (self.lmax+1)**2                            # coefficients of a map

def period_hats(
    maps:Maps,
    frequency,     # (f,) mHz
)->np.ndarray:     # (periods, f) weights that interpolate dp/p at the periods of `maps`
    "Linear interpolation in the logarithm of the frequency; constant beyond the ends"
    order, at = np.argsort(maps.periods)[::-1], np.log(1e3/np.array(maps.periods))
    hats = [np.interp(np.log(frequency), at[order], e[order]) for e in np.eye(len(at))]
    return np.array(hats)

def group_members(
    maps:Maps,
)->np.ndarray:     # (groups, families) 1: a member
    "The families of overtones of each group"
    families = np.arange(1, len(FAMILIES))
    return np.array([np.isin(families, g) for g in maps.groups], float)

@lru_cache(2)
def harmonic_maps(
    lmax:int,
)->tuple:          # degree of each, (k,), and maps (k, 90, 180) on the cells, mean square 1
    "Real spherical harmonics"
    l, p, trig = harmonics(lmax, LATITUDE, LONGITUDE)
    return l, np.einsum('ak,ok->kao', p, trig)

def expand(
    values,        # (..., 90, 180) on the cells
    lmax:int=10,
)->np.ndarray:     # (..., k)
    "Coefficients of maps up to a degree"
    area = np.cos(np.radians(LATITUDE))
    return np.einsum('...ao,kao,a->...k', values, harmonic_maps(lmax)[1], area/area.sum()/len(LONGITUDE), optimize=True)

def true_maps(
    earth:Earth,
    maps:Maps,
    waves=('Z',),  # 'Z': Rayleigh; 'T': Love
)->np.ndarray:     # (waves, maps, k)
    "The maps of an Earth, without what is beyond their degree"
    return np.stack([np.concatenate([
        expand(_at_periods(slowness, earth.frequency, maps), maps.lmax),
        expand(np.stack([shift[np.array(g)-1].mean(0) for g in maps.groups]), maps.lmax)])
        for slowness, shift in (structure_maps(earth, w) for w in waves)])

def _at_periods(slowness, frequency, maps):
    "(periods, 90, 180) dp/p at the periods"
    weights = [np.interp(np.log(1e3/np.array(maps.periods)), np.log(frequency), e) for e in np.eye(len(frequency))]
    return np.tensordot(np.array(weights).T, slowness, 1)

_WAY = 'event_latitude', 'event_longitude', 'station_latitude', 'station_longitude'

class Block(NamedTuple):
    "The traces of one event and component"
    rows:np.ndarray     # (n,) of the pairs
    component:str
    parts:np.ndarray    # (branches, n, nt) in PREM, m
    distance:np.ndarray # (n,) degrees
    inverse:np.ndarray  # (2 bins, npts) from the spectrum in the band, real and imaginary parts, to the samples

class Sphere:
    "Synthetics of pairs in a model, and their derivatives: normal modes with path averages"
    def __init__(
        self,
        pairs:xr.Dataset,  # with moment tensors; the synthetic is that of PREM
        maps:Maps=Maps(),
    ):
        self.maps, self.recipe = maps, recipe_of(pairs)
        self.bases = wave_bases(self.recipe)
        self.obs, self.prem = pairs.waveform.values.astype(float).transpose(1, 0, 2)
        self.component, way = pairs.component.values.astype(str), [pairs[k].values for k in _WAY]
        self.waves = tuple(w for w in 'ZT' if np.any((self.component == 'T') == (w == 'T')))
        self.wave = np.array([self.waves.index('T' if c == 'T' else 'Z') for c in self.component])
        self.event, self.station = (_numbers(pairs, k) for k in ('event', 'station'))
        self.azimuth = np.radians(pairs.azimuth_deg.values)
        self.path = path_average(harmonic_maps(maps.lmax)[1], *way)          # (n, k)
        self.way, self.blocks = way, [_block(pairs.isel(pair=r), r, self.bases) for r in self._groups()]
        inside = {c: in_window(b, self.recipe) for c, b in self.bases.items()}
        self.inside, self.size = inside, self.maps.size
        self.rest = self.prem.copy()                                         # what the modes lack, at PREM
        for b in self.blocks: self.rest[b.rows] -= b.parts.sum(0)[:,inside[b.component]]

    def __len__(self): return len(self.obs)

    def _groups(self):
        key = np.unique([f'{e} {c}' for e, c in zip(self.event, self.component)], return_inverse=True)[1]
        order = np.argsort(key, kind='stable')
        return np.split(order, np.flatnonzero(np.diff(key[order]))+1)

def _numbers(pairs, name):
    "Numbers 0, 1 .. of the events, or of the stations without their channel"
    names = [s.rsplit('.', 1)[0] if name == 'station' else s for s in pairs[name].values.astype(str)]
    return np.unique(names, return_inverse=True)[1]

def _block(ds, rows, bases):
    "The block of an event and component"
    c = str(ds.component.values[0])
    d, az, magnitude = ds.distance_deg.values, ds.azimuth_deg.values, float(ds.event_magnitude[0])
    source = Source(0, 0, float(ds.event_depth_km[0]), magnitude, ds.moment_tensor.values[0], 0)
    parts = component_seismograms({c: bases[c]}, source.depth_km, source.tensor, d, az, source.half_duration)[c]
    return Block(rows, c, parts, d, _inverse(bases[c], recipe_of(ds)))

@lru_cache(8)
def _inverse_of(n, bins, first, npts):
    "Real matrix of the inverse transform"
    angle = 2*np.pi/n*np.outer(np.arange(bins), np.arange(first, first+npts))
    weight = np.where(np.arange(bins) > 0, 2, 1)[:,None]/n
    return np.concatenate([weight*np.cos(angle), -weight*np.sin(angle)]).astype(np.float32)

def _inverse(basis, recipe):
    return _inverse_of(2*len(basis.time), in_band(basis).stop, in_window(basis, recipe).start, recipe.npts)

class Model(NamedTuple):
    "Maps, and terms of events and stations"
    maps:np.ndarray     # (waves, maps, k)
    event:np.ndarray    # (events, 4) origin time later by, s; true place to the north and east by, km; ln of the moment
    station:np.ndarray  # (stations, 2) clock error, s, positive: the record is late; ln of the gain

def prem_model(
    sphere:Sphere,
)->Model:
    "No structure, no terms"
    return Model(np.zeros((len(sphere.waves), sphere.maps.number, sphere.size)),
                 np.zeros((sphere.event.max()+1, 4)), np.zeros((sphere.station.max()+1, 2)))

def path_values(
    sphere:Sphere,
    maps,          # (waves, maps, k)
)->tuple:          # (n, frequency) dp/p, (n, families) dln(omega)
    "Structure on each path"
    k = len(sphere.maps.periods)
    values = np.einsum('nk,nmk->nm', sphere.path, maps[sphere.wave])
    frequency = next(iter(sphere.bases.values())).frequency
    return values[:,:k]@period_hats(sphere.maps, frequency), values[:,k:]@group_members(sphere.maps)

def trace_terms(
    sphere:Sphere,
    model:Model,
)->tuple:          # (n,) each: late, s; farther, km; ln of the amplitude
    "What the terms do to each trace"
    e, s, az = model.event[sphere.event], model.station[sphere.station], sphere.azimuth
    return e[:,0] + s[:,0], -np.cos(az)*e[:,1] - np.sin(az)*e[:,2], e[:,3] + s[:,1]

def synthetics(
    sphere:Sphere,
    model:Model=None,      # None: `structure` alone
    structure=None,        # dp/p and dln(omega) on each path, instead of those of the maps
)->np.ndarray:             # (n, npts) m
    "Synthetics of a model"
    slowness, shift = path_values(sphere, model.maps) if structure is None else structure
    late, farther, louder = np.zeros((3, len(sphere))) if model is None else trace_terms(sphere, model)
    out = sphere.rest.copy()
    for b in sphere.blocks:
        r, basis = b.rows, sphere.bases[b.component]
        bent = bent_branches(basis, b.parts, b.distance, slowness[r], shift[r], late[r], None, farther[r])
        out[r] += sum(bent)[:,sphere.inside[b.component]]
    return out*np.exp(louder)[:,None]

def structure_effect(
    sphere:Sphere,
    maps,              # (waves, maps, k): the present model
    truth,             # dp/p and dln(omega) on each path
)->np.ndarray:         # (n, npts) m
    "Linear effect of the structure that the present model lacks on its synthetics"
    slowness, shift = path_values(sphere, maps)
    out = np.zeros((len(sphere), sphere.recipe.npts))
    for b in sphere.blocks:
        r, basis = b.rows, sphere.bases[b.component]
        bent = bent_branches(basis, b.parts, b.distance, slowness[r], shift[r])
        lacking = truth[0][r]-slowness[r], (truth[1][r]-shift[r])/(1+shift[r])
        out[r] = linear_effect(basis, np.stack(bent), b.distance, *lacking)[:,sphere.inside[b.component]]
    return out

TERMS = 'late', 'farther', 'louder'   # what the terms of events and stations do to a trace

def derivatives(
    sphere:Sphere,
    model:Model,
    rows=None,         # (n,) bool: traces that are wanted; None: all
)->np.ndarray:         # (wanted, maps + TERMS, npts) float32, m per unit of each value on the path and of `trace_terms`
    "Derivatives of the synthetics"
    (slowness, shift), (late, farther, louder) = path_values(sphere, model.maps), trace_terms(sphere, model)
    wanted = np.ones(len(sphere), bool) if rows is None else np.asarray(rows)
    place = np.cumsum(wanted)-1
    out = np.empty((wanted.sum(), sphere.maps.number+3, sphere.recipe.npts), np.float32)
    for b in sphere.blocks:
        here = wanted[b.rows]
        if not here.any(): continue
        r, d, parts = b.rows[here], b.distance[here], b.parts[:,here]
        bent = bent_branches(sphere.bases[b.component], parts, d, slowness[r], shift[r], late[r], None, farther[r])
        k = _block_derivatives(sphere, b, d, shift[r], bent)
        k[:,-1] += sphere.rest[r]
        out[place[r]] = k*np.exp(louder[r]).astype(np.float32)[:,None,None]
    return out

def _block_derivatives(sphere, block, distance, shift, bent):
    "Derivatives for one block, from its branches in the present model; the last one is the seismogram itself"
    basis, inside, maps = sphere.bases[block.component], sphere.inside[block.component], sphere.maps
    band, dt, nt = in_band(basis), sphere.recipe.dt, len(basis.time)
    spectrum = np.fft.rfft(bent[0], 2*nt)[:,band]
    hz, slow = basis.spectrum_hz[band], basis.slowness[band]
    turn = -2j*np.pi*hz*slow                                             # per km and dp/p
    km = (np.radians(distance)*RADIUS/1e3)[:,None]
    weights = period_hats(maps, basis.frequency)@basis.node[:,band]
    late, farther = -2j*np.pi*hz*spectrum, turn*spectrum
    rows = np.stack([*((km*farther)*w for w in weights), late, farther], 1)
    k = np.concatenate([rows.real, rows.imag], -1).astype(np.float32)@block.inverse
    n = len(maps.periods)
    slope = time_derivative(np.stack(bent[1:]), dt)
    of = np.append(family_slowness(basis), slow.mean())[:len(bent)-1]
    stretch = (basis.time*slope[:shift.shape[1]]/(1+shift.T[...,None]))
    grouped = [np.tensordot(g, stretch, 1)[:,inside] for g in group_members(maps)]
    late, farther = k[:,n] - slope.sum(0)[:,inside], k[:,n+1] - np.tensordot(of, slope, 1)[:,inside]
    return np.stack([*k[:,:n].transpose(1, 0, 2), *grouped, late, farther, sum(bent)[:,inside]], 1).astype(np.float32)
