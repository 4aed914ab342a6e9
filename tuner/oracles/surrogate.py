"""A Gaussian process over configurations and how far they were trained. It chooses nothing.

    score(x, u) = level + a(x) + w(u) (b(x, u) + m(u)) + run(u) + noise

`u` is what is left of the training: 0 at the full budget, 1 after the fewest epochs, even in the logarithm of epochs;
`w` is `u ** AMPLITUDE`. `a` is where a configuration ends, `b` how far it is from that before, `m` what is common to
all curves, and `run` what is peculiar to one training.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

__all__ = ["Points", "Surrogate", "matern", "matern_slope"]

# AMPLITUDE and the prior of "early" were tried at a few values on the problems of benchmarks/oracles.py, 3 to 6 seeds
# each; the others are guesses.
LEVEL = 4.0  # variance of the common level
BEND = 0.5  # distance in u over which a curve may turn
AMPLITUDE = 0.3
LIMIT = 5.0  # how far the logarithm of a scale may leave its prior's middle
JITTER = 1e-6

# Middle and deviation of the normal priors of the logarithms of all scales; scores have variance 1, features length 1.
LENGTH_PRIOR = (math.log(0.6), 0.7)
SCALE_PRIORS = {
    "end": (math.log(1.0), 0.5),
    "early": (math.log(1.2), 0.4),
    "common": (math.log(1.0), 0.7),
    "run": (math.log(0.1), 0.7),
    "run_early": (math.log(0.2), 0.7),
    "noise": (math.log(0.07), 0.4),
}
SCALES = tuple(SCALE_PRIORS)


@dataclasses.dataclass(frozen=True)
class Points:
    """Where something was or may be seen.

    Args:
        features: `(n, features)`, distances up to 1.
        left: What is left of each training, `(n,)`, from 0 to 1.
        runs: Number of each run, `(n,)`; -1 for a configuration as such, without what is peculiar to a training.
    """

    features: np.ndarray
    left: np.ndarray
    runs: np.ndarray

    def __len__(self) -> int:
        return len(self.left)

    def __add__(self, other: Points) -> Points:
        pairs = ((self.features, other.features), (self.left, other.left), (self.runs, other.runs))
        return Points(*(np.concatenate(pair) for pair in pairs))

    @property
    def weights(self) -> np.ndarray:
        """The function `w` of what is left, `(n,)`."""
        return self.left**AMPLITUDE


# Squared distances by hyperparameter, `(groups, n, m)`; closeness in `u`, weighted, and whether runs agree, `(n, m)`.
Parts = tuple[np.ndarray, np.ndarray, np.ndarray]


class Surrogate:
    """The process, with scales fitted to what was seen.

    Args:
        groups: For each feature, the number of the hyperparameter that it belongs to: those share a length.
    """

    def __init__(self, groups: np.ndarray) -> None:
        self._groups = groups
        self._count = int(groups.max(initial=-1)) + 1
        lengths = [LENGTH_PRIOR] * self._count
        self._middle, self._deviation = np.array([*lengths, *SCALE_PRIORS.values()]).T
        self.scales = self._middle.copy()

    def fit(self, points: Points, scores: np.ndarray, *, steps: int) -> None:
        """Moves the scales to where what was seen is most likely, their priors considered.

        Args:
            points: Where something was seen, n of them.
            scores: The standardised scores there, `(n,)`.
            steps: Most iterations.
        """
        parts = self._parts(points)
        bounds = [(middle - LIMIT, middle + LIMIT) for middle in self._middle]
        options = {"maxiter": steps}
        found = minimize(self.loss, self.scales, args=(parts, scores), jac=True, bounds=bounds, options=options)
        self.scales = found.x

    def condition(self, points: Points, scores: np.ndarray) -> None:
        """Takes in what was seen, for `predict` and `effects`."""
        self._seen = points
        covariance = self._between(points, points)
        covariance[np.diag_indices_from(covariance)] += self._noise()
        self._factor = cholesky(covariance, lower=True)
        self._solved = cho_solve((self._factor, True), scores)

    def predict(self, points: Points) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean and standard deviation of the noise-free scores, each `(n,)`."""
        across = self._between(self._seen, points)
        reduced = self._reduced(across)
        variance = self._paired(points, points) - np.sum(reduced**2, axis=0)
        return across.T @ self._solved, np.sqrt(np.maximum(variance, 1e-10))

    def effects(self, ends: Points, looks: Sequence[Points], others: Points, against: np.ndarray) -> list[np.ndarray]:
        """Returns by how much looks are going to move what is thought of ends, against that of others: `(n,)` each.

        It is the standard deviation of the change of the difference of the two means.

        Args:
            ends: Finished trainings, `left` 0.
            looks: Where they would be seen, row for row, of each kind of look.
            others: Those that they are compared with, m of them.
            against: The place of each end's among these, `(n,)`.
        """
        of_ends, of_others = (self._reduced(self._between(self._seen, points)) for points in (ends, others))
        rows = np.arange(len(ends))
        effects = []
        for look in looks:
            of_look = self._reduced(self._between(self._seen, look))
            shared = self._paired(ends, look) - np.sum(of_ends * of_look, axis=0)
            of_other = (self._between(others, look) - of_others.T @ of_look)[against, rows]
            own = self._paired(look, look) - np.sum(of_look**2, axis=0)
            effects.append(np.abs(shared - of_other) / np.sqrt(np.maximum(own, 0.0) + self._noise()))
        return effects

    def loss(self, scales: np.ndarray, parts: Parts, scores: np.ndarray) -> tuple[float, np.ndarray]:
        """Returns the negative logarithm of the posterior density of the scales, and its gradient.

        Args:
            scales: As `scales`, `(scales,)`.
            parts: What each pair of points has in common, which does not depend on the scales.
            scores: Standardised scores of the points, `(n,)`.

        Reference: Rasmussen and Williams, 2006, http://gaussianprocess.org/gpml/, eq. 5.8 and 5.9.
        """
        distances, early, same = parts
        end, at_start, common, run, run_early, noise = np.exp(2 * scales[self._count :])
        inverse_lengths = np.exp(-2 * scales[: self._count])
        squared = np.tensordot(inverse_lengths, distances, axes=1)
        similar, slope = matern(squared), matern_slope(squared)
        covariance = self._covariance(similar, early, same, scales)
        covariance[np.diag_indices_from(covariance)] += noise + JITTER
        factor = cholesky(covariance, lower=True)
        solved = cho_solve((factor, True), scores)
        off = (scales - self._middle) / self._deviation
        loss = scores @ solved / 2 + np.log(np.diag(factor)).sum() + off @ off / 2
        outer = cho_solve((factor, True), np.eye(len(scores))) - np.multiply.outer(solved, solved)
        of_lengths = inverse_lengths * np.tensordot(distances, outer * (end + at_start * early) * slope, axes=2) / 2
        pieces = (end * similar, at_start * similar * early, common * early, run * same, run_early * same * early)
        of_scales = [np.vdot(outer, piece) for piece in pieces] + [noise * np.trace(outer)]
        return float(loss), np.concatenate([of_lengths, of_scales]) + off / self._deviation

    def _noise(self) -> float:
        return math.exp(2 * self.scales[self._count + SCALES.index("noise")]) + JITTER

    def _reduced(self, across: np.ndarray) -> np.ndarray:
        return solve_triangular(self._factor, across, lower=True)

    def _between(self, rows: Points, columns: Points) -> np.ndarray:
        """Returns the covariance of all pairs of rows and columns, `(n, m)`."""
        inverse_lengths = np.exp(-self.scales[: self._count])[self._groups]
        a, b = rows.features * inverse_lengths, columns.features * inverse_lengths
        squared = np.add.outer(np.sum(a**2, axis=1), np.sum(b**2, axis=1)) - 2 * a @ b.T
        return self._covariance(matern(np.maximum(squared, 0.0)), *_shared(rows, columns), self.scales)

    def _paired(self, first: Points, second: Points) -> np.ndarray:
        """Returns the covariance of rows of the same configurations, `(n,)`."""
        early = first.weights * second.weights * _closeness(first.left - second.left)
        same = (first.runs == second.runs) & (first.runs >= 0)
        return self._covariance(np.ones(len(first)), early, same.astype(float), self.scales)

    def _covariance(self, similar: np.ndarray, early: np.ndarray, same: np.ndarray, scales: np.ndarray) -> np.ndarray:
        end, at_start, common, run, run_early, _ = np.exp(2 * scales[self._count :])
        if not early.any():  # finished trainings, of which there are most
            return LEVEL + end * similar + run * same
        return LEVEL + similar * (end + at_start * early) + common * early + same * (run + run_early * early)

    def _parts(self, points: Points) -> Parts:
        """Returns the parts for all pairs of points."""
        distances = np.zeros((self._count, len(points), len(points)))
        for feature, group in enumerate(self._groups):
            column = points.features[:, feature]
            distances[group] += np.subtract.outer(column, column) ** 2
        return distances, *_shared(points, points)


