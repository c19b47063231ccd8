
from typing import NamedTuple

import numpy as np, pandas as pd
from scipy.linalg import block_diag, cho_factor, cho_solve

from ..adjoint.misfits import adjoint_sources
from ..earth.simulate import norm
from .sphere import TERMS, Maps, Model, Sphere, derivatives, harmonic_maps, prem_model, synthetics

RMS = dict(Z=((.018, .0165, .014, .010), (.0067, .004)), T=((.030, .024, .0195, .015), (.0065, .005)))  # of Maps()
ALIKE = 2.              # change of ln(period) over which the correlation of two maps falls by 1/e
EVENT = 1.5, 20., 20., .15   # standard deviations of the terms: s, km, km, ln moment
STATION = 3., .2             # s, ln gain

def map_covariance(
    maps:Maps=Maps(),
    wave:str='Z',      # or 'T'
)->np.ndarray:         # (maps k, maps k)
    "Covariance of the coefficients before any datum: red maps, alike at neighbouring periods"
    l = harmonic_maps(maps.lmax)[0]
    power = 1/(1.+l)/(1/(1.+l)).sum()
    surface, overtones = RMS[wave]
    x = np.log(maps.periods)
    sd = np.interp(x, np.log(Maps().periods), surface)
    between = np.exp(-np.abs(x[:,None]-x)/ALIKE)*np.outer(sd, sd)
    of_groups = np.resize(np.array(overtones), len(maps.groups))
    return np.kron(block_diag(between, np.diag(of_groups**2)), np.diag(power))

STUDENT = 3.       # degrees of freedom of the robust norm
TAPER = .05        # share of a whole trace in its two flanks, where a misfit of `adjoint_sources` is asked for

class Fit(NamedTuple):
    "What is fitted, and how"
    sphere:Sphere
    keep:np.ndarray          # (n,) bool
    taper:np.ndarray=None    # (n, npts) weights of samples, such as windows; None: whole traces
    misfit:str='waveform'    # or a name of `adjoint_sources`
    robust:bool=False        # Student's t over traces instead of squares
    terms:bool=False         # solve for the terms of events and stations?
    shortest:float=None      # s: both traces are filtered to longer periods; None: the recipe's band

class Residual(NamedTuple):
    "Of each kept trace"
    square:np.ndarray   # (m,) squared datum: energy of the difference over that of the larger trace, s^2, or no unit
    source:np.ndarray   # (m, npts) `waveform`: the difference over the norm; else derivative of the datum by samples

def long_periods(
    u,               # (..., npts)
    dt:float,        # s
    shortest:float,  # s
)->np.ndarray:       # same shape
    "Traces without periods below the shortest, with a cosine flank up to 1.3 times it"
    hz = np.fft.rfftfreq(2*u.shape[-1], dt)
    flank = np.cos(np.pi/2*np.clip((hz*shortest - 1/1.3)/(1-1/1.3), 0, 1))**2
    return np.fft.irfft(np.fft.rfft(u, 2*u.shape[-1])*flank, 2*u.shape[-1])[...,:u.shape[-1]]

def _seen(fit, u, rows):
    "Traces as the fit sees them; `u`: (m, ..., npts)"
    if fit.shortest: u = long_periods(u, fit.sphere.recipe.dt, fit.shortest)
    if fit.taper is None: return u
    return u*np.expand_dims(fit.taper[rows], tuple(range(1, u.ndim-1)))

def sizes(
    fit:Fit,
    syn,           # (n, npts) m
)->np.ndarray:     # (kept,) m
    "Norm of each kept pair, of the larger trace"
    return np.maximum(*(norm(_seen(fit, x[fit.keep], fit.keep)) for x in (fit.sphere.obs, syn)))

