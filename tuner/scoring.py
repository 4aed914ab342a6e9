"""What a trial is worth: the objective at its last epoch, or the worst there is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping

from tuner import records
from tuner.messages import Progress
from tuner.records import Record

__all__ = ["judged", "worst_score"]


def judged(
    record: Record,
    progress: Progress,
    curve: Mapping[str, list[float]],
    *,
    objective: str,
    direction: str,
    worst: float,
) -> Record:
    """Returns the record of a trial that has ended.

    Args:
        record: The trial as it began.
        progress: How it ended.
        curve: Metric values of all its epochs.
        objective: Name of the objective.
        direction: `max` or `min`.
        worst: Score of a trial that did not complete through its own fault.
    """
    values = curve.get(objective, [])
    best_score, best_epoch = records.best_of(curve, objective, direction=direction)
    score = worst if progress.status in records.JUDGED else None
    epochs = record.epochs
    if progress.status == records.COMPLETED and values:
        score, epochs = values[-1], int(curve["epoch"][-1])
    return dataclasses.replace(
        record,
        status=progress.status,
        epochs=epochs,
        target=None if epochs == record.epochs else record.epochs,
        score=score,
        best_score=best_score,
        best_epoch=best_epoch,
        curve=curve,
        seconds=progress.seconds,
        wait_seconds=progress.wait_seconds,
        message=progress.message,
    )


def worst_score(held: Iterable[Record], direction: str, *, classes: int) -> float:
    """Returns the score of a trial that did not complete: no accuracy, or a loss no better than chance or any other.

    Args:
        held: The trials of the study so far.
        direction: `max`: the score is an accuracy; `min`: a loss.
        classes: Number of classes, from which the loss by chance follows.
    """
    if direction == "max":
        return 0.0
    return max([math.log(classes), *(record.score for record in held if record.score is not None)])
