"""When a search stops: limits of time and epochs, and what a trial is expected to take."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Iterable

from tuner.messages import Measurement
from tuner.quantities import counted
from tuner.records import COMPLETED, TIMED_OUT, Record

__all__ = ["DEFAULT_RETRIES", "Budget", "Limits"]

DEFAULT_RETRIES = 2

# A trial is begun when it should end in time even if it takes a tenth longer than those before it.
SAFETY = 1.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What a person allows a search.

    Args:
        seconds: Wall time of the search, or None.
        total_epochs: Epochs that all trials of the study together may train, or None.
        trial_seconds: Wall time of one trial, or None.
        retries: How often a trial is begun again whose worker died.
        disk_bytes: What checkpoints may take, or None.
    """

    seconds: float | None = None
    total_epochs: int | None = None
    trial_seconds: float | None = None
    retries: int = DEFAULT_RETRIES
    disk_bytes: int | None = None


class Budget:
    """Says whether a trial still fits.

    Args:
        limits: What is allowed.
        began: Time of `time.monotonic` from which `limits.seconds` counts.
        measured: What the default configuration costs, for as long as no trial has ended; None means nothing.
    """

    def __init__(self, limits: Limits, *, began: float, measured: Measurement | None = None) -> None:
        self.limits = limits
        self._began = began
        self._measured = measured or Measurement(start_seconds=0.0, epoch_seconds=0.0)

    def seconds_left(self) -> float | None:
        """Returns the time that is left, or None where there is no limit."""
        return None if self.limits.seconds is None else self._began + self.limits.seconds - time.monotonic()

    def epochs_left(self, held: Iterable[Record]) -> int | None:
        """Returns the epochs that may still be begun, or None where there is no limit.

        As the oracle counts them: a trial that ended early counts in full.
        """
        if self.limits.total_epochs is None:
            return None
        return self.limits.total_epochs - sum(record.rung - record.initial_epoch for record in held)

    def refusal(self, *, epochs: int, macs: int, held: list[Record]) -> str:
        """Returns why a trial must not begin any more, or an empty text.

        Args:
            epochs: Epochs that it would train.
            macs: Multiply-accumulates of its network for one image.
            held: The trials of the study so far.
        """
        allowed = self.epochs_left(held)
        if allowed is not None and epochs > allowed:
            return f"--total-epochs {self.limits.total_epochs} is reached"
        return self.lateness(epochs=epochs, macs=macs, held=held)

    def lateness(self, *, epochs: int, macs: int, held: list[Record]) -> str:
        """Returns why a trial must not begin or go on where the time is limited, or an empty text.

        Args:
            epochs: Epochs that it would train; other limits have counted those of a trial that goes on.
            macs: Multiply-accumulates of its network for one image.
            held: The trials of the study so far.
        """
        if not self.is_short(epochs=epochs, macs=macs, held=held):
            return ""
        return f"--time-limit is reached: the next trial, {counted(epochs, 'epoch')}, would not end in time"

    def is_short(self, *, epochs: int, macs: int = 0, held: Iterable[Record] = ()) -> bool:
        """Whether there is no time left for a trial; before there are any, for one of any network.

        Args:
            epochs: Epochs that it would train.
            macs: Multiply-accumulates of its network for one image.
            held: The trials of the study so far.
        """
        left = self.seconds_left()
        return left is not None and self.expected_seconds(epochs=epochs, macs=macs, held=held) > left

    def expected_seconds(self, *, epochs: int, macs: int, held: Iterable[Record]) -> float:
        """Returns the seconds that a trial should take, by those that ended and, before there are any, the measurement.

        Args:
            epochs: Epochs that it would train.
            macs: Multiply-accumulates of its network for one image.
            held: The trials of the study so far.
        """
        ended = [r for r in held if r.status in (COMPLETED, TIMED_OUT) and r.curve.get("epoch")]
        epoch_seconds = [record.seconds / len(record.curve["epoch"]) for record in ended]
        if epoch_seconds:
            rates = [seconds / max(record.macs, 1) for seconds, record in zip(epoch_seconds, ended, strict=True)]
            each = max(statistics.median(rates) * macs, min(epoch_seconds))
        else:
            each = self._measured.epoch_seconds
        return SAFETY * (epochs * each + self._measured.start_seconds)
