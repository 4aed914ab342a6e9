"""Rows of `benchmarks/oracles.py` -> Markdown tables. It searches nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.stats import rankdata

from tuner import markdown

__all__ = ["BUDGETS", "Row", "at_budget", "report"]

Row = dict[str, str]

BUDGETS = (4, 8, 16, 32)  # full budgets of one configuration
REFERENCE, REFERENCE_BUDGET = "keras_tuner.Hyperband", 16
WANTED_RATIO = 0.25  # the bar of the default algorithm
LEAST_REGRET = 1e-5  # of accuracy; a logarithm of less would outweigh all others


def at_budget(changes: Iterable[Sequence[float]], budget_epochs: float) -> float:
    """Returns the noise-free score of the incumbent after so many epochs; 0 where there was none.

    Args:
        changes: Epochs spent and noise-free score of each new incumbent, in their order.
        budget_epochs: Epochs.
    """
    return next((score for spent, score in reversed(list(changes)) if spent <= budget_epochs), 0.0)


def report(rows: Sequence[Row]) -> str:
    """Returns the tables: epochs to the reference's result and ranks, mean regrets, and regret on each problem."""
    problems = list(dict.fromkeys(row["problem"] for row in rows))
    parts = [_summary(rows), _means(rows)] if rows else ["Nothing was searched."]
    for problem in problems:
        own = [row for row in rows if row["problem"] == problem]
        parts.append(f"Regret on {problem} in % of accuracy, median (quartiles)\n\n{_regrets(own)}")
    return "\n\n".join(parts)


def _summary(rows: Sequence[Row]) -> str:
    """Returns a line an algorithm: mean rank, and epochs to the reference as a share of its own."""
    ranks, kept, first = _ranks(rows), _ratios(rows, kept=True), _ratios(rows, kept=False)
    table = []
    for name in sorted(ranks, key=lambda name: np.mean(ranks[name][-1])):
        found = kept.get(name, [])
        middle = [f"{value:.2f}" for value in _quartiles(found)] if found else [""] * 3
        once = f"{_quartiles(first[name])[1]:.2f}" if found else ""
        reached = f"{np.mean(np.isfinite(found)):.2f}" if found else ""
        numbers = [f"{np.mean(each):.2f}" for each in ranks[name]]
        mean = f"{np.mean([rank for each in ranks[name] for rank in each]):.2f}"
        table.append([name, str(len(found)), middle[1], f"{middle[0]} to {middle[2]}", reached, once, mean, *numbers])
    title = (
        f"Epochs until the incumbent is as good as {REFERENCE}'s at {REFERENCE_BUDGET} R and stays so until then, over "
        f"{REFERENCE_BUDGET} R (median and quartiles over problems and seeds; inf: never), share that got there, the "
        "same ratio without staying, and mean rank by median regret"
    )
    heads = ["algorithm", "searches", "ratio", "quartiles", "reached", "once", "rank"]
    return f"{title}\n\n{markdown.table([*heads, *(f'rank {budget} R' for budget in BUDGETS)], table, first='---')}"


def _means(rows: Sequence[Row]) -> str:
    """Returns a line an algorithm: mean regrets, and the ratio on each problem or family of drawn ones."""
    families: dict[str, list[Row]] = {}
    for row in rows:
        families.setdefault(row["problem"].partition("#")[0], []).append(row)
    ratios, by_family = _ratios(rows, kept=True), [_ratios(own, kept=True) for own in families.values()]
    table = []
    for name in sorted(ratios, key=lambda name: -_within(ratios[name])):
        regrets = [[float(row[f"regret_{budget}"]) for row in rows if row["algorithm"] == name] for budget in BUDGETS]
        means = [100 * math.exp(np.mean(np.log(np.maximum(each, LEAST_REGRET)))) for each in regrets]
        shown = [f"{_quartiles(own[name])[1]:.2f}" if name in own else "" for own in by_family]
        table.append([name, f"{_within(ratios[name]):.2f}", *(f"{mean:.2f}" for mean in means), *shown])
    title = (
        f"Share of these searches with a ratio of at most {WANTED_RATIO}; regret in % of accuracy, geometric mean over "
        f"problems and seeds (at least {100 * LEAST_REGRET:g} %); median ratio by problem"
    )
    heads = ["algorithm", f"within {WANTED_RATIO}", *(f"{budget} R" for budget in BUDGETS), *families]
    return f"{title}\n\n{markdown.table(heads, table, first='---')}"


