"""What came of an ablation: its trainings in a file, and the tables that follow from them. Nothing here trains."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner import markdown
from tuner.config import BALANCED
from tuner.errors import StudyError
from tuner.files import write_whole
from tuner.gates import WITHOUT
from tuner.quantities import counted
from tuner.records import COMPLETED

if TYPE_CHECKING:
    from tuner.variants import Variant

__all__ = [
    "NOTE",
    "TITLES",
    "Comparison",
    "Training",
    "compare",
    "paired_interval",
    "read_comparisons",
    "read_trainings",
    "to_cells",
    "to_csv",
    "to_markdown",
    "verdict",
    "write_trainings",
]

CONFIDENCE = 0.95

# Tables by name, numbered as in Hu et al., 2018, https://arxiv.org/abs/1709.01507.
TITLES = {
    "se": "With and without SE",
    "ratio": "Reduction ratio (the paper's table 10)",
    "squeeze": "Squeeze (table 11)",
    "excitation": "Excitation (table 12)",
    "stage": "Stages with SE (table 13)",
    "position": "Position in the block (tables 14 and 15)",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """One finished training.

    Args:
        network: Short name of the network (`Variant.network`).
        seed: Seed of the training.
        epochs: Epochs that it was asked for.
        status: How it ended, as in `tuner.records`.
        val_accuracy: Validation accuracy at the last epoch; 0 where it diverged, NaN where it did not get there else.
        val_loss: Validation loss at the last epoch; NaN likewise.
        val_balanced_accuracy: Balanced validation accuracy likewise; None where that was not measured.
        seconds: Wall time.
        params: Weights of the network.
        macs: Multiply-accumulates of one image's forward pass.
        hyperparameters: Values by name, as JSON.
    """

    network: str
    seed: int
    epochs: int
    status: str
    val_accuracy: float
    val_loss: float
    seconds: float
    params: int
    macs: int
    hyperparameters: str
    val_balanced_accuracy: float | None = None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One row of the tables: a variant beside the configuration that was found.

    Args:
        table: Name of the table.
        variant: Name of the row.
        params: Weights of the network.
        macs: Multiply-accumulates of one image's forward pass.
        seeds: Trainings that have a partner of the same seed on the other side.
        accuracy: Mean validation accuracy of these; None without any.
        difference: Mean of (variant - found), seed by seed; None for the configuration itself or without pairs.
        low: Lower end of the 95 % interval of the difference; None with fewer than two pairs.
        high: Upper end.
        failed: Trainings that diverged or ended otherwise without a score.
        metric: Name of the accuracy.
    """

    table: str
    variant: str
    params: int
    macs: int
    seeds: int
    accuracy: float | None
    difference: float | None
    low: float | None
    high: float | None
    failed: int
    metric: str = "val_accuracy"


def paired_interval(differences: Sequence[float]) -> tuple[float, float] | None:
    """Returns Student's 95 % interval of the mean of paired differences; None for fewer than two.

    It holds as far as the differences are about normal, and for one comparison: of twenty between equals, one interval
    leaves zero out.

    Reference: Student, 1908, "The probable error of a mean", Biometrika 6.
    """
    count = len(differences)
    if count < 2:
        return None
    from scipy.stats import t  # half a second

    mean, spread = statistics.fmean(differences), statistics.stdev(differences)
    half = float(t.ppf(0.5 + CONFIDENCE / 2, count - 1)) * spread / math.sqrt(count)
    return mean - half, mean + half


def compare(
    variants: Iterable[Variant], trainings: Iterable[Training], *, found: str, metric: str = "val_accuracy"
) -> list[Comparison]:
    """Returns the rows of the tables.

    Args:
        variants: The rows' configurations.
        trainings: Those of the seeds and epochs that are compared.
        found: The network of the configuration that was found.
        metric: Name of the accuracy by which they are compared, an attribute of `Training`.
    """
    by_network: dict[str, dict[int, Training]] = {}
    for training in trainings:
        by_network.setdefault(training.network, {})[training.seed] = training
    scores = {network: _scores(held, metric) for network, held in by_network.items()}
    return [_row(variant, by_network[variant.network], scores, found=found, metric=metric) for variant in variants]


def _row(
    variant: Variant,
    trainings: dict[int, Training],
    scored: Mapping[str, dict[int, float]],
    *,
    found: str,
    metric: str,
) -> Comparison:
    scores, base = scored[variant.network], scored.get(found, {})
    pairs = sorted(scores.keys() & base.keys())
    differences = [scores[seed] - base[seed] for seed in pairs] if variant.network != found else []
    low, high = paired_interval(differences) or (None, None)
    some = next(iter(trainings.values()))
    return Comparison(
        table=variant.table,
        variant=variant.name,
        params=some.params,
        macs=some.macs,
        seeds=len(pairs),
        accuracy=statistics.fmean(scores[seed] for seed in pairs) if pairs else None,
        difference=statistics.fmean(differences) if differences else None,
        low=low,
        high=high,
        failed=len(trainings) - len(scores),
        metric=metric,
    )


