"""From command-line flags to a `SearchConfig`: defaults, the study to continue, and what may not change."""

from __future__ import annotations

import argparse
import datetime
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tuner.budget import Limits
from tuner.command import nonnegative, positive
from tuner.config import (
    ALGORITHMS,
    COSTS,
    DEFAULT_ALGORITHM,
    OBJECTIVES,
    STEPS_BETWEEN_CHECKS,
    WITH_COSTS,
    WITH_MIN_EPOCHS,
    WITH_RUNGS,
    WITH_WARM_START,
    SearchConfig,
    differences,
    parse_objectives,
)
from tuner.enqueue import read_queue
from tuner.errors import StudyError, UsageError
from tuner.hardware import has_fast_bfloat16
from tuner.models.backbone import backbone_name, spelled_backbone
from tuner.quantities import byte_size, count, duration, gpus, milliseconds
from tuner.space import load_space, space_names
from tuner.staff import Staffing

__all__ = [
    "add_running_flags",
    "add_search_flags",
    "limits_of",
    "resolve",
    "running_flags",
    "staffing_of",
    "study_name",
    "with_joined_objectives",
]

DEFAULT_RETRIES = 2
MOST_STEPS_PER_EXECUTION = STEPS_BETWEEN_CHECKS

_SETTINGS = (
    "space",
    "backbone",
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
    "image_size",
    "images",
    "jit",
    "warm_start",
)

# Flags that only some algorithms obey.
_ONLY = {"eta": WITH_RUNGS, "min_epochs": WITH_MIN_EPOCHS, "warm_start": WITH_WARM_START}


def add_search_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that decide what a search does; one that is not given is None."""
    spaces = ", ".join(space_names())
    parser.add_argument("--space", metavar="NAME|FILE.py", help=f"search space: {spaces}, or a file (default: small)")
    parser.add_argument(
        "--backbone", metavar="NAME", help="search over a network of keras.applications, such as MobileNetV2"
    )
    parser.add_argument("--dataset", metavar="SOURCE", help="digits, tfds:NAME or folder:PATH (default: digits)")
    parser.add_argument("--algorithm", metavar="NAME", help=f"{', '.join(ALGORITHMS)} (default: {DEFAULT_ALGORITHM})")
    parser.add_argument("--trials", type=positive, metavar="N", help="total number of trials in the study")
    parser.add_argument("--total-epochs", type=positive, metavar="N", help="epochs of all trials in the study")
    parser.add_argument("--max-epochs", type=positive, metavar="N", help="full budget of one configuration")
    parser.add_argument("--min-epochs", type=positive, metavar="N", help="epochs of the lowest rung (default: 1)")
    parser.add_argument(
        "--eta", type=positive, metavar="N", help="ratio of the epochs of neighbouring rungs (default: 3)"
    )
    parser.add_argument("--enqueue", metavar="FILE.json", help="configurations to try first: a list of objects")
    parser.add_argument(
        "--warm-start", type=_study_name, metavar="STUDY", help="know the runs of another study on the same space"
    )
    parser.add_argument(
        "--objective",
        action="append",
        metavar="NAME",
        help=f"{', '.join(OBJECTIVES)} (default: val_accuracy); again for what is to be small besides: "
        f"{', '.join(f'-{name}' for name in COSTS)}",
    )
    parser.add_argument("--max-params", type=count, metavar="N", help="try no network of more weights, such as 1M")
    parser.add_argument("--max-macs", type=count, metavar="N", help="of more multiply-accumulates for one image")
    parser.add_argument(
        "--max-latency-ms", type=milliseconds, metavar="MS", help="or slower for one image, measured on this machine"
    )
    parser.add_argument("--seed", type=nonnegative, metavar="N", help="seed of the search; 0 is one (default: 0)")
    parser.add_argument("--batch-size", type=positive, metavar="N", help="images a training step")
    parser.add_argument(
        "--validation-fraction", type=float, metavar="F", help="share of train kept for validation (default: 0.2)"
    )
    parser.add_argument(
        "--mixed-precision",
        choices=("auto", "on", "off"),
        default="auto",
        help="bfloat16 feature maps in training; auto: where the processor or GPU is made for it (default: auto)",
    )
    parser.add_argument(
        "--jit", action="store_const", const=True, help="compile each network with XLA: slower on a CPU, see README.md"
    )
    parser.add_argument("--study", type=_study_name, metavar="NAME", help="name of the study; an old one goes on")
    parser.add_argument("--image-size", type=_image_size, metavar="N|HxW", help="resize images to so many pixels")
    parser.add_argument("--images", type=positive, metavar="N", help="use so many images of the training split only")


def add_running_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that decide how a search runs and when it stops, not what it finds."""
    group = parser.add_argument_group("workers")
    group.add_argument(
        "--workers", type=_workers, metavar="N|auto", help="processes; 0: train in this one (default: auto, measured)"
    )
    group.add_argument("--cluster", metavar="ADDRESS", help="use the workers of a running Dask cluster")
    group.add_argument(
        "--gpus-per-trial", type=gpus, metavar="F|N", help="share of a GPU for a trial, or several (default: 1)"
    )
    group.add_argument(
        "--steps-per-execution",
        type=_steps_per_execution,
        default=1,
        metavar="N|auto",
        help="training steps in one call of a program; no result depends on it (default: 1)",
    )
    group.add_argument("--worker-memory", type=byte_size, metavar="SIZE", help="replace a worker that holds more")
    group.add_argument(
        "--retries", type=nonnegative, default=DEFAULT_RETRIES, metavar="N", help="for a dead worker (default: 2)"
    )
    group.add_argument(
        "--deterministic", action="store_true", help="the same decisions in the same order with several workers too"
    )
    group = parser.add_argument_group(
        "budget", "whichever is reached first, --trials and --total-epochs too; the last line says which"
    )
    group.add_argument("--time-limit", type=duration, metavar="TIME", help="of this search, such as 30m or 1h30m")
    group.add_argument("--trial-time-limit", type=duration, metavar="TIME", help="of one trial")
    group.add_argument("--disk-budget", type=byte_size, metavar="SIZE", help="for checkpoints, such as 2G")


