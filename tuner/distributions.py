"""Hyperparameters of Keras Tuner, as plain data, seen as distributions of Optuna."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

__all__ = ["active_entries", "distributions"]


def distributions(space: Sequence[Mapping[str, Any]], values: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    """Returns the Optuna distribution of each value, by name.

    Args:
        space: Declared hyperparameters, as for `active_entries`.
        values: Active values by name.
    """
    entries = {entry["name"]: entry for entry in active_entries(space, values)}
    return {name: _distribution(entries[name]) for name in values}


def active_entries(space: Sequence[Mapping[str, Any]], values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the declared hyperparameters whose conditions the values meet.

    Args:
        space: Declared hyperparameters, as `keras_tuner.HyperParameters.get_config()["space"]` gives them.
        values: Values by name.
    """
    return [
        {**entry["config"], "kind": entry["class_name"]}
        for entry in space
        if all(
            values.get(condition["config"]["name"]) in condition["config"]["values"]
            for condition in entry["config"]["conditions"]
        )
    ]


def _distribution(entry: Mapping[str, Any]) -> BaseDistribution:
    """Returns the Optuna distribution of a Keras Tuner hyperparameter.

    Optuna has no logarithmic steps and no reversed logarithm: such a hyperparameter loses its step, or is linear.
    """
    kind, log = entry["kind"], entry.get("sampling") == "log"
    if kind == "Choice":
        return CategoricalDistribution(entry["values"])
    if kind == "Boolean":
        return CategoricalDistribution([False, True])
    if kind == "Fixed":
        return CategoricalDistribution([entry["value"]])
    linear = entry.get("sampling") in (None, "linear")
    step = entry.get("step") if linear else None
    with warnings.catch_warnings():
        # Keras Tuner's upper end need not lie on the grid of the steps; Optuna lowers it and warns.
        warnings.filterwarnings("ignore", message="The distribution is specified by", category=UserWarning)
        if kind == "Int":
            return IntDistribution(entry["min_value"], entry["max_value"], log=log, step=step or 1)
        return _of_floats(entry["min_value"], entry["max_value"], log=log, step=step)


def _of_floats(least: float, most: float, *, log: bool, step: float | None) -> FloatDistribution:
    """Returns the distribution of floats, without steps where rounding puts the last of them beyond Optuna's end.

    Three steps of 0.1 are 0.30000000000000004, which Optuna refuses of a range to 0.35, whose end it lowers to 0.3.
    """
    distribution = FloatDistribution(least, most, log=log, step=step)
    if step is not None and least + (most - least) // step * step > distribution.high:
        return FloatDistribution(least, most, log=log)
    return distribution
