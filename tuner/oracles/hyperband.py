"""Hyperband, as Keras Tuner has it."""

from __future__ import annotations

from typing import Any

import keras_tuner

from tuner.oracles.base import Rung, StudyOracle

__all__ = ["Hyperband"]


class Hyperband(StudyOracle, keras_tuner.oracles.HyperbandOracle):
    """Successive halving in several brackets, from many short trials to few long ones.

    Args:
        max_epochs: Full budget of one configuration.
        factor: The best 1/factor of a rung go on to the next.
        options: See `StudyOracle`.

    Reference: Li et al., 2018, https://arxiv.org/abs/1603.06560, algorithm 1; `keras_tuner.oracles.HyperbandOracle`.
    """

    def __init__(self, *, max_epochs: int, factor: int = 3, **options: Any) -> None:
        super().__init__(max_epochs=max_epochs, factor=factor, **options)

    def schedule(self) -> list[Rung]:
        """Returns the rungs of all brackets in their order, cut at the total number of trials."""
        rungs = []
        left = self.max_trials or float("inf")
        for bracket in reversed(range(self._get_num_brackets())):
            for round_number in range(self._get_num_rounds(bracket)):
                trials = int(min(left, self._get_size(bracket, round_number)))
                before = self._get_epochs(bracket, round_number - 1) if round_number else 0
                rungs.append(Rung(trials, before, self._get_epochs(bracket, round_number)))
                left -= trials
        return [rung for rung in rungs if rung.trials]