def residuals(
    fit:Fit,
    syn,           # (n, npts) m
    size,          # (kept,) of `sizes`, of the beginning of an iteration
)->Residual:
    "How far the kept synthetics are from the observations"
    obs, syn = (_seen(fit, x[fit.keep], fit.keep) for x in (fit.sphere.obs, syn))
    if fit.misfit == 'waveform':
        r = (obs-syn)/size[:,None]
        return Residual((r**2).sum(-1), r)
    n, npts = obs.shape
    recipe = fit.sphere.recipe
    whole = pd.DataFrame(dict(pair=np.arange(n), left=0, right=npts-1, scale=1.))
    period = fit.shortest or recipe.periods[0]
    out = adjoint_sources(obs, syn, recipe.dt, whole, fit.misfit, period, recipe.periods[1], taper=TAPER)
    square = 2*out.table.misfit.values
    root = np.sqrt(np.maximum(square, 1e-12))
    return Residual(square, -out.source*(recipe.dt/root)[:,None])

class Linear(NamedTuple):
    "One trace's share in the normal equations"
    gram:np.ndarray   # (m, q, q)
    data:np.ndarray   # (m, q)

def linearize(
    fit:Fit,
    model:Model,
    residual:Residual,
    size,              # (kept,) of `sizes`
)->Linear:
    "Products of the derivatives with each other, and with the residual"
    k = _seen(fit, derivatives(fit.sphere, model, fit.keep), fit.keep).astype(np.float32)
    if fit.misfit == 'waveform':
        k /= size[:,None,None].astype(np.float32)
        data = (k@residual.source[...,None].astype(np.float32))[...,0]
        return Linear((k@k.transpose(0, 2, 1)).astype(float), data.astype(float))
    slope = np.einsum('mqt,mt->mq', k, residual.source)         # of minus the datum
    return Linear(slope[:,:,None]*slope[:,None], slope*np.sqrt(residual.square)[:,None])

def trace_weights(
    fit:Fit,
    square,        # (m,) of `Residual`
    variance:float,
)->np.ndarray:     # (m,)
    "Weights of the data: one over their variance, less for outliers where the norm is robust"
    if fit.robust: return (STUDENT+1)/(STUDENT*variance + square)
    return np.full(len(square), 1/variance)

def data_misfit(
    fit:Fit,
    square,        # (m,) of `Residual`
    variance:float,
)->float:
    "Half the weighted sum of squares, or minus the logarithm of Student's density"
    x = square/variance
    return .5*float(((STUDENT+1)*np.log1p(x/STUDENT) if fit.robust else x).sum())

def columns(
    sphere:Sphere,
    wave:int,          # number of a wave
    terms:bool,
)->list:               # of (row of derivatives, first column, matrix (n, columns)); zero for traces of the other wave
    "What each value on the path is made of: coefficients of maps, and terms"
    here, k, q = (sphere.wave == wave), sphere.size, sphere.maps.number
    out = [(a, (wave*q + a)*k, sphere.path) for a in range(q)]
    if not terms: return [(a, i, x*here[:,None]) for a, i, x in out]
    first = len(sphere.waves)*q*k
    e, s = (np.eye(x.max()+1)[x] for x in (sphere.event, sphere.station))
    ne, ns, az = e.shape[1], s.shape[1], sphere.azimuth[:,None]
    at = first + ne*np.arange(4), first + 4*ne + ns*np.arange(2)
    late, farther, louder = (q + i for i in range(len(TERMS)))
    out += [(late, at[0][0], e), (farther, at[0][1], -np.cos(az)*e), (farther, at[0][2], -np.sin(az)*e),
            (louder, at[0][3], e), (late, at[1][0], s), (louder, at[1][1], s)]
    return [(a, i, x*here[:,None]) for a, i, x in out]

def pack(
    model:Model,
    terms:bool,
)->np.ndarray:         # (unknowns,)
    "A model as a vector, in the order of `columns`"
    return np.concatenate([model.maps.ravel(), *((model.event.T.ravel(), model.station.T.ravel()) if terms else ())])

def unpack(x, like:Model, terms:bool)->Model:
    "The model of a vector"
    n, e = like.maps.size, like.event.size
    maps = x[:n].reshape(like.maps.shape)
    if not terms: return like._replace(maps=maps)
    return Model(maps, x[n:n+e].reshape(like.event.shape[::-1]).T, x[n+e:].reshape(like.station.shape[::-1]).T)

