"""What a search will do and how long it will take, before it does it."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence

from tuner.messages import Measurement
from tuner.oracles.moves import Rung
from tuner.quantities import counted, describe_bytes, describe_seconds

__all__ = ["Plan"]

# More rungs than that are shown as one for all between the same two epochs: Hyperband may repeat its brackets for long.
MOST_SHOWN = 12


@dataclasses.dataclass(frozen=True)
class Plan:
    """The trials of a search and the time that they need.

    Args:
        rungs: The oracle's schedule.
        measurement: What the default configuration costs on a worker.
        workers: How many trials are trained at a time.
        state_bytes: Size of the largest training state that the space has.
        is_fixed: Whether the trials are those of `rungs` whatever they score; else these say about how many.
        keeps_checkpoints: Whether those of runs that can go on stay when the search is done.
        disk_limit: Bytes that checkpoints may take, or None; those that running trials write and continue stay.
        time_limit: Seconds after which the search stops, or None.
    """

    rungs: Sequence[Rung]
    measurement: Measurement
    workers: int = 1
    state_bytes: int = 0
    is_fixed: bool = True
    keeps_checkpoints: bool = False
    disk_limit: int | None = None
    time_limit: float | None = None

    @property
    def trials(self) -> int:
        """Number of trials."""
        return sum(rung.trials for rung in self.rungs)

    @property
    def configurations(self) -> int:
        """Number of different configurations: trials that continue no other."""
        return sum(rung.trials for rung in self.rungs if rung.initial_epoch == 0)

    @property
    def epochs(self) -> int:
        """Epochs trained, those of a continued trial counted once."""
        return sum(rung.trials * (rung.epochs - rung.initial_epoch) for rung in self.rungs)

    @property
    def seconds(self) -> float:
        """Expected wall time: every configuration starts a network, every epoch costs what the default's does."""
        start, epoch = self.measurement.start_seconds, self.measurement.epoch_seconds
        longest = max((rung.epochs for rung in self.rungs), default=0)
        return max((self.configurations * start + self.epochs * epoch) / self.workers, start + longest * epoch)

    @property
    def disk_bytes(self) -> int:
        """Most that checkpoints can take: each trial that may be continued, and each that runs."""
        full = max((rung.epochs for rung in self.rungs), default=0)
        waiting = sum(rung.trials for rung in self.rungs if rung.epochs < full) * self.state_bytes
        running = self.workers * self.state_bytes
        if self.disk_limit is None:
            return waiting + running
        return min(waiting + running, max(self.disk_limit, 2 * running))  # each needs the state that it continues

    def lines(self) -> list[str]:
        """Returns the plan for a person to read."""
        if not self.trials:
            return ["Trials    none: not one fits into the epochs that the search may spend; allow more of them"]
        shown = self.rungs if len(self.rungs) <= MOST_SHOWN else _merged(self.rungs)
        rungs = ", ".join(f"{rung.trials} x {rung.initial_epoch}->{rung.epochs}" for rung in shown)
        about = "" if self.is_fixed else "about "
        limit = self.time_limit
        stops = f", but it stops after {describe_seconds(limit)}" if limit is not None and limit < self.seconds else ""
        after = "those of runs that can go on stay" if self.keeps_checkpoints else "nothing"
        return [
            f"Trials    {about}{counted(self.trials, 'trial')} of {counted(self.configurations, 'configuration')}, "
            f"{counted(self.epochs, 'epoch')} in all",
            f"Rungs     {about}{rungs} (trials x epochs)",
            f"Time      about {describe_seconds(self.seconds)} on this machine (measured with the default "
            f"configuration: {self.measurement.start_seconds:.1f} s to start, "
            f"{self.measurement.epoch_seconds:.2f} s an epoch){stops}",
            f"Disk      checkpoints take {describe_bytes(self.disk_bytes)} at most, and {after} when it is done",
        ]


def _merged(rungs: Sequence[Rung]) -> list[Rung]:
    """Returns one rung for all trials between the same two epochs."""
    trials: collections.Counter[tuple[int, int]] = collections.Counter()
    for rung in rungs:
        trials[rung.initial_epoch, rung.epochs] += rung.trials
    return [Rung(count, *epochs) for epochs, count in trials.items()]
