"""The look that all charts of a report share: colours, lines, and the box that a pointer opens."""

from __future__ import annotations

import html

import plotly.graph_objects as go

from tuner.leaderboard import number
from tuner.records import Record

__all__ = ["BEST", "COLOURS", "GREY", "described", "label"]

MOST_VALUES = 20  # of hyperparameters in the box; each point of a chart has its own

# The first six: Okabe and Ito, 2008, https://jfly.uni-koeln.de/color, which those tell apart who see few colours, too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D31", "#5D3A9B", "#B22222", "#909090")
GREY, BEST = "rgba(128,128,128,0.35)", "#D55E00"


def described(record: Record, name: str | None = None) -> str:
    """Returns a trial for the box that shows where the pointer is, as Plotly reads HTML.

    Args:
        record: The trial.
        name: A hyperparameter that must be among those that are shown, or None.
    """
    run = f"trial {record.trial}, epochs {record.initial_epoch} to {record.epochs}"
    score = "" if record.score is None else f", score {record.score:.4f}"
    values = record.hyperparameters
    shown = dict.fromkeys([*[*values][:MOST_VALUES], *([name] if name else [])])
    lines = [html.escape(f"{each} {number(values[each])}") for each in shown]
    more = [f"and {len(values) - len(shown)} more"] if len(values) > len(shown) else []
    return "<br>".join([f"<b>{run}{score}</b>", *lines, *more])


def label(figure: go.Figure, x: str | None, y: str | None) -> None:
    """Gives a figure the look of all: no background of its own, so that it stands on light and dark pages."""
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": "#7a7a7a"},
        margin={"l": 60, "r": 20, "t": 30, "b": 50},
        hoverlabel={"align": "left"},
        legend={"orientation": "v"},
    )
    figure.update_xaxes(gridcolor="rgba(128,128,128,0.25)", zeroline=False, automargin=True)
    figure.update_yaxes(gridcolor="rgba(128,128,128,0.25)", zeroline=False, automargin=True)
    if x:
        figure.update_xaxes(title=x)
    if y:
        figure.update_yaxes(title=y)
