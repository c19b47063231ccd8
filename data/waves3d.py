"""Waves of another code in another Earth, made dirty by a generator that shares nothing with fwinb.earth.noise: for judging only.

The file (.npz) holds `observed` and `synthetic` (m, up, every 2 s from the centroid time, the same source in both), and `g_fit` and `g_theory`
(times their `_scale`), the linear effect of the path's structure on the synthetic at the samples of the study. The stations of every earthquake
are dealt into three parts, and each part has a source error of its own or none: four earthquakes stand for twelve events.

Nothing is taught, tuned or chosen on these waves. Earthquakes below Mw 6.5 are made as large, as they would drown in this noise (waves are linear in
the moment); that magnitude was set when the smallest one had no usable pair left, before any selector saw the waves.
"""
from typing import NamedTuple

import numpy as np
from fwinb.pairs.schema import STUDY, build_pairs
from fwinb.pairs.signal import band_limited

LEAST_MAGNITUDE = 6.5       # smaller earthquakes are made as large
PARTS = 3                   # into which the stations of an earthquake are dealt
WORLDS = dict(mild=1, bad=PARTS)  # parts of each earthquake whose source is wrong
TRUTHS = 'fit', 'theory'

# noise and faults

def acceleration_noise(rng, n, nt, dt, level):
    "(n, nt) m: displacement of white acceleration of some dB (m^2/s^4/Hz), stronger below 5 mHz; `level`: (n,)"
    nfft = 2*nt
    f = np.fft.rfftfreq(nfft, dt)
    shape = np.zeros(len(f))
    use = f > 1e-3
    shape[use] = np.maximum(1, .005/f[use])/(2*np.pi*f[use])**2
    white = rng.normal(size=(n, nfft))/np.sqrt(2*dt)                     # of one-sided density 1
    u = np.fft.irfft(np.fft.rfft(white)*shape, nfft)[:,:nt]
    return 10**(level[:,None]/20)*u

def delayed(u, dt, late):
    "(n, nt): each trace later by `late` s"
    nfft = 2*u.shape[-1]
    f = np.fft.rfftfreq(nfft, dt)
    return np.fft.irfft(np.fft.rfft(u, nfft)*np.exp(-2j*np.pi*f*late[:,None]), nfft)[:,:u.shape[-1]]

def source_delays(rng, azimuth, depth):
    "(n,) s: origin time off by 1 to 3 s, place by 13 to 45 km, seen with the slowness of surface waves, or of body waves from deep events"
    shift, where = rng.choice([-1, 1])*rng.uniform(1, 3), rng.uniform(0, 2*np.pi)
    return shift - rng.uniform(13, 45)*(1/4 if depth < 300 else 1/10)*np.cos(np.radians(azimuth) - where)

def station_defects(rng, n):
    "Factor on the trace and delay (s) of each station: some flipped, some of wrong gain, some of wrong time"
    kind, size, late = rng.random(n), np.ones(n), np.zeros(n)
    size[kind < .02] = -1.
    gain, clock = (kind >= .02) & (kind < .05), (kind >= .05) & (kind < .08)
    size[gain] = rng.choice([.4, 2.5], gain.sum())
    late[clock] = rng.choice([-1, 1], clock.sum())*rng.uniform(8, 30, clock.sum())
    return size, late

