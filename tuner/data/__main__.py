"""`python -m tuner.data prepare`: prepares a data set from files that are already on this machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tuner import command
from tuner.imports import import_tensorflow

__all__ = ["main"]

_EXAMPLES = """\
examples:
  python -m tuner.data prepare fashion_mnist \\
      --from /usr/share/datasets/fashion-mnist
          restores the files of Debian's package dataset-fashion-mnist and
          prepares them for --dataset tfds:fashion_mnist (70,000 images, 30 MB,
          half a minute)

Other data sets need no preparation: digits comes with scikit-learn, tfds:NAME
is downloaded on first use, and folder:PATH is read where it lies.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Parses, prepares, prints; returns the exit status."""
    arguments = _parser().parse_args(argv)
    return command.run(lambda: _prepare_fashion_mnist(arguments.folder, arguments.data_dir), debug=arguments.debug)


def _parser() -> argparse.ArgumentParser:
    parser = command.make_parser("tuner.data", "Prepares data sets for a search.", examples=_EXAMPLES)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    prepare = commands.add_parser(
        "prepare",
        help="prepare a data set from files on this machine",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    prepare.add_argument("name", choices=["fashion_mnist"], help="the data set: fashion_mnist")
    prepare.add_argument(
        "--from", dest="folder", type=Path, required=True, metavar="DIR", help="the folder that has its files"
    )
    prepare.add_argument(
        "--data-dir",
        metavar="DIR",
        help="where TFDS keeps prepared data (default: TFDS_DATA_DIR, or ~/tensorflow_datasets)",
    )
    command.add_debug_flag(prepare)
    return parser


def _prepare_fashion_mnist(folder: Path, data_dir: str | None) -> None:
    from tuner.data import fashion_mnist

    existing = fashion_mnist.prepared_in(data_dir)
    if existing is not None:
        sys.stdout.write(f"fashion_mnist is already prepared in {existing}.\n")
        return
    import_tensorflow()
    builder = fashion_mnist.prepare(folder, data_dir)
    counts = ", ".join(f"{split.num_examples} {name}" for name, split in builder.info.splits.items())
    sys.stdout.write(f"fashion_mnist is prepared in {builder.data_dir}: {counts} images.\n")


if __name__ == "__main__":
    command.leave(main())
