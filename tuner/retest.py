"""Trains a few runs again with other seeds: the best score of many is the luckiest, and a new one is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from tuner.errors import TunerError
from tuner.messages import Task
from tuner.records import COMPLETED, FAILED, Run
from tuner.seeds import derived_seed
from tuner.selector import Retest
from tuner.worker import Worker

__all__ = ["retested"]


def retested(
    runs: Sequence[Run],
    worker: Worker,
    *,
    seed: int,
    times: int,
    accuracy: str = "val_accuracy",
    report: Callable[[Retest], None] | None = None,
) -> list[Retest]:
    """Returns runs with the validation accuracies of new trainings from their beginning, of the same epochs.

    Args:
        runs: What to train.
        worker: Trains on the training images and judges on the validation images.
        seed: Seed of the search; those of the trainings follow from it and are none of the search's.
        times: New trainings of each run, >= 1.
        accuracy: Name of the accuracy, as it stands in a curve.
        report: Called after each run, or None.

    Raises:
        TunerError: If a training fails through an error of the program or the space, or none ends well.
    """
    found: list[Retest] = []
    wrong = ""
    for run in runs:
        values = run.last.hyperparameters
        identity = json.dumps(dict(values), sort_keys=True)
        accuracies, failed = [], 0
        for number in range(times):
            task = Task(
                hyperparameters=values,
                initial_epoch=0,
                epochs=run.epochs,
                seed=derived_seed(seed, "retest", identity, number),
                keep=False,
            )
            progress = worker.train(task)
            if progress.status != COMPLETED:
                wrong = wrong or f"Run {run.number} {progress.status} when it was trained again: {progress.message}"
                failed += 1
                if progress.status == FAILED:
                    raise TunerError(wrong)
            accuracies.append(progress.curve[accuracy][-1] if progress.status == COMPLETED else 0.0)
        found.append(Retest(run, accuracies, failed))
        if report:
            report(found[-1])
    if all(retest.failed == times for retest in found):
        raise TunerError(wrong)
    return found
