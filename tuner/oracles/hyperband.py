"""Hyperband, as Keras Tuner has it."""

from __future__ import annotations

import sys
from typing import Any

import keras_tuner

from tuner.oracles.base import Rung, StudyOracle

__all__ = ["Hyperband"]


class Hyperband(StudyOracle, keras_tuner.oracles.HyperbandOracle):
    """Successive halving in several brackets, from many short trials to few long ones.

    Args:
        max_epochs: Full budget of one configuration.
        eta: The best 1/eta of a rung go on to the next.
        min_epochs: Fewest epochs of a trial.
        iterations: How often the schedule of all brackets is gone through; None means without end.
        options: See `StudyOracle`.

    Reference: Li et al., 2018, https://arxiv.org/abs/1603.06560, algorithm 1; `keras_tuner.oracles.HyperbandOracle`.
    """

    def __init__(
        self, *, max_epochs: int, eta: int = 3, min_epochs: int = 1, iterations: int | None = None, **options: Any
    ) -> None:
        super().__init__(max_epochs=max_epochs, factor=eta, hyperband_iterations=iterations or sys.maxsize, **options)
        self._iterations = iterations
        # Keras Tuner has a fixed minimum, and has begun a bracket with it.
        self.min_epochs = min_epochs
        self._brackets.clear()
        self._current_bracket = self._get_num_brackets() - 1
        self._start_new_bracket()

    def schedule(self, most_epochs: int | None = None) -> list[Rung]:
        """Returns the rungs of all brackets in their order, cut at the limits."""
        trials_left = self.max_trials or float("inf")
        epochs_left = min(limit or float("inf") for limit in (self.max_total_epochs, most_epochs))
        planned: list[Rung] = []
        for rung in self._iteration() * (self._iterations or MOST_PLANNED):
            epochs = rung.epochs - rung.initial_epoch
            trials = int(min(rung.trials, trials_left, epochs_left // epochs))
            planned.append(Rung(trials, rung.initial_epoch, rung.epochs))
            trials_left, epochs_left = trials_left - trials, epochs_left - trials * epochs
            if trials < rung.trials:
                break
        return [rung for rung in planned if rung.trials]

    def _iteration(self) -> list[Rung]:
        """Returns the rungs of one iteration in their order."""
        rungs = []
        for bracket in reversed(range(self._get_num_brackets())):
            for place in range(self._get_num_rounds(bracket)):
                before = self._get_epochs(bracket, place - 1) if place else 0
                rungs.append(Rung(self._get_size(bracket, place), before, self._get_epochs(bracket, place)))
        return rungs


# Iterations of a plan without limits, which nobody reads to its end.
MOST_PLANNED = 100
