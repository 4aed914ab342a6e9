"""Keras callbacks in a training that has no Keras model.

A search space may have a function `callbacks()` that returns new `keras.callbacks.Callback` objects for each trial.
They are called as `model.fit` calls them, with the same names in `logs`. Their `model` is made when it is asked for:
a Keras model with the averaged weights of the moment, to look at, to call, to evaluate or to save; what a callback
writes into it is not trained. Of `model.optimizer` there are `learning_rate` and `iterations`, to read. Setting
`model.stop_training` ends the trial after the epoch.

What a callback counts (a patience, say) begins anew when a trial is continued.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from tuner.errors import SpaceError
from tuner.recipe import compile_model
from tuner.space import Space, blamed

if TYPE_CHECKING:
    from tuner.training import Network, OnBatch

__all__ = ["Callbacks", "check_callbacks"]

_RATES = "learning rates are those of the space's learning_rate along a cosine; leave it out."


class _Optimizer:
    """Stands for the optimizer: what a callback may read of it, which is nothing that it may set."""

    def __init__(self, network: Network) -> None:
        self._network = network

    @property
    def learning_rate(self) -> tf.Tensor:
        """Learning rate of the next step."""
        return tf.constant(self._network.learning_rate, tf.float32)

    @learning_rate.setter
    def learning_rate(self, _: object) -> None:
        raise SpaceError(f"A callback sets optimizer.learning_rate, but {_RATES}")

    @property
    def iterations(self) -> tf.Tensor:
        """Steps so far."""
        return tf.constant(self._network.step, tf.int64)


class _Model:
    """Stands for the Keras model: `stop_training`, and everything else of one with the weights of this moment."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._made: keras.Model | None = None
        self._step = -1  # that whose weights it has
        self.stop_training = False
        self.optimizer = _Optimizer(network)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._now(), name)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._now()(*arguments, **options)

    def evaluate(self, *arguments: Any, **options: Any) -> Any:
        """Evaluates a compiled model, as `model.fit` has one; what may be saved is none, so that it loads anywhere."""
        network, architecture = self._network, self._network.architecture
        model = compile_model(
            network.to_keras(),
            network.recipe,
            total_steps=architecture.total_steps,
            schedule_exponent=architecture.schedule_exponent,
            balances=architecture.balances,
        )
        return model.evaluate(*arguments, **options)

    def follow(self) -> None:
        """Brings a model that was asked for up to date: a callback may hold on to parts of it, such as a layer."""
        if self._made is not None:
            self._now()

    def _now(self) -> keras.Model:
        """Returns the model, the same whenever it is asked for: layers of two would not fit together."""
        if self._made is None:
            self._made = self._network.to_keras()
        elif self._step != self._network.step:
            self._network.write_to(self._made)
        self._step = self._network.step
        return self._made


class Callbacks:
    """The callbacks of one trial.

    Args:
        make: Returns the callbacks, or None where the space has none.
        network: What is trained.
        epochs: Epochs that it will have behind it.
        steps: Training steps of an epoch.
        test_steps: Steps of a validation.

    Raises:
        SpaceError: If `make` returns something else, or one would change the learning rate.
    """

    def __init__(
        self,
        make: Callable[[], Sequence[keras.callbacks.Callback]] | None,
        network: Network,
        *,
        epochs: int,
        steps: int,
        test_steps: int,
    ) -> None:
        self._network = network
        self._model = _Model(network)
        self._list = keras.callbacks.CallbackList(_made(make), add_history=False) if make else None
        self._steps, self._test_steps = steps, test_steps
        self._logs: Mapping[str, float] = {}
        if self._list is not None:
            self._list.set_params({"epochs": epochs, "steps": steps, "verbose": 0})
            self._list.set_model(self._model)

    @property
    def wants_to_stop(self) -> bool:
        """Whether a callback has set `model.stop_training`."""
        return self._model.stop_training

    @property
    def on_batch(self) -> OnBatch | None:
        """What to call after each training step; None where no callback wants it."""
        if self._list is None or not self._hears("on_batch", "on_train_batch"):
            return None
        return _after_steps(self._list.on_train_batch_begin, self._list.on_train_batch_end, steps=self._steps)

    @property
    def on_test_batch(self) -> OnBatch | None:
        """What to call after each step of a validation; None where no callback wants it."""
        if self._list is None or not self._hears("on_test_batch"):
            return None
        return _after_steps(self._list.on_test_batch_begin, self._list.on_test_batch_end, steps=self._test_steps)

    def train_begin(self) -> None:
        """The trial begins or is gone on with."""
        if self._list is not None:
            self._list.on_train_begin()

    def epoch_begin(self) -> None:
        """An epoch is about to be trained."""
        if self._list is not None:
            self._list.on_epoch_begin(self._network.epoch)
            if self.on_batch:
                self._list.on_train_batch_begin(0)

    def test_begin(self) -> None:
        """A validation is about to begin."""
        if self._list is not None:
            self._model.follow()
            self._list.on_test_begin()
            if self.on_test_batch:
                self._list.on_test_batch_begin(0)

    def test_end(self, metrics: Mapping[str, float]) -> None:
        """A validation has given these metrics."""
        if self._list is not None:
            self._list.on_test_end(dict(metrics))

    def epoch_end(self, metrics: Mapping[str, float]) -> None:
        """An epoch has been trained and validated."""
        self._logs = dict(metrics)
        if self._list is not None:
            self._model.follow()  # also where a loss that is not finite is not validated
            self._list.on_epoch_end(self._network.epoch - 1, dict(metrics))

    def train_end(self) -> None:
        """The trial has ended, whichever way."""
        if self._list is not None:
            self._list.on_train_end(dict(self._logs))

    def _hears(self, *kinds: str) -> bool:
        return self._list is not None and any(_hears(callback, kinds) for callback in self._list.callbacks)


