"""Command-line flags of a search: what decides what it finds, and how it runs."""

from __future__ import annotations

import argparse
import itertools
import re
from collections.abc import Callable, Sequence

from tuner.budget import DEFAULT_RETRIES
from tuner.command import nonnegative, positive
from tuner.config import ALGORITHMS, COSTS, DEFAULT_ALGORITHM, OBJECTIVES, STEPS_BETWEEN_CHECKS
from tuner.quantities import byte_size, count, counted, duration, gpus, milliseconds
from tuner.space import space_names

__all__ = ["add_running_flags", "add_search_flags", "running_flags", "with_joined_objectives"]

SMALLEST_DISK_BUDGET = 10_000  # bytes; less than a state takes, and what a number says that lacks its unit
LONGEST_NAME = 200  # bytes; a folder's name has 255 at most
MOST_STEPS_PER_EXECUTION = STEPS_BETWEEN_CHECKS


def add_search_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that decide what a search does; one that is not given is None."""
    _add_space_flags(parser)
    _add_algorithm_flags(parser)
    _add_goal_flags(parser)
    _add_training_flags(parser)


def _add_space_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say what is searched, on which images."""
    spaces = ", ".join(space_names())
    parser.add_argument("--space", metavar="NAME|FILE.py", help=f"search space: {spaces}, or a file (default: small)")
    parser.add_argument(
        "--backbone", metavar="NAME", help="search over a network of keras.applications, such as MobileNetV2"
    )
    parser.add_argument(
        "--augment", action="store_const", const=True, help="search how to mirror and move training images, too"
    )
    parser.add_argument(
        "--class-weights",
        action="store_const",
        const=True,
        help="search whether images of small classes weigh more, too",
    )
    parser.add_argument("--dataset", metavar="SOURCE", help="digits, tfds:NAME or folder:PATH (default: digits)")


