"""The card of a winner: what its study, its last training and its test tell of a model. It measures nothing itself."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from tuner.card import Card, DataSummary, ValidationScore
from tuner.versions import library_versions

if TYPE_CHECKING:
    from tuner.figures import Figures
    from tuner.records import Run
    from tuner.study import Study
    from tuner.training import Network
    from tuner.worker import Worker

__all__ = ["card_of"]


def card_of(
    study: Study,
    winner: Run,
    network: Network,
    worker: Worker,
    *,
    test: Figures | None,
    seconds: float,
    command: str,
    rule: str,
) -> Card:
    """Returns the model card of a winner, as of now.

    Args:
        study: Where it was found.
        winner: A run that has a score.
        network: Its last training.
        worker: Who trained it; has the data.
        test: Test figures; None when the data set has no test split.
        seconds: Duration of the last training.
        command: The command line that makes the export.
        rule: What chose the winner, as in `Card`.
    """
    data, config = worker.dataset, study.config
    best_score, best_epoch = winner.best(config.direction)
    assert winner.score is not None  # the selector picks no run without one
    assert best_score is not None
    assert best_epoch is not None
    counts = {"train": len(data.train), "validation": len(data.validation), "test": test.num_images if test else 0}
    return Card(
        study=study.name,
        command=command,
        data=DataSummary(worker.session.data.source, data.input_shape, counts, data.labels),
        algorithm=config.algorithm,
        hyperparameters=winner.last.hyperparameters,
        epochs=winner.epochs,
        search_seed=config.seed,
        training_seed=network.seed,
        validation=ValidationScore(config.objective, winner.score, best_epoch, best_score),
        test=test,
        parameters=winner.last.params,
        multiply_accumulates=winner.last.macs,
        versions=library_versions(),
        training_seconds=seconds,
        settings=config.settings,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        run=winner.number,
        rule=rule,
    )
