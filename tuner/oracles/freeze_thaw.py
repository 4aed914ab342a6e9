"""Freeze-thaw Bayesian optimization: every run may go on, and a model of all learning curves says which one does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tuner.oracles.history import Run
from tuner.oracles.learning import Belief, LearningOracle, ends_of, expected_gain
from tuner.oracles.moves import Move
from tuner.oracles.surrogate import Points

__all__ = ["FreezeThaw"]

# Chosen on the problems of benchmarks/oracles.py. FIRST_RUNS, SHARE, RANDOM_SHARE and FEWEST_SEEN were tried at 2 to 4
# values with 16 to 32 seeds each, SHARE_ALONE at 5 on 140 drawn problems (benchmarks/README.md), APART at two; the
# others are guesses.
FIRST_RUNS = 10  # that have a score before the model is asked
SHARE = 0.7  # of the epochs that go to the default and to the runs that are thought the best
SHARE_ALONE = 0.4  # where the default does not: with more, the first to get to the end is seldom good
RANDOM_SHARE = 0.1  # of the other moves, so that the model learns of its errors
START_EPOCHS = 0.3  # what the beginning of a trial costs, in epochs
NARROWED = 60  # candidates whose knowledge gradient is computed

# Of the runs at a rung one in so many goes on, for the plan: in 24 searches on eight problems, of 4, 8 and 16 R, it was
# 0.52 of them (median of the rungs; quartiles 0.40 and 0.71).
GOING_ON = 2

# A rung tells configurations apart where the middle half of its scores spans this part of what training on adds.
APART = 0.1
FEWEST_SEEN = 4  # scores that say so


class FreezeThaw(LearningOracle):
    """A share of the epochs goes to the runs that are thought the best, the others to where most is to be learned.

    A Gaussian process over configuration and epochs (`tuner/oracles/surrogate.py`) learns from all scores. To learn, a
    new configuration may begin at any rung, and a run may go on to any: what counts is the knowledge gradient of its
    final score, divided by the epochs. It begins at a higher rung where all scores of the lowest are alike. Where the
    default goes to the full budget first, there is an incumbent from the start, and the share is 7 of 10, the epochs of
    the default among them; else it is 4 of 10.

    It is `auto`. Six problems, 20 seeds (`benchmarks/README.md`): geometric mean of the regret in % of accuracy, and
    epochs until the result of Keras Tuner's Hyperband after 16 R is found, over 16 R (median):

    | algorithm | 4 R | 8 R | 16 R | 32 R | epochs |
    |---|---:|---:|---:|---:|---:|
    | `freeze-thaw` | 2.38 | 1.48 | 0.95 | 0.61 | 0.62 |
    | `mobster` | 2.43 | 1.52 | 1.12 | 0.64 | 0.73 |
    | DEHB | 2.72 | 1.63 | 1.30 | 1.02 | 0.98 |
    | Optuna's TPE with its HyperbandPruner | 3.62 | 2.09 | 1.39 | 1.02 | 1.09 |
    | Optuna's TPE | 3.95 | 2.21 | 1.32 | 0.88 | 1.07 |
    | Keras Tuner's Hyperband | 2.92 | 1.84 | 1.36 | 1.08 | |

    Args:
        options: See `LearningOracle`.

    Reference: Swersky et al., 2014, https://arxiv.org/abs/1406.3896 (freeze and thaw); Wu et al., 2020,
    https://proceedings.mlr.press/v115/wu20a.html (knowledge gradient over fidelities).
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._exploited = 0  # epochs, besides those of the default

    def _learned(self) -> dict[str, Any]:
        return super()._learned() | {"exploited": self._exploited}

    def _recall(self, learned: Mapping[str, Any]) -> None:
        super()._recall(learned)
        self._exploited = learned["exploited"]

    @property
    def start_epochs(self) -> int:
        """Epochs of the lowest rung that tells configurations apart, as far as that is known."""
        full = [run.scores[self.max_epochs] for run in self.history if run.epochs == self.max_epochs]
        best = max(full, default=-math.inf)
        for rung in self.rungs[:-1]:
            scores = [run.scores[rung] for run in self.history if rung in run.scores]
            scores = [score for score in scores if math.isfinite(score)]
            if not math.isfinite(best) or len(scores) < FEWEST_SEEN:
                return rung
            low, middle, high = np.quantile(scores, (0.25, 0.5, 0.75))
            if high - low >= APART * (best - middle):
                return rung
        return self.rungs[-2:][0]

    @property
    def planned_eta(self) -> int:
        """One run in so many goes on from each rung, whatever `eta` is: a guess, because the model decides."""
        return GOING_ON

    def _move(self, rng: np.random.Generator) -> Move | None:
        scored = self._num_scored()
        if not self.encoding.dimensions or not scored or len(self.warm_start) + scored < FIRST_RUNS:
            return self._begun(self._new_values(rng), self._first_epochs())
        belief = self._learn()
        run = self._favourite(belief)
        if run is not None:
            epochs = self._next_rung(run.epochs)
            cost = epochs - run.epochs
            whole, share = (self.max_epochs, SHARE) if self.begins_whole else (0, SHARE_ALONE)
            if whole + self._exploited + cost <= share * (self.history.spent + cost):
                self._exploited += cost
                return Move(epochs, run=run)
        if rng.random() < RANDOM_SHARE:
            return self._begun(self._new_values(rng), self._first_epochs())
        return self._informative(belief, rng)

    def _new_values(self, rng: np.random.Generator) -> dict[str, Any] | None:
        """Returns random values: those with which a run begins where the model is not asked."""
        return self._random_values(rng)

    def _favourite(self, belief: Belief) -> Run | None:
        """Returns the run that may improve most on those at the full budget; before there are any, the best one."""
        waiting = belief.waiting(self.max_epochs)
        if not waiting:
            return None
        full = [mean for run, mean in zip(belief.runs, belief.means, strict=True) if run.epochs >= self.max_epochs]
        means, deviations = belief.means[waiting], belief.deviations[waiting]
        gains = expected_gain(means - max(full), deviations) if full else means
        return belief.runs[waiting[int(np.argmax(gains))]]

    def _informative(self, belief: Belief, rng: np.random.Generator) -> Move | None:
        """Returns the move with the largest knowledge gradient for an epoch."""
        assert self._surrogate is not None, "the belief comes from it"
        points = self._candidates(belief, rng)
        if self.is_allowed is not None:  # before they are narrowed
            points = points[[self.drawing.may_allow(self.encoding.values(point)) for point in points]]
        if not len(points):
            return self._begun(self._new_values(rng), self._first_epochs())
        features = self.encoding.features(points)
        means, deviations = self._surrogate.predict(ends_of(features))
        best = belief.means[belief.best]
        kept = np.argsort(-expected_gain(means - best, deviations), kind="stable")[:NARROWED]
        waiting = belief.waiting(self.max_epochs)
        runs = [belief.runs[place] for place in waiting]
        features = np.concatenate([features[kept], self._features(runs)])
        means = np.concatenate([means[kept], belief.means[waiting]])
        begun = np.array([0] * len(kept) + [run.epochs for run in runs])
        fresh = len(self.history) + np.arange(len(kept))
        numbers = np.concatenate([fresh, [run.number for run in runs]]).astype(int)
        ends = Points(features, np.zeros(len(begun)), np.where(begun > 0, numbers, -1))
        rates = self._rates(ends, numbers, begun, means, belief)
        for place in np.argsort(-rates, axis=None, kind="stable"):
            rung, row = divmod(int(place), len(begun))
            if rates[rung, row] < 0:
                break
            if row >= len(kept):
                return Move(self.rungs[rung], run=runs[row - len(kept)])
            values = self.encoding.values(points[kept[row]])
            if self._is_new(values):
                return Move(self.rungs[rung], values=values)
        return self._begun(self._new_values(rng), self._first_epochs())

    def _rates(
        self, ends: Points, numbers: np.ndarray, begun: np.ndarray, means: np.ndarray, belief: Belief
    ) -> np.ndarray:
        """Returns the knowledge gradient for an epoch of going to each rung, `(rungs, n)`; -1 for those beyond it.

        All are compared with the best run, and that with the second best.

        Reference: Frazier et al., 2009, https://doi.org/10.1287/ijoc.1080.0314, eq. 11.
        """
        assert self._surrogate is not None, "the belief comes from it"
        looks = [Points(ends.features, np.full(len(ends), self._left(epochs)), numbers) for epochs in self.rungs]
        first = np.argsort(-belief.means, kind="stable")[:2]
        leaders = [belief.runs[place] for place in first]
        others = Points(self._features(leaders), np.zeros(len(leaders)), np.array([run.number for run in leaders]))
        against = np.where(numbers == leaders[0].number, len(leaders) - 1, 0)
        apart = np.abs(means - belief.means[first][against])
        rates, lowest = [], self.start_epochs
        for epochs, moved in zip(self.rungs, self._surrogate.effects(ends, looks, others, against), strict=True):
            gain = expected_gain(-apart, moved + 1e-9) / (np.maximum(epochs - begun, 0) + START_EPOCHS)
            rates.append(np.where((begun < epochs) & (epochs >= lowest), gain, -1.0))
        return np.array(rates)
