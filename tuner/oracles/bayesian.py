"""Bayesian optimization with a Gaussian process, as Keras Tuner has it."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial

from tuner.oracles.base import StudyOracle
from tuner.oracles.checks import check_count, check_number
from tuner.oracles.encoding import Encoding, probability_of
from tuner.oracles.history import LARGEST, best_and_spread
from tuner.oracles.lifecycle import LifecycleOracle, ended_trials
from tuner.oracles.process import Process

__all__ = ["Bayesian"]

# What a proposal costs is cubic in the trials that it learns from.
MOST_TRIALS = 200

STARTS = 500  # points where the bound is looked at first


class ProcessOracle(keras_tuner.oracles.BayesianOptimizationOracle):
    """Keras Tuner's Bayesian oracle, whose proposals take milliseconds instead of seconds to a minute.

    The kernel, the noise and the bound are the same. Of more than `MOST_TRIALS` trials it learns from the best, half
    as many, and from an even choice of the others. It takes Keras Tuner's arguments.
    """

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Returns Keras Tuner's response: random values at first, then those where the bound is best."""
        ended = ended_trials(self)
        completed = sum(trial.status == "COMPLETED" for trial in ended)
        free = self._nonfixed_space()
        if not free or completed < (self.num_initial_points or max(3 * len(self.hyperparameters.space), 3)):
            response: dict[str, Any] = self._random_populate_space()
            return response
        self._learn(ended)
        starts = self._random_state.random_sample((STARTS, len(free)))
        return {"status": "RUNNING", "values": self._vector_to_values(self.gpr.lowest(starts, self.beta))}

    def get_state(self) -> dict[str, Any]:
        """Returns what a stock tuner keeps: with Keras Tuner's own, the state of the generator."""
        kind, keys, *rest = self._random_state.get_state()
        state: dict[str, Any] = super().get_state()
        return state | {"random_state": [kind, keys.tolist(), *rest]}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_state` has returned."""
        super().set_state(state)
        self._random_state.set_state(tuple(state["random_state"]))

    def _make_gpr(self) -> Process:
        return Process(self.alpha)

    def _vector_to_values(self, vector: np.ndarray) -> dict[str, Any]:
        """Returns the active values of a point; Keras Tuner's own may lie beyond the ends of a range."""
        encoding = Encoding(self.hyperparameters)
        place = dict(zip(map(id, self._nonfixed_space()), vector, strict=True))  # also of what has one value alone
        return encoding.values([place[id(entry)] for entry in encoding.free])

    def _learn(self, ended: Sequence[Trial]) -> None:
        """Fits the process to the trials that have ended, and to those in flight.

        What has no finite score counts as the worst that was seen. In place of a score that is not there yet stands a
        pessimistic guess by those that are: Keras Tuner's own comes from the process of the proposal before, which a
        search that goes on has not got.
        """
        losses = self._losses(ended)
        places = best_and_spread(np.argsort(losses, kind="stable").tolist(), MOST_TRIALS)
        points, scores = self._points([ended[place] for place in places]), losses[places]
        self.gpr.fit(points, scores)
        names = {trial.trial_id for trial in self.ongoing_trials.values()}  # in any order after a start
        running = [trial for name, trial in self.trials.items() if name in names]
        if running:
            pending = self._points(running)
            means, deviations = self.gpr.predict(pending)
            self.gpr.condition(np.concatenate([points, pending]), np.concatenate([scores, means + deviations]))

    def _points(self, trials: Sequence[Trial]) -> np.ndarray:
        """Returns the probabilities of the trials' values, `(n, dimensions)`; of what is not active, the default's."""
        free = self._nonfixed_space()
        return np.array([[probability_of(e, _value(e, trial.hyperparameters)) for e in free] for trial in trials])

    def _losses(self, trials: Sequence[Trial]) -> np.ndarray:
        sign = -1.0 if self.objective.direction == "max" else 1.0
        losses = np.array([math.nan if trial.score is None else sign * trial.score for trial in trials])
        failed = ~(np.abs(losses) < sys.float_info.max)
        losses = np.clip(losses, -LARGEST, LARGEST)
        losses[failed] = losses[~failed].max(initial=-LARGEST) if not failed.all() else 0.0
        return losses


class Bayesian(StudyOracle, LifecycleOracle, ProcessOracle):
    """A Gaussian process over the hyperparameters proposes trials, each of the full budget.

    Reference: `keras_tuner.oracles.BayesianOptimizationOracle`.

    Args:
        num_initial_points: Random trials before the first that is proposed; None or 0 means three for each
            hyperparameter, and at least three.
        alpha: Variance of the noise of scores that are scaled to a variance of 1, >= 0.
        options: Arguments of `StudyOracle`.

    Raises:
        ValueError: If an argument is none of those.
    """

    def __init__(self, *, num_initial_points: int | None = None, alpha: float = 1e-4, **options: Any) -> None:
        num_initial_points = check_count("num_initial_points", num_initial_points, lowest=0, optional=True)
        super().__init__(num_initial_points=num_initial_points, alpha=check_number("alpha", alpha), **options)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Returns Keras Tuner's response; what came to nothing leaves the random numbers where they were."""
        before = self._random_state.get_state()
        response = super().populate_space(trial_id)
        if response["status"] != "RUNNING":
            self._random_state.set_state(before)
        return response


def _value(entry: Any, given: keras_tuner.HyperParameters) -> Any:
    return given.values[entry.name] if given.is_active(entry) and entry.name in given.values else entry.default
