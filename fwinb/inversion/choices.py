
from functools import cached_property, partial
from typing import Callable, NamedTuple

import numpy as np, xarray as xr

from ..adjoint.misfits import window_taper
from ..earth.simulate import USABLE, linear_error, norm, waveform_error
from ..features.windows import window_table
from ..labels.correlation import cross_correlation, dominant_period
from ..models.pretrained import (
    PURPOSES, describe, fitting_model, judge_windows, window_inputs)
from ..models.recipe_model import best_precision
from ..pairs.schema import recipe_of
from ..select import decide_pairs, window_settings
from .gauss_newton import long_periods
from .sphere import Model, Sphere, structure_effect

ALIKE_FROM = .8     # smallest correlation of a pair whose shape fits
AMPLITUDE = .5      # largest |ln A| of the hand rule
EARLY = .2          # its largest delay, in shortest periods
SHARE = .4          # of the pairs, at random
PRECISION = .95     # required of the selectors

class Truth(NamedTuple):
    "What only an oracle knows of pairs"
    clean:np.ndarray          # (n, npts) records without noise, faults and errors of the source, m
    structure:tuple=None      # dp/p (n, frequency) and dln(omega) (n, families) on each path
    linear:np.ndarray=None    # (n, npts) linear effect of structure at PREM; where `structure` is not known

class View:
    "What a selection may use: the pairs with the synthetics of the present model, and what follows from them, on first use"
    def __init__(
        self,
        pairs:xr.Dataset,      # with the synthetics of PREM
        sphere:Sphere,         # of these pairs
        model:Model,           # the present one
        syn,                   # (n, npts) its synthetics, m
        truth:Truth,           # for the oracles
        shortest:float=None,   # s: rules of half a period see longer periods only; None: the recipe's band
    ):
        self.sphere, self.model, self.truth, self.shortest = sphere, model, truth, shortest
        self.syn, self.obs, self.recipe = np.asarray(syn, float), sphere.obs, recipe_of(pairs)
        w = np.stack([self.obs, self.syn], 1).astype(np.float32)
        self.pairs = pairs.assign(waveform=(pairs.waveform.dims, w, pairs.waveform.attrs))
        self.known = {}

    def __len__(self): return len(self.obs)

    def described(self, purpose):
        "Model of a purpose and its table"
        if purpose not in self.known:
            m = fitting_model(PURPOSES[purpose], self.recipe)
            self.known[purpose] = m, describe(self.pairs, m)
        return self.known[purpose]

    @cached_property
    def alive(self): return (norm(self.obs) > 0) & (norm(self.syn) > 0)    # a dead record has no norm to divide by

    @cached_property
    def correlation(self): return cross_correlation(self.obs, self.syn, self.recipe.dt)

    @cached_property
    def amplitude(self):
        with np.errstate(divide='ignore'): return np.log(norm(self.obs)/norm(self.syn))

def filtered(
    view:View,
    u,             # (n, npts)
)->np.ndarray:     # (n, npts)
    "As the fit of the present band sees it"
    return long_periods(u, view.recipe.dt, view.shortest) if view.shortest else u

def half_period(
    view:View,
)->np.ndarray:     # (n,) s
    "Half the dominant period of each synthetic in the present band"
    shortest, longest = view.recipe.periods
    return dominant_period(filtered(view, view.syn), view.recipe.dt, view.shortest or shortest, longest)/2

def sound(
    view:View,
)->np.ndarray:     # (n,) bool; from the truth
    "Noise, faults and errors of the source are below the limit of a usable pair"
    return waveform_error(view.obs, view.truth.clean, 0*view.obs) < USABLE

def skipped(
    view:View,
)->np.ndarray:     # (n,) bool; from the truth
    "Structure moves the clean record by more than half a period from the present synthetic"
    u, v = (filtered(view, x) for x in (view.truth.clean, view.syn))
    return np.abs(cross_correlation(u, v, view.recipe.dt).lag) >= half_period(view)

def linearly_usable(
    view:View,
)->np.ndarray:     # (n,) bool; from the truth
    "Usable in a linear step from the present model"
    t = view.truth
    if t.structure is None: effect = t.linear - (view.syn - view.sphere.prem)
    else: effect = structure_effect(view.sphere, view.model.maps, t.structure)
    return linear_error(view.obs, view.syn, effect) < USABLE

