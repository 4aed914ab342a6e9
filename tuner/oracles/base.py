"""What all oracles of this program add to a `keras_tuner.Oracle`."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras_tuner

__all__ = ["DEFAULT_TRIALS", "Rung", "StudyOracle"]

# Trials of an algorithm that has no schedule of its own: 8 of 9 epochs cost what Hyperband's 75 do.
DEFAULT_TRIALS = 8


@dataclasses.dataclass(frozen=True)
class Rung:
    """Trials that an oracle will make between the same two epochs.

    Args:
        trials: How many.
        initial_epoch: Epochs behind each when it begins.
        epochs: Epochs behind each when it is done.
    """

    trials: int
    initial_epoch: int
    epochs: int


class StudyOracle(keras_tuner.Oracle):
    """Mixin, to the left of an oracle of Keras Tuner: repaired seed, default configuration first, no files of its own.

    Keras Tuner takes seed 0 for no seed and draws one; here every seed from 0 is one. The first configuration is the
    space's default, so that a search shows what it gained over it. Without a tuner that has named a directory, nothing
    is written: `create_trial`, `update_trial` and `end_trial` are all that an oracle needs.

    Attributes:
        max_epochs: Full budget of one configuration; set by the algorithm.

    Args:
        seed: Seed of all random choices, >= 0.
        max_trials: Total number of trials; None means as many as the algorithm's schedule has.
        options: Keyword arguments of the oracle of Keras Tuner.
    """

    max_epochs: int

    def __init__(self, *, seed: int, max_trials: int | None = None, **options: Any) -> None:
        super().__init__(seed=seed + 1, **options)
        self.max_trials = max_trials
        self.verbose = 0

    def schedule(self) -> list[Rung]:
        """Returns the trials that a search will make, in order: here all of the full budget."""
        return [Rung(self.max_trials or DEFAULT_TRIALS, 0, self.max_epochs)]

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Returns what the algorithm proposes; the first proposal gets the default values."""
        response = super().populate_space(trial_id)
        if not self.trials and response["status"] == "RUNNING":
            own = {name: value for name, value in response["values"].items() if name.startswith("tuner/")}
            response["values"] = {**_default_values(self.hyperparameters), **own}
        return response

    def save(self) -> None:
        """Writes Keras Tuner's own file where a tuner has named a directory."""
        if self._has_directory():
            super().save()

    def _save_trial(self, trial: keras_tuner.engine.trial.Trial) -> None:
        if self._has_directory():
            super()._save_trial(trial)

    def _has_directory(self) -> bool:
        return getattr(self, "_directory", None) is not None


def _default_values(space: keras_tuner.HyperParameters) -> dict[str, Any]:
    """Returns the default of every hyperparameter that is active among the defaults."""
    defaults = keras_tuner.HyperParameters()
    for entry in space.space:
        defaults.merge([entry])
        if defaults.is_active(entry):
            defaults.values[entry.name] = entry.default
    return dict(defaults.values)
