"""What oracles plan and do: the trials of a rung, and the next move."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from tuner.oracles.history import Run

__all__ = ["Move", "Rung"]


@dataclasses.dataclass(frozen=True)
class Rung:
    """Trials that an oracle will make between the same two epochs.

    Args:
        trials: How many.
        initial_epoch: Epochs behind each when it begins.
        epochs: Epochs behind each when it is done.
    """

    trials: int
    initial_epoch: int
    epochs: int


@dataclasses.dataclass(frozen=True)
class Move:
    """What an oracle does next.

    Args:
        epochs: Epochs that the run has behind it when the trial is done.
        values: Active values of a new run, or None.
        run: The run that goes on, or None.
    """

    epochs: int
    values: Mapping[str, Any] | None = None
    run: Run | None = None
