"""From the flags of a search to what is asked for, and that in words: defaults, what goes on, what may not change."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.budget import Limits
from tuner.config import (
    BALANCED,
    DEFAULT_ALGORITHM,
    WITH_COSTS,
    WITH_MIN_EPOCHS,
    WITH_RUNGS,
    WITH_WARM_START,
    SearchConfig,
    differences,
    parse_objectives,
)
from tuner.data import DataSpec
from tuner.enqueue import read_queue
from tuner.errors import RequestError, UsageError
from tuner.hardware import has_fast_bfloat16
from tuner.models.backbone import backbone_name, spelled_backbone
from tuner.quantities import counted
from tuner.space import Space, load_space
from tuner.staff import Staffing

if TYPE_CHECKING:
    from tuner.messages import Facts, Session
    from tuner.study import Study

__all__ = ["Request", "described", "limits_of", "moved", "resolve", "staffing_of", "study_name"]

# Levels of 0..255: 12 bits in samples of 16 leave 16 of these, whose standard deviation is 8 at most.
LOW_CONTRAST = 8.0

# Images of the largest class over those of the smallest, from which on a person is told of it: a guess.
UNEVEN = 4

MOST_OF_A_NAME = 60  # bytes of a file's name in that of a study

_SETTINGS = (
    "space",
    "backbone",
    "augment",
    "class_weights",
    "dataset",
    "algorithm",
    "trials",
    "total_epochs",
    "max_epochs",
    "eta",
    "min_epochs",
    "max_params",
    "max_macs",
    "max_latency_ms",
    "seed",
    "batch_size",
    "validation_fraction",
    "test_fraction",
    "image_size",
    "images",
    "jit",
    "warm_start",
)

# Flags that only some algorithms obey.
_ONLY = {"eta": WITH_RUNGS, "min_epochs": WITH_MIN_EPOCHS, "warm_start": WITH_WARM_START}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asked for, and what there is of it already.

    Args:
        arguments: Parsed flags.
        config: What they, and the study that goes on, decide of the trials.
        session: What all trials share.
        space: The search space.
        url: Storage of the study.
        folder: Files of the study.
        study: The study that goes on; None for a new one.
        source: Study whose scores a new one knows from the beginning, or None.
        is_done: Whether the study has all that was asked for.
    """

    arguments: argparse.Namespace
    config: SearchConfig
    session: Session
    space: Space
    url: str
    folder: Path
    study: Study | None
    source: Study | None
    is_done: bool


def staffing_of(arguments: argparse.Namespace, config: SearchConfig | None = None) -> Staffing:
    """Returns the workers that the flags ask for, or else those that make the search of a configuration repeatable."""
    return Staffing(
        workers=config.workers if config and arguments.workers is None else arguments.workers,
        cluster=arguments.cluster,
        is_fixed=bool(config and config.deterministic),
        gpus_per_trial=arguments.gpus_per_trial,
        worker_memory=arguments.worker_memory,
        threads=arguments.threads,
    )


def limits_of(arguments: argparse.Namespace, config: SearchConfig) -> Limits:
    """Returns the limits that the flags set, and that of the epochs, which the study keeps."""
    return Limits(
        seconds=arguments.time_limit,
        total_epochs=config.total_epochs,
        trial_seconds=arguments.trial_time_limit,
        retries=arguments.retries,
        disk_bytes=arguments.disk_budget,
    )


def resolve(arguments: argparse.Namespace, stored: SearchConfig | None) -> SearchConfig:
    """Returns the configuration that the flags ask for.

    Args:
        arguments: Parsed flags.
        stored: Configuration of the study that is continued, or None for a new one. A flag that is not given keeps the
            study's setting.

    Raises:
        UsageError: If a value is outside its range.
        RequestError: If a flag departs from the study.
    """
    given = {name: getattr(arguments, name) for name in _SETTINGS if getattr(arguments, name) is not None}
    if arguments.backbone is not None:
        given["backbone"] = backbone_name(arguments.backbone)
    if arguments.objective:
        given |= parse_objectives(arguments.objective)
    if arguments.mixed_precision != "auto":
        given["mixed_precision"] = arguments.mixed_precision == "on"
    if arguments.gpus_per_trial is not None:  # a share of one GPU changes no result
        given["gpus_per_trial"] = max(1, int(arguments.gpus_per_trial))
    if arguments.enqueue is not None:
        given["enqueue"] = read_queue(arguments.enqueue)
    is_ordered = arguments.deterministic or (stored is not None and stored.deterministic)
    given["deterministic"] = is_ordered
    if arguments.workers is not None:
        given["workers"] = arguments.workers if is_ordered or arguments.workers <= 1 else None
    elif arguments.cluster and not is_ordered:
        given["workers"] = None
    config = _new_config(given) if stored is None else _continued(stored, given)
    _refuse_without_effect(given, config.algorithm)
    return config


def moved(stored: SearchConfig, *, dataset: str | None = None, space: str | None = None) -> SearchConfig:
    """Returns the configuration of a study whose images or whose search space are elsewhere now.

    Args:
        stored: Configuration of the study.
        dataset: `folder:PATH` of the images; None where they are where they were.
        space: Path of the space's file; None likewise.

    Raises:
        UsageError: If that is no data set.
        RequestError: If one of them, or what the study has, is no folder, or no file.
    """
    given = {"dataset": dataset, "space": space}
    return _continued(stored, {name: value for name, value in given.items() if value})


