"""The rule that picks the winner: pure functions of runs."""

from __future__ import annotations

from collections.abc import Iterable

from tuner.errors import StudyError
from tuner.records import COMPLETED, Record, Run, rank, runs_of

__all__ = ["best_run"]


def best_run(records: Iterable[Record], direction: str) -> Run:
    """Returns the best run: the highest rung first, then the score at its last epoch.

    Args:
        records: Trials of one study.
        direction: `max` or `min`: the better end of the objective.

    Raises:
        StudyError: If no run has a score.
    """
    ranked = rank(runs_of(records), direction)
    if not ranked or ranked[0].last.status != COMPLETED:
        raise StudyError("No run of the study has a score yet; search first, or continue the search.")
    return ranked[0]
