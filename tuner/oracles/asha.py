"""Asynchronous successive halving: a run is promoted as soon as it is among the best of its rung."""

from __future__ import annotations

from typing import Any

import numpy as np

from tuner.oracles.rungs import RungOracle

__all__ = ["Asha"]


class Asha(RungOracle):
    """One bracket of the promotion type over random configurations: promotes from the best 1/eta, else begins anew.

    Args:
        options: See `RungOracle`.

    Reference: Li et al., 2020, https://arxiv.org/abs/1810.05934, algorithm 2.
    """

    def _new_values(self, rng: np.random.Generator) -> dict[str, Any] | None:
        return self._random_values(rng)
