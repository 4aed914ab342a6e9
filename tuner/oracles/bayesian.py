"""Bayesian optimization with a Gaussian process, as Keras Tuner has it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial

from tuner.oracles.base import StudyOracle
from tuner.oracles.history import LARGEST

__all__ = ["Bayesian"]


class Bayesian(StudyOracle, keras_tuner.oracles.BayesianOptimizationOracle):
    """A Gaussian process over the hyperparameters proposes trials, each of the full budget.

    Its first trials are random: three for each hyperparameter, and at least three. See `StudyOracle` for the arguments.

    Reference: `keras_tuner.oracles.BayesianOptimizationOracle`.
    """

    def get_state(self) -> dict[str, Any]:
        """Returns what a stock tuner keeps: with Keras Tuner's own, the state of the generator."""
        kind, keys, *rest = self._random_state.get_state()
        state: dict[str, Any] = super().get_state()
        return state | {"random_state": [kind, keys.tolist(), *rest]}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_state` has returned."""
        super().set_state(state)
        self._random_state.set_state(tuple(state["random_state"]))

    def _vectorize_trials(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns points `(n, dimensions)` and what is to be minimised, `(n,)`.

        What has no finite score counts as the worst that was seen. In place of a score that is not there yet stands a
        pessimistic guess by those that are: Keras Tuner's own comes from the process of the proposal before, which a
        search that goes on has not got.
        """
        ended = [trial for trial in self.trials.values() if trial.status in ("COMPLETED", "FAILED")]
        points, scores = np.array([self._point(trial) for trial in ended]), self._losses(ended)
        running = list(self.ongoing_trials.values())
        if not running:
            return points, scores
        self.gpr.fit(points, scores)
        pending = np.array([self._point(trial) for trial in running])
        means, deviations = self.gpr.predict(pending, return_std=True)
        return np.concatenate([points, pending]), np.concatenate([scores, means + deviations])

    def _point(self, trial: Trial) -> list[float]:
        """Returns the probabilities of a trial's values; where one is not active, that of the default."""
        given = trial.hyperparameters
        return [
            entry.value_to_prob(given.values[entry.name] if _is_given(entry, given) else entry.default)
            for entry in self._nonfixed_space()
        ]

    def _losses(self, trials: Sequence[Trial]) -> np.ndarray:
        sign = -1.0 if self.objective.direction == "max" else 1.0
        losses = np.array([math.nan if trial.score is None else sign * trial.score for trial in trials])
        failed = ~(np.abs(losses) < abs(self._worst_score()))
        losses = np.clip(losses, -LARGEST, LARGEST)
        losses[failed] = losses[~failed].max(initial=-LARGEST) if not failed.all() else 0.0
        return losses


def _is_given(entry: Any, given: keras_tuner.HyperParameters) -> bool:
    return given.is_active(entry) and entry.name in given.values
