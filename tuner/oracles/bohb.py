"""Successive halving over configurations that a Parzen estimator proposes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tuner.oracles.checks import check_number
from tuner.oracles.rungs import RungOracle
from tuner.oracles.sampling import Sampling, TPESampler

__all__ = ["Bohb"]


class Bohb(RungOracle):
    """Asynchronous successive halving whose new runs come from the highest rung that says enough.

    A Parzen estimator is fitted to the highest rung with more finite scores than there are hyperparameters; until
    there is one, and for a share of the runs ever after, configurations are random.

    Args:
        random_share: Share of random configurations, 0 to 1; a third in the paper.
        options: See `RungOracle`.

    Raises:
        ValueError: If `random_share` is no number from 0 to 1.

    Reference: Falkner et al., 2018, https://arxiv.org/abs/1807.01774, algorithm 2; asynchronous as in Li et al., 2020,
    https://arxiv.org/abs/1810.05934.
    """

    def __init__(self, *, random_share: float = 1 / 3, **options: Any) -> None:
        super().__init__(**options)
        self.random_share = check_number("random_share", random_share, highest=1)
        # The rung has enough observations, or there would be no model.
        self._sampling = Sampling(lambda seed: TPESampler(seed=seed, n_startup_trials=0))

    def _new_values(self, rng: np.random.Generator) -> dict[str, Any] | None:
        rung = self._modelled_rung()
        if rung is None or rng.random() < self.random_share:
            return self._random_values(rng)
        running = [run.values for run in self.history.in_progress if rung not in run.scores]
        values = self._sampling.new_values(
            self.encoding,
            self._observations(rung),
            running=running,
            tried=self.history.keys,
            rng=rng,
            is_allowed=self.is_allowed,
        )
        return self._random_values(rng) if values is None else values

    def _modelled_rung(self) -> int | None:
        """Returns the epochs of the highest rung with at least dimensions + 1 finite scores."""
        for rung in reversed(self.rungs):
            finite = sum(math.isfinite(goodness) for _, goodness in self._observations(rung))
            if finite >= self.encoding.dimensions + 1:
                return rung
        return None
