"""Keeps an oracle and a study in step while a worker trains.

    create_trial -> study.begin -> worker.train -> study.finish -> end_trial

It works with any `keras_tuner.Oracle` and honours Keras Tuner's promotion protocol: a trial whose values hold
`tuner/trial_id`, `tuner/initial_epoch` and `tuner/epochs` continues the trial of that name, exactly.

A search that is started again replays the study to a new oracle: the same proposals, the same scores, in the order in
which they came. So the state of any oracle whose choices follow from its seed is restored, and nothing but the study
has to be kept.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import tempfile
import traceback
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import keras_tuner
from keras_tuner.engine.trial import Trial

from tuner import records
from tuner.errors import StudyError, TunerError
from tuner.hypermodel import active_values
from tuner.records import Record
from tuner.study import Study
from tuner.training import derived_seed
from tuner.worker import Result, Task, Worker

__all__ = ["Executor", "Observer"]


class Observer(Protocol):
    """Is told what happens; the commands show it to a person."""

    def resume(self, held: Sequence[Record]) -> None:
        """A search begins with the trials that the study holds already."""

    def trial_began(self, record: Record) -> None:
        """A trial is about to be trained."""

    def epoch_ended(self, record: Record, epoch: int, metrics: Mapping[str, float]) -> None:
        """A trial has `epoch` epochs behind it, counted from 1."""

    def trial_ended(self, record: Record) -> None:
        """A trial has ended and is in the study."""


class Executor(keras_tuner.Tuner):
    """Runs a search.

    Args:
        oracle: Proposes trials and hears their scores.
        worker: Trains.
        study: Keeps every trial.
        checkpoints: Folder for the states that promotions continue from.
        observer: Is told what happens, or None.
        on_trial_end: Called with all trials of the study after each that ended, or None.
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        *,
        worker: Worker,
        study: Study,
        checkpoints: Path,
        observer: Observer | None = None,
        on_trial_end: Callable[[Sequence[Record]], None] | None = None,
    ) -> None:
        # Keras Tuner wants a folder for files of its own. The study is the only truth, so they are thrown away.
        scratch = tempfile.mkdtemp(prefix="tuner-")
        weakref.finalize(self, shutil.rmtree, scratch, ignore_errors=True)
        super().__init__(oracle=oracle, directory=scratch, project_name="oracle")
        self.oracle.verbose = 0
        self.worker = worker
        self.study = study
        self.checkpoints = checkpoints
        self.observer = observer
        self._after_trial = on_trial_end
        self._records: list[Record] = []
        self._trials: dict[int, Trial] = {}
        self._numbers: dict[str, int] = {}

    def search(self) -> list[Record]:
        """Searches until the oracle stops, from wherever the study stands.

        Returns:
            All trials of the study.

        Raises:
            StudyError: If the oracle proposes other trials than the study holds.
            TunerError: If trials fail in the same way twice, or the oracle gives up.
        """
        self._replay()
        if self.observer:
            self.observer.resume(self._records)
        for record in [r for r in self._records if r.status == records.RUNNING]:
            self._train(record)
        while (trial := self._create()) is not None:
            record = self._new_record(trial)
            self._records.append(record)
            self.study.begin(record, proposal=_proposal(trial))
            self._train(record)
        return list(self._records)

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Trains one trial and returns its objective, for users of Keras Tuner; it writes no study."""
        result = self.worker.train(self._task(self._new_record(trial)))
        name = self.oracle.objective.name
        return {name: result.curve[name][-1]}

    def _create(self) -> Trial | None:
        """Returns the oracle's next trial, or None when it has no more."""
        trial = self.oracle.create_trial(f"slot{len(self._records)}")
        if trial.status == "IDLE":
            raise TunerError(
                "The oracle waits for a trial although none is running; it cannot be used with one worker."
            )
        if trial.status == "STOPPED":
            return None
        self._trials[len(self._records)] = trial
        self._numbers[trial.trial_id] = len(self._records)
        return trial

    def _new_record(self, trial: Trial) -> Record:
        values = trial.hyperparameters.values
        hyperparameters = _plain(active_values(trial.hyperparameters))
        size = self.worker.cost(hyperparameters)
        return Record(
            trial=len(self._records),
            parent=self._parent(trial),
            hyperparameters=hyperparameters,
            initial_epoch=int(values.get("tuner/initial_epoch", 0)),
            epochs=int(values.get("tuner/epochs", self.worker.session.max_epochs)),
            status=records.RUNNING,
            seed=derived_seed(self.study.config.seed, json.dumps(hyperparameters, sort_keys=True)),
            params=size.params,
            macs=size.macs,
            after=self._ended(),
        )

    def _parent(self, trial: Trial) -> int | None:
        name = trial.hyperparameters.values.get("tuner/trial_id")
        return None if name is None else self._numbers[name]

    def _train(self, record: Record) -> None:
        if self.observer:
            self.observer.trial_began(record)
        result = self._result(record)
        record = self._judged(record, result)
        self._records[record.trial] = record
        self.study.finish(record)
        self._forget_checkpoints(record)
        if self.observer:
            self.observer.trial_ended(record)
        if self._after_trial:
            self._after_trial(self._records)
        if result.status == records.FAILED:
            self._stop_at_second(record)
        self._tell(record)

    def _result(self, record: Record) -> Result:
        if record.parent is not None and self._records[record.parent].status == records.DIVERGED:
            message = f"It would have continued trial {record.parent}, which diverged."
            return Result(status=records.DIVERGED, curve={}, seconds=0.0, message=message)
        try:
            return self.worker.train(self._task(record), lambda epoch, metrics: self._report(record, epoch, metrics))
        except TunerError:
            raise
        except Exception:  # noqa: BLE001  (whatever goes wrong in one training must not end the others)
            return Result(status=records.FAILED, curve={}, seconds=0.0, message=traceback.format_exc(limit=-3).strip())

    def _report(self, record: Record, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Passes an epoch on, and returns whether the oracle wants the trial to stop."""
        value = metrics[self.oracle.objective.name]
        self.study.report(record.trial, epoch=epoch, value=value)
        if self.observer:
            self.observer.epoch_ended(record, epoch, metrics)
        trial = self.oracle.update_trial(
            self._trials[record.trial].trial_id, {self.oracle.objective.name: value}, epoch
        )
        return trial.status == "STOPPED"

    def _judged(self, record: Record, result: Result) -> Record:
        """Returns the record with its result: the score is the objective at the last epoch, or the worst there is."""
        objective, direction = self.oracle.objective.name, self.study.config.direction
        values = result.curve.get(objective, [])
        best_score, best_epoch = records.best_of(result.curve, objective, direction=direction)
        score = {records.COMPLETED: values[-1] if values else None, records.DIVERGED: self._worst_score()}
        return dataclasses.replace(
            record,
            status=result.status,
            epochs=int(result.curve["epoch"][-1]) if result.status == records.COMPLETED else record.epochs,
            score=score.get(result.status),
            best_score=best_score,
            best_epoch=best_epoch,
            curve=result.curve,
            seconds=result.seconds,
            message=result.message,
            order=self._ended(),
        )

    def _worst_score(self) -> float:
        """Returns the score of a diverged trial: no accuracy, or a loss no better than chance or any other."""
        if self.study.config.direction == "max":
            return 0.0
        scores = [record.score for record in self._records if record.score is not None]
        return max([math.log(self.worker.dataset.classes), *scores])

    def _tell(self, record: Record) -> None:
        """Ends the trial in the oracle, with the score of the record in place of what was reported on the way."""
        trial = self.oracle.get_trial(self._trials[record.trial].trial_id)
        trial.metrics = type(trial.metrics)()
        trial.status, trial.message = "FAILED", record.message
        if record.score is not None:
            self.oracle.update_trial(trial.trial_id, {self.oracle.objective.name: record.score}, record.epochs)
            trial.status = "COMPLETED"
        try:
            self.oracle.end_trial(trial)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise TunerError(f"The oracle gave up: {reason} The last trial failed with {record.cause}") from error

    def _replay(self) -> None:
        """Tells a new oracle what the study holds, event by event."""
        held, proposals = self.study.records(), self.study.proposals()
        ended = sorted((r for r in held if r.order is not None), key=lambda r: r.order or 0)
        for record, proposal in zip(held, proposals, strict=True):
            while self._ended() < record.after:
                self._replay_end(ended[self._ended()])
            trial = self._create()
            if trial is None or _proposal(trial) != proposal or self._parent(trial) != record.parent:
                raise StudyError(
                    f"The study {self.study.name} cannot be continued exactly: trial {record.trial} would get other "
                    f"values now. It was made with {_versions(self.study.versions)}; start a new one with --study."
                )
            self._records.append(dataclasses.replace(record, status=records.RUNNING, order=None))
        for record in ended[self._ended() :]:
            self._replay_end(record)

    def _replay_end(self, record: Record) -> None:
        self._records[record.trial] = record
        name = self.oracle.objective.name
        for epoch, value in zip(record.curve.get("epoch", []), record.curve.get(name, []), strict=True):
            if math.isfinite(value):
                self.oracle.update_trial(self._trials[record.trial].trial_id, {name: value}, int(epoch))
        self._tell(record)

    def _stop_at_second(self, record: Record) -> None:
        messages = [r.message for r in self._records if r.status == records.FAILED]
        if messages.count(record.message) > 1:
            raise TunerError(f"Two trials failed in the same way, so the search stops: {record.cause}")

    def _task(self, record: Record) -> Task:
        return Task(
            hyperparameters=record.hyperparameters,
            initial_epoch=record.initial_epoch,
            epochs=record.epochs,
            seed=record.seed,
            checkpoint=str(self._checkpoint(record.trial)),
            parent=None if record.parent is None else str(self._checkpoint(record.parent)),
        )

    def _checkpoint(self, number: int) -> Path:
        return self.checkpoints / f"trial{number:05d}.npz"

    def _forget_checkpoints(self, record: Record) -> None:
        """Removes the states that no promotion needs: that of the parent, and that of a run at its full budget."""
        if record.parent is not None:
            self._checkpoint(record.parent).unlink(missing_ok=True)
        if record.epochs >= self.worker.session.max_epochs or record.status != records.COMPLETED:
            self._checkpoint(record.trial).unlink(missing_ok=True)

    def _ended(self) -> int:
        return sum(record.order is not None for record in self._records)


def _proposal(trial: Trial) -> dict[str, Any]:
    """Returns the values of a trial but for the name of its parent, which depends on how many digits a name has."""
    values = _plain(trial.hyperparameters.values)
    return {name: value for name, value in values.items() if name != "tuner/trial_id"}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values without NumPy's types, which JSON does not know."""
    return {name: value.item() if hasattr(value, "item") else value for name, value in values.items()}


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
