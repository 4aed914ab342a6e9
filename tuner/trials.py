"""Records as Optuna's trials, and back; and how a study's trials are read."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from tuner import records
from tuner.errors import StudyError
from tuner.records import Record

__all__ = ["RESULT", "Reader", "begun", "proposal_of", "record_of", "result_of", "understood"]

_BEGUN, _PROPOSAL = "begun", "proposal"
RESULT = "result"  # the attribute that says how a trial ended
_UNENDED = (TrialState.RUNNING, TrialState.WAITING)


class Reader:
    """Reads the trials of a study, each that has ended once: that takes most of a millisecond, and it never changes.

    Args:
        storage: Keeps the study.
        study: Number of the study in it.
    """

    def __init__(self, storage: BaseStorage, study: int) -> None:
        self._storage, self._study = storage, study
        self._ended: dict[int, FrozenTrial] = {}

    def all(self) -> list[FrozenTrial]:
        """Returns all trials in the order in which they began.

        Raises:
            KeyError: If the study is gone.
        """
        found = self._ended | self._read(_UNENDED if self._ended else None)
        if self._ended and not self._is_whole(found):
            found = self._read(None)
        self._ended = {number: trial for number, trial in found.items() if trial.state.is_finished()}
        return [found[number] for number in sorted(found)]

    def _read(self, states: tuple[TrialState, ...] | None) -> dict[int, FrozenTrial]:
        held = self._storage.get_all_trials(self._study, deepcopy=False, states=states)
        return {trial.number: trial for trial in held}

    def _is_whole(self, found: Mapping[int, FrozenTrial]) -> bool:
        """Whether no trial is missing: one that has ended since the last time, in this process or another one."""
        if max(found) != len(found) - 1:
            return False
        try:
            self._storage.get_trial_id_from_study_id_trial_number(self._study, len(found))
        except KeyError:
            return True
        return False


def begun(record: Record, *, proposal: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]) -> FrozenTrial:
    """Returns a trial that is about to be trained.

    Args:
        record: The trial.
        proposal: All values that the oracle gave, the `tuner/` entries included.
        distributions: Those of the record's hyperparameters.
    """
    # In one attribute: each takes a millisecond or two, in which the worker waits.
    facts = {
        "parent": record.parent,
        "initial_epoch": record.initial_epoch,
        "epochs": record.epochs,
        "seed": record.seed,
        "params": record.params,
        "macs": record.macs,
        "latency_ms": record.latency_ms,
        "after": record.after,
    }
    return optuna.trial.create_trial(
        state=TrialState.RUNNING,
        params=dict(record.hyperparameters),
        distributions=dict(distributions),
        user_attrs={_PROPOSAL: dict(proposal), _BEGUN: facts},
    )


def result_of(record: Record) -> dict[str, Any]:
    """Returns how a trial ended, as values that JSON has."""
    return {
        "status": record.status,
        "epochs": record.epochs,
        "score": record.score,
        "best_score": record.best_score,
        "best_epoch": record.best_epoch,
        "curve": {name: [_finite(value) for value in values] for name, values in record.curve.items()},
        "seconds": round(record.seconds, 3),
        "worker": record.worker,
        "wait_seconds": record.wait_seconds,
        "message": record.message,
        "order": record.order,
    }


def proposal_of(trial: FrozenTrial) -> dict[str, Any]:
    """Returns what the oracle proposed for a trial."""
    proposal: dict[str, Any] = trial.user_attrs[_PROPOSAL]
    return proposal


def record_of(trial: FrozenTrial) -> Record:
    """Returns the record of a trial."""
    attributes = trial.user_attrs
    facts, result = attributes.get(_BEGUN, attributes), attributes.get(RESULT, {})  # older studies had one for each
    ending: dict[str, Any] = {"status": records.RUNNING, "epochs": facts["epochs"]}
    if trial.state.is_finished():
        ending = {**result, "curve": _unfinite(result["curve"])}
    return Record(
        trial=trial.number,
        parent=facts["parent"],
        hyperparameters=dict(trial.params),
        initial_epoch=facts["initial_epoch"],
        target=None if ending["epochs"] == facts["epochs"] else facts["epochs"],
        seed=facts["seed"],
        params=facts["params"],
        macs=facts["macs"],
        latency_ms=facts.get("latency_ms"),
        after=facts["after"],
        **ending,
    )


@contextlib.contextmanager
def understood(study: str) -> Iterator[None]:
    """Refuses what is not written as this version of the program writes it.

    Args:
        study: Name of the study that is read.

    Raises:
        StudyError: Then.
    """
    try:
        yield
    except (KeyError, TypeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise StudyError(
            f"In the study {study} there is what another program, or another version of this one, wrote ({reason}); "
            "use that version, or another study."
        ) from error


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _unfinite(curve: Mapping[str, Sequence[float | None]]) -> dict[str, list[float]]:
    return {name: [math.nan if value is None else value for value in values] for name, values in curve.items()}
