"""Everybody begins, few go on: the baseline that other multi-fidelity algorithms have to beat."""

from __future__ import annotations

from typing import Any

import numpy as np

from tuner.oracles.history import Run
from tuner.oracles.moves import Rung
from tuner.oracles.rungs import RungOracle

__all__ = ["OneEpoch"]


class OneEpoch(RungOracle):
    """Random configurations get `min_epochs`, the best of them at any time the full budget.

    The paper trains everybody for one epoch and then ranks once, which needs a budget known before. Here half of the
    epochs go to beginnings and half to trainings to the end: the best that began goes on as soon as the epochs spent
    on beginnings pay for it.

    Args:
        min_epochs: Epochs of a beginning, >= 1.
        options: See `HistoryOracle`.

    Reference: Bohdal et al., 2023, https://arxiv.org/abs/2307.15422.
    """

    takes_no = ("eta",)

    def __init__(self, *, min_epochs: int = 1, **options: Any) -> None:
        super().__init__(min_epochs=min_epochs, **options)
        self.rungs = sorted({int(min_epochs), self.max_epochs})  # of NumPy, Keras Tuner could not write it

    def _planned_rungs(self, trials: int) -> list[Rung]:
        first, rest = self.rungs[0], self.max_epochs - self.rungs[0]
        planned = [Rung(trials, 0, first)]
        if rest and trials * first >= rest:
            planned.append(Rung(trials * first // rest, first, self.max_epochs))
        return planned if trials else []

    def _promoted(self) -> Run | None:
        first, rest = self.rungs[0], self.max_epochs - self.rungs[0]
        promoted = sum(first in run.scores and (run.target or run.epochs) > first for run in self.history)
        if (promoted + 1) * rest > len(self.history) * first:
            return None
        begun = [run for run in self.history if run.epochs == first and run.target is None and not run.has_failed]
        return max(begun, key=lambda run: run.scores[first], default=None) if rest else None

    def _new_values(self, rng: np.random.Generator) -> dict[str, Any] | None:
        return self._random_values(rng)