def _scores(trainings: dict[int, Training], metric: str) -> dict[int, float]:
    return {seed: getattr(t, metric) for seed, t in trainings.items() if t.status == COMPLETED}


def verdict(rows: Iterable[Comparison]) -> str:
    """Returns what SE brings, as far as the tables say it; nothing where they do not."""
    for row in rows:
        if row.variant == WITHOUT and row.difference is not None:
            # Not -row.high: the negative of 0 would be shown as -0.
            ends = None if row.low is None or row.high is None else (0.0 - row.high, 0.0 - row.low)
            kind = "balanced validation accuracy" if row.metric == BALANCED else "validation accuracy"
            gain = f"{0.0 - row.difference:+.4f} {kind}"
            interval = f" (95 %: {ends[0]:+.4f} to {ends[1]:+.4f})" if ends else ""
            failed = f"; {counted(row.failed, 'training')} without it gave no score" if row.failed else ""
            return f"brings {gain}{interval}, {counted(row.seeds, 'seed')}{failed}"
    return ""


def read_trainings(path: Path) -> list[Training]:
    """Returns the trainings that a file holds; none where there is no file.

    Raises:
        StudyError: If it is no such file.
    """
    types: dict[str, Callable[[str], Any]] = dict.fromkeys(("seed", "epochs", "params", "macs"), int)
    types |= dict.fromkeys(("val_accuracy", "val_loss", "seconds"), float)
    types |= {BALANCED: _number_or_none, "hyperparameters": _json_object}
    return _read(Training, path, types, way_out="move it away to begin anew")


def read_comparisons(path: Path) -> list[Comparison]:
    """Returns the rows of the tables that a file holds; none where there is no file.

    Raises:
        StudyError: If it is no such file.
    """
    types: dict[str, Callable[[str], Any]] = dict.fromkeys(("params", "macs", "seeds", "failed"), int)
    types |= dict.fromkeys(("accuracy", "difference", "low", "high"), _number_or_none)
    return _read(Comparison, path, types, way_out="remove it, or ablate again")


def _json_object(text: str) -> str:
    """Returns the text of a JSON object as it is; a file that was cut may end within one."""
    if not isinstance(json.loads(text), dict):
        raise ValueError(f"{text!r} is no JSON object")
    return text


def _number_or_none(text: str) -> float | None:
    return float(text) if text else None


def _read(kind: Any, path: Path, types: Mapping[str, Callable[[str], Any]], *, way_out: str) -> list[Any]:
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [kind(**{name: types.get(name, str)(value) for name, value in row.items()}) for row in rows]
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror or error}; mend that.") from error
    except (TypeError, ValueError, csv.Error) as error:
        raise StudyError(f"{path} is not what an ablation wrote ({error}); {way_out}.") from error


def write_trainings(trainings: Sequence[Training], path: Path) -> None:
    """Writes the trainings, one a line, whole or not at all."""
    write_whole(path, _csv(Training, trainings))


def to_csv(rows: Sequence[Comparison]) -> str:
    """Returns all tables as CSV, one row a line."""
    return _csv(Comparison, rows)


def to_cells(rows: Sequence[Comparison]) -> dict[str, tuple[Sequence[str], list[list[str]]]]:
    """Returns the heads and the rows of each table for people, by its title."""
    tables = {row.table: TITLES.get(row.table, row.table) for row in rows}
    return {
        title: (_header(rows[0].metric), [_cells(row) for row in rows if row.table == name])
        for name, title in tables.items()
    }


def to_markdown(rows: Sequence[Comparison], *, title: str) -> str:
    """Returns all tables in Markdown, with how to read them."""
    tables = [f"\n## {name}\n\n{markdown.table(*table)}" for name, table in to_cells(rows).items()]
    return "".join([f"# {markdown.plain(title)}\n", *tables, f"\n{NOTE}"])


def _header(metric: str) -> tuple[str, ...]:
    return ("variant", metric, "difference", "95 % interval", "seeds", "failed", "params", "macs")


NOTE = """Validation accuracy at the last epoch, mean over the seeds. A difference is variant minus the configuration
that was found, which has a dash, from trainings of equal seeds (the same order of images); its interval is Student's.
Of twenty comparisons between equals, about one interval leaves zero out. The test split was not looked at.
"""


def _cells(row: Comparison) -> list[str]:
    interval = "-" if row.low is None or row.high is None else f"{row.low:+.4f} to {row.high:+.4f}"
    difference = "-" if row.difference is None else f"{row.difference:+.4f}"
    accuracy = "-" if row.accuracy is None else f"{row.accuracy:.4f}"
    counts = [str(row.seeds), str(row.failed), f"{row.params:,}", f"{row.macs:,}"]
    return [row.variant, accuracy, difference, interval, *counts]


def _csv(kind: Any, rows: Sequence[Any]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in dataclasses.fields(kind)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(row) for row in rows)
    return text.getvalue()
