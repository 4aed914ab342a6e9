"""The charts of a report, from runs as plain data; how the page around them looks is `tuner/templates/report.html`."""

from __future__ import annotations

import dataclasses
import html
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from tuner.axes import ScoreAxis, log_axis
from tuner.importance import comparable, importances
from tuner.look import BEST, COLOURS, GREY, described, label
from tuner.quantities import counted, describe_cost, describe_count
from tuner.records import Record, Run, ended_in_order, varying
from tuner.selector import front_runs
from tuner.situation import Situation
from tuner.thinning import thinned, thinning_note

__all__ = ["Chart", "charts"]

MOST_CURVES = 10  # that have a colour and a name; those of other runs are grey
MOST_CATEGORIES = 10  # whole numbers that stand side by side; more of them are a range
MOST_POINTS = 1500  # of trials or runs in a chart; a browser draws each as an element of its own
MOST_SMALL_POINTS, FEWEST_POINTS = 6000, 100  # of all small charts together, and of one
MOST_CURVE_POINTS = 3000  # of the grey curves together
MOST_LETTERS = 30  # of a name above a small chart
MOST_TICKS = 30  # epochs; more have a tick now and then
COLUMNS = 3  # of small charts, one for each hyperparameter
LOGARITHMIC = 10  # the largest of values over the smallest from which on their axis is a logarithm
SMALL_HEIGHT, BAR_HEIGHT, AXIS_HEIGHT = 230, 28, 90  # pixels


@dataclasses.dataclass(frozen=True)
class Chart:
    """A chart with what a person has to know to read it.

    Args:
        name: A short name, for links.
        title: What it shows.
        caption: How to read it.
        figure: A figure of Plotly.
    """

    name: str
    title: str
    caption: str
    figure: go.Figure


def charts(situation: Situation) -> list[Chart]:
    """Returns the charts of a study in the order in which they are read; none where no run has a score."""
    if not situation.ranked:
        return []
    drawn = [_progress(situation), _curves(situation), _importances(situation), _values(situation), _costs(situation)]
    return [chart for chart in drawn if chart is not None]


def _progress(situation: Situation) -> Chart:
    """Shows what each trial scored, and the best run so far, over the epochs that were trained."""
    sign = 1 if situation.config.direction == "max" else -1
    ended = ended_in_order(situation.records)
    points: list[tuple[float, Record]] = []
    best: list[tuple[float, Record]] = []
    for spent, record in zip(itertools.accumulate(len(r.curve.get("epoch", ())) for r in ended), ended, strict=True):
        if record.has_score:
            points.append((spent, record))
            leader = best[-1][1] if best else record
            best.append((spent, max(leader, record, key=lambda r: (r.rung, sign * (r.score or 0.0)))))
    figure, axis = go.Figure(), _score_axis(situation)
    _add_points(figure, points, axis)
    if len(best) > MOST_POINTS:  # the line goes straight on between two that lead
        changes = (new for old, new in itertools.pairwise(best) if old[1] is not new[1])
        best = [best[0], *changes, best[-1]]
    figure.add_scatter(
        x=[x for x, _ in best],
        y=[axis.place(record.score or 0.0) for _, record in best],
        mode="lines",
        line={"shape": "hv", "color": BEST},
        name="best so far",
        text=[described(record) for _, record in best],
        hovertemplate="best so far: %{text}<extra></extra>",
    )
    label(figure, "epochs trained so far", situation.config.objective)
    figure.update_yaxes(axis.settings(record.score or 0.0 for _, record in points))
    caption = "Each point is a trial, placed where it ended. A run of more epochs counts as better than one of fewer, "
    caption += f"whatever their scores, so the line of the best run may fall. {axis.note}"
    caption += thinning_note(len(points), MOST_POINTS, "trials")
    return Chart("progress", "What the search found, and when", caption, figure)


