"""Covariance matrix adaptation at full fidelity."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np

from tuner.errors import UsageError
from tuner.oracles.encoding import Encoding, is_ordered
from tuner.oracles.history import LARGEST
from tuner.oracles.history_oracle import HistoryOracle
from tuner.oracles.moves import Move

__all__ = ["CmaEs"]

# Of the unit cube, as `optuna.samplers.CmaEsSampler` begins.
FIRST_DEVIATION = 1 / 6

# Draws that were tried already before a random configuration takes their place.
MOST_REPEATS = 20


class CmaEs(HistoryOracle):
    """Moves a normal distribution to where the best of each generation lie; each trial has the full budget.

    It adapts the hyperparameters that are ordered and always active, where there are two of them at least; all others
    are drawn at random. A generation is so many runs in the order of their beginning, so that it does not matter in
    which order trials in flight end. A distribution that has converged, or that random configurations in the place of
    repeated draws have driven apart, is left for a new one somewhere else. `optuna.samplers.CmaEsSampler` keeps its
    distribution in the trials of its own study and forgets it in any other, so this is the package `cmaes` beneath it.

    Args:
        options: See `HistoryOracle`.

    Raises:
        UsageError: If the package `cmaes` is not installed.

    Reference: Hansen, 2016, https://arxiv.org/abs/1604.00772.
    """

    def __init__(self, **options: Any) -> None:
        if importlib.util.find_spec("cmaes") is None:
            raise UsageError(
                "The algorithm cmaes needs the package cmaes, which is not installed; use: pip install cmaes"
            )
        super().__init__(**options)
        self._distribution: Any = None
        self._told = 0  # runs that the distribution has been told, all of complete generations
        self._encoded: Encoding | None = None

    def _move(self, rng: np.random.Generator) -> Move | None:
        values = self._adapted_values(rng)
        if values is None:
            values = self._random_values(rng)
        return None if values is None else Move(self.max_epochs, values=values)

    def _adapted_values(self, rng: np.random.Generator) -> dict[str, Any] | None:
        """Returns values that were not tried, drawn from the distribution; None where there are none."""
        adapted = [i for i, entry in enumerate(self.encoding.free) if is_ordered(entry) and not entry.conditions]
        if len(adapted) < 2:
            return None
        distribution = self._adapted(adapted)
        distribution.reseed_rng(int(rng.integers(2**31)))
        for _ in range(MOST_REPEATS):
            point = rng.random(self.encoding.dimensions)
            point[adapted] = distribution.ask()
            values = self.encoding.values(point)
            if self._is_new(values):
                return values
        return None

    def _adapted(self, adapted: list[int]) -> Any:
        """Returns the distribution after all generations that are complete, begun anew in a space that has grown."""
        if self._encoded is not self.encoding:
            self._distribution = _distribution(np.full(len(adapted), 0.5))
            self._encoded, self._told = self.encoding, 0
        size, ended = self._distribution.population_size, self._in_order()
        while self._told + size <= len(ended):
            generation = ended[self._told : self._told + size]
            # It ranks, and looks whether the best and the worst are the same: any number may stand for a failure.
            self._distribution.tell(
                [(self.encoding.point(values)[adapted], min(-goodness, LARGEST)) for values, goodness in generation]
            )
            self._told += size
            if self._distribution.should_stop():
                place = np.random.default_rng((self.seed, self._told)).random(len(adapted))
                self._distribution = _distribution(place)
        return self._distribution

    def _in_order(self) -> list[tuple[Mapping[str, Any], float]]:
        """Returns what the warm start has, and the runs up to the first that has not ended."""
        running = min((run.number for run in self.history.in_progress), default=len(self.history))
        observations = self._observations(self.max_epochs)
        warm = len(observations) - sum(run.score is not None for run in self.history)
        return observations[: warm + running]


def _distribution(mean: np.ndarray) -> Any:
    """Returns a distribution over the unit cube that has learned nothing."""
    cmaes = importlib.import_module("cmaes")  # here, since everybody else does without the package
    return cmaes.CMA(mean, FIRST_DEVIATION, bounds=np.tile([0.0, 1.0], (len(mean), 1)))