def _all(view): return view.alive
def _random(view): return view.alive & (np.random.default_rng(len(view)).random(len(view)) < SHARE)
def _classes(view): return view.alive & np.isin(view.described('waveform')[1].grade.values, (1, 2))

def _rule(view):
    c, lag = view.correlation, EARLY*view.recipe.periods[0]
    return view.alive & (c.best > ALIKE_FROM) & (np.abs(c.lag) < lag) & (np.abs(view.amplitude) < AMPLITUDE)

def _half_period(view):
    c = cross_correlation(filtered(view, view.obs), filtered(view, view.syn), view.recipe.dt)
    return view.alive & (c.best > ALIKE_FROM) & (np.abs(c.lag) < half_period(view))

def _selector(view, purpose='waveform'):
    model, table = view.described(purpose)
    precision = min(PRECISION, best_precision(model))
    decided = decide_pairs(table, model, precision, recipe=view.recipe)
    return view.alive & (decided.decision.values == 'accept')

def _linear(view): return view.alive & linearly_usable(view)
def _sound(view): return view.alive & sound(view) & ~skipped(view)

def _windows(view, judge):
    "(n, npts) weights: a taper in each accepted window"
    table = window_table(view.pairs, window_settings(judge or 'rules', view.recipe)).table
    if judge:
        model, described = view.described('waveform')
        table = judge_windows(window_inputs(view.pairs, table), described, model, PRECISION)
    out = np.zeros((len(view), view.recipe.npts), np.float32)
    for w in table[table.decision == 'accept'].itertuples():
        n = w.right-w.left+1
        out[w.pair,w.left:w.right+1] = np.maximum(out[w.pair,w.left:w.right+1], window_taper(n, np.arange(n)))
    return out*view.alive[:,None]

class Choice(NamedTuple):
    "A selection, and how the pairs that it admits are fitted"
    choose:Callable          # of a `View`: (n,) bool, or (n, npts) weights
    about:str
    again:bool=True          # repeated for each model? else for the start only
    misfit:str='waveform'
    robust:bool=False
    terms:bool=False         # of events and stations, solved for

_PHASE = partial(_selector, purpose='phase')
CHOICES = {
    'all': Choice(_all, 'every pair'),
    'all, robust': Choice(_all, "every pair, Student's t", robust=True),
    'random': Choice(_random, f'{SHARE:.0%} of the pairs, the same at each step'),
    'misfit, frozen': Choice(_classes, 'Classes I and II at the start', again=False),
    'misfit': Choice(_classes, 'Classes I and II of each model'),
    'rule': Choice(_rule, 'correlation > .8, |lag| < .2 T, |ln A| < .5'),
    'half-period rule': Choice(_half_period, 'correlation > .8, |lag| < half a period'),
    'usable, frozen': Choice(_selector, 'accepted for waveforms at the start', again=False),
    'usable': Choice(_selector, 'accepted for waveforms'),
    'phase': Choice(_PHASE, 'accepted for phases'),
    'windows, FLEXWIN': Choice(partial(_windows, judge=False), "FLEXWIN's windows"),
    'windows, usable': Choice(partial(_windows, judge=True), 'windows accepted for waveforms'),
    'oracle, linear': Choice(_linear, 'truth: usable in a linear step'),
    'oracle, sound': Choice(_sound, 'truth: sound, and not skipped'),
}
WITH_TERMS = ('all, robust', 'misfit', 'half-period rule', 'usable', 'phase', 'windows, usable', 'oracle, linear')
CHOICES |= {f'{k} + terms': CHOICES[k]._replace(terms=True) for k in WITH_TERMS}
CHOICES |= {f'{k}, delay': CHOICES[k]._replace(misfit='cc_traveltime')
            for k in ('all, robust', 'half-period rule', 'usable', 'phase')}
CHOICES |= {f'{k}, TF phase': CHOICES[k]._replace(misfit='tf_phase') for k in ('usable', 'phase')}
CHOICES |= {'usable, robust': CHOICES['usable']._replace(robust=True)}
