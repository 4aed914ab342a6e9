"""`python -m tuner.models`: the networks that have a name, their weights and computation, their published errors."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence

from tuner import command
from tuner.imports import import_tensorflow
from tuner.models.catalog import NOTES, Entry, entries, needs_building

__all__ = ["main"]

_EXAMPLES = """examples:
  python -m tuner.models
  python -m tuner.models --name senet154 --classes 10
  python -m tuner.models --name se_resnet50 --input-shape 64x64x3

Families, which are no plain ResNets, are built to be counted for other images
than 224x224x3: seconds each.
"""
_COUNTED = """\
params: all weights. macs: multiply-accumulates of convolutions and dense layers for one image. Errors in percent.
"""
_HEADER = ("name", "images", "classes", "params", "macs", "top-1 error", "top-5 error", "source")


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table."""
    arguments = _parser().parse_args(argv)
    return command.run(lambda: _print(arguments), debug=arguments.debug)


def _parser() -> argparse.ArgumentParser:
    parser = command.make_parser(
        "tuner.models",
        "Lists the networks that tuner.models.build makes, in the recipe of the papers.",
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "--name", action="append", default=[], metavar="NAME", help="only this network; repeatable (default: all)"
    )
    parser.add_argument(
        "--input-shape", type=_shape, metavar="HxWxC", help="images to count for (default: 224x224x3; CIFAR: 32x32x3)"
    )
    parser.add_argument("--classes", type=_classes, metavar="N", help="classes to count for (default: 1000; CIFAR: 10)")
    command.add_debug_flag(parser)
    return parser


def _shape(text: str) -> tuple[int, int, int]:
    """Returns `(height, width, channels)`, for argparse."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no image shape such as 224x224x3")
    height, width, channels = map(int, match.groups())
    return height, width, channels


def _classes(text: str) -> int:
    """Returns a number of classes, for argparse."""
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 2")
    return int(text)


def _print(arguments: argparse.Namespace) -> None:
    if needs_building(arguments.name, arguments.input_shape):
        import_tensorflow()
    rows = entries(arguments.name, input_shape=arguments.input_shape, classes=arguments.classes)
    sys.stdout.write(_table(rows))


def _table(rows: Sequence[Entry]) -> str:
    """Returns a table for a terminal, columns aligned by spaces, and what its sources are."""
    lines = [_HEADER, *map(_cells, rows)]
    widths = [max(len(cells[column]) for cells in lines) for column in range(len(_HEADER))]
    text = "".join(
        "  ".join([cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))]) + "\n"
        for cells in lines
    )
    used = sorted({row.note for row in rows})
    return text + "\n" + "".join(f"{key}  {NOTES[key]}\n" for key in used) + _COUNTED


def _cells(row: Entry) -> tuple[str, ...]:
    return (
        row.name,
        "x".join(map(str, row.input_shape)),
        str(row.classes),
        f"{row.cost.params:,}",
        f"{row.cost.macs:,}",
        *("-" if error is None else f"{error:.2f}" for error in (row.top1_error, row.top5_error)),
        row.note,
    )


if __name__ == "__main__":
    command.leave(main())
