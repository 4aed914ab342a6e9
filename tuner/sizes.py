"""What the networks of configurations cost: parameters, multiply-accumulates, milliseconds.

An architecture is looked at once, however many learning rates it is tried with.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from typing import Any

import keras_tuner

from tuner.declaration import RECIPE_NAMES, ends
from tuner.hypermodel import SEResNetHyperModel
from tuner.models import Cost, cost
from tuner.recipe import OPTIMIZER_SLOTS

__all__ = ["Sizes", "architecture_values", "largest_state"]

BYTES_PER_WEIGHT = 4
MOST_COMBINATIONS = 2048

_WEIGHTLESS_NAMES = ("squeeze", "excitation", "stochastic_depth", "dropout")


class Sizes:
    """The costs of networks by the values that they are made from.

    Args:
        hypermodel: Says what hyperparameters mean on the data of the search.
    """

    def __init__(self, hypermodel: SEResNetHyperModel) -> None:
        self._hypermodel = hypermodel
        self._costs: dict[str, Cost] = {}
        self._latencies: dict[str, float] = {}

    def of(self, values: Mapping[str, Any], name: str) -> float:
        """Returns one cost of a configuration's network.

        Args:
            values: Active values by name.
            name: `params`, `macs` (of one image), or `latency` (milliseconds of one image, measured on this machine
                the first time that an architecture is asked for, which takes seconds).
        """
        key = json.dumps(architecture_values(values), sort_keys=True)
        if name == "latency":
            if key not in self._latencies:
                self._latencies[key] = self._measured(values)
            return self._latencies[key]
        if key not in self._costs:
            self._costs[key] = cost(self._hypermodel.model_config(values))
        return float(getattr(self._costs[key], name))

    def _measured(self, values: Mapping[str, Any]) -> float:
        from tuner.latency import latency_ms  # the only part that runs a network

        return latency_ms(self._hypermodel.model_config(values))


def architecture_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values that may change the network: all but those of the recipe of its training."""
    return {name: value for name, value in values.items() if name not in RECIPE_NAMES}


def largest_state(hypermodel: SEResNetHyperModel, hp: keras_tuner.HyperParameters) -> int:
    """Returns the bytes of the largest training state in a space: weights, their average, and what the optimizer keeps.

    The hyperparameters that change its weights are taken at the ends of their ranges, and all choices, of up to
    `MOST_COMBINATIONS` combinations; from the largest of these on, each is changed by itself for as long as that helps.

    Raises:
        UsageError: If one of these makes no network.
    """
    weighty = architecture_values({entry.name: entry for entry in hp.space})
    choices_of = {name: ends(entry) for name, entry in weighty.items() if name not in _WEIGHTLESS_NAMES}
    combinations = itertools.islice(itertools.product(*choices_of.values()), MOST_COMBINATIONS)

    def weights(values: Mapping[str, Any]) -> int:
        return cost(hypermodel.model_config({**hp.values, **values})).params

    largest = max((dict(zip(choices_of, values, strict=True)) for values in combinations), key=weights)
    may_grow = math.prod(map(len, choices_of.values())) > MOST_COMBINATIONS  # else all were seen
    while may_grow:  # each hyperparameter becomes as large as the others let it be
        before = weights(largest)
        for name, choices in choices_of.items():
            largest = max(({**largest, name: value} for value in choices), key=weights)
        may_grow = weights(largest) > before
    return weights(largest) * BYTES_PER_WEIGHT * (2 + max(OPTIMIZER_SLOTS.values()))
