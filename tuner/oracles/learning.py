"""What oracles share that learn from all learning curves with one model."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import ndtr

from tuner.oracles.encoding import Encoding, is_ordered
from tuner.oracles.history import Run, Seen, best_and_spread
from tuner.oracles.moves import Rung
from tuner.oracles.rungs import RungOracle
from tuner.oracles.surrogate import Points, Surrogate
from tuner.oracles.whole import WholeFirst

__all__ = ["Belief", "LearningOracle", "ends_of", "expected_gain", "standardised"]

# CANDIDATES and STEPS were tried at 2 to 4 values with 3 to 6 seeds each on the problems of benchmarks/oracles.py
# (benchmarks/README.md); the others are guesses.
CANDIDATES, PARENTS, CHILDREN = 400, 5, 20
STEPS = (0.1, 0.3)  # of children, in the unit cube
SHRINKAGE, PRIOR_RUNS = 0.7, 4  # how scores draw together from rung to rung, and how many runs outweigh that

MOST_POINTS = 250  # that the model remembers; what it costs is cubic in them
REFIT, FIT_STEPS = 1.2, 15  # scales are fitted again when there is a fifth more to fit to


# Whose score it is, after how many epochs, the goodness, and the number of the run; -1 where another study saw it.
_Score = tuple[Run | Seen, int, float, int]


@dataclasses.dataclass(frozen=True)
class Belief:
    """What is thought of the runs that have not failed, at the full budget.

    Args:
        runs: Those runs, in the order in which they began.
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


class LearningOracle(WholeFirst, RungOracle):
    """An oracle of one bracket with a Gaussian process over configuration and epochs (`tuner/oracles/surrogate.py`).

    Only the default goes to the full budget at once, where somebody chose it and epochs and time allow it: it is the
    best that is known of a space before anything was tried, and what all others have to beat.

    Args:
        options: See `WholeFirst` and `RungOracle`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._surrogate: Surrogate | None = None
        self._fitted = 0  # scores
        self._kept: dict[str, Any] | None = None  # scales that a stock tuner has read back, and `_fitted` with them
        self._features_of: dict[str, np.ndarray] = {}
        self._encoded: Encoding | None = None

    def get_state(self) -> dict[str, Any]:
        """Returns what a stock tuner keeps: the scales, too, which are fitted from where they were."""
        return super().get_state() | self._learned()

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_state` has returned."""
        super().set_state(state)
        self._recall(state)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Returns Keras Tuner's response; what came to nothing is forgotten: a resumed search does not repeat it."""
        before = self._learned()
        response = super().populate_space(trial_id)
        if response["status"] != "RUNNING" and self._learned() != before:
            self._recall(before)
        return response

    def _learned(self) -> dict[str, Any]:
        """Returns what the next proposal depends on besides the trials: the model's scales, and what they stand on."""
        if self._surrogate is None:
            return {"surrogate": self._kept}
        assert self._encoded is not None, "the surrogate is that of an encoding"
        entries = len(self._encoded.entries)
        return {"surrogate": {"fitted": self._fitted, "entries": entries, "scales": self._surrogate.scales.tolist()}}

    def _recall(self, learned: Mapping[str, Any]) -> None:
        """Goes back to what `_learned` has returned."""
        self._surrogate, self._kept = None, learned["surrogate"]

    @property
    @abc.abstractmethod
    def start_epochs(self) -> int:
        """Epochs of a new run's first trial, but for the default."""

    def _first_epochs(self) -> int:
        return self.max_epochs if self.begins_whole and not len(self.history) else self.start_epochs

    def _planned_rungs(self, trials: int) -> list[Rung]:
        rungs = [epochs for epochs in self.rungs if epochs >= self.start_epochs]
        if not trials or not self.begins_whole:
            return self._ladder(trials, rungs)
        return [Rung(1, 0, self.max_epochs), *self._ladder(trials - 1, rungs)]

    def _num_scored(self) -> int:
        """Returns how many runs have a score and have not failed."""
        return sum(bool(run.scores) and not run.has_failed for run in self.history)

    def _learn(self) -> Belief:
        """Fits the model to all scores; a running trial counts as if it ended as expected."""
        if self._surrogate is None or self._encoded is not self.encoding:
            self._surrogate, self._encoded, self._fitted = Surrogate(self.encoding.groups()), self.encoding, 0
            self._features_of.clear()
            if self._kept is not None and self._kept.get("entries") == len(self.encoding.entries):
                self._fitted, self._surrogate.scales = self._kept["fitted"], np.array(self._kept["scales"])
            self._kept = None
        seen: list[_Score] = [(s, s.epochs, s.goodness, -1) for s in self.warm_start]
        seen += [(run, epochs, score, run.number) for run in self.history for epochs, score in run.scores.items()]
        seen = _thinned(seen)
        tried, epochs, goodness, numbers = zip(*seen, strict=True)
        scores = standardised(np.array(goodness), np.array(epochs), np.array(numbers) < 0)
        # What failed is known to be the worst at the end.
        left = [self._left(e) if math.isfinite(score) else 0.0 for e, score in zip(epochs, goodness, strict=True)]
        points = self._points(tried, left, numbers)
        if len(seen) >= REFIT * self._fitted:
            self._surrogate.fit(points, scores, steps=FIT_STEPS)
            self._fitted = len(seen)
        self._surrogate.condition(points, scores)
        running = self.history.in_progress
        if running:
            left = [self._left(run.target or self.max_epochs) for run in running]
            pending = self._points(running, left, [run.number for run in running])
            expected, _ = self._surrogate.predict(pending)
            self._surrogate.condition(points + pending, np.concatenate([scores, expected]))
        live = [run for run in self.history if not run.has_failed]
        ends = self._points(live, [0.0] * len(live), [run.number for run in live])
        return Belief(live, *self._surrogate.predict(ends))

    def _candidates(self, belief: Belief, rng: np.random.Generator) -> np.ndarray:
        """Returns random points and changes of the best runs', `(n, dimensions)`."""
        dimensions = self.encoding.dimensions
        points = [rng.random((CANDIDATES, dimensions))]
        is_choice = np.array([not is_ordered(entry) or hasattr(entry, "ordered") for entry in self.encoding.free])
        for place in np.argsort(-belief.means, kind="stable")[:PARENTS]:
            parent = np.tile(self.encoding.point(belief.runs[place].values), (CHILDREN, 1))
            step = rng.choice(STEPS, (CHILDREN, 1))
            moved = np.clip(parent + step * rng.standard_normal(parent.shape), 0.0, 1.0)
            moved = np.where(is_choice, rng.random(parent.shape), moved)
            points.append(np.where(rng.random(parent.shape) < max(0.4, 1 / dimensions), moved, parent))
        return self.encoding.snapped(np.concatenate(points))

    def _left(self, epochs: int) -> float:
        """Returns what is left of a training: 1 at the lowest rung, 0 at the full budget."""
        if epochs >= self.max_epochs:
            return 0.0
        if self.rungs[0] == self.max_epochs:  # another study saw fewer epochs
            return 1.0
        return min(1.0, math.log(self.max_epochs / epochs) / math.log(self.max_epochs / self.rungs[0]))

    def _points(self, tried: Sequence[Run | Seen], left: Sequence[float], runs: Sequence[int]) -> Points:
        return Points(self._features(tried), np.array(left), np.array(runs))

    def _features(self, tried: Sequence[Run | Seen]) -> np.ndarray:
        rows = []
        for one in tried:
            if one.key not in self._features_of:
                self._features_of[one.key] = self.encoding.features(self.encoding.point(one.values)[None])[0]
            rows.append(self._features_of[one.key])
        return np.array(rows).reshape(len(rows), len(self.encoding.groups()))


