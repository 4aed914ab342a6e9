"""A fixed order of decisions for several workers, whoever is faster: `--deterministic`.

Each trial has a clock that counts the work of its epochs instead of seconds, and what trials tell is taken in the order
of these clocks, ties by number. It is the order in which workers of exactly equal speed would tell, so little time is
lost on waiting; how much is counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from tuner.crew import Event
from tuner.records import Record

__all__ = ["FixedOrder"]

# What an image costs besides its network's multiply-accumulates, in those: on 8x8 images half of a step is overhead.
OVERHEAD_MACS = 1_000_000


class FixedOrder:
    """The clocks of all trials.

    Attributes:
        waited: Seconds for which workers waited for their turn.
    """

    def __init__(self) -> None:
        self.waited = 0.0
        self._now = 0
        self._began: dict[int, int] = {}
        self._arrived: dict[int, tuple[Event, float]] = {}

    def begin(self, record: Record) -> None:
        """A trial begins where the clock of the last one that ended stands."""
        self._began[record.trial] = self._now

    def end(self, record: Record) -> None:
        """A trial has ended, in this search or in an earlier one: what the study keeps is all that counts."""
        self._now = max(self._now, self._time(record, len(record.curve.get("epoch", []))))

    def next(self, running: Mapping[int, tuple[Record, int]], wait: Callable[[], Event | None]) -> Event | None:
        """Returns the event whose turn it is, or None while it has not come.

        Args:
            running: For each trial that has begun and not ended, its record and how many epochs it has told.
            wait: Waits for any event for a while.
        """
        wanted = self._wanted(running)
        if wanted not in self._arrived and (event := wait()):
            self._arrived[event.trial] = (event, time.monotonic())
            wanted = self._wanted(running)
        if wanted is None or wanted not in self._arrived:
            return None
        event, since = self._arrived.pop(wanted)
        self.waited += time.monotonic() - since
        return event

    def has_heard(self, trial: int) -> bool:
        """Whether a trial has told something whose turn has not come."""
        return trial in self._arrived

    def _wanted(self, running: Mapping[int, tuple[Record, int]]) -> int | None:
        turns = {trial: self._turn(record, told) for trial, (record, told) in running.items()}
        return min(turns, key=lambda trial: (turns[trial], trial), default=None)

    def _turn(self, record: Record, told: int) -> int:
        """Returns when it is a trial's turn: after its next epoch, or the last of several that it tells at once."""
        event = self._arrived[record.trial][0] if record.trial in self._arrived else None
        epochs = event.progress.curve.get("epoch", []) if event and event.progress else []
        last = int(epochs[-1]) - record.initial_epoch if epochs else 0
        return self._time(record, max(told + 1, last))

    def _time(self, record: Record, epochs: int) -> int:
        return self._began.get(record.trial, 0) + epochs * (record.macs + OVERHEAD_MACS)
