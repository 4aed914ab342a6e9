"""Configurations that are tried first, where a hypermodel may declare what they name when it is built."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras_tuner

from tuner.enqueue import still_allowed
from tuner.errors import UsageError, did_you_mean
from tuner.oracles.encoding import default_values, values_key

__all__ = ["checked", "drop_undeclared", "num_different", "own_key", "planned_values", "tell_undeclared"]


def checked(
    given: Sequence[Mapping[str, Any]], space: keras_tuner.HyperParameters, *, has_begun: bool
) -> list[dict[str, Any]]:
    """Returns the configurations that a space allows which a hypermodel has declared since they were given.

    Args:
        given: Values by name.
        space: What is declared so far.
        has_begun: Whether there are trials: a search is not lost for a configuration that shows late to be wrong.

    Raises:
        UsageError: If the space does not allow one, and nothing has begun.
    """
    allowed, wrong = still_allowed(given, space)
    for message in wrong:
        if not has_begun:
            raise UsageError(message)
        warnings.warn(f"{message} It is left out from now on.", stacklevel=2)
    return allowed


def planned_values(space: keras_tuner.HyperParameters, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns given values, with defaults for what they leave out.

    Values of names that nothing declares yet are among them: Keras Tuner takes them when a hypermodel declares these.
    """
    given = given or {}
    return default_values(space, given) | {name: given[name] for name in _undeclared(given, space.space)}


def own_key(space: keras_tuner.HyperParameters, values: Mapping[str, Any] | None) -> str:
    """Returns a text that is the same for the same values of what is declared, with defaults for what is left out."""
    return values_key(default_values(space, values))


def num_different(space: keras_tuner.HyperParameters, queue: Sequence[Mapping[str, Any]]) -> int:
    """Returns how many different configurations there are besides the default."""
    return len({own_key(space, values) for values in (None, *queue)}) - 1


def drop_undeclared(trial: Any, space: keras_tuner.HyperParameters) -> None:
    """Takes from a trial of Keras Tuner that was trained the values of names that neither it nor the space declares."""
    for name in _undeclared(trial.hyperparameters.values, (*space.space, *trial.hyperparameters.space)):
        del trial.hyperparameters.values[name]


def tell_undeclared(given: Mapping[str, Any], space: keras_tuner.HyperParameters, running: Iterable[Any]) -> None:
    """Warns of names in a configuration that nothing declares, unless a trial of Keras Tuner runs that may do so."""
    for name in _undeclared(given, space.space):
        if not any(name in trial.hyperparameters.values for trial in running):
            known = [entry.name for entry in space.space]
            warnings.warn(f"{name} is enqueued, and no trial has declared it.{did_you_mean(name, known)}", stacklevel=2)


def _undeclared(values: Mapping[str, Any], entries: Iterable[Any]) -> list[str]:
    declared = {entry.name for entry in entries}
    return [name for name in values if name not in declared and not name.startswith("tuner/")]
