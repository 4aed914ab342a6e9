"""Successive halving over configurations near the defaults, near the best, and anywhere."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from tuner.oracles.encoding import is_ordered, probability_of
from tuner.oracles.history import Run
from tuner.oracles.rungs import RungOracle

__all__ = ["Priorband"]

# Standard deviation of prior and mutation in the unit cube; chance that a mutation changes a hyperparameter (paper,
# section 4 and appendix on the incumbent's neighbourhood).
DEVIATION = 0.25
MUTATED_SHARE = 0.5

# Chance that an unordered choice stays at its center; else it is drawn from all.
KEPT_SHARE = 0.5

# Draws that were tried already before a random configuration takes their place.
MOST_REPEATS = 20


class Priorband(RungOracle):
    """Asynchronous successive halving that trusts the space's defaults as far as they explain the best runs.

    A new run is random with the chance 1 / (1 + eta^r), where rung r is the highest with eta finite scores: in
    Hyperband the first rung of the bracket decides, and a single bracket has but one. The other chance goes to a normal
    distribution around the defaults and, as soon as there is such a rung, to a mutation of its best run; they share it
    as likely as they make the best 1/eta of the rung, the better of them counting more.

    Args:
        options: See `RungOracle`.

    Reference: Mallik et al., 2023, https://arxiv.org/abs/2306.12370, section 4.
    """

    def _new_values(self, rng: np.random.Generator) -> dict[str, Any] | None:
        for _ in range(MOST_REPEATS):
            values = self.encoding.values(self._point(rng))
            if self._is_new(values):
                return values
        return self._random_values(rng)

    def _point(self, rng: np.random.Generator) -> np.ndarray:
        """Returns a point from the mixture."""
        number, best = self._best_runs()
        random_chance = 1.0 / (1.0 + float(self.eta) ** number)
        defaults = np.array([probability_of(entry, entry.default) for entry in self.encoding.free])
        if rng.random() < random_chance:
            return rng.random(self.encoding.dimensions)
        if not best:
            return self._near(defaults, rng)
        points = [self.encoding.point(run.values) for run in best]
        prior, incumbent = (self._explained(center, points) for center in (defaults, points[0]))
        if rng.random() * (prior + incumbent) < prior:
            return self._near(defaults, rng)
        is_mutated = rng.random(self.encoding.dimensions) < MUTATED_SHARE
        return np.where(is_mutated, self._near(points[0], rng), points[0])

    def _best_runs(self) -> tuple[int, list[Run]]:
        """Returns the number of the highest rung with `eta` finite scores and its best 1/eta; 0 and none without."""
        for number, rung in reversed(list(enumerate(self.rungs))):
            reached = [run for run in self.history if math.isfinite(run.scores.get(rung, -math.inf))]
            if len(reached) >= self.eta:
                reached.sort(key=lambda run: run.scores[rung], reverse=True)
                return number, reached[: len(reached) // self.eta]
        return 0, []

    def _near(self, center: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Returns a point around a center: truncated normal, or a choice that stays or is any."""
        low, high = ndtr((0.0 - center) / DEVIATION), ndtr((1.0 - center) / DEVIATION)
        point = np.clip(center + DEVIATION * ndtri(low + rng.random(len(center)) * (high - low)), 0.0, 1.0)
        other, is_kept = rng.random(len(center)), rng.random(len(center)) < KEPT_SHARE
        return np.where(self._is_ordered(), point, np.where(is_kept, center, other))

    def _explained(self, center: np.ndarray, points: list[np.ndarray]) -> float:
        """Returns the weighted likelihood of points, the best first, around a center."""
        weights = range(len(points), 0, -1)
        return sum(weight * self._density(center, point) for weight, point in zip(weights, points, strict=True))

    def _density(self, center: np.ndarray, point: np.ndarray) -> float:
        mass = ndtr((1.0 - center) / DEVIATION) - ndtr((0.0 - center) / DEVIATION)
        normal = np.exp(-(((point - center) / DEVIATION) ** 2) / 2) / (math.sqrt(2 * math.pi) * DEVIATION * mass)
        counts = np.array([self.encoding.count(entry) or 1 for entry in self.encoding.free], dtype=float)
        is_same = np.floor(point * counts) == np.floor(center * counts)
        choice = (1.0 - KEPT_SHARE) + KEPT_SHARE * counts * is_same
        return float(np.prod(np.where(self._is_ordered(), normal, choice)))

    def _is_ordered(self) -> np.ndarray:
        return np.array([is_ordered(entry) for entry in self.encoding.free], dtype=bool)
