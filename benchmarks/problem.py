"""What search oracles are compared on without training: a space, and a learning curve for each configuration."""

from __future__ import annotations

import abc
import functools
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from spaces import Declare, Values, active_values, recorded, sample

__all__ = ["Problem"]

BEST_SAMPLE, BEST_ROUNDS, BEST_KEPT, BEST_CHILDREN = 10_000, 15, 40, 10
LARGEST_CACHE = 20_000


class Problem(abc.ABC):
    """A search space and the learning curve of each of its configurations.

    Half of the variance of the noise is one draw for the whole run (its initial weights), half is new each epoch.

    Args:
        name: Name in results.
        declare: Declares the space, as in `search_spaces/`.
        deviation: Standard deviation of the noise after each epoch, `(max_epochs,)`.

    Attributes:
        objective: Name of the score, which is to be maximised.
        max_epochs: Full budget of one configuration.
        space: The declared parameters.
    """

    objective = "val_accuracy"

    def __init__(self, name: str, declare: Declare, deviation: np.ndarray) -> None:
        self.name = name
        self.declare = declare
        self.deviation = deviation
        self.max_epochs = len(deviation)
        self.space = recorded(declare)
        self._curves: dict[str, np.ndarray] = {}

    @abc.abstractmethod
    def truths(self, configurations: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Returns the noise-free curves, `(configurations, max_epochs)`; NaN from the epoch of a divergence on."""

    def truth(self, values: Mapping[str, Any]) -> np.ndarray:
        """Returns the noise-free curve of a configuration, `(max_epochs,)`; NaN from where it diverges.

        Args:
            values: Values by name; those that are not active in the configuration are ignored.
        """
        active = active_values(self.space, values)
        key = _key(active)
        if key not in self._curves:
            if len(self._curves) >= LARGEST_CACHE:
                self._curves.clear()
            self._curves[key] = self.truths([active])[0]
        return self._curves[key]

    def curve(self, values: Mapping[str, Any], seed: int) -> np.ndarray:
        """Returns the scores after each epoch, `(max_epochs,)`: always the same for the same values and seed."""
        key = f"{seed} {_key(active_values(self.space, values))}"
        rng = np.random.default_rng(int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big"))
        noise = math.sqrt(0.5) * (rng.standard_normal() + rng.standard_normal(self.max_epochs))
        return np.clip(self.truth(values) + self.deviation * noise, 0.0, 1.0)

    def final(self, values: Mapping[str, Any]) -> float:
        """Returns the noise-free score at the full budget; 0 of a configuration that diverges."""
        return float(np.nan_to_num(self.truth(values)[-1]))

    def hyperparameters(self) -> Any:
        """Returns the space as a `keras_tuner.HyperParameters` with its defaults."""
        import keras_tuner

        hp = keras_tuner.HyperParameters()
        self.declare(hp)
        return hp

    @functools.cached_property
    def best(self) -> float:
        """The best noise-free final score of a fixed sample, and of changes to one or two values of its best ones."""
        rng = np.random.default_rng(0)
        kept = [sample(self.space, rng) for _ in range(BEST_SAMPLE)]
        finals = np.nan_to_num(self.truths(kept)[:, -1])
        for _ in range(BEST_ROUNDS):
            order = np.argsort(-finals, kind="stable")[:BEST_KEPT]
            kept, finals = [kept[place] for place in order], finals[order]
            children = [self._changed(parent, rng) for parent in kept for _ in range(BEST_CHILDREN)]
            finals = np.concatenate([finals, np.nan_to_num(self.truths(children)[:, -1])])
            kept += children
        return float(finals.max())

    def _changed(self, values: Values, rng: np.random.Generator) -> Values:
        changed = {parameter.name: parameter.value(rng.random()) for parameter in self.space} | values
        for place in rng.integers(len(self.space), size=rng.integers(1, 3)):
            parameter = self.space[place]
            near = parameter.kind != "choice" and parameter.name in values
            moved = parameter.unit(values[parameter.name]) + 0.05 * rng.standard_normal() if near else rng.random()
            changed[parameter.name] = parameter.value(min(max(moved, 0.0), 1.0))
        return active_values(self.space, changed)


def _key(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, default=float)