def precision(
    sphere:Sphere,
    terms:bool,
)->np.ndarray:         # (unknowns, unknowns)
    "Inverse of the covariance before any datum"
    blocks = [np.linalg.inv(map_covariance(sphere.maps, w)) for w in sphere.waves]
    if terms:
        like = prem_model(sphere)
        blocks += [np.eye(len(x))/sd**2 for x, all_ in ((like.event, EVENT), (like.station, STATION)) for sd in all_]
    return block_diag(*blocks)

def normal_matrix(
    fit:Fit,
    linear:Linear,
    weight,            # (m,)
    mine=None,         # (m,) bool: traces that count; None: all
)->tuple:              # (unknowns, unknowns), (unknowns,)
    "Sum over the traces"
    sphere, rows = fit.sphere, np.flatnonzero(fit.keep)
    if mine is not None: weight = weight*mine
    size = len(pack(prem_model(sphere), fit.terms))
    N, b = np.zeros((size, size)), np.zeros(size)
    for wave in range(len(sphere.waves)):
        mine = sphere.wave[rows] == wave
        parts = [(a, i, x[rows[mine]]) for a, i, x in columns(sphere, wave, fit.terms)]
        w, G, D = weight[mine], linear.gram[mine], linear.data[mine]
        for n, (a, i, x) in enumerate(parts):
            b[i:i+x.shape[1]] += x.T@(w*D[:,a])
            for c, j, y in parts[n:]:
                block = (x*(w*G[:,a,c])[:,None]).T@y
                N[i:i+x.shape[1],j:j+y.shape[1]] += block
                if (c, j) != (a, i): N[j:j+y.shape[1],i:i+x.shape[1]] += block.T
    return N, b

FOLDS = 3                                    # of events
TRADE = tuple(2.**k for k in range(-2, 8))   # weights of the data against the prior that are tried

def best_weight(
    normals,           # list of (matrix, right side) of the folds
    prior,             # (unknowns, unknowns)
    pull,              # (unknowns,) right side of the prior
)->float:
    "Weight of the data whose step predicts the events best that it has not seen"
    N, b = (sum(x) for x in zip(*normals))
    scores = []
    for k in TRADE:
        gain = 0.
        for M, c in normals:
            x = cho_solve(cho_factor(k*(N-M) + prior, overwrite_a=True), k*(b-c) + pull)
            gain += 2*x@c - x@M@x
        scores.append(gain)
    return TRADE[int(np.argmax(scores))]

class Step(NamedTuple):
    "What an iteration has done"
    model:Model
    before:float=0.   # objective
    after:float=0.
    length:float=0.   # share of the step that was taken; 0: none lowered the objective
    variance:float=0. # of the data
    weight:float=0.   # of the data against the prior, beside their variance

LENGTHS = 1., .5, .25, .1

def gauss_newton_step(
    fit:Fit,
    model:Model,
    start:Model,       # where the prior is centred
    prior,             # of `precision`
    syn=None,          # (n, npts) of the model, if they are known
    floor:float=.02,   # smallest variance, of the unit of the datum
)->Step:
    "Solve for the step of least squares, and take as much of it as lowers the objective"
    syn = synthetics(fit.sphere, model) if syn is None else syn
    if not fit.keep.any(): return Step(model)
    size = sizes(fit, syn)
    r = residuals(fit, syn, size)
    variance = max(floor, float(np.median(r.square) if fit.robust else r.square.mean()))
    x0, x = pack(start, fit.terms), pack(model, fit.terms)
    linear, weight = linearize(fit, model, r, size), trace_weights(fit, r.square, variance)
    fold = fit.sphere.event[fit.keep] % FOLDS
    normals, pull = [normal_matrix(fit, linear, weight, fold == i) for i in range(FOLDS)], -prior@(x-x0)
    k = best_weight(normals, prior, pull)
    N, b = (sum(y) for y in zip(*normals))
    dx = cho_solve(cho_factor(k*N + prior), k*b + pull)
    def objective(x, syn):
        return k*data_misfit(fit, residuals(fit, syn, size).square, variance) + .5*(x-x0)@prior@(x-x0)
    before = objective(x, syn)
    for t in LENGTHS:
        new = unpack(x+t*dx, model, fit.terms)
        after = objective(x+t*dx, synthetics(fit.sphere, new))
        if after < before: return Step(new, before, after, t, variance, k)
    return Step(model, before, before, 0., variance, k)
