"""Shows a study on one page, and what to do next.

python -m tuner.report [STUDY]
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuner import command, leaderboard
from tuner.errors import StudyError, UsageError
from tuner.files import obstacle, write_whole

if TYPE_CHECKING:
    from tuner.situation import Export, Situation
    from tuner.study import Study

__all__ = ["main", "report"]

_EXAMPLES = """examples:
  python -m tuner.report                      the newest study in results/
  python -m tuner.report my-study
  python -m tuner.report my-study --output page.html

writes results/<study>/report.html: one file that opens in any browser, also
without a network
"""


def report(arguments: argparse.Namespace) -> None:
    """Study -> what there is to know of it -> what may be done next -> one page.

    Args:
        arguments: Parsed flags.

    Raises:
        TunerError: If there is no such study, or the page cannot be written.
    """
    # Imports stand in the functions because --help must not wait for Optuna and Plotly.
    from tuner.advice import advise
    from tuner.finding import find_study
    from tuner.page import render

    study = find_study(Path(arguments.results_dir), arguments.study, arguments.storage)
    situation = _situation(study, arguments)
    advices = advise(situation)
    rows = leaderboard.rows_of(situation.records, study.config.objectives, reference=study.reference)
    written = datetime.datetime.now().astimezone().isoformat(" ", "minutes")
    folder = Path(arguments.results_dir) / study.name
    path = Path(arguments.output or folder / "report.html")
    if not arguments.output:
        _make(folder)
        if why := obstacle(folder):
            raise UsageError(f"{path} cannot be written: {why}; say with --output where the page goes.")
    write_whole(path, render(situation, advices, rows=rows, versions=study.versions, written=written))
    print(f"Report    {path}")
    for place, advice in enumerate(advices, start=1):
        print(f"{'Next' if place == 1 else '':<10}{place}. {advice.what}{advice.command and ': ' + advice.command}")


def _make(folder: Path) -> None:
    """Makes the folder of a study, which a shared storage may hold without it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be made: {error.strerror}; say with --output where the page goes."
        ) from error


def _situation(study: Study, arguments: argparse.Namespace) -> Situation:
    from tuner.ablation import read_comparisons
    from tuner.outcome import place_flags
    from tuner.situation import Situation

    folder = Path(arguments.results_dir) / study.name
    situation = Situation(
        name=study.name,
        config=study.config,
        space=study.space,
        records=study.records(),
        is_through=study.is_concluded(study.config),
        validation_images=study.data.get("validation"),
        validation_sizes=study.data.get("validation_sizes", ()),
        export=_export(folder / "model"),
        exported_front=_exported_front(folder / "front"),
        comparisons=read_comparisons(folder / "ablation.csv"),
        place=place_flags(arguments),
    )
    best = situation.ranked[0].number if situation.ranked else None
    if best not in situation.exported_front or situation.is_settled:
        return situation
    return dataclasses.replace(situation, export=_export(folder / "front" / f"run-{best}") or situation.export)


def _exported_front(folder: Path) -> list[int]:
    """Returns the numbers of the runs in the folder of an exported front; a person may have put others beside them."""
    names = (re.fullmatch("run-([0-9]+)", path.name) for path in folder.glob("run-*"))
    return [int(name[1]) for name in names if name]


def _export(folder: Path) -> Export | None:
    """Returns what the card of an exported model says, or None where there is none."""
    from tuner.figures import Figures
    from tuner.situation import Export

    path = folder / "card.json"
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        figures = Figures(**card["test"]) if card["test"] else None
        return Export(str(folder), card["hyperparameters"], figures, card.get("run"), card.get("rule", ""))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror or error}; mend that.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StudyError(f"{path} is not as tuner.select writes it; select again, or remove the folder.") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    arguments = _parser().parse_args(argv)
    return command.run(lambda: report(arguments), debug=arguments.debug)


def _parser() -> argparse.ArgumentParser:
    parser = command.make_parser(
        "tuner.report", "Shows a study on one page: what was found, how, and what to do next.", examples=_EXAMPLES
    )
    command.add_study_argument(parser)
    parser.add_argument("--output", metavar="FILE", help="where the page goes (default: the study's folder)")
    command.add_study_flags(parser)
    return parser


if __name__ == "__main__":
    command.leave(main())
