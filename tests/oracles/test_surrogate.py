"""The model of all learning curves: its gradient, what it fits and what it remembers."""

import itertools

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from tuner.oracles.surrogate import AMPLITUDE, BEND, LEVEL, Points, Surrogate


def _points(features, *, runs=None):
    features = np.asarray(features, dtype=float)
    count = len(features)
    return Points(features, np.zeros(count), np.arange(count) if runs is None else runs)


@pytest.mark.parametrize("groups", [[0, 1, 2, 2, 3], [0], []], ids=["four", "one", "none"])
def test_gradient_is_that_of_the_loss(groups):
    rng = np.random.default_rng(0)
    surrogate = Surrogate(np.array(groups, dtype=int))
    points = Points(rng.random((20, len(groups))), rng.choice([0.0, 0.33, 0.66], 20), rng.integers(0, 15, 20))
    scores, parts = rng.standard_normal(20), surrogate._parts(points)
    scales = surrogate.scales + 0.3 * rng.standard_normal(len(surrogate.scales))
    _, gradient = surrogate.loss(scales, parts, scores)
    numeric = approx_fprime(scales, lambda each: surrogate.loss(each, parts, scores)[0], 1e-6)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-3, atol=1e-4)


def test_fit_makes_what_was_seen_more_likely():
    rng = np.random.default_rng(1)
    features = rng.random((30, 3))
    points, scores = _points(features), np.sin(5 * features[:, 0])
    surrogate = Surrogate(np.arange(3))
    parts = surrogate._parts(points)
    before = surrogate.loss(surrogate.scales, parts, scores)[0]
    surrogate.fit(points, scores, steps=40)
    assert surrogate.loss(surrogate.scales, parts, scores)[0] < before - 1
    lengths = surrogate.scales[:3]
    assert lengths[0] < lengths[1:].min()  # the scores depend on the first alone


def test_seen_runs_are_known_and_far_ones_are_not():
    rng = np.random.default_rng(2)
    seen = _points(rng.random((12, 2)) / 4)
    scores = seen.features.sum(axis=1)
    scores = (scores - scores.mean()) / scores.std()
    surrogate = Surrogate(np.arange(2))
    surrogate.condition(seen, scores)
    means, deviations = surrogate.predict(seen)
    np.testing.assert_allclose(means, scores, atol=0.3)
    _, far = surrogate.predict(_points([[1.0, 1.0]], runs=np.array([-1])))
    assert far[0] > 2 * deviations.max()


def test_covariance_is_the_formula_of_the_module():
    rng = np.random.default_rng(3)
    surrogate = Surrogate(np.array([0, 1, 1]))
    surrogate.scales = surrogate.scales + 0.2 * rng.standard_normal(len(surrogate.scales))
    lengths = np.exp(surrogate.scales[:2])[[0, 1, 1]]
    end, at_start, common, run, run_early, _ = np.exp(2 * surrogate.scales[2:])
    rows, columns = (Points(rng.random((n, 3)), rng.choice([0.0, 0.4, 1.0], n), rng.integers(-1, 4, n)) for n in (9, 7))
    covariance = surrogate._between(rows, columns)
    for i, j in itertools.product(range(9), range(7)):
        distance = np.sqrt(5 * np.sum(((rows.features[i] - columns.features[j]) / lengths) ** 2))
        similar = (1 + distance + distance**2 / 3) * np.exp(-distance)
        early = (rows.left[i] * columns.left[j]) ** AMPLITUDE * np.exp(
            -(((rows.left[i] - columns.left[j]) / BEND) ** 2) / 2
        )
        same = rows.runs[i] == columns.runs[j] >= 0
        expected = LEVEL + similar * (end + at_start * early) + common * early + same * (run + run_early * early)
        np.testing.assert_allclose(covariance[i, j], expected, rtol=1e-12)
    np.testing.assert_allclose(surrogate._paired(rows, rows), np.diag(surrogate._between(rows, rows)), rtol=1e-12)


def test_effect_of_a_look_is_how_far_the_means_move():
    rng = np.random.default_rng(4)
    surrogate = Surrogate(np.arange(2))
    seen, scores = _points(rng.random((10, 2))), rng.standard_normal(10)
    surrogate.condition(seen, scores)
    ends = Points(rng.random((3, 2)), np.zeros(3), np.arange(20, 23))
    others = Points(seen.features[:2], np.zeros(2), np.arange(2))
    against = np.array([0, 1, 0])
    looks = [Points(ends.features, np.full(3, left), ends.runs) for left in (1.0, 0.0)]
    effects = surrogate.effects(ends, looks, others, against)
    means = surrogate.predict(ends)[0] - surrogate.predict(others)[0][against]
    for look, effect in zip(looks, effects, strict=True):
        for row in range(3):
            one = Points(look.features[[row]], look.left[[row]], look.runs[[row]])
            end = Points(ends.features[[row]], ends.left[[row]], ends.runs[[row]])
            expected, deviation = surrogate.predict(one)
            told = expected + np.hypot(deviation, np.sqrt(surrogate._noise()))  # one standard deviation off
            more = Surrogate(np.arange(2))
            more.condition(seen + one, np.append(scores, told))
            moved = more.predict(end)[0] - more.predict(others)[0][against[row]] - means[row]
            np.testing.assert_allclose(effect[row], np.abs(moved[0]), rtol=1e-6)