def _add_algorithm_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say how it is searched, and how much is tried."""
    parser.add_argument("--algorithm", metavar="NAME", help=f"{', '.join(ALGORITHMS)} (default: {DEFAULT_ALGORITHM})")
    parser.add_argument(
        "--trials", type=positive, metavar="N", help="total number of trials in the study (default: no limit)"
    )
    parser.add_argument(
        "--total-epochs",
        type=positive,
        metavar="N",
        help="epochs of all trials in the study (default: without --trials 8 times --max-epochs, hyperband once "
        "through its brackets)",
    )
    parser.add_argument(
        "--max-epochs",
        type=positive,
        metavar="N",
        help="epochs of a configuration that is trained to the end (default: the space's)",
    )
    parser.add_argument("--min-epochs", type=positive, metavar="N", help="epochs of the lowest rung (default: 1)")
    parser.add_argument(
        "--eta", type=positive, metavar="N", help="ratio of the epochs of neighbouring rungs (default: 3)"
    )
    parser.add_argument("--enqueue", metavar="FILE.json", help="configurations to try first: a list of objects")
    parser.add_argument(
        "--warm-start", type=_study_name, metavar="STUDY", help="know the runs of another study on the same space"
    )


def _add_training_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say how trials train, on how many of the images, and in which study they are kept."""
    parser.add_argument("--seed", type=nonnegative, metavar="N", help="seed of the search; 0 is one (default: 0)")
    parser.add_argument(
        "--batch-size", type=positive, metavar="N", help="images a training step (default: the space's)"
    )
    parser.add_argument(
        "--validation-fraction", type=_share, metavar="F", help="share of train kept for validation (default: 0.2)"
    )
    parser.add_argument(
        "--test-fraction", type=_share, metavar="F", help="share of train set aside for the test (default: none)"
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
    parser.add_argument(
        "--study",
        type=_study_name,
        metavar="NAME",
        help="name of the study; an old one goes on (default: what is searched, and the date)",
    )
    parser.add_argument(
        "--image-size", type=_image_size, metavar="N|HxW", help="resize images to so many pixels (default: not)"
    )
    parser.add_argument(
        "--images", type=positive, metavar="N", help="use so many images of the training split (default: all)"
    )


def _add_goal_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say what is sought, and what a network may cost."""
    parser.add_argument(
        "--objective",
        action="append",
        metavar="NAME",
        help=f"{', '.join(OBJECTIVES)} (default: val_accuracy); again for what is to be small besides: "
        f"{', '.join(f'-{name}' for name in COSTS)}",
    )
    parser.add_argument(
        "--max-params", type=count, metavar="N", help="try no network of more weights, such as 1M (default: no limit)"
    )
    parser.add_argument("--max-macs", type=count, metavar="N", help="of more multiply-accumulates for one image")
    parser.add_argument(
        "--max-latency-ms", type=milliseconds, metavar="MS", help="or slower for one image, measured on this machine"
    )


def add_running_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that decide how a search runs and when it stops, not what it finds."""
    group = parser.add_argument_group("workers")
    who = group.add_mutually_exclusive_group()
    who.add_argument(
        "--workers",
        type=_or_auto(nonnegative),
        metavar="N|auto",
        help="processes; 0: train in this one (default: auto, measured)",
    )
    who.add_argument("--cluster", type=_address, metavar="ADDRESS", help="use the workers of a running Dask cluster")
    group.add_argument(
        "--gpus-per-trial", type=gpus, metavar="F|N", help="share of a GPU for a trial, or several (default: 1)"
    )
    group.add_argument(
        "--threads",
        type=_or_auto(positive),
        metavar="N|auto",
        help="that share an operation (default: auto, the cores of a worker where images have 24x24 pixels or more)",
    )
    group.add_argument(
        "--steps-per-execution",
        type=_or_auto(_steps_per_execution),
        default=1,
        metavar="N|auto",
        help="training steps in one call of a program; no result depends on it (default: 1)",
    )
    group.add_argument(
        "--worker-memory",
        type=byte_size,
        metavar="SIZE",
        help="replace a worker that holds more, such as 4G (default: its share of the memory)",
    )
    group.add_argument(
        "--retries",
        type=nonnegative,
        default=DEFAULT_RETRIES,
        metavar="N",
        help="how often a trial begins again whose worker died (default: %(default)s)",
    )
    group.add_argument(
        "--deterministic", action="store_true", help="the same decisions in the same order with several workers too"
    )
    group = parser.add_argument_group(
        "budget", "whichever comes first, --trials and --total-epochs too (these: default none)"
    )
    group.add_argument("--time-limit", type=duration, metavar="TIME", help="of this search, such as 30m or 1h30m")
    group.add_argument("--trial-time-limit", type=duration, metavar="TIME", help="of one trial")
    group.add_argument("--disk-budget", type=_disk_size, metavar="SIZE", help="for checkpoints, such as 2G")


def running_flags(arguments: argparse.Namespace) -> list[str]:
    """Returns the flags of `add_running_flags` that were given, for a command that goes on in the same way.

    The limit of time is left out: it may be what ended the search.
    """
    names = ("cluster", "gpus_per_trial", "threads", "worker_memory", "retries", "trial_time_limit", "disk_budget")
    given = {"workers": arguments.workers, **{name: getattr(arguments, name) for name in names}}
    if arguments.retries == DEFAULT_RETRIES:
        del given["retries"]
    if arguments.steps_per_execution != 1:
        given["steps_per_execution"] = arguments.steps_per_execution or "auto"
    flags = [[f"--{name.replace('_', '-')}", f"{value}"] for name, value in given.items() if value is not None]
    return [*itertools.chain(*flags), *(["--deterministic"] if arguments.deterministic else [])]


def with_joined_objectives(argv: Sequence[str]) -> list[str]:
    """Returns command-line arguments in which argparse does not take `-params` behind `--objective` for a flag."""
    joined: list[str] = []
    for argument in argv:
        if joined and joined[-1] == "--objective" and re.match("-[^-]", argument):
            joined[-1] = f"--objective={argument}"
        else:
            joined.append(argument)
    return joined


def _or_auto(parse: Callable[[str], int]) -> Callable[[str], int | None]:
    """Returns what parses a number, and `auto` as None."""

    def parsed(text: str) -> int | None:
        try:
            return None if text == "auto" else parse(text)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentTypeError(f"{error}; write auto, or one") from None

    return parsed


def _steps_per_execution(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_STEPS_PER_EXECUTION:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of steps from 1 to {MOST_STEPS_PER_EXECUTION}, after which the loss is checked"
        )
    return int(text)


def _disk_size(text: str) -> int:
    size = byte_size(text)
    if size < SMALLEST_DISK_BUDGET:
        raise argparse.ArgumentTypeError(
            f"{text!r} is {counted(size, 'byte')}, less than one checkpoint takes; write a unit, such as 500M or 2G"
        )
    return size


def _address(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("'' is no address; write that of a Dask scheduler, such as tcp://host:8786")
    return text


def _study_name(text: str) -> str:
    if not re.fullmatch(r"\w[\w.+-]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a study; use letters, digits and . _ + -")
    if len(text.encode()) > LONGEST_NAME:
        raise argparse.ArgumentTypeError(
            f"{text[:20]}... is too long; a study's name has at most {LONGEST_NAME} letters"
        )
    return text


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no share; allowed is a number below 1, such as 0.2") from None


def _image_size(text: str) -> tuple[int, int]:
    match = re.fullmatch("([0-9]{1,4})(?:x([0-9]{1,4}))?", text)
    if not match or not all(int(side) for side in match.groups(default="1")):
        raise argparse.ArgumentTypeError(f"{text!r} is no size up to 9999; write 32 or HEIGHTxWIDTH, such as 28x32")
    return int(match[1]), int(match[2] or match[1])
