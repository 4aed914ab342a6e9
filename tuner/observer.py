"""Who is told what happens in a search: the interface between the executor and what shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from tuner.records import Record

__all__ = ["Observer"]


class Observer(Protocol):
    """Is told what happens; the commands show it to a person."""

    def resume(self, held: Sequence[Record]) -> None:
        """A search begins with the trials that the study holds already."""

    def trial_began(self, record: Record) -> None:
        """A worker is about to train a trial."""

    def epoch_ended(self, record: Record, epoch: int, metrics: Mapping[str, float], rate: float | None) -> None:
        """A trial has `epoch` epochs behind it, counted from 1; `rate` is its images a second."""

    def trial_ended(self, record: Record) -> None:
        """A trial has ended."""

    def worker_replaced(self, worker: str, memory: int) -> None:
        """Another worker takes the place of one that held so many bytes after its trial."""

    def worker_refused(self, reason: str) -> None:
        """A worker has come that cannot train, for a reason that names it; the others go on."""

    def trial_lost(self, record: Record, losses: int) -> None:
        """The worker of a trial died, for the `losses`-th time, and the trial is begun again."""
