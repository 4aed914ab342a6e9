"""What another study saw of the same space, as plain data that the new study keeps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tuner.config import SearchConfig
from tuner.errors import RequestError
from tuner.finding import find_study
from tuner.records import COMPLETED, RUNNING, Record
from tuner.study import Study, changed_names

__all__ = ["find_source", "seen_in"]


def find_source(config: SearchConfig, results: Path, storage: str | None) -> Study:
    """Returns the study that a search is to know from the beginning.

    Args:
        config: The search; its `warm_start` names the study.
        results: Folder of the studies.
        storage: URL of the storage, or None for the study's own folder.

    Raises:
        RequestError: If there is none of the name, it has another objective, or no trial has ended in it.
    """
    study = find_study(results, config.warm_start, storage)
    if study.config.objective != config.objective:
        raise RequestError(
            f"--warm-start cannot use the study {study.name}: its scores are {study.config.objective}, and this search "
            f"has --objective {config.objective}."
        )
    if not any(record.status != RUNNING for record in study.records()):
        raise RequestError(f"--warm-start cannot use the study {study.name}: no trial has ended in it.")
    return study


def seen_in(study: Study, space: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the scores of a study's trials as JSON values.

    Args:
        study: The study.
        space: The declared hyperparameters of the search that will know them, as of `Study.create`.

    Returns:
        For each trial that ended its values, epochs and goodness: larger is better, None after a failure.

    Raises:
        RequestError: If the study searched another space.
    """
    changed = changed_names(study.space, space)
    if changed:
        raise RequestError(
            f"--warm-start cannot use the study {study.name}: it searched another space, in which {changed[0]} is "
            "declared otherwise."
        )
    ended = [record for record in study.records() if record.status != RUNNING]
    return [
        {
            "values": dict(record.hyperparameters),
            "epochs": record.rung,
            "goodness": _goodness(record, study.config.direction),
        }
        for record in ended
    ]


def _goodness(record: Record, direction: str) -> float | None:
    if record.status != COMPLETED or record.score is None or not math.isfinite(record.score):
        return None
    return record.score if direction == "max" else -record.score