def _shared(rows: Points, columns: Points) -> tuple[np.ndarray, np.ndarray]:
    """Returns closeness in `u`, weighted, and whether runs agree, of all pairs of rows and columns, each `(n, m)`."""
    left, of_rows = np.unique(rows.left, return_inverse=True)  # there are a few rungs
    others, of_columns = np.unique(columns.left, return_inverse=True)
    early = np.multiply.outer(left**AMPLITUDE, others**AMPLITUDE) * _closeness(np.subtract.outer(left, others))
    same = (rows.runs[:, None] == columns.runs) & (rows.runs[:, None] >= 0)
    return early[of_rows][:, of_columns], same.astype(float)


def _closeness(apart: np.ndarray) -> np.ndarray:
    return np.exp(-((apart / BEND) ** 2) / 2)


def matern(squared: np.ndarray) -> np.ndarray:
    """Returns the Matern-5/2 correlation at squared distances.

    Reference: Rasmussen and Williams, 2006, http://gaussianprocess.org/gpml/, eq. 4.17.
    """
    root = np.sqrt(5 * squared)
    return (1 + root + root**2 / 3) * np.exp(-root)


def matern_slope(squared: np.ndarray) -> np.ndarray:
    """Returns the derivative of the correlation by -log(length), over the squared distance."""
    root = np.sqrt(5 * squared)
    return 5 / 3 * (1 + root) * np.exp(-root)
