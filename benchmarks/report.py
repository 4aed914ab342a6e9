"""Rows of `benchmarks/engine.py` -> Markdown tables. It measures nothing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from programs import CAPPED, REACHED
from scipy.stats import ttest_1samp, wilcoxon

from tuner import markdown

__all__ = ["gap", "memory", "scores", "speed", "target", "versus"]

Row = Mapping[str, str]

EQUIVALENCE_MARGIN = 0.01  # of accuracy: what counts as no difference
CONFIDENCE = 0.95


def versus(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Compares the first program with the second: medians over the seeds, and the median of the ratios in a seed."""
    first, second = _programs(rows)
    seeds = sorted(set(_by_seed(rows, first)) & set(_by_seed(rows, second)), key=int)
    table = []
    for name in names:
        pairs = [(float(_by_seed(rows, first)[s][name]), float(_by_seed(rows, second)[s][name])) for s in seeds]
        ours, theirs = (statistics.median(values) for values in zip(*pairs, strict=True))
        ratios = [a / b if b else math.nan for a, b in pairs]
        spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
        table.append([name, f"{ours:.4g}", f"{theirs:.4g}", f"{statistics.median(ratios):.3f}", spread])
    return markdown.table([f"median of {len(seeds)} seeds", first, second, "ratio", "its range"], table, first="---")


def speed(rows: Sequence[Row], reference: str) -> str:
    """Shows the start and the speed of each program, and its speed as a multiple of the reference's."""
    table, base = [], _median(rows, reference, "images_per_second")
    for program in _programs(rows):
        rates = [float(row["images_per_second"]) for row in rows if row["program"] == program]
        rate, start = statistics.median(rates), _median(rows, program, "start_seconds")
        spread = f"{min(rates):.0f} to {max(rates):.0f}"
        table.append([program, str(len(rates)), f"{start:.2f}", f"{rate:.0f}", spread, f"{rate / base:.2f}"])
    return markdown.table(
        ["program", "n", "s to first step", "images a second", "range", f"over {reference}"], table, first="---"
    )


def gap(rows: Sequence[Row]) -> str:
    """Shows the time between two trials of a worker: medians over the seeds, and the largest of all."""
    table = []
    for program in _programs(rows):
        middle, largest = _median(rows, program, "median_ms"), max(_values(rows, program, "largest_ms"))
        count = sum(_values(rows, program, "gaps"))
        table.append([program, f"{count:.0f}", f"{middle:.1f}", f"{largest:.1f}"])
    return markdown.table(["workers", "gaps", "median, ms", "largest, ms"], table, first="---")


def memory(rows: Sequence[Row]) -> str:
    """Shows the memory of all processes by the number of trials that have ended, and over the first number's."""
    table = []
    for program in _programs(rows):
        held = [row for row in rows if row["program"] == program]
        first = min(int(row["ended"]) for row in held)
        start = {row["seed"]: row for row in held if int(row["ended"]) == first}
        for ended in sorted({int(row["ended"]) for row in held}):
            at = [row for row in held if int(row["ended"]) == ended and row["seed"] in start]
            cells = []
            for name in ("rss_mb", "pss_mb"):
                ratios = [float(row[name]) / float(start[row["seed"]][name]) for row in at]
                middle = statistics.median(float(row[name]) for row in at)
                cells += [f"{middle:.0f}", f"{statistics.median(ratios):.3f}"]
            table.append([program, str(ended), str(len(at)), at[0]["processes"], *cells])
    heads = ["workers", "ended trials", "n", "processes", "resident, MB", "ratio", "proportional, MB", "ratio"]
    return markdown.table(heads, table, first="---")