def _curves(situation: Situation) -> Chart:
    """Shows the score of each run after each epoch."""
    objective, ranked, axis = situation.config.objective, situation.ranked, _score_axis(situation)
    named, others = ranked[:MOST_CURVES], ranked[MOST_CURVES:]
    ends = itertools.accumulate(len(run.curve(objective)) for run in others)
    others = [run for run, end in zip(others, ends, strict=True) if end <= MOST_CURVE_POINTS]
    figure = go.Figure()
    if others:
        look = {"line": {"color": GREY, "width": 1}, "marker": {"size": 3}}
        figure.add_scatter(**_lines(others, objective, axis), **look, name="others")
    for place, run in reversed(list(enumerate(named))):  # the best one is drawn over the others
        look = {"line": {"color": COLOURS[place], "width": 2}, "marker": {"size": 5}}
        figure.add_scatter(**_lines([run], objective, axis), **look, name=f"run {run.number}", legendrank=place)
    label(figure, "epoch", objective)
    figure.update_xaxes(dtick=1 if situation.config.max_epochs <= MOST_TICKS else None)
    figure.update_yaxes(axis.settings(value for run in ranked for _, value in run.curve(objective)))
    budget = counted(situation.config.max_epochs, "epoch")
    caption = f"Each line is a run. The learning rate falls over {budget}, so one that ended earlier was stopped "
    caption += f"on its way. {axis.note}"
    if (drawn := len(named) + len(others)) < len(ranked):
        caption += f" Drawn are the best {drawn:,} of {len(ranked):,} runs."
    return Chart("curves", "How the runs learned", caption, figure)


def _lines(runs: Sequence[Run], objective: str, axis: ScoreAxis) -> dict[str, Any]:
    """Returns the curves of some runs as one trace of Plotly, with a gap behind each."""
    points: list[tuple[int | None, float | None, str | None]] = []
    for run in runs:
        about = described(run.last)
        points += [(e, axis.place(value), f"{about}<br>epoch {e}: {value:.4f}") for e, value in run.curve(objective)]
        points.append((None, None, None))
    x, y, text = zip(*points[:-1], strict=True)
    return {"x": x, "y": y, "text": text, "mode": "lines+markers", "hovertemplate": "%{text}<extra></extra>"}


def _importances(situation: Situation) -> Chart | None:
    """Shows how much each hyperparameter tells of whether a run is among the best."""
    epochs, scored = comparable(situation.runs, situation.config.objective)
    shares = importances(scored, situation.space, direction=situation.config.direction)
    if not shares:
        return None
    names = list(reversed(shares))
    figure = go.Figure(go.Bar(x=[shares[name] for name in names], y=names, orientation="h", marker_color=COLOURS[0]))
    figure.update_traces(hovertemplate="%{y}: %{x:.2f}<extra></extra>")
    label(figure, "share of the importance", None)
    figure.update_layout(height=BAR_HEIGHT * len(names) + AXIS_HEIGHT)
    compared = f"{len(scored)} runs after {counted(epochs, 'epoch')}"
    caption = f"PED-ANOVA (Watanabe et al., 2023) of the scores of {compared}: what sets the best tenth apart from the "
    caption += "others. Of some dozens of runs it is a hint, not a finding."
    return Chart("importance", "Which hyperparameters mattered", caption, figure)


