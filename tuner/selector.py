"""The rules that pick winners: pure functions of runs.

    best                 the highest rung first, then the score at its last epoch
    one-standard-error   the cheapest whose accuracy in new trainings is within a standard error of the best one's
    knee                 where the front of accuracy and cost bends most
    pareto               all of that front

A cost is what a network has, such as its weights. Nothing here trains.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence

from tuner.errors import RequestError, StudyError
from tuner.figures import standard_error
from tuner.records import RUNNING, Record, Run, rank, runs_of

__all__ = ["RULES", "Retest", "best_run", "front_runs", "knee_run", "run_of", "within_one_standard_error"]

RULES = ("best", "one-standard-error", "knee", "pareto")


@dataclasses.dataclass(frozen=True)
class Retest:
    """A run that was trained again with other seeds.

    Args:
        run: The run.
        accuracies: Validation accuracy of each new training at its last epoch, at least one; 0 of one that failed.
        failed: How many of them failed.
    """

    run: Run
    accuracies: Sequence[float]
    failed: int = 0

    @property
    def accuracy(self) -> float:
        """Mean of the new trainings."""
        return statistics.fmean(self.accuracies)

    def standard_error(self, images: float) -> float:
        """Returns the standard error of an accuracy on so many images (`effective_images` of a balanced one).

        All trainings are judged on the same images, so more of them do not make it smaller.
        """
        return standard_error(self.accuracy, images)


def best_run(records: Iterable[Record], direction: str) -> Run:
    """Returns the best run: the highest rung first, then the score at its last epoch.

    Args:
        records: Trials of one study.
        direction: `max` or `min`: the better end of the objective.

    Raises:
        StudyError: If no run has a score.
    """
    ranked = rank(runs_of(records), direction)
    if ranked and ranked[0].has_score:
        return ranked[0]
    ended = collections.Counter(run.status for run in ranked if run.status != RUNNING)
    counts = f" ({', '.join(f'{count} {status}' for status, count in ended.items())})" if ended else ""
    raise StudyError(f"No run of the study has a score yet{counts}; search first, or continue the search.")


def run_of(records: Iterable[Record], number: int) -> Run:
    """Returns the run of a number.

    Raises:
        RequestError: If there is none, or it has no network.
    """
    runs = {run.number: run for run in runs_of(records)}
    if number not in runs:
        raise RequestError(f"--run is {number}, but the study has no such run; the leaderboard has their numbers.")
    if not runs[number].has_score:
        raise RequestError(
            f"--run is {number}, which is {runs[number].last.status}; only a completed run can be trained."
        )
    return runs[number]


def front_runs(records: Iterable[Record], direction: str, *, cost: str) -> list[Run]:
    """Returns the runs of the highest rung that no other of these beats in score and cost, the best score first.

    Args:
        records: Trials of one study.
        direction: `max` or `min`: the better end of the objective.
        cost: `params`, `macs` or `latency`.

    Raises:
        StudyError: If no run has a score, or the cost was not measured.
    """
    held = list(records)
    most = best_run(held, direction).rung
    front: list[Run] = []
    for run in rank(runs_of(held), direction):
        if not run.has_score or run.rung != most:
            continue
        if math.isnan(run.last.cost(cost)):
            raise RequestError("The study has no latencies; search with --objective -latency or --max-latency-ms.")
        if not front or run.last.cost(cost) < front[-1].last.cost(cost):
            front.append(run)
    # The cheapest of several with the same score beats the others.
    return [run for place, run in enumerate(front) if place + 1 == len(front) or front[place + 1].score != run.score]


def knee_run(front: Sequence[Run], direction: str, *, cost: str) -> Run:
    """Returns the run of a front that lies farthest from the line between its ends (`tuner.pareto.knee`).

    Args:
        front: As `front_runs` gives it, at least one.
        direction: `max` or `min`: the better end of the objective.
        cost: `params`, `macs` or `latency`.
    """
    import numpy as np  # which --help must not wait for

    from tuner.pareto import knee

    sign = 1.0 if direction == "max" else -1.0
    return front[knee(np.array([[sign * (run.score or 0.0), -run.last.cost(cost)] for run in front]))]


def within_one_standard_error(retests: Sequence[Retest], *, cost: str, images: float) -> Retest:
    """Returns the cheapest of runs whose new accuracy is within one standard error of the best new accuracy.

    Args:
        retests: At least one.
        cost: `params`, `macs` or `latency`.
        images: Validation images on which the accuracies were measured, >= 1; `effective_images` of balanced ones.

    Reference: Breiman et al., 1984, Classification and Regression Trees, chapter 3 (the 1 SE rule).
    """
    best = max(retests, key=lambda retest: retest.accuracy)
    least = best.accuracy - best.standard_error(images)
    within = [retest for retest in retests if retest.accuracy >= least]
    return min(within, key=lambda retest: (retest.run.last.cost(cost), -retest.accuracy))
