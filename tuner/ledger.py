"""Keeps an oracle and a study in step: what was proposed, told and judged, in the order in which it came.

What is decided is written a little later, in the same order, while the workers train (`Ledger.write`): a search that is
killed in between finds its last trials as they were an epoch before, and decides the same again.

A search that is started again replays the study to a new oracle: the same proposals, the same scores, in the same
order. So the state of any oracle whose choices follow from its seed is restored, and nothing but the study is kept.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
import math
from collections.abc import Callable, Mapping

import keras_tuner

from tuner import records
from tuner.dialogue import Dialogue, Proposal
from tuner.errors import StudyError, TrialsFailError
from tuner.hypermodel import SEResNetHyperModel
from tuner.messages import Progress
from tuner.order import FixedOrder
from tuner.records import Record, ended_in_order
from tuner.scoring import judged, worst_score
from tuner.seeds import derived_seed
from tuner.sizes import Sizes
from tuner.study import Study
from tuner.versions import library_versions

__all__ = ["Ledger"]

# Failures in succession at one place of the code, whatever the errors say: no configuration is to blame.
MOST_FAILED = 3


class Ledger:
    """The trials of a search, for the oracle and in the study.

    Args:
        oracle: Proposes trials and hears their scores.
        study: Keeps every trial.
        hypermodel: Says what hyperparameters mean.
        order: Is told when trials begin and end, or None.

    Attributes:
        held: All trials of the study, by number.
        is_through: Whether the oracle has no more trials.
    """

    def __init__(
        self, oracle: keras_tuner.Oracle, study: Study, hypermodel: SEResNetHyperModel, order: FixedOrder | None = None
    ) -> None:
        self.study = study
        self.held: list[Record] = []
        self._num_ended = 0
        self._model = hypermodel
        self._order = order
        self._dialogue = Dialogue(oracle)
        self._sizes = Sizes(hypermodel)
        self._curves: dict[int, dict[str, list[float]]] = collections.defaultdict(dict)
        self._unwritten: list[Callable[[], None]] = []

    @property
    def objective(self) -> str:
        """Name of the metric that is a trial's score."""
        return self._dialogue.objective

    @property
    def is_through(self) -> bool:
        """Whether the oracle has no more trials."""
        return self._dialogue.is_through

    @property
    def ending(self) -> str:
        """Why the oracle has no more trials, for a person to read."""
        return self._dialogue.ending

    def replay(self) -> None:
        """Tells a new oracle what the study holds, event by event, unless it has been told.

        Of thousands of trials, many algorithms take minutes to propose them again.

        Raises:
            StudyError: If it proposes other trials than the study holds.
        """
        if self.held:
            return
        held, proposals = self.study.records(), self.study.proposals()
        ended = ended_in_order(held)
        for record, values in zip(held, proposals, strict=True):
            while self._num_ended < record.after:
                self._replay_end(ended[self._num_ended])
            proposal = self._dialogue.ask(record.trial)
            if proposal is None or proposal.values() != values or proposal.parent != record.parent:
                raise StudyError(
                    f"The study {self.study.name} cannot be continued exactly: trial {record.trial} would get other "
                    f"values now. {_cause(self.study.versions)}; start a new one with --study."
                )
            self.held.append(dataclasses.replace(record, status=records.RUNNING, order=None))
            if self._order:
                self._order.begin(record)
        for record in ended[self._num_ended :]:
            self._replay_end(record)

    def ask(self) -> tuple[Record, Proposal] | None:
        """Returns the oracle's next trial, or None where it has none now; it counts only once it is taken."""
        proposal = self._dialogue.ask(len(self.held))
        return None if proposal is None else (self.record_of(proposal), proposal)

    def take(self, record: Record, proposal: Proposal) -> None:
        """Enters a trial that is going to be trained."""
        self.held.append(record)
        self._unwritten.append(functools.partial(self.study.begin, record, proposal=proposal.values()))
        if self._order:
            self._order.begin(record)

    def told(self, trial: int) -> int:
        """Returns how many epochs of a running trial are known."""
        return len(self._curves[trial].get("epoch", []))

    def report(self, trial: int, metrics: Mapping[str, float]) -> bool | None:
        """Enters an epoch of a trial.

        Args:
            trial: Number of the trial.
            metrics: Values by name; `epoch` is the absolute epoch, from 1.

        Returns:
            Whether the oracle wants the trial to stop; None where the epoch is known: a trial that was begun again
            after the death of its worker tells some epochs once more.
        """
        curve, epoch = self._curves[trial], int(metrics["epoch"])
        if epoch in curve.get("epoch", []):
            return None
        for name, value in metrics.items():
            curve.setdefault(name, []).append(value)
        value = metrics[self.objective]
        self._unwritten.append(functools.partial(self.study.report, trial, epoch=epoch, value=value))
        return self._tell(self.held[trial], epoch, value)

    def judge(self, record: Record, progress: Progress) -> Record:
        """Enters how a trial ended, and returns it with its score; the oracle is told by `conclude`."""
        direction = self.study.config.direction
        ended = judged(
            record,
            progress,
            self._curves.pop(record.trial, {}),
            objective=self.objective,
            direction=direction,
            worst=worst_score(self.held, direction, classes=self._model.classes),
        )
        ended = dataclasses.replace(ended, order=self._num_ended)
        self.held[record.trial] = ended
        self._num_ended += 1
        self._unwritten.append(functools.partial(self.study.finish, ended))
        if self._order:
            self._order.end(ended)
        return ended

    def write(self) -> None:
        """Writes to the study what was entered since the last time.

        Raises:
            StudyError: If another program writes to the study. What comes after a write that failed is never written.
        """
        unwritten, self._unwritten = self._unwritten, []
        for write in unwritten:
            write()

    def conclude(self, record: Record) -> None:
        """Tells the oracle how a trial ended.

        Raises:
            TrialsFailError: If the trial failed as one before it, or where the last ones did.
            TunerError: If the oracle gives up.
        """
        has_failed = record.status == records.FAILED
        if has_failed and sum((r.status, r.message) == (record.status, record.message) for r in self.held) > 1:
            raise _failing("Two trials failed in the same way", record)
        self._dialogue.end(record)
        if not has_failed:
            return
        last = ended_in_order(self.held)[-MOST_FAILED:]
        if len(last) == MOST_FAILED and all((r.status, r.place) == (records.FAILED, record.place) for r in last):
            raise _failing(f"The last {MOST_FAILED} trials failed at the same place", record)

    def record_of(self, proposal: Proposal) -> Record:
        """Returns the next trial as it will be when it begins."""
        initial_epoch, epochs = proposal.epochs(self._model.max_epochs)
        values, config = proposal.hyperparameters, self.study.config
        is_timed = "latency" in config.costs or "latency" in config.cost_limits
        identity = json.dumps(values, sort_keys=True)
        return Record(
            trial=len(self.held),
            parent=proposal.parent,
            hyperparameters=values,
            initial_epoch=initial_epoch,
            epochs=epochs,
            status=records.RUNNING,
            seed=derived_seed(self.study.config.seed, identity),
            params=int(self._sizes.of(values, "params")),
            macs=int(self._sizes.of(values, "macs")),
            latency_ms=self._sizes.of(values, "latency") if is_timed else None,
            after=self._num_ended,
        )

    def _replay_end(self, record: Record) -> None:
        self.held[record.trial] = record
        self._num_ended += 1
        values = record.curve.get(self.objective, [])
        for epoch, value in zip(record.curve.get("epoch", []), values, strict=True):
            self._tell(record, int(epoch), value)
        self._dialogue.end(record)
        if self._order:
            self._order.end(record)

    def _tell(self, record: Record, epoch: int, value: float) -> bool:
        """Tells the oracle what an epoch gave, unless that is no number, and returns whether the trial is to stop."""
        return math.isfinite(value) and self._dialogue.report(record, epoch=epoch, value=value)


def _failing(what: str, record: Record) -> TrialsFailError:
    return TrialsFailError(f"{what}, so the search stops: {record.cause}", record.message)


def _cause(then: Mapping[str, str]) -> str:
    """Returns which versions of libraries are others than those of a study, for a person to read."""
    now = library_versions()
    others = [f"{name} {then[name]} ({now.get(name, 'none')} now)" for name in then if now.get(name) != then[name]]
    same = "Its libraries are these, so most likely another version of this program made it"
    return f"It was made with {', '.join(others)}" if others else same
