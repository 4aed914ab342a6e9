"""A Gaussian process over the unit cube as Keras Tuner's Bayesian oracle has it, in milliseconds. It chooses nothing.

One length serves all hyperparameters and is the only thing that is fitted, so that a search along one line finds what
Keras Tuner lets scikit-learn look for from 21 starts; and the lower bound has a gradient, where Keras Tuner takes
differences.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import minimize, minimize_scalar
from scipy.spatial.distance import cdist

from tuner.oracles.surrogate import matern, matern_slope

__all__ = ["Process"]

# Lengths among which the likeliest is looked for, and how near it is found. With the first, hardly any point tells of
# another one; with the last, the whole cube is nearly a parabola.
LENGTHS = np.geomspace(0.03, 30.0, 9)
PRECISION = 0.05  # of the logarithm
MOST_FITTED = 100  # points that say which it is

DESCENTS, STEPS = 4, 20  # from the best of the points where a descent may begin, and its most iterations
SMALLEST_DEVIATION = 1e-6  # of scores with variance 1


class Process:
    """A process with the Matern-5/2 kernel, fitted to scores of mean 0 and variance 1.

    Args:
        noise: Variance of the noise, where that of the scores is 1; > 0.

    Attributes:
        length: Distance in the unit cube over which scores change, as fitted; 1 before.
    """

    def __init__(self, noise: float) -> None:
        self.length = 1.0
        self._noise = noise

    def fit(self, points: np.ndarray, scores: np.ndarray) -> None:
        """Takes in what was seen, with the length with which it is likeliest.

        Args:
            points: Where it was seen, `(n, dimensions)`, n > 0.
            scores: What was seen there, finite, `(n,)`.
        """
        some = np.linspace(0, len(points) - 1, min(len(points), MOST_FITTED)).astype(int)
        squared, targets = cdist(points[some], points[some], "sqeuclidean"), _scaled(scores[some])[0]

        def loss(logarithm: float) -> float:
            factor = self._factor(squared, math.exp(logarithm))
            return float(targets @ cho_solve((factor, True), targets) / 2 + np.log(np.diag(factor)).sum())

        logarithms = np.log(LENGTHS)
        losses = [loss(logarithm) for logarithm in logarithms]
        place = int(np.argmin(losses))
        bounds = logarithms[max(0, place - 1)], logarithms[min(len(losses) - 1, place + 1)]
        found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": PRECISION})
        self.length = math.exp(found.x if found.fun < losses[place] else logarithms[place])
        self.condition(points, scores)

    def condition(self, points: np.ndarray, scores: np.ndarray) -> None:
        """Takes in what was seen, as `fit`, and leaves the length as it is."""
        targets, self._mean, self._scale = _scaled(scores)
        self._seen = points
        factor = (self._factor(cdist(points, points, "sqeuclidean"), self.length), True)
        self._weights = cho_solve(factor, targets)
        self._inverse = cho_solve(factor, np.eye(len(points)))

    def predict(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean and standard deviation of the noise-free scores at points `(n, dimensions)`, each `(n,)`."""
        across = matern(cdist(points, self._seen, "sqeuclidean") / self.length**2)
        variances = 1 - np.sum(across @ self._inverse * across, axis=1)
        return (
            self._mean + self._scale * (across @ self._weights),
            self._scale * np.sqrt(np.maximum(variances, SMALLEST_DEVIATION**2)),
        )

    def lowest(self, starts: np.ndarray, beta: float) -> np.ndarray:
        """Returns the point of the unit cube, `(dimensions,)`, where the lower bound of the score is lowest.

        Args:
            starts: Points, `(n, dimensions)`, from the best of which descents begin.
            beta: By how many standard deviations the bound is below the mean.

        Reference: Srinivas et al., 2010, https://arxiv.org/abs/0912.3995, eq. 6, of a minimum.
        """
        means, deviations = self.predict(starts)
        best = np.argsort(means - beta * deviations, kind="stable")[:DESCENTS]
        limits, options = [(0.0, 1.0)] * starts.shape[1], {"maxiter": STEPS}
        ends = [
            minimize(self.bound, starts[place], args=(beta,), jac=True, bounds=limits, options=options)
            for place in best
        ]
        lowest: np.ndarray = min(ends, key=lambda end: float(end.fun)).x
        return np.clip(lowest, 0.0, 1.0)

    def bound(self, point: np.ndarray, beta: float) -> tuple[float, np.ndarray]:
        """Returns the lower bound at a point `(dimensions,)`, in standard deviations of the scores, and its gradient.

        Reference: Rasmussen and Williams, 2006, http://gaussianprocess.org/gpml/, eq. 2.25 and 2.26.
        """
        apart = (point - self._seen) / self.length
        squared = np.sum(apart**2, axis=1)
        across, slopes = matern(squared), -matern_slope(squared)[:, None] * apart / self.length
        reduced = self._inverse @ across
        deviation = math.sqrt(max(1 - across @ reduced, SMALLEST_DEVIATION**2))
        gradient = self._weights @ slopes + beta * (reduced @ slopes) / deviation
        return float(across @ self._weights) - beta * deviation, gradient

    def _factor(self, squared: np.ndarray, length: float) -> np.ndarray:
        """Returns the Cholesky factor of the covariance at squared distances `(n, n)`."""
        covariance = matern(squared / length**2)
        covariance[np.diag_indices_from(covariance)] += self._noise
        return cholesky(covariance, lower=True)


def _scaled(scores: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Returns scores with mean 0 and variance 1, and what both were; all alike stay as they are."""
    mean, scale = float(scores.mean()), float(scores.std()) or 1.0
    return (scores - mean) / scale, mean, scale
