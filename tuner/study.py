"""Every trial of a search, kept in an Optuna storage: the only truth, with one writer.

A trial is written when it begins, after each epoch, and when it ends; its state changes last, so a trial whose writer
was killed is still running in the study and is trained again. Optuna's own tools (optuna-dashboard) open the storage.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import optuna
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tuner import records, trials
from tuner.config import SearchConfig
from tuner.distributions import distributions
from tuner.errors import RequestError, StudyError
from tuner.interrupts import held_interrupt
from tuner.records import Record
from tuner.storage import (
    close_storage,
    delete_unfinished,
    find_whole,
    is_own,
    open_storage,
    sqlite_file,
    stored_names,
    told_in_words,
)

if TYPE_CHECKING:
    from tuner.messages import Facts

__all__ = ["Study", "changed_names"]

_DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}


class Study:
    """One study of a storage.

    Args:
        storage: The opened storage.
        identifier: Number of the study in it.
        name: Name of the study.

    Attributes:
        hold: Called before a trial is written; raises where the study is no longer kept for this search.
    """

    def __init__(self, storage: optuna.storages.RDBStorage, identifier: int, name: str) -> None:
        self._storage = storage
        self._id = identifier
        self._reader = trials.Reader(storage, identifier)
        self.name = name
        self.hold: Callable[[], None] = lambda: None
        facts = storage.get_study_user_attrs(identifier)
        if "config" not in facts:
            raise StudyError(f"The study {name} was not made by this program; choose another study.")
        with trials.understood(name):
            self.config = SearchConfig.from_dict(facts["config"])
            self.space: list[dict[str, Any]] = facts["space"]
            self.versions: dict[str, str] = facts["versions"]
        self.token: str = facts.get("token", "")  # studies of before have none
        self.seen: list[dict[str, Any]] = facts.get("seen", [])
        self.reference: dict[str, float] = facts.get("reference", {})
        self.data: dict[str, Any] = facts.get("data", {})  # studies of before have none

    @classmethod
    def create(
        cls,
        url: str,
        name: str,
        *,
        config: SearchConfig,
        space: Sequence[dict[str, Any]],
        versions: Mapping[str, str],
        seen: Sequence[dict[str, Any]] = (),
        reference: Mapping[str, float] | None = None,
        data: Facts | None = None,
    ) -> Study:
        """Makes a new study.

        Args:
            url: Where to keep it, as SQLAlchemy writes it.
            name: Its name.
            config: What the search was asked to do.
            space: The declared hyperparameters, as `keras_tuner.HyperParameters.get_config()["space"]` gives them.
            versions: Versions of the libraries.
            seen: What the search knows from another study, as `tuner.warm_start.seen_in` gives it.
            reference: Of several objectives, the worst value of each by name, from which hypervolumes are measured.
            data: What its networks are trained on.

        Raises:
            StudyError: If the storage cannot be opened, or has got such a study meanwhile.
        """
        storage = open_storage(url)
        facts = {
            "space": list(space),
            "versions": dict(versions),
            "token": secrets.token_hex(4),
            "seen": list(seen),
            "reference": dict(reference or {}),
            "data": dataclasses.asdict(data) if data else {},
        }
        with held_interrupt():
            delete_unfinished(storage, name, url)
            try:
                identifier = storage.create_new_study([_DIRECTIONS[each] for each in config.objectives.values()], name)
                for key, value in facts.items():  # the space is first: it marks a study as one of this program
                    storage.set_study_user_attr(identifier, key, value)
                storage.set_study_system_attr(identifier, "study:metric_names", [*config.objectives])
                storage.set_study_user_attr(identifier, "config", config.to_dict())  # makes it whole
            except (optuna.exceptions.DuplicatedStudyError, KeyError) as error:
                raise StudyError(f"Another search has just made the study {name}; choose another --study.") from error
        return cls(storage, identifier, name)

    @classmethod
    def open(cls, url: str, name: str) -> Study | None:
        """Returns the study of a name, or None when the storage has none, or one whose search was killed as it made it.

        Raises:
            StudyError: If the storage cannot be opened, or another program made the study.
        """
        file = sqlite_file(url)
        if file and not file.exists():
            return None
        with told_in_words(url):
            storage = open_storage(url)
            if (identifier := find_whole(storage, name, url)) is not None:
                return cls(storage, identifier, name)
            others = [other for other in stored_names(storage) if other != name]
            close_storage(storage)
        if others and is_own(url, name):  # the folder has another name
            raise StudyError(
                f"The folder of the study {name} holds the study {others[0]}: give it that name again, or choose "
                "another --study."
            )
        return None

    def check_space(self, space: Sequence[dict[str, Any]], name: str | None = None) -> None:
        """Refuses to go on with hyperparameters that were declared otherwise when the study was made.

        Args:
            space: The declared hyperparameters, as of `create`.
            name: The space's name now, if its file has moved.

        Raises:
            StudyError: Naming the first one that differs.
        """
        changed = changed_names(self.space, space)
        if changed:
            raise StudyError(
                f"The search space {name or self.config.space} has changed since the study {self.name} was made: "
                f"{changed[0]} is declared otherwise. Undo the change, or start another study with --study NAME."
            )

    def check_data(self, data: Facts, dataset: str | None = None) -> None:
        """Refuses to go on with other images than the study's: `data`, found at `dataset` if their folder has moved.

        Raises:
            StudyError: Naming what is different.
        """
        changed = data.differences(self.data) if self.data else []
        if changed:
            raise StudyError(
                f"The data {dataset or self.config.dataset} has changed since the study {self.name} was made: "
                f"{changed[0]}. Put it back, or start another study with --study NAME."
            )

    def check_totals(self, config: SearchConfig) -> None:
        """Refuses totals of trials or epochs that the study has passed already.

        Raises:
            RequestError: Naming how many there are.
        """
        proposals = self.proposals()
        trials = ("--trials", config.trials, len(proposals), "trials")
        epochs = ("--total-epochs", config.total_epochs, self._epochs_of(proposals), "epochs")
        for flag, total, begun, things in (trials, epochs):
            if total is not None and total < begun:
                raise RequestError(
                    f"{flag} is {total}, but the study {self.name} has {begun} {things} already; it is the total in "
                    f"the study, so give at least {begun}, or leave it out."
                )

    def begun_epochs(self) -> int:
        """Returns the epochs for which all trials so far were begun, those that ended early included."""
        return self._epochs_of(self.proposals())

    def begins_whole(self) -> bool | None:
        """Returns whether the first trial was begun for the full budget; None where there is none."""
        last = self.config.max_epochs
        return next((values.get("tuner/epochs", last) == last for values in self.proposals()), None)

    def extend(self, config: SearchConfig) -> None:
        """Takes over a configuration with other totals of trials and epochs: a study may grow."""
        self.config = config
        with self._there():
            self._storage.set_study_user_attr(self._id, "config", config.to_dict())

    def conclude(self) -> None:
        """Writes that the oracle has no more trials for the study's configuration."""
        totals = {"trials": self.config.trials, "total_epochs": self.config.total_epochs}
        with self._there():
            self._storage.set_study_user_attr(self._id, "concluded", totals)

    def is_concluded(self, config: SearchConfig) -> bool:
        """Whether a search for the totals of a configuration (None: as much as is default) has nothing left to do."""
        with self._there():
            concluded = self._storage.get_study_user_attrs(self._id).get("concluded")
        if concluded is None:
            return False
        same = (concluded["trials"], concluded.get("total_epochs")) == (config.trials, config.total_epochs)
        return same or config.trials == sum(trial.state.is_finished() for trial in self._trials())

    def begin(self, record: Record, *, proposal: Mapping[str, Any]) -> None:
        """Writes a trial that is about to be trained.

        Args:
            record: The trial; its number is the next one of the study.
            proposal: All values that the oracle gave, also those of `tuner/`.

        Raises:
            StudyError: If another program has begun a trial of that number.
        """
        known = distributions(self.space, record.hyperparameters)
        begun = trials.begun(record, proposal=proposal, distributions=known)
        self.hold()
        with self._there():
            number = self._storage.get_trial_number_from_id(self._storage.create_new_trial(self._id, begun))
        if number != record.trial:
            raise StudyError(
                f"The study {self.name} has got trial {number} from another program; only one search may write to it."
            )

    def report(self, trial: int, *, epoch: int, value: float) -> None:
        """Writes the objective after an epoch, counted from 1."""
        self._storage.set_trial_intermediate_value(self._trial_id(trial), epoch, value)

    def finish(self, record: Record) -> None:
        """Writes how a trial ended."""
        identifier = self._trial_id(record.trial)
        self._storage.set_trial_user_attr(identifier, trials.RESULT, trials.result_of(record))
        if record.status == records.COMPLETED and record.score is not None:
            values = [record.score, *(record.cost(name) for name in self.config.costs)]
            self._storage.set_trial_state_values(identifier, TrialState.COMPLETE, values)
        else:
            self._storage.set_trial_state_values(identifier, TrialState.FAIL)

    def records(self) -> list[Record]:
        """Returns all trials in the order in which they began."""
        with trials.understood(self.name):
            return [trials.record_of(trial) for trial in self._trials()]

    def proposals(self) -> list[dict[str, Any]]:
        """Returns what the oracle proposed for each trial, in the order in which they began."""
        with trials.understood(self.name):
            return [trials.proposal_of(trial) for trial in self._trials()]

    def close(self) -> None:
        """Gives the storage's connections back."""
        close_storage(self._storage)

    def _epochs_of(self, proposals: Sequence[Mapping[str, Any]]) -> int:
        last = self.config.max_epochs
        return sum(each.get("tuner/epochs", last) - each.get("tuner/initial_epoch", 0) for each in proposals)

    def _trials(self) -> list[FrozenTrial]:
        with told_in_words(getattr(self._storage, "url", "in memory")), self._there():
            return self._reader.all()

    def _trial_id(self, number: int) -> int:
        with self._there():
            return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)

    @contextlib.contextmanager
    def _there(self) -> Iterator[None]:
        """Says of a study that Optuna no longer finds that it was deleted.

        Raises:
            StudyError: Then.
        """
        try:
            yield
        except KeyError as error:
            raise StudyError(
                f"The study {self.name} was deleted from its storage while it was in use; put it back, or search anew."
            ) from error


def changed_names(then: Sequence[dict[str, Any]], now: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the names of the hyperparameters that two spaces declare otherwise."""
    before, after = ({entry["config"]["name"]: entry for entry in entries} for entries in (then, now))
    return sorted(name for name in before | after if before.get(name) != after.get(name))
