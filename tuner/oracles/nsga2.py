"""Several objectives at once: a population that keeps what nothing else beats in all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial

from tuner.oracles.checks import check_count
from tuner.oracles.encoding import is_active, is_ordered
from tuner.oracles.history_oracle import HistoryOracle
from tuner.oracles.lifecycle import ended_trials, exclusive, last_told
from tuner.oracles.moves import Move
from tuner.pareto import contenders, fronts

__all__ = ["Nsga2", "crowding_distances", "survivors"]

# Index of the polynomial mutation (paper, section V).
DISTRIBUTION_INDEX = 20.0

# Children that were tried already before a random configuration takes their place.
MOST_REPEATS = 20


class Nsga2(HistoryOracle):
    """Crosses and mutates the least dominated configurations; each trial has the full budget.

    The population is what survives of all runs that have ended, so that nothing waits for a generation to be complete.
    With one objective it is a genetic algorithm.

    Args:
        objective: A `keras_tuner.Objective`, or a list of several.
        population: Number of random configurations at the beginning and of survivors afterwards, >= 2. The paper has
            100; a search here is seldom longer than a few hundred trials.
        options: See `HistoryOracle`. A `warm_start` has one goodness, and serves one objective only.

    Reference: Deb et al., 2002, IEEE Transactions on Evolutionary Computation 6(2).
    """

    def __init__(self, *, population: int = 20, **options: Any) -> None:
        check_count("population", population, lowest=2)
        super().__init__(**options)
        self.population = population
        several = getattr(self.objective, "objectives", None)
        self._objectives: list[keras_tuner.Objective] = several or [self.objective]
        self._has_several = several is not None
        self._goodness_of: dict[str, list[float]] = {}  # of trials that ended

    def score_trial(self, trial: Trial) -> None:
        """Scores a trial by its last epoch; several objectives as Keras Tuner sums them, less is better."""
        if not self._has_several:
            super().score_trial(trial)
            return
        goodness = self._goodness(trial)
        trial.score = -sum(goodness) if math.isfinite(sum(goodness)) else self._no_score()
        _, trial.best_step = last_told(trial, self._objectives[0].name)

    @exclusive
    def get_best_trials(self, num_trials: int | None = None) -> list[Trial]:
        """Returns trials that no other dominates, those in the emptiest parts of the front first, then the next front.

        Args:
            num_trials: How many, or None for the first front. With one objective, the best so many (default: 1).
        """
        if not self._has_several:
            return super().get_best_trials(1 if num_trials is None else num_trials)
        ended = ended_trials(self)
        goodness = np.array([self._goodness(trial) for trial in ended]).reshape(len(ended), len(self._objectives))
        most = len(contenders(goodness, 1)) if num_trials is None else num_trials
        return [ended[row] for row in survivors(goodness, most)]

    def _move(self, rng: np.random.Generator) -> Move | None:
        values = self._child(rng)
        if values is None:
            values = self._random_values(rng)
        return None if values is None else Move(self.max_epochs, values=values)

    def _child(self, rng: np.random.Generator) -> dict[str, Any] | None:
        """Returns a child that was not tried; None at the beginning, and where there is none."""
        known = self._known()
        if len(known) < self.population or not self.encoding.free:
            return None
        kept = survivors(np.array([goodness for _, goodness in known]), self.population)
        for _ in range(MOST_REPEATS):
            mother, father = (self._genes(known[self._winner(kept, rng)][0], rng) for _ in range(2))
            child = np.where(rng.random(len(mother)) < 0.5, mother, father)
            values = self.encoding.values(self._mutated(child, rng))
            if self._is_new(values):
                return values
        return None

    def _known(self) -> list[tuple[Mapping[str, Any], list[float]]]:
        """Returns values and goodness of all that ended."""
        if not self._has_several:
            return [(values, [goodness]) for values, goodness in self._observations(self.max_epochs)]
        known = []
        for run in self.history:
            if run.scores:
                name = run.names[run.epochs]
                if name not in self._goodness_of:
                    self._goodness_of[name] = self._goodness(self.trials[name])
                known.append((run.values, self._goodness_of[name]))
        return known

    def _winner(self, kept: list[int], rng: np.random.Generator) -> int:
        """Returns the better of two random survivors, which stand in the order of their worth."""
        return kept[int(rng.integers(len(kept), size=2).min())]

    def _genes(self, values: Mapping[str, Any], rng: np.random.Generator) -> np.ndarray:
        """Returns the point of a parent, with any value where it has none to hand down."""
        has_one = np.array([entry.name in values and is_active(entry, values) for entry in self.encoding.free])
        return np.where(has_one, self.encoding.point(values), rng.random(len(has_one)))

    def _mutated(self, point: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Returns a point with one coordinate changed on average: a number a little, a choice to any."""
        draws, power = rng.random(len(point)), 1.0 / (DISTRIBUTION_INDEX + 1.0)
        change = np.where(draws < 0.5, (2.0 * draws) ** power - 1.0, 1.0 - (2.0 * (1.0 - draws)) ** power)
        ordered = np.array([is_ordered(entry) for entry in self.encoding.free], dtype=bool)
        mutant = np.where(ordered, np.clip(point + change, 0.0, 1.0), rng.random(len(point)))
        return np.where(rng.random(len(point)) < 1.0 / len(point), mutant, point)

    def _goodness(self, trial: Trial) -> list[float]:
        """Returns each objective after the last epoch, larger is better; of a failed trial, all the worst."""
        goodness = []
        for objective in self._objectives:
            value = last_told(trial, objective.name)[0] if trial.status == "COMPLETED" else math.nan
            goodness.append(value if objective.direction == "max" else -value)
        return goodness if all(map(math.isfinite, goodness)) else [-math.inf] * len(goodness)


def survivors(goodness: np.ndarray, most: int) -> list[int]:
    """Returns the rows that a generation keeps, in the order of their worth.

    Args:
        goodness: Each objective of each row, `(rows, objectives)`, larger is better.
        most: How many.
    """
    kept: list[int] = []
    rows = contenders(goodness, most)
    for front in (rows[places] for places in fronts(goodness[rows])):
        order = np.argsort(-crowding_distances(goodness[front]), kind="stable")
        kept += front[order].tolist()
        if len(kept) >= most:
            break
    return kept[:most]


def crowding_distances(goodness: np.ndarray) -> np.ndarray:
    """Returns how far apart the neighbours of each row of a front are, `(rows,)`; infinity at the ends."""
    distances = np.zeros(len(goodness))
    for column in goodness.T:
        order = np.argsort(column, kind="stable")
        distances[order[:1]] = distances[order[-1:]] = math.inf
        # A front with a failure, which is the worst in all objectives, is one of failures only.
        extent = column[order[-1]] - column[order[0]] if np.isfinite(column).all() and len(order) else 0.0
        if extent > 0.0:
            distances[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / extent
    return distances
