"""Axes of charts on which people see what matters: scores by the size of their error, and round numbers as ticks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

__all__ = ["ScoreAxis", "log_axis"]

MOST_DECADES = 3  # with ticks at 1, 2 and 5 on a chart as wide as the page
ROOM = 1.25  # a factor, around what is shown
SMALLEST = 1e-6  # of what a logarithm is taken of


@dataclasses.dataclass(frozen=True)
class ScoreAxis:
    """Places scores on a logarithmic axis: an accuracy by its error, a loss by itself.

    So 0.98 and 0.99 are as far from each other as 0.8 and 0.9: both halve the errors. The better end is up for an
    accuracy, and down for a loss.

    Args:
        objective: `val_accuracy` or `val_loss`.
        validation_images: How many images an accuracy is of; one without errors is placed where half an error would be.
            None where it is not known.
    """

    objective: str
    validation_images: int | None = None

    @property
    def is_accuracy(self) -> bool:
        """Whether scores are placed by their error."""
        return self.objective == "val_accuracy"

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
        axis = log_axis(self.place(score) for score in scores)
        if self.is_accuracy:  # fewer errors are up
            axis |= {
                "ticktext": [f"{1.0 - tick:.6g}" for tick in axis["tickvals"]],
                "range": list(reversed(axis["range"])),
            }
        return axis


def log_axis(values: Iterable[float], *, most_decades: int = MOST_DECADES) -> dict[str, Any]:
    """Returns a logarithmic axis with round ticks for some values, as Plotly describes one.

    Args:
        values: What is shown, at least one, all above 0.
        most_decades: How many may have ticks at 1, 2 and 5; more have them at 1 only.
    """
    held = list(values)
    low, high = min(held) / ROOM, max(held) * ROOM
    steps = (1, 2, 5) if math.log10(high / low) <= most_decades else (1,)
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    ticks = [step * 10.0**power for power in powers for step in steps]
    if sum(low <= tick <= high for tick in ticks) < 2:  # values close together stand between two ticks
        low, high = max(tick for tick in ticks if tick <= low), min(tick for tick in ticks if tick >= high)
    shown = [tick for tick in ticks if low <= tick <= high]
    return {
        "type": "log",
        "tickvals": shown,
        "ticktext": [f"{tick:.6g}" for tick in shown],
        "range": [math.log10(low), math.log10(high)],
    }
