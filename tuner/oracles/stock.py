"""A tuner for Keras Tuner scripts that want nothing of this program but an oracle."""

from __future__ import annotations

from typing import Any

import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial

from tuner.oracles.base import StudyOracle
from tuner.oracles.files import replacing

__all__ = ["RungTuner"]


class RungTuner(keras_tuner.Hyperband):
    """Keras Tuner's Hyperband tuner with any oracle: a trial has the epochs that the oracle gives it.

    Oracles that work in rungs (`hyperband`, `asha`, `bohb`, `priorband`, `one-epoch`, `mobster`, `freeze-thaw`) say how
    far a trial goes and which one it continues, as `tuner/epochs`, `tuner/initial_epoch` and `tuner/trial_id`;
    `keras_tuner.Tuner` trains all epochs of all trials whatever they say. A trial that continues another one begins
    with the weights of its best epoch and a new optimizer, as in Keras Tuner's Hyperband. With oracles that have no
    rungs each trial is trained for the oracle's `max_epochs`, so that `search` needs no `epochs`.

    Args:
        oracle: One of `tuner.oracles`.
        hypermodel: A `keras_tuner.HyperModel`, or a function of hyperparameters that returns a compiled model.
        options: What every `keras_tuner.Tuner` takes, such as `directory`, `project_name` and `overwrite`.
    """

    def __init__(self, oracle: StudyOracle, hypermodel: Any, **options: Any) -> None:
        self._max_epochs = oracle.max_epochs  # a worker of a distributed search has a client in the oracle's place
        # Not that of Hyperband, which makes an oracle of its own.
        keras_tuner.Tuner.__init__(self, oracle=oracle, hypermodel=hypermodel, **options)

    def search(self, *arguments: Any, **options: Any) -> None:
        """Searches; what `model.fit` takes goes on to it.

        Raises:
            ValueError: If `epochs` are other than the oracle's `max_epochs`.
        """
        epochs = options.get("epochs", self._max_epochs)
        if epochs != self._max_epochs:
            raise ValueError(
                f"epochs is {epochs!r}, and the oracle trains a configuration for {self._max_epochs}, its max_epochs; "
                "leave epochs out, or make the oracle with other max_epochs."
            )
        super().search(*arguments, **options)

    def save(self) -> None:
        """Writes the files of oracle and tuner, each as a whole."""
        if not self._is_worker():
            self.oracle.save()
        with replacing(self._get_tuner_fname()) as file:
            super(BaseTuner, self).save(file)

    def run_trial(self, trial: Trial, *arguments: Any, **options: Any) -> Any:
        """Trains one trial; what `model.fit` takes comes from `search`."""
        return super().run_trial(trial, *arguments, **{"epochs": self._max_epochs, **options})
