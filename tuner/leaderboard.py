"""The ranked runs of a study, as a table, CSV, JSON or Markdown.

python -m tuner.leaderboard [STUDY]
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tuner import command
from tuner.errors import TunerError
from tuner.quantities import describe_count
from tuner.records import Record, rank, runs_of

__all__ = ["FORMATS", "Row", "main", "number", "rows_of", "to_csv", "to_json", "to_markdown", "to_table", "write_files"]

_EXAMPLES = """examples:
  python -m tuner.leaderboard                      the newest study in results/
  python -m tuner.leaderboard my-study --top 5
  python -m tuner.leaderboard --format json > runs.json
"""


@dataclasses.dataclass(frozen=True)
class Row:
    """One run. Scores are values of the study's objective; None where a run has none."""

    rank: int
    run: int
    score: float | None
    best_score: float | None
    best_epoch: int | None
    epochs: int
    params: int
    macs: int
    seconds: float
    status: str
    seed: int
    hyperparameters: Mapping[str, Any]


def rows_of(records: Iterable[Record], direction: str) -> list[Row]:
    """Returns the runs of some trials, the best first; a run ranks by its highest rung first.

    Args:
        records: Trials of one study.
        direction: `max` or `min`: the better end of the objective.
    """
    rows = []
    for place, run in enumerate(rank(runs_of(records), direction), start=1):
        best_score, best_epoch = run.best(direction)
        rows.append(
            Row(
                rank=place,
                run=run.number,
                score=run.score,
                best_score=best_score,
                best_epoch=best_epoch,
                epochs=run.epochs,
                params=run.last.params,
                macs=run.last.macs,
                seconds=round(run.seconds, 3),
                status=run.status,
                seed=run.last.seed,
                hyperparameters=run.last.hyperparameters,
            )
        )
    return rows


def to_json(rows: Sequence[Row]) -> str:
    """Returns a JSON array with one object a run."""
    return json.dumps([dataclasses.asdict(row) for row in rows], indent=2) + "\n"


def to_csv(rows: Sequence[Row]) -> str:
    """Returns CSV with one line a run and one column a hyperparameter; an inactive one is empty."""
    names = _hyperparameter_names(rows)
    columns = [field.name for field in dataclasses.fields(Row) if field.name != "hyperparameters"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns + names)
    for row in rows:
        writer.writerow([getattr(row, c) for c in columns] + [row.hyperparameters.get(name) for name in names])
    return text.getvalue()


def to_markdown(rows: Sequence[Row]) -> str:
    """Returns a Markdown table."""
    header, body = _cells(rows)
    lines = ["| " + " | ".join(cells) + " |" for cells in [header, ["---:"] * len(header), *body]]
    return "\n".join(lines) + "\n"


def to_table(rows: Sequence[Row]) -> str:
    """Returns a table for a terminal: columns aligned by spaces, as wide as they need to be."""
    header, body = _cells(rows)
    widths = [max(len(cells[i]) for cells in [header, *body]) for i in range(len(header))]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)) for cells in [header, *body]
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


FORMATS: dict[str, Callable[[Sequence[Row]], str]] = {
    "table": to_table,
    "csv": to_csv,
    "json": to_json,
    "md": to_markdown,
}


def write_files(rows: Sequence[Row], folder: Path) -> None:
    """Writes `leaderboard.csv` and `leaderboard.md`, each under a temporary name that is then renamed."""
    for name, text in (("leaderboard.csv", to_csv(rows)), ("leaderboard.md", to_markdown(rows))):
        temporary = folder / f".{name}.{os.getpid()}.tmp"
        temporary.write_text(text)
        temporary.replace(folder / name)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the ranked runs of a study."""
    arguments = _parser().parse_args(argv)
    return command.run(lambda: _print(arguments), debug=arguments.debug)


def _print(arguments: argparse.Namespace) -> None:
    from tuner.study import find_study  # Optuna takes 0.8 s, which --help must not wait for

    study = find_study(Path(arguments.results_dir), arguments.study, arguments.storage)
    rows = rows_of(study.records(), study.config.direction)
    if not rows:
        raise TunerError(f"The study {study.name} has no trial yet; continue it with --study {study.name}.")
    print(FORMATS[arguments.format](rows[: arguments.top]), end="")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tuner.leaderboard",
        description="Prints the ranked runs of a study: the longest trained first, then the best score.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_study_argument(parser)
    parser.add_argument("--format", choices=FORMATS, default="table", help="how to print (default: %(default)s)")
    parser.add_argument("--top", type=command.positive, metavar="N", help="only the first N runs")
    command.add_study_flags(parser)
    return parser


def _hyperparameter_names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.hyperparameters))


def _cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Returns the header and the cells of a table for people; hyperparameters that never vary are left out."""
    names = [n for n in _hyperparameter_names(rows) if len({str(row.hyperparameters.get(n)) for row in rows}) > 1]
    header = ["rank", "run", "score", "best", "at", "epochs", "params", "macs", "seconds", "status", *names]
    body = [
        [
            str(row.rank),
            str(row.run),
            _score(row.score),
            _score(row.best_score),
            number(row.best_epoch),
            str(row.epochs),
            describe_count(row.params),
            describe_count(row.macs),
            f"{row.seconds:.1f}",
            row.status,
            *(number(row.hyperparameters.get(name)) for name in names),
        ]
        for row in rows
    ]
    return header, body


def number(value: Any) -> str:
    """Returns a value for people: four significant digits of a float, a dash for None."""
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


if __name__ == "__main__":
    raise SystemExit(main())
