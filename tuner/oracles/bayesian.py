"""Bayesian optimization with a Gaussian process, as Keras Tuner has it."""

from __future__ import annotations

from typing import Any

import keras_tuner
import numpy as np

from tuner.oracles.base import StudyOracle
from tuner.oracles.history import LARGEST

__all__ = ["Bayesian"]


class Bayesian(StudyOracle, keras_tuner.oracles.BayesianOptimizationOracle):
    """A Gaussian process over the hyperparameters proposes trials, each of the full budget.

    Its first trials are random: three for each hyperparameter. See `StudyOracle` for the arguments.

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
        """Returns points and what is to be minimised; of a trial without a finite score, the worst that was seen."""
        points, scores = super()._vectorize_trials()
        failed = scores >= abs(self._worst_score())
        scores = np.clip(scores, -LARGEST, LARGEST)
        scores[failed] = scores[~failed].max(initial=-LARGEST) if not failed.all() else 0.0
        return points, scores
