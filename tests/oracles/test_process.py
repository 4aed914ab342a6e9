"""The process of the Bayesian oracle against scikit-learn's, which Keras Tuner has in its place."""

import math
import re
import warnings

import keras_tuner
import numpy as np
import pytest
from scipy.optimize import approx_fprime
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

from oracles.driving import Drive, flat
from tuner.oracles import Bayesian
from tuner.oracles.history import best_and_spread
from tuner.oracles.process import MOST_FITTED, Process

NOISE, BETA = 1e-4, 2.6  # the defaults of Keras Tuner's oracle


def _seen(count, dimensions, *, seed=0, frequency=3.0):
    rng = np.random.default_rng(seed)
    points = rng.random((count, dimensions))
    return points, 40 + 5 * np.sin(frequency * points).sum(axis=1) + 0.01 * rng.standard_normal(count)


def _fitted(points, scores):
    process = Process(NOISE)
    process.fit(points, scores)
    return process


def _of_scikit_learn(points, scores):
    """Returns the process that Keras Tuner makes, fitted."""
    process = GaussianProcessRegressor(
        kernel=Matern(nu=2.5), n_restarts_optimizer=20, normalize_y=True, alpha=NOISE, random_state=1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the likeliest length is at an end of its range
        return process.fit(points, scores)


@pytest.mark.parametrize(("dimensions", "frequency"), [(1, 3), (1, 12), (3, 3), (6, 1), (6, 8)])
def test_length_and_predictions_are_those_of_scikit_learn(dimensions, frequency):
    points, scores = _seen(40, dimensions, frequency=frequency)
    elsewhere = np.random.default_rng(1).random((20, dimensions))
    process, other = _fitted(points, scores), _of_scikit_learn(points, scores)
    assert process.length == pytest.approx(other.kernel_.length_scale, rel=0.05)
    means, deviations = process.predict(elsewhere)
    expected, its_deviations = other.predict(elsewhere, return_std=True)
    np.testing.assert_allclose(means, expected, atol=0.02 * scores.std())
    np.testing.assert_allclose(deviations, its_deviations, rtol=0.1, atol=0.01 * scores.std())


def test_predictions_with_the_same_length_are_scikit_learns_to_the_last_digits():
    points, scores = _seen(40, 3)
    process = Process(NOISE)
    process.length = 0.7
    process.condition(points, scores)
    other = GaussianProcessRegressor(kernel=Matern(0.7, nu=2.5), optimizer=None, normalize_y=True, alpha=NOISE)
    elsewhere = np.random.default_rng(1).random((20, 3))
    for ours, its in zip(
        process.predict(elsewhere), other.fit(points, scores).predict(elsewhere, return_std=True), strict=True
    ):
        np.testing.assert_allclose(ours, its, rtol=1e-6)


def test_gradient_is_that_of_the_bound():
    process, point = _fitted(*_seen(40, 4)), np.array([0.2, 0.9, 0.4, 0.6])
    numeric = approx_fprime(point, lambda each: process.bound(each, BETA)[0], 1e-7)
    np.testing.assert_allclose(process.bound(point, BETA)[1], numeric, rtol=1e-4, atol=1e-5)


def test_bound_is_what_the_predictions_say():
    points, scores = _seen(40, 2)
    process, point = _fitted(points, scores), np.array([0.3, 0.8])
    means, deviations = process.predict(point[None])
    expected = (means[0] - BETA * deviations[0] - scores.mean()) / scores.std()
    assert process.bound(point, BETA)[0] == pytest.approx(expected)


def test_lowest_point_is_no_higher_than_any_of_a_grid():
    process = _fitted(*_seen(12, 2, frequency=9.0))
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 60)] * 2), axis=-1).reshape(-1, 2)
    means, deviations = process.predict(grid)
    lowest = process.lowest(np.random.default_rng(0).random((200, 2)), BETA)
    assert ((lowest >= 0) & (lowest <= 1)).all()
    its_mean, its_deviation = process.predict(lowest[None])
    assert its_mean[0] - BETA * its_deviation[0] <= (means - BETA * deviations).min() + 1e-6


