"""The ranked runs of a study, as a table, CSV, JSON or Markdown.

python -m tuner.leaderboard [STUDY]
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tuner import command, markdown
from tuner.errors import TunerError
from tuner.files import write_whole
from tuner.quantities import describe_cost, describe_count
from tuner.records import Record, Run, rank, runs_of, varying

__all__ = [
    "FORMATS",
    "Row",
    "describe_front",
    "main",
    "number",
    "rows_of",
    "to_cells",
    "to_csv",
    "to_json",
    "to_markdown",
    "to_table",
    "write_files",
]

_GAP = "  "  # between the columns of a table

_EXAMPLES = """examples:
  python -m tuner.leaderboard                      the newest study in results/
  python -m tuner.leaderboard my-study --top 5
  python -m tuner.leaderboard --format json > runs.json
"""


@dataclasses.dataclass(frozen=True)
class Row:
    """One run. Scores are values of the study's objective; None where a run has none.

    The last four stand in files only where a run has one: a latency where the search asked for it, and, with several
    objectives, the front of the run, the hypervolume of all runs up to its end, and the point that this begins at.
    """

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
    latency_ms: float | None = None
    front: int | None = None
    hypervolume: float | None = None
    hypervolume_reference: Mapping[str, float] | None = None


def rows_of(
    records: Iterable[Record], objectives: Mapping[str, str], *, reference: Mapping[str, float] | None = None
) -> list[Row]:
    """Returns the runs of some trials, the best first.

    With one objective, a run ranks by its highest rung first, then by its score. With several, it ranks by its front
    (1: no other run beats it in all objectives; 2: only runs of front 1 do; and so on), then by its score.

    Args:
        records: Trials of one study.
        objectives: `max` or `min` by the name of the objective; the first is the score.
        reference: With several objectives, the value of each that counts for nothing in the hypervolume.
    """
    direction = next(iter(objectives.values()))
    runs = rank(runs_of(records), direction)
    places = _places(runs, objectives, reference or {}) if len(objectives) > 1 else {}
    runs.sort(key=lambda run: places[run.number][0] if run.number in places else math.inf)
    rows = []
    for place, run in enumerate(runs, start=1):
        best_score, best_epoch = run.best(direction)
        front, volume = places.get(run.number, (None, None))
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
                latency_ms=run.last.latency_ms,
                front=front,
                hypervolume=volume,
                hypervolume_reference=None if front is None else reference,
            )
        )
    return rows


def _places(
    runs: Sequence[Run], objectives: Mapping[str, str], reference: Mapping[str, float]
) -> dict[int, tuple[int, float]]:
    """Returns, by the number of each run that completed, its front and the hypervolume of all up to its end."""
    from tuner import pareto  # NumPy, which --help must not wait for

    names = list(objectives)[1:]
    ended = [run for run in runs if run.has_score]
    ended.sort(key=lambda run: run.last.order or 0)
    values = [[run.score or 0.0, *(run.last.cost(name) for name in names)] for run in ended]
    points = pareto.unit_points(values, objectives, reference)
    front_of = {place: number for number, front in enumerate(pareto.fronts(points), 1) for place in front}
    volumes = pareto.hypervolumes(points)
    return {run.number: (front_of[place], volumes[place]) for place, run in enumerate(ended)}


def describe_front(rows: Sequence[Row]) -> str:
    """Returns how many runs the front has and what it covers, for a person to read; nothing with one objective."""
    placed = [row for row in rows if row.hypervolume is not None]
    if not placed:
        return ""
    front = sum(row.front == 1 for row in placed)
    score, *costs = (placed[0].hypervolume_reference or {}).items()
    ideal = f"{score[0]} {0 if score[1] else 1} at no cost"
    nothing = " or ".join([f"{score[0]} {score[1]:.3g}", *(describe_cost(most, name) for name, most in costs)])
    volume = max(row.hypervolume or 0.0 for row in placed)
    return f"{front} of {len(placed)} runs; hypervolume {volume:.4f} (1 is {ideal}, 0 is {nothing})"


def to_json(rows: Sequence[Row], *, top: int | None = None) -> str:
    """Returns a JSON array with one object, and one line, a run of the first `top`."""
    left_out = _left_out(rows)
    plain = ({name: value for name, value in vars(row).items() if name not in left_out} for row in rows[:top])
    lines = ",\n".join(f"  {json.dumps(row)}" for row in plain)  # with an indent, Python's slow encoder would do it
    return f"[\n{lines}\n]\n" if lines else "[]\n"


def to_csv(rows: Sequence[Row], *, top: int | None = None) -> str:
    """Returns CSV with one line a run of the first `top` and one column a hyperparameter; an inactive one is empty."""
    names = _hyperparameter_names(rows)
    left_out = {"hyperparameters", "hypervolume_reference", *_left_out(rows)}
    columns = [field.name for field in dataclasses.fields(Row) if field.name not in left_out]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns + names)
    for row in rows[:top]:
        writer.writerow([getattr(row, c) for c in columns] + [row.hyperparameters.get(name) for name in names])
    return text.getvalue()


def to_markdown(rows: Sequence[Row], *, top: int | None = None) -> str:
    """Returns a Markdown table of the first `top` rows."""
    heads, body = to_cells(rows, top=top)
    return markdown.table([*map(markdown.plain, heads)], [[*map(markdown.plain, cells)] for cells in body])


def to_table(rows: Sequence[Row], *, width: int | None = None, top: int | None = None) -> str:
    """Returns a table for a terminal, its columns aligned by spaces.

    Args:
        rows: Its rows.
        width: Characters of a line; what is wider stands in blocks below one another, each of which names the run. None
            means that there is no limit.
        top: How many of them it has; None means all.
    """
    header, body = to_cells(rows, top=top)
    columns = [_aligned(cells) for cells in zip(header, *body, strict=True)]
    run = columns[header.index("run")]
    blocks = [columns[:1]]
    for column in columns[1:]:
        taken = sum(len(other[0]) + len(_GAP) for other in blocks[-1])
        if width is not None and taken + len(column[0]) > width and column is not run:
            blocks.append([run])
        blocks[-1].append(column)
    return "\n".join("".join(f"{_GAP.join(cells)}\n" for cells in zip(*block, strict=True)) for block in blocks)


FORMATS: dict[str, Callable[..., str]] = {
    "table": lambda rows, *, top=None: to_table(rows, width=command.terminal_width(), top=top),
    "csv": to_csv,
    "json": to_json,
    "md": to_markdown,
}


def write_files(rows: Sequence[Row], folder: Path) -> None:
    """Writes `leaderboard.csv`, `.json` and `.md`, each whole or not at all.

    Raises:
        TunerError: If a file cannot be written.
    """
    for ending, text in (("csv", to_csv(rows)), ("json", to_json(rows)), ("md", to_markdown(rows))):
        write_whole(folder / f"leaderboard.{ending}", text)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the ranked runs of a study."""
    arguments = _parser().parse_args(argv)
    return command.run(lambda: _print(arguments), debug=arguments.debug)


