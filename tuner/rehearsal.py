"""Tries the values of a search space before anything is trained: one that makes no network or training shows at once.

Each hyperparameter is tried by itself, the others at their defaults; what fails only in combination is met later. It
builds nothing, so a space takes milliseconds.
"""

from __future__ import annotations

from typing import Any

import keras_tuner

from tuner.declaration import can_be, ends, spelled
from tuner.errors import SpaceError, UsageError
from tuner.hypermodel import SEResNetHyperModel
from tuner.messages import Facts, Session
from tuner.oracles.encoding import default_values
from tuner.space import Space

__all__ = ["rehearsed"]

# Steps of a full training. Its learning rates are computed from step numbers in float32, which has all whole numbers up
# to here, and are kept in a table.
MOST_STEPS = 2**24


def rehearsed(session: Session, facts: Facts, *, space: Space, hp: keras_tuner.HyperParameters) -> SEResNetHyperModel:
    """Returns the hypermodel of a search, of which every value of every hyperparameter makes a network and a training.

    Of ranges both ends are tried, and a conditional hyperparameter where its conditions hold.

    Args:
        session: The search.
        facts: Its data.
        space: Its space.
        hp: What that declares, set to the defaults.

    Raises:
        SpaceError: If a value does not, or the defaults do not; it names the hyperparameter.
        UsageError: If a full training has more than `MOST_STEPS`.
    """
    hypermodel = SEResNetHyperModel.of(session, facts, space)
    if hypermodel.total_steps > MOST_STEPS:
        steps = hypermodel.steps_per_epoch
        raise UsageError(
            f"A full training has {hypermodel.max_epochs:,} epochs of {steps:,} steps, by --max-epochs or MAX_EPOCHS "
            f"of the space; allowed are {MOST_STEPS:,} steps, which are {MOST_STEPS // steps:,} epochs."
        )
    _try(hypermodel, default_values(hp))
    for entry in hp.space:
        for value in ends(entry):
            try:
                _try(hypermodel, default_values(hp, _chosen(entry, value, hp)))
            except (SpaceError, TypeError, ValueError) as error:
                raise SpaceError(
                    f"The search space {space.name} declares {entry.name} as {spelled(entry)}, and {value!r} cannot be "
                    f"trained: {error.__cause__ or error}"
                ) from error
    return hypermodel


def _try(hypermodel: SEResNetHyperModel, values: dict[str, Any]) -> None:
    hypermodel.recipe(values)
    hypermodel.model_config(values)


def _chosen(entry: Any, value: Any, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
    """Returns a value and those of the hyperparameters that make it count, by name."""
    chosen = {entry.name: value}
    for condition in entry.conditions:
        parent = next(parent for parent in hp.space if parent.name == condition.name)
        wanted = [each for each in (parent.default, *condition.values) if each in condition.values]
        holding = next((each for each in wanted if can_be(parent, each)), parent.default)
        chosen = {**_chosen(parent, holding, hp), **chosen}
    return chosen
