"""Which worker trains which trial, since when, and how often a trial lost its worker. It decides nothing."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Sequence

from tuner.records import Record

__all__ = ["Flight", "Flights"]

# A worker that hangs is replaced when its trial is so much over its time.
HANGING_FACTOR, HANGING_SECONDS = 1.5, 30.0


@dataclasses.dataclass
class Flight:
    """A trial that a worker trains.

    Args:
        record: The trial.
        worker: Name of the worker.
        launched: Time of `time.monotonic` when it got the trial.
        asked: The same when it was last asked for something.
    """

    record: Record
    worker: str
    launched: float
    asked: float


class Flights:
    """The trials in flight, by number, and where those before them were."""

    def __init__(self) -> None:
        self._flights: dict[int, Flight] = {}
        self._homes: dict[int, str] = {}
        self._losses: collections.Counter[int] = collections.Counter()

    def __len__(self) -> int:
        """Returns how many trials are trained."""
        return len(self._flights)

    def __iter__(self) -> Iterator[Flight]:
        """Goes through them in the order in which they were launched."""
        return iter(self._flights.values())

    def __getitem__(self, trial: int) -> Flight:
        """Returns the flight of a trial."""
        return self._flights[trial]

    def launch(self, record: Record, free: Sequence[str], *, now: float) -> Flight:
        """Enters that a trial is given to a worker: to the one that still has it or its parent, if that is free.

        Args:
            record: The trial.
            free: Names of the workers without a trial, at least one.
            now: Time of `time.monotonic`.
        """
        places = (record.trial, record.parent)
        homes = [self._homes[place] for place in places if place is not None and place in self._homes]
        worker = homes[0] if homes and homes[0] in free else free[0]
        self._homes[record.trial] = worker
        flight = Flight(dataclasses.replace(record, worker=worker), worker, launched=now, asked=now)
        self._flights[record.trial] = flight
        return flight

    def land(self, trial: int) -> None:
        """Forgets a trial that is trained no more; it need not have been."""
        self._flights.pop(trial, None)

    def lose(self, trial: int) -> int:
        """Counts the death of the worker of a trial, and returns how many there were."""
        self._losses[trial] += 1
        return self._losses[trial]

    def overdue(self, limit: float, *, now: float) -> list[Flight]:
        """Returns the flights whose workers have not answered for much longer than a trial may take.

        Args:
            limit: Seconds of one trial.
            now: Time of `time.monotonic`.
        """
        return [flight for flight in self if now - flight.asked > limit * HANGING_FACTOR + HANGING_SECONDS]
