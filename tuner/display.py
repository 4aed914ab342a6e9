"""Shows a search while it runs: a live line on a terminal, plain lines elsewhere, nothing when asked to be quiet.

Everything goes to stderr; results are for stdout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from tuner import records
from tuner.plan import Plan
from tuner.records import Record, rank, runs_of

__all__ = ["Display"]


class Display:
    """An `Observer` of the executor, and a context: on leaving it, the terminal is as it was.

    Args:
        plan: What the search will do.
        objective: Name of the objective.
        direction: `max` or `min`.
        quiet: Whether to show nothing.
        console: Where to write; None means stderr.
    """

    def __init__(
        self, plan: Plan, objective: str, *, direction: str, quiet: bool = False, console: Console | None = None
    ) -> None:
        self._console = console if console and not quiet else Console(stderr=True, quiet=quiet, highlight=False)
        self._trials = plan.trials
        self._objective = objective
        self._direction = direction
        self._records: dict[int, Record] = {}
        self._root: dict[int, int] = {}
        self._live = self._console.is_terminal and not quiet
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs, left"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self._console,
            disable=not self._live,
        )
        self._task: TaskID = self._progress.add_task("starting", total=plan.epochs)

    def __enter__(self) -> Self:
        """Starts the live line."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the live line."""
        self._progress.stop()

    def resume(self, held: Sequence[Record]) -> None:
        """Takes over the trials that a continued study holds already."""
        if held:
            self._console.print(f"continuing: {len(held)} trials are in the study")
        for record in held:
            self._keep(record)
            if record.status != records.RUNNING:
                self._progress.advance(self._task, record.epochs - record.initial_epoch)

    def trial_began(self, record: Record) -> None:
        """Names the trial on the live line."""
        self._keep(record)
        self._describe(record, record.initial_epoch)

    def epoch_ended(self, record: Record, epoch: int, metrics: Mapping[str, float]) -> None:
        """Moves the bar."""
        self._progress.advance(self._task)
        self._describe(record, epoch, metrics.get(self._objective))

    def trial_ended(self, record: Record) -> None:
        """Writes one line about the trial."""
        self._keep(record)
        score = "" if record.score is None else f"{self._objective} {record.score:.4f}"
        if record.status != records.COMPLETED:
            score = f"{record.status}: {record.cause}"
        self._console.print(
            f"trial {record.trial + 1}/{max(self._trials, record.trial + 1)}  run {self._root[record.trial]}  "
            f"epochs {record.initial_epoch}->{record.epochs}  {score}  {record.seconds:.1f} s  {self._best()}",
            markup=False,
            soft_wrap=True,
        )

    def _keep(self, record: Record) -> None:
        self._records[record.trial] = record
        self._root[record.trial] = record.trial if record.parent is None else self._root[record.parent]

    def _describe(self, record: Record, epoch: int, value: float | None = None) -> None:
        score = "" if value is None else f" {value:.4f}"
        trial = f"trial {record.trial + 1}/{self._trials} run {self._root[record.trial]} epoch {epoch}/{record.epochs}"
        self._progress.update(self._task, description=f"{trial}{score}  {self._best()}")

    def _best(self) -> str:
        best = rank(runs_of(self._records.values()), self._direction)[0]
        if best.score is None:
            return ""
        return f"best {best.score:.4f} (run {best.number}, {best.epochs} epochs)"
