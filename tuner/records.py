"""Finished and running trials as plain data, and the runs that they make up.

A trial trains one configuration from one epoch to another; the trials that continue one another are a run. Nothing
here reads or writes: the study does (`tuner/study.py`).
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "COMPLETED",
    "DIVERGED",
    "FAILED",
    "JUDGED",
    "OUT_OF_MEMORY",
    "RUNNING",
    "TIMED_OUT",
    "WORKER_DIED",
    "Record",
    "Run",
    "best_of",
    "ended_in_order",
    "rank",
    "runs_of",
    "varying",
]

_ERROR = re.compile(r"[\w.]+(Error|Exception|Exit|Interrupt)(: |$)")

RUNNING, COMPLETED = "running", "completed"
DIVERGED, FAILED = "diverged", "failed"
OUT_OF_MEMORY, TIMED_OUT, WORKER_DIED = "out of memory", "timed out", "worker died"

# Ends that say something of the configuration: all but the first get the worst score. `failed` is a bug and gets none.
JUDGED = (COMPLETED, DIVERGED, OUT_OF_MEMORY, TIMED_OUT, WORKER_DIED)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One trial.

    Args:
        trial: Number of the trial in its study, from 0.
        parent: Number of the trial that this one continues, or None.
        hyperparameters: Active values by name, without the `tuner/` entries.
        initial_epoch: Epochs that the run had behind it when the trial began.
        epochs: Epochs that the run has behind it when the trial is done.
        status: `running`, `completed`, `diverged`, `out of memory`, `timed out`, `worker died` (more often than
            `--retries`) or `failed` (an error in the program or the space).
        seed: Seed of the training (weights and order of the images).
        params: Weights of the network, those of batch normalisation's statistics included.
        macs: Multiply-accumulates of one image's forward pass.
        latency_ms: Milliseconds of the network for one image where the search asks for it, else None.
        score: The objective at the last epoch; None while there is none.
        best_score: The best objective of the trial's epochs.
        best_epoch: The epoch of `best_score`, from 1.
        curve: Metric values by name, one an epoch; `epoch` holds the absolute epochs, from 1.
        seconds: Wall time of the trial.
        worker: Name of the worker that trained it.
        wait_seconds: Time for which that worker had nothing to train before; None for its first trial.
        message: What went wrong, or what else a person should know, or an empty text.
        after: Number of trials that had ended when this one was proposed.
        order: Place in the order in which trials ended, from 0; None while it runs.
        target: Epochs that it was asked for where a callback or the oracle ended it earlier; else None.
    """

    trial: int
    parent: int | None
    hyperparameters: Mapping[str, Any]
    initial_epoch: int
    epochs: int
    status: str
    seed: int
    params: int
    macs: int
    latency_ms: float | None = None
    score: float | None = None
    best_score: float | None = None
    best_epoch: int | None = None
    curve: Mapping[str, list[float]] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    worker: str = ""
    wait_seconds: float | None = None
    message: str = ""
    after: int = 0
    order: int | None = None
    target: int | None = None

    @property
    def rung(self) -> int:
        """Epochs that it was asked for."""
        return self.epochs if self.target is None else self.target

    @property
    def has_score(self) -> bool:
        """Whether it has a score to be ranked by: all that ended otherwise than complete have at most the worst."""
        return self.status == COMPLETED and self.score is not None

    def cost(self, name: str) -> float:
        """Returns what the network costs: `params`, `macs` or `latency` (not a number where it was not measured)."""
        if name == "latency":
            return math.nan if self.latency_ms is None else self.latency_ms
        return float({"params": self.params, "macs": self.macs}[name])

    @property
    def cause(self) -> str:
        """The line of the message that names the error, where it is a traceback, else the last one."""
        lines = self.message.splitlines()
        named = [line for line in lines if _ERROR.match(line)]
        return (named or lines or [""])[-1]

    @property
    def place(self) -> tuple[str, ...]:
        """Where and by which kind of error it failed: the same whatever values the error's text names."""
        frames = [line for line in self.message.splitlines() if line.startswith('  File "')]
        return (*frames, self.cause.partition(":")[0])