def running_flags(arguments: argparse.Namespace) -> list[str]:
    """Returns the flags of `add_running_flags` that were given, for a command that goes on in the same way.

    The limit of time is left out: it may be what ended the search.
    """
    names = ("cluster", "gpus_per_trial", "worker_memory", "retries", "trial_time_limit", "disk_budget")
    given = {"workers": arguments.workers, **{name: getattr(arguments, name) for name in names}}
    if arguments.retries == DEFAULT_RETRIES:
        del given["retries"]
    if arguments.steps_per_execution != 1:
        given["steps_per_execution"] = arguments.steps_per_execution or "auto"
    flags = [[f"--{name.replace('_', '-')}", f"{value}"] for name, value in given.items() if value is not None]
    return [*itertools.chain(*flags), *(["--deterministic"] if arguments.deterministic else [])]


def staffing_of(arguments: argparse.Namespace) -> Staffing:
    """Returns the workers that the flags ask for."""
    return Staffing(
        workers=arguments.workers,
        cluster=arguments.cluster,
        gpus_per_trial=arguments.gpus_per_trial,
        worker_memory=arguments.worker_memory,
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
        StudyError: If a flag departs from the study.
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
    config = _new_config(given) if stored is None else _continued(stored, given)
    _refuse_without_effect(given, config.algorithm)
    return config


def with_joined_objectives(argv: Sequence[str]) -> list[str]:
    """Returns command-line arguments in which argparse does not take `-params` behind `--objective` for a flag."""
    joined: list[str] = []
    for argument in argv:
        if joined and joined[-1] == "--objective" and re.match("-[^-]", argument):
            joined[-1] = f"--objective={argument}"
        else:
            joined.append(argument)
    return joined


def study_name(arguments: argparse.Namespace) -> str:
    """Returns the name of the study: the one given, or space, backbone, data set, algorithm and today's date."""
    if arguments.study is not None:
        return str(arguments.study)
    dataset = (arguments.dataset or "digits").rstrip("/").partition(":")
    source = Path(dataset[2] or dataset[0]).name
    algorithm = arguments.algorithm or _algorithm(arguments.objective or ())
    space = arguments.space or ("backbone" if arguments.backbone else "small")
    backbone = [spelled_backbone(arguments.backbone)] if arguments.backbone else []
    parts = [Path(space).stem, *backbone, source, algorithm]
    return re.sub(r"[^\w.+-]+", "-", "-".join([*parts, datetime.date.today().isoformat()]))


def _new_config(given: dict[str, Any]) -> SearchConfig:
    space = load_space(given.get("space", "backbone" if "backbone" in given else "small"))
    defaults = {"space": space.name, "max_epochs": space.max_epochs, "batch_size": space.batch_size}
    defaults["mixed_precision"] = has_fast_bfloat16()
    defaults["algorithm"] = _algorithm([f"-{name}" for name in given.get("costs", ())])
    return SearchConfig(**{**defaults, **given})


def _continued(stored: SearchConfig, given: dict[str, Any]) -> SearchConfig:
    asked = SearchConfig.from_dict({**stored.to_dict(), **given})
    found = differences(stored, asked)
    if found:
        raise StudyError(
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


def _workers(text: str) -> int | None:
    return None if text == "auto" else nonnegative(text)


def _steps_per_execution(text: str) -> int | None:
    """Returns a number of steps, None for `auto`."""
    if text == "auto":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= MOST_STEPS_PER_EXECUTION:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of steps; write auto or 1 to {MOST_STEPS_PER_EXECUTION}, after which the loss is "
            "checked"
        )
    return int(text)


def _study_name(text: str) -> str:
    if not re.fullmatch(r"\w[\w.+-]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a study; use letters, digits and . _ + -")
    return text


def _image_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if not match or not all(int(side) for side in match.groups(default="1")):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 32 or HEIGHTxWIDTH, such as 28x32")
    return int(match[1]), int(match[2] or match[1])