def target(rows: Sequence[Row]) -> str:
    """Shows the seconds to the target of each seed and program over those of the last program, and their medians.

    Where the last program was given up, its seconds until then count; where another was, its ratio is infinite. Both
    make the median a bound from above, marked `<=`.
    """
    *programs, last = _programs(rows)
    theirs, table = _by_seed(rows, last), []
    for program in programs:
        ours, ratios, bounded = _by_seed(rows, program), [], False
        for seed in sorted(set(ours) & set(theirs), key=int):
            if ours[seed]["value"] != theirs[seed]["value"]:
                continue  # one of them was measured again with another target
            reached = [side[seed]["outcome"] == REACHED for side in (ours, theirs)]
            ratio = float(ours[seed]["seconds"]) / float(theirs[seed]["seconds"]) if reached[0] else math.inf
            bounded = bounded or not all(reached)
            ratios.append(ratio)
            shown = f"{'' if reached[1] else '< '}{ratio:.3f}" if reached[0] else "not reached"
            table.append([program, seed, _seconds(ours[seed]), _seconds(theirs[seed]), shown])
        middle = statistics.median(ratios) if ratios else math.nan
        table.append([program, f"median of {len(ratios)}", "", "", f"{'<= ' if bounded else ''}{middle:.3f}"])
    return markdown.table(["program", "seed", "s", f"{last}, s", "ratio"], table, first="---")


def scores(rows: Sequence[Row]) -> str:
    """Tests whether programs score the same configurations alike.

    Wilcoxon's signed-rank test looks for a difference; two one-sided t tests (TOST) for equivalence within
    `EQUIVALENCE_MARGIN` of accuracy: their p is the larger of both.
    """
    programs = list(_programs(rows))
    held = {name: {(r["seed"], r["configuration"]): r for r in rows if r["program"] == name} for name in programs}
    table = []
    for place, first in enumerate(programs):
        for second in programs[place + 1 :]:
            keys = held[first].keys() & held[second].keys()
            both = (held[first], held[second])
            finite = sorted(key for key in keys if all(math.isfinite(float(side[key]["val_loss"])) for side in both))
            count = f"{len(finite)}" + (f" ({len(keys) - len(finite)} diverged)" if len(keys) > len(finite) else "")
            for metric in ("val_accuracy", "val_loss"):
                difference = np.subtract(*([float(side[key][metric]) for key in finite] for side in both))
                table.append([f"{first} - {second}", metric, count, *_tested(difference, metric)])
    heads = ["difference", "metric", "pairs", "mean", "95 % interval", "Wilcoxon p", f"TOST p, {EQUIVALENCE_MARGIN}"]
    return markdown.table(heads, table, first="---")


def _tested(difference: np.ndarray, metric: str) -> list[str]:
    """Returns mean, interval and p values of paired differences."""
    mean = f"{difference.mean():+.4f}" if len(difference) else ""
    if len(difference) < 3 or not difference.any():
        return [mean, "", "", ""]
    low, high = ttest_1samp(difference, 0.0).confidence_interval(CONFIDENCE)
    cells = [mean, f"{low:+.4f} to {high:+.4f}", f"{wilcoxon(difference).pvalue:.3g}"]
    if metric != "val_accuracy":
        return [*cells, ""]
    above = ttest_1samp(difference, -EQUIVALENCE_MARGIN, alternative="greater").pvalue
    below = ttest_1samp(difference, EQUIVALENCE_MARGIN, alternative="less").pvalue
    return [*cells, f"{max(above, below):.3g}"]


def _seconds(row: Row) -> str:
    seconds = float(row["seconds"])
    if row["outcome"] == REACHED:
        return f"{seconds:.1f}"
    return f"> {seconds:.0f} (cap)" if row["outcome"] == CAPPED else f"ended after {seconds:.0f} without"


def _programs(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row["program"] for row in rows))


def _by_seed(rows: Iterable[Row], program: str) -> dict[str, Row]:
    return {row["seed"]: row for row in rows if row["program"] == program}


def _values(rows: Iterable[Row], program: str, name: str) -> list[float]:
    return [float(row[name]) for row in rows if row["program"] == program]


def _median(rows: Iterable[Row], program: str, name: str) -> float:
    return statistics.median(_values(rows, program, name))