def study_name(arguments: argparse.Namespace) -> str:
    """Returns the name of the study: the one given, or what is searched, on which data, how, and today's date."""
    if arguments.study is not None:
        return str(arguments.study)
    dataset = (arguments.dataset or "digits").rstrip("/").partition(":")
    source = Path(dataset[2] or dataset[0]).name
    algorithm = arguments.algorithm or _algorithm(arguments.objective or ())
    space = arguments.space or ("backbone" if arguments.backbone else "small")
    backbone = [spelled_backbone(arguments.backbone)] if arguments.backbone else []
    more = [name for name in ("augment", "class-weights") if getattr(arguments, name.replace("-", "_"))]
    parts = [_fit(Path(space).stem), *backbone, *more, _fit(source), algorithm]
    name = "-".join([*parts, datetime.date.today().isoformat()])
    return re.sub(r"[^\w.+-]+", "-", name).lstrip(".+-")  # as --study takes it


def _fit(name: str) -> str:
    """Returns so much of a file's name that two of them leave room for the rest of a study's."""
    return name.encode(errors="replace")[:MOST_OF_A_NAME].decode(errors="ignore")


def described(
    config: SearchConfig, space: Space, data: Facts, folder: Path, *, enqueued: int, is_new: bool
) -> list[str]:
    """Returns the lines that tell a person what was asked for, and where the study goes.

    Args:
        config: The search.
        space: Its space.
        data: Facts of its data.
        folder: Where the study goes.
        enqueued: How many of the configurations of `--enqueue` are neither the default nor the same as another.
        is_new: Whether there is no such study yet, so that a name with a mistake shows.
    """
    precision = config.precision
    precision += ", XLA" if config.jit else ""
    precision += f", in {config.gpus_per_trial} parts" if config.gpus_per_trial > 1 else ""
    sought = f"objective{'s' if config.costs else ''} {config.sought}"
    lines = [f"Space     {config.space}: {space.title}"]
    if config.backbone:
        lines.append(f"Backbone  {config.backbone} of keras.applications, from fresh weights")
    if config.augment:
        lines.append(
            "Augment   whether training images are mirrored, and how far they are moved at random, is searched"
        )
    if config.class_weights:
        lines.append("Weights   whether all classes weigh alike in the loss is searched")
    lines += _data_lines(config, data)
    lines.append(f"Search    {config.algorithm}, {sought}, seed {config.seed}, batch {config.batch_size}, {precision}")
    lines.append(f"Study     {folder}{' (new)' if is_new else ''}")
    if config.enqueue:
        given = len(config.enqueue)
        same = f" ({given} are given; the others are the same, or the default)" if enqueued < given else ""
        lines.append(f"Enqueued  {counted(enqueued, 'configuration')}, to be tried after the default one{same}")
    return lines


def _data_lines(config: SearchConfig, data: Facts) -> list[str]:
    size = "x".join(str(side) for side in data.input_shape)
    counts = f"{data.train:,} training and {data.validation:,} validation images"
    aside = f"; {data.set_aside:,} more are set aside for the test" if data.set_aside else ""
    lines = [f"Data      {config.dataset}: {counts} of {size}, {data.classes} classes{aside}"]
    least, most = min(data.class_sizes, default=0), max(data.class_sizes, default=0)
    if most > UNEVEN * least and config.objective == "val_accuracy":
        lines.append(
            f"Classes   have {least:,} to {most:,} training images, and accuracy counts images; --objective {BALANCED} "
            "counts all classes alike"
        )
    if data.contrast < LOW_CONTRAST:
        lost = "few of 255 levels are used: scale the images, those of 16 bits before the lower 8 are dropped"
        lines.append(f"Contrast  a standard deviation of {data.contrast:.1f}; {lost}")
    return lines


def _new_config(given: dict[str, Any]) -> SearchConfig:
    space = load_space(given.get("space", "backbone" if "backbone" in given else "small"))
    defaults = {"space": space.name, "max_epochs": space.max_epochs, "batch_size": space.batch_size}
    defaults["algorithm"] = _algorithm([f"-{name}" for name in given.get("costs", ())])
    config = SearchConfig(**{**defaults, **given})
    if "mixed_precision" in given:
        return config
    size = DataSpec(config.dataset, config.image_size).known_size
    return dataclasses.replace(config, mixed_precision=has_fast_bfloat16(size))


def _continued(stored: SearchConfig, given: Mapping[str, Any]) -> SearchConfig:
    asked = SearchConfig.from_dict({**stored.to_dict(), **given})
    if stored.space.endswith(".py") and asked.space.endswith(".py"):  # what it declares is compared when it is read
        stored = dataclasses.replace(stored, space=asked.space)
    found = differences(stored, asked)
    if found:
        raise RequestError(
            f"The study was started with other settings: {'; '.join(found)}. Leave these flags out to continue it, or "
            "start another study with --study NAME."
        )
    return asked


def _refuse_without_effect(given: dict[str, Any], algorithm: str) -> None:
    for name, algorithms in _ONLY.items():
        if name in given and algorithm not in algorithms:
            raise UsageError(
                f"--{name.replace('_', '-')} has no effect on --algorithm {algorithm}; leave it out, or use "
                f"{' or '.join(algorithms)}."
            )


def _algorithm(objectives: Sequence[str]) -> str:
    """Returns the default algorithm for the values of `--objective`."""
    return WITH_COSTS[0] if any(text.startswith("-") for text in objectives) else DEFAULT_ALGORITHM
