"""One worker of a Dask cluster, and why it may be of no use. It imports nothing of Dask."""

from __future__ import annotations

import dataclasses
from typing import Any

from tuner.errors import DataError, TunerError, UsageError
from tuner.messages import Facts

__all__ = ["Member", "is_lost"]


@dataclasses.dataclass
class Member:
    """A Dask worker.

    Args:
        name: Its name.
        cores: Threads that it has.
        actor: Its actor, once that is made.
        facts: What the actor knows of the data; the worker is ready when that is known.
        trial: Number of the trial that it trains.
        answer: What it answered last.
    """

    name: str
    cores: int
    actor: Any = None
    facts: Facts | None = None
    trial: int | None = None
    answer: Any = None

    def differences(self, facts: Facts) -> DataError | None:
        """Returns what is different in its data: a folder of one path may hold other images on another machine."""
        differences = self.facts.differences(dataclasses.asdict(facts)) if self.facts else []
        return DataError(f"The images are not those of the other workers: {differences[0]}.") if differences else None

    def unfit(self, error: Exception) -> TunerError:
        """Returns the error that says which worker it is that cannot train."""
        reason = str(error) if isinstance(error, TunerError) else f"{type(error).__name__}: {error}"
        if isinstance(error, ModuleNotFoundError):
            reason = f"it cannot import {error.name}; install this program there too."
        kind = UsageError if isinstance(error, UsageError) else TunerError
        return kind(f"Worker {self.name} of the cluster cannot train: {reason}")


def is_lost(error: Exception) -> bool:
    """Whether that is what Dask says of an actor whose worker has gone."""
    return isinstance(error, RuntimeError) and "holding Actor was lost" in str(error)