def _after_steps(begin: Callable[[int], None], end: Callable[..., None], *, steps: int) -> OnBatch:
    """Returns what tells, after a step, that it has ended and that the next one begins."""

    def tell(number: int, metrics: Mapping[str, float]) -> None:
        end(number, dict(metrics))
        if number + 1 < steps:
            begin(number + 1)

    return tell


def check_callbacks(space: Space) -> None:
    """Makes the callbacks of a space once, so that a mistake in them shows before there is a study.

    Raises:
        SpaceError: If `callbacks()` fails or returns something else, or one would change the learning rate.
    """
    if space.callbacks is not None:
        with blamed(space.callbacks, "callbacks()", space):
            _made(space.callbacks)


def _made(make: Callable[[], Any]) -> list[keras.callbacks.Callback]:
    """Returns the callbacks of a space, which know what is better of what they monitor."""
    made = make()
    callbacks = list(made) if isinstance(made, Iterable) else [made]
    callbacks = [callback for each in callbacks for callback in _members(each)]
    if not all(isinstance(callback, keras.callbacks.Callback) for callback in callbacks):
        raise SpaceError(f"callbacks() returns {made!r}; allowed is a list of objects of keras.callbacks.Callback.")
    for callback in callbacks:
        _refuse_needless(callback)
        _set_mode(callback)
    return callbacks


def _members(callback: Any) -> list[Any]:
    """Returns what is in a `CallbackList`, which is a callback itself."""
    return callback.callbacks if isinstance(callback, keras.callbacks.CallbackList) else [callback]


def _hears(callback: keras.callbacks.Callback, kinds: Iterable[str]) -> bool:
    """Whether a callback has methods of its own, of its class or set on it, for some kinds of steps."""
    names = [f"{kind}_{moment}" for kind in kinds for moment in ("begin", "end")]
    methods = [(getattr(callback, name), getattr(keras.callbacks.Callback, name)) for name in names]
    return any(getattr(own, "__func__", own) is not inherited for own, inherited in methods)


def _refuse_needless(callback: keras.callbacks.Callback) -> None:
    """Refuses what would look for an optimizer: rates follow from the configuration, averages are taken in any case."""
    if isinstance(callback, keras.callbacks.LearningRateScheduler | keras.callbacks.ReduceLROnPlateau):
        raise SpaceError(f"callbacks() has a {type(callback).__name__}, but {_RATES}")
    if isinstance(callback, keras.callbacks.SwapEMAWeights):
        raise SpaceError("callbacks() has a SwapEMAWeights, but averaged weights are validated anyway; leave it out.")
    if isinstance(callback, keras.callbacks.BackupAndRestore):  # it would find the backup of another trial
        raise SpaceError(
            "callbacks() has a BackupAndRestore, but a trial goes on from a checkpoint of its own anyway; leave it out."
        )


def _set_mode(callback: keras.callbacks.Callback) -> None:
    """Says whether more of what it monitors is better, which Keras would look up in the metrics of a compiled model."""
    if getattr(callback, "mode", None) == "auto" and hasattr(callback, "monitor"):
        callback.mode = "max" if callback.monitor.endswith("accuracy") else "min"
