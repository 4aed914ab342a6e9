"""Freeze-thaw Bayesian optimization: every run may go on, and a model of all learning curves says which one does."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import ndtr

from tuner.oracles.base import Move
from tuner.oracles.encoding import Encoding, is_ordered, values_key
from tuner.oracles.history import Run
from tuner.oracles.rungs import RungOracle
from tuner.oracles.surrogate import Points, Surrogate

__all__ = ["FreezeThaw"]

# Chosen on the problems of benchmarks/oracles.py. FIRST_RUNS, SHARE, RANDOM_SHARE, STEPS and CANDIDATES were tried at 2
# to 4 values with 3 to 6 seeds each (benchmarks/README.md); the others are guesses.
FIRST_RUNS = 10  # that have a score before the model is asked
SHARE = 0.5  # of the epochs that go to the runs that are thought the best
RANDOM_SHARE = 0.1  # of the other moves, so that the model learns of its errors
START_EPOCHS = 0.3  # what the beginning of a trial costs, in epochs
CANDIDATES, PARENTS, CHILDREN, NARROWED = 400, 5, 20, 60
STEPS = (0.1, 0.3)  # of children, in the unit cube
SHRINKAGE, PRIOR_RUNS = 0.7, 4  # how scores draw together from rung to rung, and how many runs outweigh that

MOST_POINTS = 250  # a move takes 60 to 67 ms at 1,000 trials (benchmarks/oracles.py --timing, medians of 5, 2 cores)
REFIT, FIT_STEPS = 1.2, 15  # scales are fitted again when there is a fifth more to fit to


@dataclasses.dataclass(frozen=True)
class _Belief:
    """What is thought of the runs that have not failed, at the full budget.

    Args:
        runs: They.
        means: Of the standardised score, `(runs,)`.
        deviations: Its standard deviation, `(runs,)`.
    """

    runs: Sequence[Run]
    means: np.ndarray
    deviations: np.ndarray

    @property
    def best(self) -> int:
        """Place of the best one."""
        return int(np.argmax(self.means))

    def waiting(self, max_epochs: int) -> list[int]:
        """Returns the places of those that can go on."""
        return [place for place, run in enumerate(self.runs) if run.target is None and run.epochs < max_epochs]


class FreezeThaw(RungOracle):
    """Half of the epochs go to the runs that are thought the best, half to where most is to be learned for an epoch.

    A Gaussian process over configuration and epochs (`tuner/oracles/surrogate.py`) learns from all scores. To learn, a
    new configuration may begin at any rung, and a run may go on to any: what counts is the knowledge gradient of its
    final score, divided by the epochs.

    It is `auto`: its mean rank over five problems and budgets of 4 to 32 R is 4.95, before DEHB (5.47), Keras Tuner's
    Hyperband (6.70), PriorBand (7.15) and ASHA (7.30), 10 seeds each. At 4 and 8 R, DEHB and Hyperband are better.
    The table, and on what its constants were chosen, stand in `benchmarks/README.md`.

    Args:
        options: See `RungOracle`.

    Reference: Swersky et al., 2014, https://arxiv.org/abs/1406.3896 (freeze and thaw); Wu et al., 2020,
    https://proceedings.mlr.press/v115/wu20a.html (knowledge gradient over fidelities).
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._surrogate: Surrogate | None = None
        self._fitted = 0  # scores
        self._exploited = 0  # epochs
        self._features_of: dict[str, np.ndarray] = {}
        self._encoded: Encoding | None = None

    def _move(self, rng: np.random.Generator) -> Move | None:
        ended = sum(bool(run.scores) and not run.has_failed for run in self.history)
        if not self.encoding.dimensions or ended < FIRST_RUNS:
            return self._begun(self._new_values(rng), self._first_epochs())
        belief = self._learn()
        run = self._favourite(belief)
        if run is not None:
            epochs = self._next_rung(run.epochs)
            cost = epochs - run.epochs
            if self._exploited + cost <= SHARE * (self.history.spent + cost):
                self._exploited += cost
                return Move(epochs, run=run)
        if rng.random() < RANDOM_SHARE:
            return self._begun(self._new_values(rng), self._first_epochs())
        return self._informative(belief, rng)

    def _new_values(self, rng: np.random.Generator) -> dict[str, Any] | None:
        """Returns random values: those with which a run begins where the model is not asked."""
        return self._random_values(rng)

    def _favourite(self, belief: _Belief) -> Run | None:
        """Returns the run that may improve most on those at the full budget; before there are any, the best one."""
        waiting = belief.waiting(self.max_epochs)
        if not waiting:
            return None
        full = [mean for run, mean in zip(belief.runs, belief.means, strict=True) if run.epochs >= self.max_epochs]
        means, deviations = belief.means[waiting], belief.deviations[waiting]
        gains = _expected_gain(means - max(full), deviations) if full else means
        return belief.runs[waiting[int(np.argmax(gains))]]

    def _informative(self, belief: _Belief, rng: np.random.Generator) -> Move | None:
        """Returns the move with the largest knowledge gradient for an epoch."""
        assert self._surrogate is not None, "the belief comes from it"
        points = self._candidates(belief, rng)
        if not len(points):
            return self._begun(self._new_values(rng), self._first_epochs())
        features = self.encoding.features(points)
        means, deviations = self._surrogate.predict(_ends(features))
        best = belief.means[belief.best]
        kept = np.argsort(-_expected_gain(means - best, deviations), kind="stable")[:NARROWED]
        waiting = belief.waiting(self.max_epochs)
        runs = [belief.runs[place] for place in waiting]
        features = np.concatenate([features[kept], self._features([run.values for run in runs])])
        means = np.concatenate([means[kept], belief.means[waiting]])
        begun = np.array([0] * len(kept) + [run.epochs for run in runs])
        fresh = len(self.history) + np.arange(len(kept))
        numbers = np.concatenate([fresh, [run.number for run in runs]]).astype(int)
        ends = Points(features, np.zeros(len(begun)), np.where(begun > 0, numbers, -1))
        rates = np.array([self._rates(ends, numbers, begun, means - best, epochs, belief) for epochs in self.rungs])
        for place in np.argsort(-rates, axis=None, kind="stable"):
            rung, row = divmod(int(place), len(begun))
            if rates[rung, row] < 0:
                break
            if row >= len(kept):
                return Move(self.rungs[rung], run=runs[row - len(kept)])
            values = self.encoding.values(points[kept[row]])
            if values_key(values) not in self.history.keys:
                return Move(self.rungs[rung], values=values)
        return self._begun(self._new_values(rng), self._first_epochs())

    def _rates(
        self, ends: Points, numbers: np.ndarray, begun: np.ndarray, ahead: np.ndarray, epochs: int, belief: _Belief
    ) -> np.ndarray:
        """Returns the knowledge gradient for an epoch of going to a rung, `(n,)`; -1 for those that are beyond it.

        Reference: Frazier et al., 2009, https://doi.org/10.1287/ijoc.1080.0314, eq. 11.
        """
        assert self._surrogate is not None, "the belief comes from it"
        looks = Points(ends.features, np.full(len(ends), self._left(epochs)), numbers)
        best = belief.runs[belief.best]
        other = Points(self._features([best.values]), np.zeros(1), np.array([best.number]))
        moved = self._surrogate.effects(ends, looks, other)
        rates = _expected_gain(-np.abs(ahead), moved + 1e-9) / (np.maximum(epochs - begun, 0) + START_EPOCHS)
        return np.where(begun < epochs, rates, -1.0)

    def _learn(self) -> _Belief:
        """Fits the model to all scores; a running trial counts as if it ended as expected."""
        if self._surrogate is None or self._encoded is not self.encoding:
            self._surrogate, self._encoded, self._fitted = Surrogate(self.encoding.groups()), self.encoding, 0
            self._features_of.clear()
        seen = [(s.values, s.epochs, s.goodness, -1) for s in self.warm_start]
        seen += [
            (run.values, epochs, score, run.number) for run in self.history for epochs, score in run.scores.items()
        ]
        seen = _thinned(seen)
        epochs, goodness = (np.array(column) for column in list(zip(*seen, strict=True))[1:3])
        scores = _standardised(goodness, epochs)
        # What failed is known to be the worst at the end.
        left = [self._left(e) if math.isfinite(score) else 0.0 for _, e, score, _ in seen]
        points = self._points([one[0] for one in seen], left, [one[3] for one in seen])
        if len(seen) >= REFIT * self._fitted:
            self._surrogate.fit(points, scores, steps=FIT_STEPS)
            self._fitted = len(seen)
        self._surrogate.condition(points, scores)
        running = self.history.in_progress
        if running:
            left = [self._left(run.target or self.max_epochs) for run in running]
            pending = self._points([run.values for run in running], left, [run.number for run in running])
            expected, _ = self._surrogate.predict(pending)
            self._surrogate.condition(points + pending, np.concatenate([scores, expected]))
        live = [run for run in self.history if not run.has_failed]
        ends = self._points([run.values for run in live], [0.0] * len(live), [run.number for run in live])
        return _Belief(live, *self._surrogate.predict(ends))

    def _candidates(self, belief: _Belief, rng: np.random.Generator) -> np.ndarray:
        """Returns random points and changes of the best runs', those that are allowed, `(n, dimensions)`."""
        dimensions = self.encoding.dimensions
        points = [rng.random((CANDIDATES, dimensions))]
        is_choice = np.array([not is_ordered(entry) or hasattr(entry, "ordered") for entry in self.encoding.free])
        for place in np.argsort(-belief.means, kind="stable")[:PARENTS]:
            parent = np.tile(self.encoding.point(belief.runs[place].values), (CHILDREN, 1))
            step = rng.choice(STEPS, (CHILDREN, 1))
            moved = np.clip(parent + step * rng.standard_normal(parent.shape), 0.0, 1.0)
            moved = np.where(is_choice, rng.random(parent.shape), moved)
            points.append(np.where(rng.random(parent.shape) < max(0.4, 1 / dimensions), moved, parent))
        found = self.encoding.snapped(np.concatenate(points))
        if self.is_allowed is None:
            return found
        return found[[self.is_allowed(self.encoding.values(point)) for point in found]]

    def _left(self, epochs: int) -> float:
        """Returns what is left of a training: 1 at the lowest rung, 0 at the full budget."""
        if epochs >= self.max_epochs:
            return 0.0
        return min(1.0, math.log(self.max_epochs / epochs) / math.log(self.max_epochs / self.rungs[0]))

    def _points(self, values: Sequence[Any], left: Sequence[float], runs: Sequence[int]) -> Points:
        return Points(self._features(values), np.array(left), np.array(runs))

    def _features(self, configurations: Sequence[Any]) -> np.ndarray:
        rows = []
        for values in configurations:
            key = values_key(values)
            if key not in self._features_of:
                self._features_of[key] = self.encoding.features(self.encoding.point(values)[None])[0]
            rows.append(self._features_of[key])
        return np.array(rows).reshape(len(rows), len(self.encoding.groups()))


