"""Axes of charts on which people see what matters: scores by the size of their error, and round numbers as ticks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

from tuner.config import OBJECTIVES

__all__ = ["ScoreAxis", "log_axis"]

MOST_DECADES = 3  # with ticks at 1, 2 and 5 on a chart as wide as the page
ROOM = 1.25  # a factor, around what is shown
SMALLEST = 1e-6  # of what a logarithm is taken of

# Ticks of a decade, the fewest first. Between a value and `ROOM` around it are two or more of the last.
_STEPS = (
    (1,),
    (1, 2, 5),
    (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9),
)


@dataclasses.dataclass(frozen=True)
class ScoreAxis:
    """Places scores on a logarithmic axis: an accuracy by its error, a loss by itself.

    So 0.98 and 0.99 are as far from each other as 0.8 and 0.9: both halve the errors. The better end is up for an
    accuracy, and down for a loss.

    Args:
        objective: One of `tuner.config.OBJECTIVES`.
        validation_images: How many images an accuracy is of; one without errors is placed where half an error would be.
            None where it is not known.
    """

    objective: str
    validation_images: int | None = None

    @property
    def is_accuracy(self) -> bool:
        """Whether scores are placed by their error."""
        return OBJECTIVES[self.objective] == "max"

    @property
    def note(self) -> str:
        """What a person has to know to read the axis."""
        what = "errors" if self.is_accuracy else "loss"
        return f"Equal distances up or down divide the {what} by the same factor."

    def place(self, score: float) -> float:
        """Returns the coordinate of a score, above 0."""
        if not self.is_accuracy:
            return max(score, SMALLEST)
        return max(1.0 - score, 0.5 / self.validation_images if self.validation_images else SMALLEST)

    def settings(self, scores: Iterable[float]) -> dict[str, Any]:
        """Returns the axis of some scores, at least one, as Plotly describes one."""
        axis = log_axis((self.place(score) for score in scores), most=1.0 if self.is_accuracy else math.inf)
        if self.is_accuracy:  # fewer errors are up
            axis |= {
                "ticktext": [f"{1.0 - tick:.6g}" for tick in axis["tickvals"]],
                "range": list(reversed(axis["range"])),
            }
        return axis


def log_axis(values: Iterable[float], *, most_decades: int = MOST_DECADES, most: float = math.inf) -> dict[str, Any]:
    """Returns a logarithmic axis with round ticks for some values, as Plotly describes one.

    Args:
        values: What is shown, at least one, all above 0.
        most_decades: How many may have ticks at 1, 2 and 5; more have them at 1 only.
        most: No value is larger, so the axis ends there.
    """
    held = list(values)
    low, high = min(held) / ROOM, min(max(held) * ROOM, most)
    fewest = 1 if math.log10(high / low) <= most_decades else 0
    shown: list[float] = []
    for steps in _STEPS[fewest:]:
        if len(shown) < 2:
            shown = _ticks(low, high, steps)
    return {
        "type": "log",
        "tickvals": shown,
        "ticktext": [f"{tick:.6g}" for tick in shown],
        "range": [math.log10(low), math.log10(high)],
    }


def _ticks(low: float, high: float, steps: Iterable[float]) -> list[float]:
    """Returns the steps of all decades that lie between two numbers or on them."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    ticks = (float(f"{step}e{power}") for power in powers for step in steps)  # 3e-1 is 0.3, and 3 * 0.1 is not
    return [tick for tick in ticks if low <= tick <= high]
