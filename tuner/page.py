"""The page that shows a study: figures, what to do next, charts, the leaderboard, and how it was searched.

One file without anything from elsewhere: Plotly's program lies in it, so that it opens without a network.
"""

from __future__ import annotations

import jinja2
import markupsafe
from plotly.offline import get_plotlyjs

from tuner import leaderboard
from tuner.ablation import NOTE, to_cells, verdict
from tuner.advice import Advice
from tuner.charts import Chart, charts
from tuner.quantities import counted, describe_count, describe_seconds
from tuner.situation import Situation

__all__ = ["render"]

MOST_ROWS, MOST_MESSAGES = 500, 200  # a browser lays out each cell

_PLOTLY = {"displayModeBar": False, "responsive": True}


def render(
    situation: Situation, advices: list[Advice], *, rows: list[leaderboard.Row], versions: dict[str, str], written: str
) -> str:
    """Returns the page as HTML.

    Args:
        situation: The study.
        advices: What to do next.
        rows: Its leaderboard.
        versions: Versions of the libraries that it was begun with, by name.
        written: When, for a person to read.
    """
    loader = jinja2.PackageLoader("tuner")
    page = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    heads, body = leaderboard.to_cells(rows, top=MOST_ROWS)
    messages = [(f"trial {r.trial}, {r.status}", r.cause) for r in situation.records if r.message]
    template = page.get_template("report.html")
    return template.render(
        situation=situation,
        subtitle=_subtitle(situation, written),
        figures=_figures(situation),
        advices=advices,
        charts=[_drawn(chart) for chart in charts(situation)],
        ablation={"verdict": verdict(situation.comparisons), "tables": to_cells(situation.comparisons), "note": NOTE},
        plotly=markupsafe.Markup(get_plotlyjs()),  # noqa: S704 (Plotly's own program)
        heads=heads,
        rows=body,
        front=leaderboard.describe_front(rows),
        num_rows=len(rows),
        messages=messages[:MOST_MESSAGES],
        num_messages=len(messages),
        settings=_settings(situation, versions),
    )


def _drawn(chart: Chart) -> dict[str, str]:
    drawn = chart.figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"chart-{chart.name}", config=_PLOTLY)
    html = markupsafe.Markup(drawn)  # noqa: S704 (Plotly has escaped what it shows)
    return {"name": chart.name, "title": chart.title, "caption": chart.caption, "html": html}


def _subtitle(situation: Situation, written: str) -> str:
    config = situation.config
    state = "the search is through" if situation.is_through else "the search is not through"
    return f"{config.space} on {config.dataset} by {config.algorithm}; {state}; written {written}"


def _figures(situation: Situation) -> list[tuple[str, str]]:
    """Returns what a person looks for first."""
    records, ranked = situation.records, situation.ranked
    figures = []
    if ranked:
        best = ranked[0]
        objective = f"{situation.config.objective} of run {best.number}, {counted(best.epochs, 'epoch')}"
        figures.append((objective, f"{best.score:.4f}"))
        figures.append(("its weights", describe_count(best.last.params)))
    if situation.export and situation.export.test:
        name, value, _ = situation.export.test.told(situation.config.accuracy)
        figures.append((f"test {name} of the export", f"{value:.4f}"))
    epochs = sum(len(record.curve.get("epoch", ())) for record in records)
    seconds = describe_seconds(sum(record.seconds for record in records))
    return [
        *figures,
        ("runs", f"{len(situation.runs)}"),
        ("trials", f"{len(records)}"),
        ("epochs trained", f"{epochs}"),
        ("time of the workers", seconds),
    ]


def _settings(situation: Situation, versions: dict[str, str]) -> list[tuple[str, str]]:
    config = situation.config
    images = {} if situation.validation_images is None else {"validation images": situation.validation_images}
    shown = {
        "data": config.dataset,
        **images,
        "algorithm": config.algorithm,
        "seed": config.seed,
        **{name.replace("_", " "): value for name, value in config.settings.items()},
        **versions,
        "to go on": situation.command("search"),
    }
    return [(name, str(value)) for name, value in shown.items()]