def _within(ratios: Sequence[float]) -> float:
    return float(np.mean(np.array(ratios) <= WANTED_RATIO))


def _ratios(rows: Sequence[Row], *, kept: bool) -> dict[str, list[float]]:
    """Returns by algorithm, for each problem and seed with a reference, the share of epochs; inf where never.

    Args:
        rows: Rows of searches.
        kept: Whether the incumbent has to stay as good until the reference's budget. Without that, a lucky incumbent
            after one epoch counts, though the search knows nothing of it and leaves it.
    """
    wanted = {
        (row["problem"], row["seed"]): at_budget(_changes(row), REFERENCE_BUDGET * int(row["max_epochs"]))
        for row in rows
        if row["algorithm"] == REFERENCE
    }
    ratios: dict[str, list[float]] = {}
    for row in rows:
        target = wanted.get((row["problem"], row["seed"]))
        if target is not None:
            whole = REFERENCE_BUDGET * int(row["max_epochs"])
            reached = _reached(_changes(row), target, kept_until=whole if kept else 0)
            ratios.setdefault(row["algorithm"], []).append(reached / whole)
    return ratios


def _reached(changes: Iterable[Sequence[float]], target: float, *, kept_until: float) -> float:
    """Returns after how many epochs the incumbent is as good as a target, and stays so until some number of epochs."""
    reached = math.inf
    for spent, score in changes:
        if score >= target:
            reached = min(reached, spent)
        elif spent <= kept_until:
            reached = math.inf
    return reached


def _ranks(rows: Sequence[Row]) -> dict[str, list[list[float]]]:
    """Returns by algorithm and budget the ranks (1 is best) in the problems by the median regret over seeds."""
    algorithms = list(dict.fromkeys(row["algorithm"] for row in rows))
    ranks: dict[str, list[list[float]]] = {name: [[] for _ in BUDGETS] for name in algorithms}
    for problem in dict.fromkeys(row["problem"] for row in rows):
        held = {name: [r for r in rows if r["problem"] == problem and r["algorithm"] == name] for name in algorithms}
        present = [name for name in algorithms if held[name]]
        for place, budget in enumerate(BUDGETS):
            medians = [np.median([float(row[f"regret_{budget}"]) for row in held[name]]) for name in present]
            for name, rank in zip(present, rankdata(medians), strict=True):
                ranks[name][place].append(float(rank))
    return ranks


def _regrets(rows: Sequence[Row]) -> str:
    table = []
    for name in sorted({row["algorithm"] for row in rows}):
        own = [row for row in rows if row["algorithm"] == name]
        cells = []
        for budget in BUDGETS:
            low, middle, high = _quartiles([100 * float(row[f"regret_{budget}"]) for row in own])
            cells.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
        seconds = np.median([float(row["seconds"]) for row in own])
        table.append([name, str(len(own)), *cells, f"{seconds:.1f}"])
    return markdown.table(["algorithm", "seeds", *(f"{budget} R" for budget in BUDGETS), "seconds"], table, first="---")


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Returns quartiles that are values themselves, as there is no middle of a number and never."""
    low, middle, high = np.percentile(values, [25, 50, 75], method="higher")
    return float(low), float(middle), float(high)


def _changes(row: Row) -> list[list[float]]:
    return json.loads(row["incumbents"])