@dataclasses.dataclass(frozen=True)
class Run:
    """The trials of one configuration, the first trial first."""

    trials: tuple[Record, ...]

    @property
    def number(self) -> int:
        """Number of the run: that of its first trial."""
        return self.trials[0].trial

    @property
    def last(self) -> Record:
        """The newest trial with a result; the first trial while none has one."""
        judged = [record for record in self.trials if record.status in JUDGED]
        return judged[-1] if judged else self.trials[0]

    @property
    def status(self) -> str:
        """Status of the newest trial."""
        return self.trials[-1].status

    @property
    def score(self) -> float | None:
        """The objective at the last epoch of the highest rung."""
        return self.last.score

    @property
    def has_score(self) -> bool:
        """Whether that is one to be ranked by."""
        return self.last.has_score

    @property
    def epochs(self) -> int:
        """Epochs trained, over all trials of the run."""
        return self.last.epochs if self.last.status == COMPLETED else self.last.initial_epoch + len(self._epochs_seen())

    @property
    def rung(self) -> int:
        """Epochs that its newest result was asked for: what ended early was judged at that rung, too."""
        return self.last.rung

    @property
    def seconds(self) -> float:
        """Wall time over all trials of the run."""
        return sum(record.seconds for record in self.trials)

    def curve(self, objective: str) -> list[tuple[int, float]]:
        """Returns the epochs, from 1, and the objective after each of them, where that is finite."""
        curves = [record.curve for record in self.trials if objective in record.curve]
        return [point for curve in curves for point in _points(curve, objective)]

    def best(self, direction: str) -> tuple[float | None, int | None]:
        """Returns the best score of any epoch and that epoch; (None, None) where there is no score."""
        each = ((r.best_score, r.best_epoch) for r in self.trials)
        scored = [(score, epoch) for score, epoch in each if score is not None and math.isfinite(score)]
        pick = max if direction == "max" else min
        return pick(scored, key=lambda pair: pair[0]) if scored else (None, None)

    def _epochs_seen(self) -> list[float]:
        return self.last.curve.get("epoch", [])


def best_of(curve: Mapping[str, list[float]], objective: str, *, direction: str) -> tuple[float | None, int | None]:
    """Returns the best finite value of a curve and its epoch; (None, None) where there is none.

    Args:
        curve: Values after each epoch by the name of the metric; `epoch` has the absolute epochs, from 1.
        objective: Name of the metric.
        direction: `max` or `min`: the better end of it.
    """
    points = _points(curve, objective)
    pick = max if direction == "max" else min
    epoch, value = pick(points, key=lambda point: point[1]) if points else (None, None)
    return value, epoch


def varying(values: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the names of which configurations have more than one value; not to have it is another one."""
    names = dict.fromkeys(name for each in values for name in each)
    return [name for name in names if len({str(each.get(name)) for each in values}) > 1]


def _points(curve: Mapping[str, list[float]], objective: str) -> list[tuple[int, float]]:
    """Returns the epochs of a curve and its values there, where these are finite."""
    pairs = zip(curve.get("epoch", []), curve.get(objective, []), strict=True)
    return [(int(epoch), value) for epoch, value in pairs if math.isfinite(value)]


def ended_in_order(records: Iterable[Record]) -> list[Record]:
    """Returns the trials that have ended, in the order in which they did."""
    return sorted((record for record in records if record.order is not None), key=lambda record: record.order or 0)


def runs_of(records: Iterable[Record]) -> list[Run]:
    """Returns the runs that the records make up, in the order in which the runs began."""
    chains: dict[int, list[Record]] = {}
    root_of: dict[int, int] = {}
    for record in sorted(records, key=lambda r: r.trial):
        root = record.trial if record.parent is None else root_of[record.parent]
        root_of[record.trial] = root
        chains.setdefault(root, []).append(record)
    return [Run(tuple(chain)) for chain in chains.values()]


def rank(runs: Iterable[Run], direction: str) -> list[Run]:
    """Returns the runs with the best first.

    A run of a higher rung stands before one of a lower rung, whatever their scores, which are not comparable. Runs that
    diverged, failed or have no score yet come last.
    """

    def key(run: Run) -> tuple[bool, int, float, int]:
        score = run.score if run.has_score else None
        if score is None:
            return True, 0, 0.0, run.number
        return False, -run.rung, -score if direction == "max" else score, run.number

    return sorted(runs, key=key)