def _ends(features: np.ndarray) -> Points:
    return Points(features, np.zeros(len(features)), np.full(len(features), -1))


def _expected_gain(ahead: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """Returns the mean of what is above 0 of normal variables."""
    off = ahead / deviations
    return deviations * (off * ndtr(off) + np.exp(-(off**2) / 2) / math.sqrt(2 * math.pi))


def _thinned(seen: list[Any]) -> list[Any]:
    """Returns at most `MOST_POINTS`: the farthest and best half of that, and an even choice of the others."""
    if len(seen) <= MOST_POINTS:
        return seen
    ordered = sorted(seen, key=lambda one: (one[1], one[2]), reverse=True)
    kept, others = ordered[: MOST_POINTS // 2], ordered[MOST_POINTS // 2 :]
    step = len(others) / (MOST_POINTS - len(kept))
    return kept + [others[int(place * step)] for place in range(MOST_POINTS - len(kept))]


def _standardised(goodness: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Returns scores of mean 0 and variance 1, `(n,)`, in which the differences among the best of each rung are wide.

    It is the negative logarithm of how far each is behind the best of its rung, in units of the median distance there.
    What failed is as bad as the worst.
    """
    finite = np.isfinite(goodness)
    scores = np.zeros(len(goodness))
    unit = 0.0
    for rung in np.unique(epochs[finite]):
        here = finite & (epochs == rung)
        behind = goodness[here].max() - goodness[here]
        own, expected = float(np.median(behind)) + 1e-9, SHRINKAGE * unit
        others = len(behind) - 1
        if not unit:
            unit = own
        elif others:
            unit = math.exp((others * math.log(own) + PRIOR_RUNS * math.log(expected)) / (others + PRIOR_RUNS))
        else:
            unit = expected
        scores[here] = -np.log1p(behind / unit)
    scores[~finite] = scores.min()
    return (scores - scores.mean()) / (scores.std() or 1.0)
