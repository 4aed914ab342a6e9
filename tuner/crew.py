"""Who trains: the interface that the executor knows, and the crew of one that works in the driver's own process.

Several processes, on this machine or on others, are `tuner/cluster.py`.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tuner.messages import Facts, Measurement, Progress, Task
from tuner.records import RUNNING

if TYPE_CHECKING:
    from tuner.worker import Worker

__all__ = ["Crew", "Event", "LocalCrew"]


@dataclasses.dataclass(frozen=True)
class Event:
    """What has become of a trial.

    Args:
        trial: Number of the trial.
        worker: Name of the worker that trains it.
        progress: What the worker tells; None where it died.
        replaced: Whether it held too much memory after the trial, so that another one takes its place.
    """

    trial: int
    worker: str
    progress: Progress | None
    replaced: bool = False


class Crew(Protocol):
    """Workers that train one trial each."""

    @property
    def facts(self) -> Facts:
        """What there is to know of the data."""

    def free(self) -> Sequence[str]:
        """Returns the names of the workers that have no trial, in a fixed order."""

    @property
    def size(self) -> int:
        """Number of workers, busy or not."""

    def measure(self, hyperparameters: Mapping[str, Any], *, together: int | None = None) -> list[Measurement]:
        """Measures a configuration on the first `together` workers at the same time, or on all."""

    def keep(self, workers: int) -> None:
        """Lets all workers but the first few go; they have no trial."""

    def refusals(self) -> list[str]:
        """Returns why workers that have come since the last call cannot train, each reason with the name."""

    def begin(self, worker: str, trial: int, task: Task) -> None:
        """Gives a free worker a trial."""

    def advance(self, trial: int) -> None:
        """Lets a trial that is running train its next epoch."""

    def stop(self, trial: int) -> None:
        """Ends a trial that is running after the epochs that it has."""

    def replace(self, worker: str) -> None:
        """Puts a new process in the place of a worker; of a trial that it has, no event comes any more."""

    def next(self, seconds: float | None = None) -> Event | None:
        """Waits for what comes next: for so many seconds at most, then None; for ever where there is no limit."""


class LocalCrew:
    """One worker in this process: what is asked of it is done when its event is asked for.

    Args:
        worker: Trains.
    """

    NAME = "driver"

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._wanted: collections.deque[tuple[int, Callable[[], Progress]]] = collections.deque()
        self._trial: int | None = None

    @property
    def facts(self) -> Facts:
        """What there is to know of the data."""
        return self._worker.facts

    @property
    def size(self) -> int:
        """Always 1."""
        return 1

    def free(self) -> Sequence[str]:
        """Returns the one name, or none while there is a trial."""
        return [self.NAME] if self._trial is None else []

    def measure(self, hyperparameters: Mapping[str, Any], *, together: int | None = None) -> list[Measurement]:
        """Measures a configuration."""
        return [self._worker.measure(hyperparameters)]

    def keep(self, workers: int) -> None:
        """Does nothing: there is one."""

    def refusals(self) -> list[str]:
        """Returns none: nobody comes."""
        return []

    def begin(self, worker: str, trial: int, task: Task) -> None:
        """Gives the worker a trial."""
        self._trial = trial
        self._wanted.append((trial, lambda: self._worker.begin(task)))

    def advance(self, trial: int) -> None:
        """Lets the trial train its next epoch."""
        self._wanted.append((trial, self._worker.advance))

    def stop(self, trial: int) -> None:
        """Ends the trial after the epochs that it has."""
        self._wanted.append((trial, self._worker.stop))

    def replace(self, worker: str) -> None:
        """Does nothing: this process cannot be replaced."""

    def next(self, seconds: float | None = None) -> Event | None:
        """Does what was asked for first, and returns what came of it."""
        if not self._wanted:
            return None
        trial, call = self._wanted.popleft()
        progress = call()
        if progress.status != RUNNING:
            self._trial = None
        return Event(trial, self.NAME, progress)