def _values(situation: Situation) -> Chart | None:
    """Shows the score over the values of each hyperparameter, after the same number of epochs."""
    epochs, scored = comparable(situation.runs, situation.config.objective)
    names = varying([run.last.hyperparameters for run, _ in scored])
    if not names:
        return None
    rows, axis = math.ceil(len(names) / COLUMNS), _score_axis(situation)
    titles, spacing = [_title(name) for name in names], 0.3 / rows
    figure = make_subplots(rows, COLUMNS, subplot_titles=titles, shared_yaxes=True, vertical_spacing=spacing)
    label(figure, None, None)
    best, sign = situation.ranked[0].number, 1 if situation.config.direction == "max" else -1
    most = min(MOST_POINTS, max(MOST_SMALL_POINTS // len(names), FEWEST_POINTS))
    drawn = thinned(scored, most, goodness=lambda pair: (pair[0].number == best, sign * pair[1]))
    for place, name in enumerate(names):
        at = {"row": place // COLUMNS + 1, "col": place % COLUMNS + 1}
        shown = [(run, score) for run, score in drawn if name in run.last.hyperparameters]
        tried = [run.last.hyperparameters[name] for run, _ in scored if name in run.last.hyperparameters]
        _add_values(figure, shown, name, tried=tried, situation=situation, epochs=epochs, at=at)
    figure.update_yaxes(axis.settings(score for _, score in scored))
    figure.update_layout(height=SMALL_HEIGHT * rows)
    compared = f"{len(scored)} runs after {counted(epochs, 'epoch')}"
    caption = f"{situation.config.objective} of {compared}, so that all had the same chance; the orange "
    caption += f"point is run {best}, the best one. {axis.note}{thinning_note(len(scored), most, 'runs')}"
    return Chart("values", "Which values were tried", caption, figure)


def _add_values(
    figure: go.Figure,
    scored: Sequence[tuple[Run, float]],
    name: str,
    *,
    tried: Sequence[Any],
    situation: Situation,
    epochs: int,
    at: Mapping[str, int],
) -> None:
    """Adds the small chart of one hyperparameter: the score of each run over its value, on an axis of all values."""
    axis, best = _score_axis(situation), situation.ranked[0].number
    scored = sorted(scored, key=lambda pair: pair[0].number == best)  # the best one is drawn over the others
    values = [run.last.hyperparameters[name] for run, _ in scored]
    is_number = all(isinstance(value, int | float) for value in tried)
    is_range = is_number and (any(isinstance(value, float) for value in tried) or len(set(tried)) > MOST_CATEGORIES)
    figure.add_scatter(
        x=values if is_range else list(map(str, values)),
        y=[axis.place(score) for _, score in scored],
        mode="markers",
        marker={
            "color": [BEST if run.number == best else COLOURS[0] for run, _ in scored],
            "size": [11 if run.number == best else 7 for run, _ in scored],
            "opacity": 0.8,
        },
        text=[f"{described(run.last, name)}<br>after {counted(epochs, 'epoch')}: {score:.4f}" for run, score in scored],
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
        **at,
    )
    if is_range and min(tried) > 0 and max(tried) > LOGARITHMIC * min(tried):
        figure.update_xaxes(log_axis(tried, most_decades=1), **at)
    elif not is_range:
        order = [str(value) for value in sorted(set(tried), key=lambda value: (isinstance(value, str), value))]
        figure.update_xaxes(type="category", categoryorder="array", categoryarray=order, **at)


def _costs(situation: Situation) -> Chart | None:
    """Shows the score over what a network costs."""
    config = situation.config
    cost = next(iter(config.costs), "params")
    points = [(run.last.cost(cost), run.last) for run in situation.ranked]
    if len({x for x, _ in points}) < 2:
        return None
    figure, axis = go.Figure(), _score_axis(situation)
    _add_points(figure, points, axis, about=lambda record: describe_cost(record.cost(cost), cost))
    front = front_runs(situation.records, config.direction, cost=cost)
    figure.add_scatter(
        x=[run.last.cost(cost) for run in front],
        y=[axis.place(run.score or 0.0) for run in front],
        mode="lines+markers",
        line={"shape": "vh", "color": BEST},
        marker={"symbol": "circle-open", "size": 12, "color": BEST},
        name="front",
        hoverinfo="skip",
    )
    unit = {"params": "weights", "macs": "multiply-accumulates an image", "latency": "milliseconds an image"}[cost]
    label(figure, unit, config.objective)
    costs = log_axis(x for x, _ in points)
    figure.update_xaxes(costs | {"ticktext": [describe_count(tick) for tick in costs["tickvals"]]})
    figure.update_yaxes(axis.settings(record.score or 0.0 for _, record in points))
    caption = f"The line joins the runs of the most epochs that no other of these beats in both. {axis.note}"
    caption += thinning_note(len(points), MOST_POINTS, "runs")
    return Chart("costs", "What the networks cost", caption, figure)


def _add_points(
    figure: go.Figure,
    points: Sequence[tuple[float, Record]],
    axis: ScoreAxis,
    *,
    about: Callable[[Record], str] = lambda _: "",
) -> None:
    """Adds the scores of trials at some places: the more epochs they had behind them, the darker."""
    groups: dict[int, list[tuple[float, Record]]] = {}
    for x, record in thinned(points, MOST_POINTS, goodness=lambda point: (point[1].rung, _goodness(point[1], axis))):
        groups.setdefault(record.epochs, []).append((x, record))
    for place, (epochs, those) in enumerate(sorted(groups.items()), start=1):
        figure.add_scatter(
            x=[x for x, _ in those],
            y=[axis.place(record.score or 0.0) for _, record in those],
            mode="markers",
            marker={"color": f"hsl(205,70%,{75 - 45 * place / len(groups):.0f}%)", "size": 8},
            name=f"after {counted(epochs, 'epoch')}",
            text=[f"{described(record)}<br>{about(record)}" for _, record in those],
            hovertemplate="%{text}<extra></extra>",
        )


def _title(name: str) -> str:
    """Returns the title of a small chart, not wider than that: its boxes have the whole name."""
    if len(name) > MOST_LETTERS:
        name = f"{name[: MOST_LETTERS // 2]}…{name[1 - MOST_LETTERS // 2 :]}"
    return html.escape(name)


def _goodness(record: Record, axis: ScoreAxis) -> float:
    """Returns a score whose larger end is the better one."""
    score = record.score or 0.0
    return score if axis.is_accuracy else -score


def _score_axis(situation: Situation) -> ScoreAxis:
    return ScoreAxis(situation.config.objective, situation.validation_images)
