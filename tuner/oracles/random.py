"""Random search, as Keras Tuner has it."""

from __future__ import annotations

import keras_tuner

from tuner.oracles.base import StudyOracle
from tuner.oracles.lifecycle import LifecycleOracle

__all__ = ["Random"]


class Random(StudyOracle, LifecycleOracle, keras_tuner.oracles.RandomSearchOracle):
    """Trials of the full budget, drawn independently from the space. See `StudyOracle` for the arguments.

    Reference: Bergstra and Bengio, 2012, JMLR 13; `keras_tuner.oracles.RandomSearchOracle`.
    """
