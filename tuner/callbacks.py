"""Keras callbacks in a training that has no Keras model.

A search space may have a function `callbacks()` that returns new `keras.callbacks.Callback` objects for each trial.
They are called as `model.fit` calls them, with the same names in `logs`. Their `model` is made when it is asked for:
a Keras model with the averaged weights of that moment, to look at or to save; what a callback writes into it is not
trained. Setting `model.stop_training` ends the trial after the epoch.

What a callback counts (a patience, say) begins anew when a trial is continued.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from tuner.errors import SpaceError
from tuner.training import Network

__all__ = ["Callbacks"]


class _Model:
    """Stands for the Keras model: `stop_training`, and everything else of a model of this moment."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.stop_training = False
        self.optimizer = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network.to_keras(), name)


class Callbacks:
    """The callbacks of one trial.

    Args:
        make: Returns the callbacks, or None where the space has none.
        network: What is trained.

    Raises:
        SpaceError: If one would change the learning rate.
    """

    def __init__(self, make: Callable[[], Sequence[keras.callbacks.Callback]] | None, network: Network) -> None:
        self._network = network
        self._model = _Model(network)
        self._list = keras.callbacks.CallbackList(list(make()), add_history=False) if make else None
        if self._list is not None:
            for callback in self._list.callbacks:
                _refuse_rates(callback)
                _set_mode(callback)
            self._list.set_params({"steps": None, "verbose": 0})
            self._list.set_model(self._model)

    @property
    def wants_to_stop(self) -> bool:
        """Whether a callback has set `model.stop_training`."""
        return self._model.stop_training

    @property
    def on_batch(self) -> Callable[[int, Mapping[str, float]], None] | None:
        """What to call after each training step; None where no callback wants it."""
        return self._batch if self._list and any(map(_hears_batches, self._list.callbacks)) else None

    def train_begin(self) -> None:
        """The trial begins or is gone on with."""
        if self._list is not None:
            self._list.on_train_begin()

    def epoch_begin(self) -> None:
        """An epoch is about to be trained."""
        if self._list is not None:
            self._list.on_epoch_begin(self._network.epoch)

    def epoch_end(self, metrics: Mapping[str, float]) -> None:
        """An epoch has been trained and validated."""
        if self._list is not None:
            self._list.on_epoch_end(self._network.epoch - 1, dict(metrics))

    def train_end(self) -> None:
        """The trial has ended, whichever way."""
        if self._list is not None:
            self._list.on_train_end()

    def _batch(self, number: int, metrics: Mapping[str, float]) -> None:
        assert self._list is not None
        self._list.on_train_batch_begin(number)
        self._list.on_train_batch_end(number, dict(metrics))


def _hears_batches(callback: keras.callbacks.Callback) -> bool:
    names = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
    return any(getattr(type(callback), name) is not getattr(keras.callbacks.Callback, name) for name in names)


def _refuse_rates(callback: keras.callbacks.Callback) -> None:
    """Refuses what would look for an optimizer: learning rates follow from the configuration."""
    if isinstance(callback, keras.callbacks.LearningRateScheduler | keras.callbacks.ReduceLROnPlateau):
        raise SpaceError(
            f"callbacks() has a {type(callback).__name__}, but learning rates are those of the space's learning_rate "
            "along a cosine; leave it out."
        )


def _set_mode(callback: keras.callbacks.Callback) -> None:
    """Says whether more of what it monitors is better, which Keras would look up in the metrics of a compiled model."""
    if getattr(callback, "mode", None) == "auto" and hasattr(callback, "monitor"):
        callback.mode = "max" if callback.monitor.endswith("accuracy") else "min"