def ends_of(features: np.ndarray) -> Points:
    """Returns finished trainings of configurations as such, `(n, features)` -> n points."""
    return Points(features, np.zeros(len(features)), np.full(len(features), -1))


def expected_gain(ahead: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """Returns the mean of what is above 0 of normal variables with these means and deviations, `(n,)`."""
    off = ahead / deviations
    return deviations * (off * ndtr(off) + np.exp(-(off**2) / 2) / math.sqrt(2 * math.pi))


def _thinned(seen: list[_Score]) -> list[_Score]:
    """Returns at most `MOST_POINTS`; the farthest and best come first."""
    if len(seen) <= MOST_POINTS:
        return seen
    return best_and_spread(sorted(seen, key=lambda one: (one[1], one[2]), reverse=True), MOST_POINTS)


def standardised(goodness: np.ndarray, epochs: np.ndarray, studies: np.ndarray) -> np.ndarray:
    """Returns scores of mean 0 and variance 1, `(n,)`, in which the differences among the best of each rung are wide.

    It is the negative logarithm of how far each is behind the best of its rung, in units of the median distance there;
    what is as good as the best does not count in that. What failed is as bad as the worst. Each study has a best of its
    own: with other data, scores of the same configurations lie elsewhere.

    Args:
        goodness: Larger is better, `(n,)`.
        epochs: The rungs, `(n,)`.
        studies: Which study saw it, `(n,)`.
    """
    finite = np.isfinite(goodness)
    scores = np.zeros(len(goodness))
    unit = 0.0
    for rung in np.unique(epochs[finite]):
        here = finite & (epochs == rung)
        behind = _behind(goodness[here], studies[here])
        apart = behind[behind > 0]
        if len(apart):  # where all are alike, as at the level of chance, there is no unit to learn
            weight = PRIOR_RUNS if unit else 0
            expected = SHRINKAGE * unit or 1.0
            known = len(apart) * math.log(np.median(apart)) + weight * math.log(expected)
            unit = math.exp(known / (len(apart) + weight))
            scores[here] = -np.log1p(behind / unit)
    scores[~finite] = scores.min(initial=0.0)
    return (scores - scores.mean()) / (scores.std() or 1.0)


def _behind(goodness: np.ndarray, studies: np.ndarray) -> np.ndarray:
    """Returns how far each is behind the best of its study, `(n,)`."""
    behind = np.zeros(len(goodness))
    for study in np.unique(studies):
        own = studies == study
        behind[own] = goodness[own].max() - goodness[own]
    return behind
