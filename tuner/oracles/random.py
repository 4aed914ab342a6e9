"""Random search, as Keras Tuner has it."""

from __future__ import annotations

from typing import Any

import keras_tuner

from tuner.oracles.base import DEFAULT_TRIALS, StudyOracle

__all__ = ["Random"]


class Random(StudyOracle, keras_tuner.oracles.RandomSearchOracle):
    """Trials of the full budget, drawn independently from the space.

    Args:
        max_epochs: Budget of every configuration.
        max_trials: Total number of trials; None means `DEFAULT_TRIALS`.
        options: See `StudyOracle`.

    Reference: Bergstra and Bengio, 2012, JMLR 13; `keras_tuner.oracles.RandomSearchOracle`.
    """

    def __init__(self, *, max_epochs: int, max_trials: int | None = None, **options: Any) -> None:
        super().__init__(max_trials=max_trials or DEFAULT_TRIALS, **options)
        self.max_epochs = max_epochs
