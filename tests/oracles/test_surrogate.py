"""The model of all learning curves: its gradient, what it fits and what it remembers."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from tuner.oracles.surrogate import Points, Surrogate


def _points(features, *, runs=None):
    features = np.asarray(features, dtype=float)
    count = len(features)
    return Points(features, np.zeros(count), np.arange(count) if runs is None else runs)


@pytest.mark.parametrize("groups", [[0, 1, 2, 2, 3], [0], []], ids=["four", "one", "none"])
def test_gradient_is_that_of_the_loss(groups):
    rng = np.random.default_rng(0)
    surrogate = Surrogate(np.array(groups, dtype=int))
    points = Points(rng.random((20, len(groups))), rng.choice([0.0, 0.33, 0.66], 20), rng.integers(0, 15, 20))
    scores, parts = rng.standard_normal(20), surrogate._parts(points, points)
    scales = surrogate.scales + 0.3 * rng.standard_normal(len(surrogate.scales))
    _, gradient = surrogate.loss(scales, parts, scores)
    numeric = approx_fprime(scales, lambda each: surrogate.loss(each, parts, scores)[0], 1e-6)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-3, atol=1e-4)


def test_fit_makes_what_was_seen_more_likely():
    rng = np.random.default_rng(1)
    features = rng.random((30, 3))
    points, scores = _points(features), np.sin(5 * features[:, 0])
    surrogate = Surrogate(np.arange(3))
    parts = surrogate._parts(points, points)
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
