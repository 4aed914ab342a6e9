"""Runs a search: asks for trials, gives them to workers, takes in what they tell.

    ledger.ask -> ledger.take -> worker: begin, advance, advance, ... -> ledger.judge -> ledger.conclude
                              -> ledger.write, while the worker trains

It works with any `keras_tuner.Oracle`, with as many trials in flight as there are workers. Only the driver decides and
writes; a worker that dies loses nothing but the epochs since its last checkpoint.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from tuner import records
from tuner.budget import Budget, Limits
from tuner.checkpoint import CheckpointFolder
from tuner.crew import Crew, Event
from tuner.dialogue import Proposal
from tuner.errors import TunerError
from tuner.flights import Flight, Flights
from tuner.hypermodel import SEResNetHyperModel
from tuner.interrupts import held_interrupt
from tuner.ledger import Ledger
from tuner.messages import Progress, Task
from tuner.observer import Observer
from tuner.oracles.files import write_nothing
from tuner.order import FixedOrder
from tuner.records import Record
from tuner.study import Study

__all__ = ["Executor"]

POLL_SECONDS = 1.0


class Executor(keras_tuner.Tuner):
    """Runs a search.

    Args:
        oracle: Proposes trials and hears their scores.
        crew: Trains.
        hypermodel: Says what hyperparameters mean, and so how large a network is.
        study: Keeps every trial.
        checkpoints: Folder for the states that promotions continue from.
        budget: When to stop; None means when the oracle does.
        order: Fixes the order of decisions; None takes trials as they end.
        observer: Is told what happens, or None.
        on_trial_end: Called with all trials of the study after each that ended, or None.

    Attributes:
        reason: Why the search stopped, for a person to read.
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        *,
        crew: Crew,
        hypermodel: SEResNetHyperModel,
        study: Study,
        checkpoints: Path,
        budget: Budget | None = None,
        order: FixedOrder | None = None,
        observer: Observer | None = None,
        on_trial_end: Callable[[Sequence[Record]], None] | None = None,
    ) -> None:
        # Keras Tuner wants a folder for files of its own. The study is the only truth, so none are written.
        super().__init__(oracle=oracle, directory=str(checkpoints.parent), project_name=".")
        # The environment may name the chief of a distributed search of Keras Tuner's, which then has the oracle.
        self.oracle = oracle
        write_nothing(oracle)
        self.oracle.verbose = 0
        self.crew = crew
        self.max_epochs = hypermodel.max_epochs
        self.ledger = Ledger(self.oracle, study, hypermodel, order)
        self.budget = budget or Budget(Limits(), began=time.monotonic())
        self.checkpoints = CheckpointFolder(checkpoints, self.budget.limits.disk_bytes)
        self.observer = observer
        self.reason = ""
        self._order = order
        self._after_trial = on_trial_end
        self._waiting: collections.deque[Record] = collections.deque()
        self._ended: list[Record] = []  # since the last writing
        self._flights = Flights()
        self._stops: dict[int, int] = {}  # the epoch after which the oracle wants a trial to end

    def search(self) -> list[Record]:
        """Searches until the oracle or the budget stops, from wherever the study stands.

        Returns:
            All trials of the study.

        Raises:
            StudyError: If the oracle proposes other trials than the study holds.
            TunerError: If trials fail in the same way twice, the oracle gives up, or all workers are gone.
        """
        self.ledger.replay()
        if self.observer:
            self.observer.resume(self.ledger.held)
        self._waiting.extend(record for record in self.ledger.held if record.status == records.RUNNING)
        try:
            self._launch()  # what was interrupted comes before new trials, also where there is no time for it
            while not self.reason or self._flights or self._waiting:
                self._propose()
                self._launch()
                self._write()
                if (self._flights or self._waiting) and (event := self._next()):
                    self._handle(event)
        finally:
            self._write()
        return list(self.ledger.held)

    @property
    def is_through(self) -> bool:
        """Whether the oracle has no more trials, and none waits for another search."""
        return self.ledger.is_through and all(record.status != records.RUNNING for record in self.ledger.held)

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Trains one trial and returns its objective, for users of Keras Tuner; it writes no study."""
        record = self.ledger.record_of(Proposal(trial, None))
        self.crew.begin(self.crew.free()[0], record.trial, dataclasses.replace(self._task(record), checkpoint=None))
        value = math.nan
        while (event := self.crew.next()) and event.progress:
            value = [value, *event.progress.curve.get(self.ledger.objective, [])][-1]
            if event.progress.status != records.RUNNING:
                break
            self.crew.advance(record.trial)
        return {self.ledger.objective: value}

    def _propose(self) -> None:
        """Asks the oracle for as many trials as there are workers without one."""
        while not self.reason and len(self._flights) + len(self._waiting) < self.crew.size:
            asked = self.ledger.ask()
            if asked is None:
                self._without_proposal()
                return
            record, proposal = asked
            epochs = record.epochs - record.initial_epoch
            self.reason = self.budget.refusal(epochs=epochs, macs=record.macs, held=self.ledger.held)
            if not self.reason:  # else it is not in the study, and the next search gets it again
                self.ledger.take(record, proposal)
                self._waiting.append(record)

    def _without_proposal(self) -> None:
        if self.ledger.is_through:
            self.reason = self.ledger.ending
        elif not self._flights and not self._waiting:
            raise TunerError("The oracle waits for a trial although none is running; it cannot be used here.")

    def _launch(self) -> None:
        """Gives waiting trials to free workers; those that would not end in time stay for the next search."""
        free = list(self.crew.free())
        while free and self._waiting:
            record = self._waiting.popleft()
            parent = None if record.parent is None else self.ledger.held[record.parent]
            if parent is not None and parent.status != records.COMPLETED:
                message = f"It would have continued trial {parent.trial}, which {_ended_how(parent)}."
                self._end(record, Progress(status=parent.status, curve={}, seconds=0.0, message=message))
                continue
            if late := self._lateness(record):  # one that was interrupted, or whose worker died: it is in the study
                self.reason = late
                continue
            flight = self._flights.launch(record, free, now=time.monotonic())
            free.remove(flight.worker)
            if self.observer:
                self.observer.trial_began(flight.record)
            self.crew.begin(flight.worker, record.trial, self._task(record))

    def _lateness(self, record: Record) -> str:
        """Returns why a trial must not go on from where its state stands, or an empty text."""
        if self.budget.limits.seconds is None:
            return ""
        epochs = record.epochs - self.checkpoints.epoch(record)
        return self.budget.lateness(epochs=epochs, macs=record.macs, held=self.ledger.held) if epochs else ""

    def _next(self) -> Event | None:
        """Waits for the next event that may be handled; None after a while."""
        if self._order:
            # A trial that waits has its turn too, unless it waits for the end of one of the others.
            waiting = self._waiting if len(self._flights) < self.crew.size else ()
            running = [*(flight.record for flight in self._flights), *waiting]
            told = {record.trial: (record, self.ledger.told(record.trial)) for record in running}
            event = self._order.next(told, lambda: self.crew.next(POLL_SECONDS))
        else:
            event = self.crew.next(POLL_SECONDS)
        if self.observer:
            for reason in self.crew.refusals():
                self.observer.worker_refused(reason)
        return event or self._hanging()

    def _hanging(self) -> Event | None:
        """Returns the end of a trial whose worker does not answer in time, after replacing that."""
        limit = self.budget.limits.trial_seconds
        if limit is None:
            return None
        for flight in self._flights.overdue(limit, now=time.monotonic()):
            trial = flight.record.trial
            if self._order and self._order.has_heard(trial):
                continue
            self.crew.replace(flight.worker)
            message = "It did not answer within --trial-time-limit, and its worker was given up."
            seconds = time.monotonic() - flight.launched
            progress = Progress(status=records.TIMED_OUT, curve={}, seconds=seconds, message=message)
            return Event(trial, flight.worker, progress)
        return None

    def _handle(self, event: Event) -> None:
        """Takes in what a worker tells, and lets it go on."""
        flight, progress = self._flights[event.trial], event.progress
        if progress is None:
            self._lost(flight)
            return
        last = 0
        for place in range(len(progress.curve.get("epoch", []))):
            metrics = {name: values[place] for name, values in progress.curve.items()}
            answer = self.ledger.report(event.trial, metrics)
            last = int(metrics["epoch"])
            if answer:
                self._stops[event.trial] = last
            if self.observer and answer is not None:
                self.observer.epoch_ended(flight.record, last, metrics, progress.images_per_second)
        flight.asked = time.monotonic()
        if progress.status != records.RUNNING:
            self._end(flight.record, progress)
            if event.replaced and self.observer:
                self.observer.worker_replaced(event.worker, progress.memory)
        elif last >= self._stops.get(event.trial, math.inf):  # also where it is told again after a worker's death
            self.crew.stop(event.trial)
        else:
            self.crew.advance(event.trial)

    def _lost(self, flight: Flight) -> None:
        """Puts the trial of a worker that died back into the queue, unless that happened too often."""
        record, retries = flight.record, self.budget.limits.retries
        losses = self._flights.lose(record.trial)
        if losses <= retries:
            self._flights.land(record.trial)
            self._waiting.appendleft(record)
            if self.observer:
                self.observer.trial_lost(record, losses)
            return
        message = f"Its worker died at every attempt; --retries is {retries}."
        seconds = time.monotonic() - flight.launched
        self._end(record, Progress(status=records.WORKER_DIED, curve={}, seconds=seconds, message=message))

    def _end(self, record: Record, progress: Progress) -> None:
        self._flights.land(record.trial)
        ended = self.ledger.judge(record, progress)
        self._ended.append(ended)
        if self.observer:
            self.observer.trial_ended(ended)
        self.ledger.conclude(ended)

    def _write(self) -> None:
        """Writes what has been decided and what follows from the trials that have ended; no worker waits for that."""
        with held_interrupt():  # it would leave a trial half written, and a traceback of SQLAlchemy in the terminal
            ended, self._ended = self._ended, []  # first: what cannot be written leaves no trace on the disk
            self.ledger.write()
            direction = self.ledger.study.config.direction
            for record in ended:
                self.checkpoints.after(record, self.ledger.held, max_epochs=self.max_epochs, direction=direction)
            if ended and self._after_trial:
                self._after_trial(self.ledger.held)

    def _task(self, record: Record) -> Task:
        return Task(
            hyperparameters=record.hyperparameters,
            initial_epoch=record.initial_epoch,
            epochs=record.epochs,
            seed=record.seed,
            checkpoint=str(self.checkpoints.path(record.trial)),
            parent=None if record.parent is None else str(self.checkpoints.path(record.parent)),
            keep=record.epochs < self.max_epochs,
            seconds=self.budget.limits.trial_seconds,
        )


def _ended_how(record: Record) -> str:
    """Returns the end of a trial as the verb of a sentence."""
    phrases = {records.OUT_OF_MEMORY: "ran out of memory", records.WORKER_DIED: "lost its worker"}
    return phrases.get(record.status, record.status)
