"""Records as Optuna's trials, and back."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from tuner import records
from tuner.errors import StudyError
from tuner.records import Record

__all__ = ["RESULT", "begun", "proposal_of", "record_of", "result_of", "understood"]

_BEGUN, _PROPOSAL = "begun", "proposal"
RESULT = "result"  # the attribute that says how a trial ended


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
