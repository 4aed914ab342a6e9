"""Bayesian optimization with a Gaussian process, as Keras Tuner has it."""

from __future__ import annotations

from typing import Any

import keras_tuner

from tuner.oracles.base import DEFAULT_TRIALS, StudyOracle

__all__ = ["Bayesian"]


class Bayesian(StudyOracle, keras_tuner.oracles.BayesianOptimizationOracle):
    """A Gaussian process over the hyperparameters proposes trials, each of the full budget.

    Its first trials are random: three for each hyperparameter.

    Args:
        max_epochs: Budget of every configuration.
        max_trials: Total number of trials; None means `DEFAULT_TRIALS`.
        options: See `StudyOracle`.

    Reference: `keras_tuner.oracles.BayesianOptimizationOracle`.
    """

    def __init__(self, *, max_epochs: int, max_trials: int | None = None, **options: Any) -> None:
        super().__init__(max_trials=max_trials or DEFAULT_TRIALS, **options)
        self.max_epochs = max_epochs
