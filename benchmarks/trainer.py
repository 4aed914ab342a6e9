"""The training that a search oracle pays for, without training: epochs are counted, scores come from a problem."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from problem import Problem
from spaces import Values, active_values

__all__ = ["Entry", "Run", "Spent", "Trainer", "trajectory"]

DIVERGED_SCORE = 0.0  # what the program tells an oracle of a training that diverged


class Spent(Exception):  # noqa: N818
    """The budget is spent; the search ends."""


@dataclasses.dataclass(eq=False)
class Run:
    """A configuration in training.

    Args:
        values: Active values by name.
        curve: Scores after each epoch, `(max_epochs,)`; NaN from where it diverges.
        epochs: Epochs behind it.
    """

    values: Values
    curve: np.ndarray
    epochs: int = 0

    @property
    def has_diverged(self) -> bool:
        """Whether the last epoch had no score."""
        return self.epochs > 0 and math.isnan(self.curve[self.epochs - 1])

    @property
    def score(self) -> float:
        """The score after the last epoch."""
        return DIVERGED_SCORE if self.has_diverged else float(self.curve[self.epochs - 1])


@dataclasses.dataclass(frozen=True)
class Entry:
    """The end of a trial.

    Args:
        spent: Epochs of all trials until then.
        run: What was trained.
        epochs: Epochs behind the run.
        score: Its score after them; NaN where it diverged.
    """

    spent: int
    run: Run
    epochs: int
    score: float


class Trainer:
    """Trains for one search until its budget is spent.

    Args:
        problem: What is searched.
        seed: Seed of the noise; equal values have equal curves in one search.
        budget_epochs: Epochs of all trials together.

    Attributes:
        spent: Epochs so far.
        log: Ends of trials in their order.
        runs: Number of runs begun.
    """

    def __init__(self, problem: Problem, *, seed: int, budget_epochs: int) -> None:
        self.problem, self.seed, self.budget_epochs = problem, seed, budget_epochs
        self.spent = 0
        self.runs = 0
        self.log: list[Entry] = []
        self._run_of: dict[str, Run] = {}

    def begin(self, values: Mapping[str, Any]) -> Run:
        """Returns a new run of a configuration; values that are not active in it are left out."""
        active = active_values(self.problem.space, values)
        self.runs += 1
        return Run(active, self.problem.curve(active, self.seed))

    def train(self, run: Run, epochs: int, stop: Callable[[int, float], bool] = lambda epoch, score: False) -> float:
        """Trains a run on, to so many epochs or until it diverges or is stopped.

        Args:
            run: A run with fewer epochs.
            epochs: Epochs that it has behind it when the trial is done; at most the full budget.
            stop: Gets epoch and score after each epoch and tells whether the trial ends here.

        Returns:
            The last score.

        Raises:
            Spent: If the budget does not last.
        """
        if run.has_diverged:
            self._pay()  # an epoch shows again that there is nothing to continue
        while not run.has_diverged and run.epochs < epochs:
            self._pay()
            run.epochs += 1
            if stop(run.epochs, run.score):
                break
        self.log.append(Entry(self.spent, run, run.epochs, math.nan if run.has_diverged else run.score))
        return run.score

    def evaluate(self, values: Mapping[str, Any], epochs: int, *, continued: bool = True) -> float:
        """Trains a configuration for searches that know no runs, and returns its last score.

        Args:
            values: Values by name.
            epochs: Epochs of the training in all.
            continued: Whether a run of the same values with fewer epochs is continued; else every training begins anew.
        """
        key = json.dumps(active_values(self.problem.space, values), sort_keys=True, default=float)
        run = self._run_of.get(key)
        if run is None or not continued or run.epochs >= epochs:
            run = self._run_of[key] = self.begin(values)
        return self.train(run, epochs)

    def _pay(self) -> None:
        if self.spent >= self.budget_epochs:
            raise Spent
        self.spent += 1


def trajectory(log: Iterable[Entry], problem: Problem) -> list[tuple[int, float]]:
    """Returns after how many epochs the incumbent changed, and the noise-free score of the new one at the full budget.

    The incumbent is the run with the most epochs, among those the one with the best score: what was seen at different
    epochs is not compared. One that diverged is none.

    Args:
        log: Ends of trials in their order.
        problem: What was searched.
    """
    changes: list[tuple[int, float]] = []
    best = (0, -math.inf)
    incumbent = None
    for entry in log:
        if not math.isnan(entry.score) and (entry.epochs, entry.score) > best:
            best = (entry.epochs, entry.score)
            if entry.run is not incumbent:
                incumbent = entry.run
                changes.append((entry.spent, problem.final(entry.run.values)))
    return changes