@pytest.mark.parametrize("scores", [np.full(8, 0.3), np.r_[np.zeros(7), 1e150]], ids=["alike", "far"])
def test_scores_that_say_little_or_too_much_give_finite_predictions(scores):
    points = np.random.default_rng(0).random((8, 2))
    process = _fitted(points, scores)
    assert np.isfinite(process.predict(points)).all()
    assert np.isfinite(process.lowest(points, BETA)).all()


def test_many_points_have_the_length_of_all():
    points, scores = _seen(4 * MOST_FITTED, 3, frequency=6.0)
    every = _of_scikit_learn(points[::2], scores[::2]).kernel_.length_scale
    assert _fitted(points, scores).length == pytest.approx(every, rel=0.3)


def test_oracle_learns_from_the_best_of_many_trials_and_from_some_others(monkeypatch):
    monkeypatch.setattr("tuner.oracles.bayesian.MOST_TRIALS", 6)
    objective = keras_tuner.Objective("score", "max")
    oracle, seen = Bayesian(objective=objective, hyperparameters=flat(), max_epochs=9, seed=1), []
    fit = oracle.gpr.fit
    monkeypatch.setattr(oracle.gpr, "fit", lambda points, scores: (seen.append(sorted(-scores)), fit(points, scores)))
    scores = [0.1 * (7 * number % 20) for number in range(20)]
    Drive(oracle, 20, score=lambda values, epochs: scores[len(oracle.end_order)])
    assert {len(known) for known in seen} == {6}
    ended = sorted(scores[: len(oracle.end_order) - 1])
    assert seen[-1][-3:] == pytest.approx(ended[-3:])
    assert seen[-1][0] < ended[len(ended) // 2]


def test_end_of_a_range_is_proposed_and_nothing_beyond_it():
    hp = keras_tuner.HyperParameters()
    hp.Int("width", 1, 8, sampling="log")
    oracle = Bayesian(objective=keras_tuner.Objective("val_score", "max"), hyperparameters=hp, max_epochs=1)
    drive = Drive(oracle, 8, score=lambda values, _: values["width"])
    assert {values["width"] for values in drive.proposals} == set(range(1, 9))


@pytest.mark.parametrize("declared", [True, False])
def test_space_of_one_configuration_is_exhausted_where_the_first_trial_ends_the_random_ones(declared):
    hp = keras_tuner.HyperParameters()
    if declared:
        hp.Fixed("stages", 2)
    objective = keras_tuner.Objective("score", "max")
    oracle = Bayesian(objective=objective, hyperparameters=hp, max_epochs=9, num_initial_points=1)
    drive = Drive(oracle, 3)
    assert (len(drive.proposals), drive.status) == (1, "STOPPED")
    assert oracle.reason == "the space is exhausted, 1 of 1 tried"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_initial_points": -1}, "num_initial_points is -1; allowed is a whole number from 0, or None."),
        ({"num_initial_points": 2.5}, "num_initial_points is 2.5; allowed is a whole number from 0, or None."),
        ({"alpha": -1.0}, "alpha is -1.0; allowed is a finite number from 0."),
        ({"alpha": math.nan}, "alpha is nan; allowed is a finite number from 0."),
    ],
)
def test_what_no_process_can_be_made_of_is_refused_where_the_oracle_is_made(given, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Bayesian(objective="val_accuracy", max_epochs=9, **given)


def test_even_choice_comes_from_all_that_is_not_among_the_best():
    assert best_and_spread(list(range(100)), 10) == [0, 1, 2, 3, 4, 5, 24, 43, 62, 81]
    assert best_and_spread([1, 2, 3], 3) == [1, 2, 3]


def test_score_of_a_stepped_value_is_learned_where_that_value_is_proposed():
    """Keras Tuner puts half of the steps of 0.1 to the one below."""
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 0.0, 1.0, step=0.1)
    oracle = Bayesian(objective=keras_tuner.Objective("score", "max"), hyperparameters=hp, max_epochs=9)
    Drive(oracle, 9)
    trials = list(oracle.trials.values())
    rates = [trial.hyperparameters.values["rate"] for trial in trials]
    learned = [oracle._vector_to_values(point)["rate"] for point in oracle._points(trials)]
    assert learned == pytest.approx(rates)