def broken(rng, u):
    "Some records with a silent piece, some with a glitch, some of noise only (their rows are returned)"
    u, kind, nt = u.copy(), rng.random(len(u)), u.shape[-1]
    for i in np.flatnonzero(kind < .02):
        a = rng.integers(nt//4, nt)
        u[i,a:a+rng.integers(30, 150)] = 0
    for i in np.flatnonzero((kind >= .02) & (kind < .03)):
        a = rng.integers(nt//4, nt)
        u[i,a:] += rng.choice([-1, 1])*rng.uniform(.5, 3)*np.abs(u[i]).max()*np.exp(-np.arange(nt-a)*2/120)
    return u, (kind >= .03) & (kind < .04)

def dirty(z, seed=5, wrong=1):
    "Observations with noise, defects, and a wrong source in `wrong` of the `PARTS` of each earthquake; the part of each record"
    rng, dt = np.random.default_rng(seed), float(z['time_s'][1] - z['time_s'][0])
    obs, event = z['observed'].astype(float), z['event_index'].astype(int)
    names, site = np.unique(np.char.add(np.char.add(z['network'], '.'), z['station']), return_inverse=True)
    group = rng.permutation(len(names))[site] % PARTS
    size, late = station_defects(rng, len(names))
    late = late[site]
    for k in range(event.max()+1):
        first = rng.integers(PARTS)
        for part in (first + np.arange(wrong)) % PARTS:
            here = (event == k) & (group == part)
            late[here] += source_delays(rng, z['azimuth_deg'][here], float(z['event_depth_km'][k]))
    level = (-178 + 6*rng.normal(size=len(names)))[site] + 2*rng.normal(size=len(obs))
    obs, lost = broken(rng, size[site][:,None]*delayed(obs, dt, late))
    noise = acceleration_noise(rng, len(obs), obs.shape[-1], dt, level)
    return np.where(lost[:,None], 0, obs) + noise, group

# pairs

class Waves(NamedTuple):
    "Pairs of the study with two truths"
    pairs:object            # Dataset; its events are the parts of the earthquakes
    truths:dict             # of `TRUTHS` -> (n, npts) linear effect of the structure, m
    earthquake:np.ndarray   # (n,) names

def in_band(u, dt, times):
    "(n, npts) in the band of the study; the end is continued by its mirror image, as the waves are cut there"
    later = round(300/dt)
    end = 2*u[:,-1:] - u[:,-2:-2-later:-1]
    u = np.concatenate([u, end], 1)
    return np.array([band_limited(x, dt, 0., lambda f: np.ones(len(f)), (0., dt*(u.shape[-1]-1)), times=times) for x in u])

def clean_waves(path):
    "What the file holds, small earthquakes enlarged; `factor` on each pair, `in_band` of the synthetics"
    z = dict(np.load(path))
    event, moment = z['event_index'].astype(int), np.sqrt(((z['event_M_Nm']**2)*[1, 1, 1, 2, 2, 2]).sum(1)/2)
    factor = np.maximum(1, 10**(1.5*LEAST_MAGNITUDE + 9.1)/moment)[event]
    for k in ('observed', 'synthetic'): z[k] = z[k]*factor[:,None]
    dt = float(z['time_s'][1] - z['time_s'][0])
    return z | dict(factor=factor, moment=moment[event]*factor, in_band=in_band(z['synthetic'].astype(float), dt, STUDY.times))

def spoiled_waves(z, world='mild', seed=5):
    "`Waves` of `clean_waves` in a world of `WORLDS`"
    obs, group = dirty(z, seed, WORLDS[world])
    event, dt = z['event_index'].astype(int), float(z['time_s'][1] - z['time_s'][0])
    w, names = np.stack([in_band(obs, dt, STUDY.times), z['in_band']], 1), z['event_name'][event].astype(str)
    kept = dict(
        event=[f'{a}.{b}' for a, b in zip(names, group)], station=[f'{a}.{b}.00.LXZ' for a, b in zip(z['network'], z['station'])],
        origin='simulated', status='ok', event_latitude=z['event_lat'][event], event_longitude=z['event_lon'][event],
        event_depth_km=z['event_depth_km'][event], moment_tensor=z['event_M_Nm'][event]*z['factor'][:,None],
        event_magnitude=2/3*(np.log10(z['moment'])-9.1), event_time=946684800. + 7*86400*(PARTS*event+group),
        station_latitude=z['station_lat'], station_longitude=z['station_lon'], distance_deg=z['distance_deg'], azimuth_deg=z['azimuth_deg'])
    truths = {k: z[f'g_{k}'].astype(float)*(z[f'g_{k}_scale']*z['factor'])[:,None] for k in TRUTHS}
    return Waves(build_pairs(w, None, STUDY, **kept), truths, names)