def _print(arguments: argparse.Namespace) -> None:
    from tuner.finding import find_study  # Optuna takes 0.8 s, which --help must not wait for

    study = find_study(Path(arguments.results_dir), arguments.study, arguments.storage)
    rows = rows_of(study.records(), study.config.objectives, reference=study.reference)
    if not rows:
        raise TunerError(f"The study {study.name} has no trial yet; continue it with --study {study.name}.")
    print(FORMATS[arguments.format](rows, top=arguments.top), end="")


def _parser() -> argparse.ArgumentParser:
    parser = command.make_parser(
        "tuner.leaderboard",
        "Prints the ranked runs of a study: the longest trained first, then the best\n"
        "score; with several objectives by front first.",
        examples=_EXAMPLES,
    )
    command.add_study_argument(parser)
    parser.add_argument("--format", choices=FORMATS, default="table", help="how to print (default: %(default)s)")
    parser.add_argument("--top", type=command.positive, metavar="N", help="only the first N runs (default: all)")
    command.add_study_flags(parser)
    return parser


def _left_out(rows: Sequence[Row]) -> set[str]:
    """Returns the names of the fields that may be missing and that no row has."""
    optional = [field.name for field in dataclasses.fields(Row) if field.default is None]
    return {name for name in optional if all(getattr(row, name) is None for row in rows)}


def _hyperparameter_names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.hyperparameters))


def to_cells(rows: Sequence[Row], *, top: int | None = None) -> tuple[list[str], list[list[str]]]:
    """Returns the header and the cells of a table for people, of the first `top` rows or all.

    Hyperparameters that never vary are left out: in all rows, whatever is shown of them. A single row has all.
    """
    names = varying([row.hyperparameters for row in rows]) if len(rows) > 1 else _hyperparameter_names(rows)
    left_out = _left_out(rows)
    columns = {
        "rank": lambda row: str(row.rank),
        "run": lambda row: str(row.run),
        "front": lambda row: number(row.front),
        "score": lambda row: _score(row.score),
        "best": lambda row: _score(row.best_score),
        "at": lambda row: number(row.best_epoch),
        "epochs": lambda row: str(row.epochs),
        "params": lambda row: describe_count(row.params),
        "macs": lambda row: describe_count(row.macs),
        "latency_ms": lambda row: number(row.latency_ms),
        "seconds": lambda row: f"{row.seconds:.1f}",
        "status": lambda row: row.status,
    }
    shown = {name: cell for name, cell in columns.items() if name not in left_out}
    header = [*shown, *names]
    body = [
        [*(cell(row) for cell in shown.values()), *(number(row.hyperparameters.get(name)) for name in names)]
        for row in rows[:top]
    ]
    return header, body


def _aligned(cells: Sequence[str]) -> list[str]:
    """Returns the cells of a column, all as wide as the widest."""
    width = max(map(len, cells))
    return [cell.rjust(width) for cell in cells]


def number(value: Any) -> str:
    """Returns a value for people: four significant digits of a float, a dash for None."""
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


if __name__ == "__main__":
    command.leave(main())
