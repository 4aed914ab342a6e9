"""Oracles that train the default configuration to the full budget before anything else."""

from __future__ import annotations

from typing import Any

from tuner.oracles.base import StudyOracle

__all__ = ["WholeFirst"]


class WholeFirst(StudyOracle):
    """A `StudyOracle` that trains the default configuration to the full budget at once, all others by its own rules.

    Args:
        begins_whole: Whether the default goes to the full budget at once; None where `max_total_epochs` allow it. A
            study that grows keeps to what it began with.
        options: See `StudyOracle`.
    """

    def __init__(self, *, begins_whole: bool | None = None, **options: Any) -> None:
        super().__init__(**options)
        fits = self.max_total_epochs is None or self.max_total_epochs >= self.max_epochs
        self.begins_whole = fits if begins_whole is None else begins_whole

    def hurry(self) -> None:
        """Begins with few epochs of the default, too."""
        self.begins_whole = False
