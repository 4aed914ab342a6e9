"""Shows a search while it runs: live lines on a terminal, plain lines elsewhere, nothing when asked to be quiet.

On a terminal there is a line for each worker, and below them the best so far and the bar of the whole search.
Everything goes to stderr; results are for stdout.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from tuner import records
from tuner.budget import Budget
from tuner.plan import Plan
from tuner.quantities import counted, describe_bytes, describe_seconds
from tuner.records import Record, rank, runs_of

__all__ = ["Display"]

REFRESHES_PER_SECOND = 5


class Display:
    """An `Observer` of the executor, and a context: on leaving it, the terminal is as it was.

    Args:
        plan: What the search will do.
        objective: Name of the objective.
        direction: `max` or `min`.
        budget: What is left is shown beside the best; None where there is no limit.
        quiet: Whether to show nothing.
        console: Where to write; None means stderr.
    """

    def __init__(
        self,
        plan: Plan,
        objective: str,
        *,
        direction: str,
        budget: Budget | None = None,
        quiet: bool = False,
        console: Console | None = None,
    ) -> None:
        self._console = console if console and not quiet else Console(stderr=True, quiet=quiet, highlight=False)
        self._plan = plan
        self._objective = objective
        self._direction = direction
        self._budget = budget
        self._records: dict[int, Record] = {}
        self._root: dict[int, int] = {}
        self._workers: dict[str, str] = {}
        self._best = ""
        self._status = "starting"
        self._has_replaced = False
        self._bar = Progress(
            BarColumn(),  # as short as the terminal makes it: the numbers stay
            MofNCompleteColumn(),
            TextColumn("epochs, left"),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task: TaskID = self._bar.add_task("", total=plan.epochs)
        self._live = Live(
            get_renderable=self._lines,
            console=self._console,
            refresh_per_second=REFRESHES_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._is_live = self._console.is_terminal and not quiet

    def __enter__(self) -> Self:
        """Starts the live lines."""
        if self._is_live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the live lines."""
        if self._is_live:
            with contextlib.suppress(BrokenPipeError):
                self._live.stop()

    def resume(self, held: Sequence[Record]) -> None:
        """Takes over the trials that a continued study holds already."""
        if held:
            self._console.print(f"continuing: {counted(len(held), 'trial is', 'trials are')} in the study")
        for record in held:
            self._keep(record)
            if record.status != records.RUNNING:
                self._advance(len(record.curve.get("epoch", ())))
        if held:
            self._rank()
            self._sum_up()

    def trial_began(self, record: Record) -> None:
        """Names the trial on its worker's line."""
        self._keep(record)
        self._describe(record, record.initial_epoch)

    def epoch_ended(self, record: Record, epoch: int, metrics: Mapping[str, float], rate: float | None) -> None:
        """Moves the bar."""
        self._advance(1)
        self._describe(record, epoch, metrics.get(self._objective), rate)

    def trial_ended(self, record: Record) -> None:
        """Writes one line about the trial."""
        self._keep(record)
        self._workers.pop(record.worker, None)
        self._rank()
        self._sum_up()
        score = "" if record.score is None else f"{self._objective} {record.score:.4f}"
        if record.status != records.COMPLETED:
            score = f"{record.status}: {record.cause}"
        elif record.message:
            score = f"{score}  ({record.cause})"
        parts = [
            self._trial(record),
            f"run {self._root[record.trial]}",
            f"epochs {record.initial_epoch}->{record.epochs}",
            score,
            f"{record.seconds:.1f} s",
        ]
        if not self._is_live:  # a terminal has it in the lines below
            parts.append(self._best)
        self._print("  ".join(parts))

    def worker_replaced(self, worker: str, memory: int) -> None:
        """Writes a line the first time: where the limit is too small, each trial has a new worker."""
        if not self._has_replaced:
            self._print(
                f"worker {worker} held {describe_bytes(memory)}, above its limit (--worker-memory), and was replaced; "
                "the new one compiles anew. This is said once."
            )
        self._has_replaced = True

    def worker_refused(self, reason: str) -> None:
        """Writes one line."""
        self._print(f"{reason} It is left out.")

    def trial_lost(self, record: Record, losses: int) -> None:
        """Writes one line about a worker that died."""
        self._workers.pop(record.worker, None)
        self._print(
            f"trial {record.trial + 1}: worker {record.worker} died, the trial goes on from its last checkpoint "
            f"({losses}. time)"
        )

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, emoji=False, soft_wrap=True)

    def _trial(self, record: Record) -> str:
        """Names a trial, and of how many it is one where that is known."""
        number, planned = record.trial + 1, self._plan.trials
        if self._plan.is_fixed:
            return f"trial {number}/{max(planned, number)}"
        return f"trial {number} of about {planned}" if number <= planned else f"trial {number}"

    def _advance(self, epochs: int) -> None:
        """Moves the bar; its end moves too where there are more epochs than were planned."""
        self._bar.advance(self._task, epochs)
        done = self._bar.tasks[0].completed
        self._bar.update(self._task, total=max(self._plan.epochs, done))

    def _keep(self, record: Record) -> None:
        self._records[record.trial] = record
        self._root[record.trial] = record.trial if record.parent is None else self._root[record.parent]

    def _describe(self, record: Record, epoch: int, value: float | None = None, rate: float | None = None) -> None:
        name = self._trial(record).partition(" of about ")[0]  # of how many is in the lines above; 80 letters must do
        trial = f"{name} run {self._root[record.trial]} epoch {epoch}/{record.epochs}"
        score = "" if value is None else f"  {self._objective} {value:.4f}"
        speed = "" if rate is None else f"  {rate:,.0f} images/s"
        self._workers[record.worker] = f"worker {record.worker}  {trial}{score}{speed}"
        self._sum_up()

    def _sum_up(self) -> None:
        self._status = "  ".join(part for part in (self._best or "no score yet", self._left()) if part)

    def _lines(self) -> Group:
        lines = [line for _, line in sorted(self._workers.items(), key=_natural)]
        return Group(*(Text(line, no_wrap=True) for line in (*lines, self._status)), self._bar.get_renderable())

    def _left(self) -> str:
        """Returns what is left of the budget."""
        if self._budget is None:
            return ""
        seconds, epochs = self._budget.seconds_left(), self._budget.epochs_left(self._records.values())
        parts = [f"{describe_seconds(max(0.0, seconds))}"] if seconds is not None else []
        parts += [counted(max(0, epochs), "epoch")] if epochs is not None else []
        return f"budget left: {', '.join(parts)}" if parts else ""

    def _rank(self) -> None:
        """Finds the best run, which changes where a trial has ended."""
        best = rank(runs_of(self._records.values()), self._direction)[0]
        told = f"best {best.score:.4f} (run {best.number}, {counted(best.epochs, 'epoch')})" if best.has_score else ""
        self._best = told


def _natural(named: tuple[str, str]) -> tuple[int, str]:
    """Sorts worker 10 behind worker 2."""
    return len(named[0]), named[0]
