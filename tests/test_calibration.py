"The calibration of the card holds on unseen simulated pairs, wrong ones are noticed; what is said of a set"
import numpy as np
import pytest

from fwinb.earth.simulate import simulate_pairs
from fwinb.labels.truth import recall_at_precision
from fwinb.models.metrics import apply_platt, ece, estimate_prevalence, fit_platt, shift_prior
from fwinb.models.pretrained import (
    classify, decide, describe, forecast_set, limits_for, load_model, set_prevalence)

SET = dict(n=6000, per_event=40, earths=6, seed=2701)     # 150 events; bounds are about two standard errors
BOUNDS = dict(precision=.014, limit=.08, offset=.3, ece=.012)
SLOPE = .88, 1.2

def plain(model):
    "The model without a calibration of the probability"
    rest = {k: v for k, v in model.card['calibration'].items() if k != 'prior'}
    return model._replace(card=dict(model.card, calibration=rest | dict(platt=[1., 0.])))

@pytest.fixture(scope='module')
def judged():
    "Raw probabilities and truth of unseen pairs, and the selector"
    model = load_model()
    pairs = simulate_pairs(progress=False, **SET)
    p = classify(describe(pairs, model), plain(model)).usable.values
    ok = np.isfinite(p)
    return p[ok], pairs.usable.values[ok], model

def faults(p, usable, platt, limit):
    "What is wrong with a calibration"
    q, found = apply_platt(p, *platt), []
    slope, offset = fit_platt(q, usable)
    own = recall_at_precision(q, usable, .95)[1]
    numbers = dict(precision=usable[q >= limit].mean() - .95, limit=limit - own, offset=offset, ece=ece(q, usable))
    found += [f'{k} {v:+.3f}' for k, v in numbers.items() if abs(v) > BOUNDS[k]]
    return found + [f'slope {slope:.2f}']*(not SLOPE[0] < slope < SLOPE[1])

def test_card_is_right(judged):
    p, usable, model = judged
    assert faults(p, usable, model.card['calibration']['platt'], limits_for(model).accept_from) == []

@pytest.mark.parametrize('slope, offset, limit', [(1.3, 0, 0), (1, .5, 0), (1, -.5, 0), (1, 0, .15), (1, 0, -.1)])
def test_a_wrong_card_is_noticed(judged, slope, offset, limit):
    p, usable, model = judged
    a, b = model.card['calibration']['platt']
    assert faults(p, usable, (a*slope, b+offset), limits_for(model).accept_from + limit)

@pytest.mark.parametrize('share', [.05, .15, .3, .6])
def test_prevalence_of_resampled_pairs(judged, share):
    "Pairs are left out: the share of usable ones is found again, and precision comes nearer to what is asked"
    raw, usable, model = judged
    p, prior = apply_platt(raw, *fit_platt(raw, usable)), usable.mean()
    yes, no = np.flatnonzero(usable), np.flatnonzero(~usable)
    k = int(min(len(yes), share/(1-share)*len(no)))
    rng = np.random.default_rng(0)
    rows = np.r_[rng.permutation(yes)[:k], rng.permutation(no)[:int(k*(1-share)/share)]]
    found = estimate_prevalence(p[rows], prior)
    assert abs(found - share) < .03
    if share > prior: assert set_prevalence(p[rows], prior) == prior; return
    limit = recall_at_precision(p, usable, .95)[1]
    shifted = shift_prior(p[rows], prior, set_prevalence(p[rows], prior))
    before, after = (usable[rows][x >= limit].mean() for x in (p[rows], shifted))
    assert abs(after - .95) <= abs(before - .95) + .005

def test_another_world_is_unlike():
    "Four times the noise shows in the features, and widens what is said of the accepted"
    model, said = load_model(), []
    for noise in (1., 4.):
        pairs = simulate_pairs(1200, seed=2711, earths=3, per_event=40, noise=noise, progress=False)
        table = describe(pairs, model)
        usable = classify(table, model).usable.values
        said.append(forecast_set(table, usable, decide(usable, model), model))
    like, unlike = said
    assert like.unlikeness + .01 < unlike.unlikeness and like.high - like.low < unlike.high - unlike.low
