"""Bayesian optimization with a Gaussian process, as Keras Tuner has it."""

from __future__ import annotations

import keras_tuner

from tuner.oracles.base import StudyOracle

__all__ = ["Bayesian"]


class Bayesian(StudyOracle, keras_tuner.oracles.BayesianOptimizationOracle):
    """A Gaussian process over the hyperparameters proposes trials, each of the full budget.

    Its first trials are random: three for each hyperparameter. See `StudyOracle` for the arguments.

    Reference: `keras_tuner.oracles.BayesianOptimizationOracle`.
    """
