"""Trains one network from epoch to epoch with a compiled step of its own.

`model.fit` traces its step twice and creates the optimizer's variables while doing so: five to six seconds before the
first epoch of a small network on two cores. Here the optimizer is built first, a step is traced once, and
hyperparameters that leave the graph alone are variables, so the next configuration of the same architecture compiles
nothing. The metrics have the names and the values that `model.fit` would give them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tuner.checkpoint import TrainingState
from tuner.models import ModelConfig, build_model
from tuner.recipe import Recipe, compile_model

__all__ = ["Architecture", "Images", "Network", "configure_runtime", "derived_seed"]

# Reading the loss waits for the step; on a GPU that would cost more than a step if it were done after each.
STEPS_BETWEEN_CHECKS = 16


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What a compiled step depends on; equal ones share it.

    Args:
        config: The network.
        optimizer: Name of the optimizer.
        total_steps: Training steps of the full budget.
        batch_size: Images a step.
    """

    config: ModelConfig
    optimizer: str
    total_steps: int
    batch_size: int


class Images:
    """Images and class numbers as tensors in memory.

    Args:
        images: `(n, height, width, channels)`, 0 to 255.
        labels: Class numbers, `(n,)`.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images = tf.constant(images)
        self.labels = tf.constant(labels, tf.int32)

    def __len__(self) -> int:
        """Number of images."""
        return int(self.labels.shape[0])


class Network:
    """A Keras model with its optimizer and its compiled epoch, for one configuration after another.

    Args:
        architecture: What is compiled once.
    """

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self._peak = tf.Variable(0.0, trainable=False)
        self._decay = tf.Variable(0.0, trainable=False)
        self._smoothing = tf.Variable(0.0, trainable=False)
        recipe = Recipe(architecture.optimizer, self._peak, self._decay, self._smoothing)
        self.model = compile_model(build_model(architecture.config), recipe, total_steps=architecture.total_steps)
        self.model.optimizer.build(self.model.trainable_variables)
        self._blank_weights = [np.array(variable) for variable in self.model.variables]
        self._blank_optimizer = [np.array(variable) for variable in self.model.optimizer.variables]
        self._random_kernels = _random_kernels(self.model)
        # With a signature, the shorter last batch does not trace the step again.
        images = tf.TensorSpec((None, *architecture.config.input_shape), tf.uint8)
        numbers = tf.TensorSpec((None,), tf.int32)
        batch = (images, numbers, numbers, tf.TensorSpec((3,)))
        self._train_step = tf.function(self._train_step_in_python, input_signature=batch, autograph=False)
        self._evaluate_step = tf.function(self._evaluate_step_in_python, input_signature=batch, autograph=False)
        self._probabilities = tf.function(self._probabilities_in_python, input_signature=(images,), autograph=False)
        self.epoch = 0
        self.seed = 0

    def reset(self, recipe: Recipe, *, seed: int) -> None:
        """Makes the network new: fresh weights, blank optimizer, other hyperparameters.

        Args:
            recipe: Hyperparameters; its optimizer is the architecture's.
            seed: Seed of the weights and of the order of the images. The weights depend on nothing else, whatever was
                built or trained in this process before.
        """
        self._set_recipe(recipe)
        self.seed, self.epoch = seed, 0
        _assign(self.model.variables, self._blank_weights)
        _assign(self.model.optimizer.variables, self._blank_optimizer)
        for index, (variable, initializer) in enumerate(self._random_kernels):
            config = initializer.get_config() | {"seed": derived_seed(seed, "weights", index)}
            variable.assign(type(initializer).from_config(config)(variable.shape, variable.dtype))

    def restore(self, recipe: Recipe, state: TrainingState) -> None:
        """Puts back the training state of a checkpoint; what follows equals a training that was never interrupted."""
        self._set_recipe(recipe)
        self.seed, self.epoch = state.seed, state.epoch
        _assign(self.model.variables, state.weights)
        _assign(self.model.optimizer.variables, state.optimizer)

    def state(self) -> TrainingState:
        """Returns the whole training state after the last epoch."""
        return TrainingState(
            epoch=self.epoch,
            seed=self.seed,
            weights=[np.array(variable) for variable in self.model.variables],
            optimizer=[np.array(variable) for variable in self.model.optimizer.variables],
        )

    def train_epoch(self, data: Images, *, max_steps: int | None = None) -> dict[str, float]:
        """Trains one epoch in an order that follows from the seed and the number of the epoch.

        Args:
            data: Training images.
            max_steps: Stop after so many steps (to measure the speed); None trains the whole epoch.

        Returns:
            `loss` and `accuracy`, means over the epoch's images. A loss that is not finite ends the epoch at once and
            comes back as it is.
        """
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(data)).astype(np.int32)
        if max_steps is not None:
            order = order[: max_steps * self.architecture.batch_size]
        means = self._means(self._train_step, data, order)
        self.epoch += 1
        return means

    def evaluate(self, data: Images) -> dict[str, float]:
        """Returns `loss` and `accuracy`, means over the images."""
        return self._means(self._evaluate_step, data, np.arange(len(data), dtype=np.int32))

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Returns class probabilities `(n, classes)` of images `(n, height, width, channels)`, 0 to 255."""
        size = self.architecture.batch_size
        parts = [self._probabilities(tf.constant(images[i : i + size])) for i in range(0, len(images), size)]
        return np.concatenate([part.numpy() for part in parts])

    def _means(self, step: Any, data: Images, order: np.ndarray) -> dict[str, float]:
        """Returns the mean loss and accuracy of a compiled step over the images of `order`, batch by batch."""
        sums, size = tf.zeros(3), self.architecture.batch_size
        for place, start in enumerate(range(0, len(order), size), start=1):
            sums = step(data.images, data.labels, tf.constant(order[start : start + size]), sums)
            if place % STEPS_BETWEEN_CHECKS == 0 and not np.isfinite(sums.numpy()[0]):
                break
        loss, hits, seen = sums.numpy().tolist()
        return {"loss": loss / seen, "accuracy": hits / seen}

    def _set_recipe(self, recipe: Recipe) -> None:
        self._peak.assign(recipe.learning_rate)
        self._decay.assign(recipe.weight_decay)
        self._smoothing.assign(recipe.label_smoothing)

    def _train_step_in_python(
        self, images: tf.Tensor, labels: tf.Tensor, chosen: tf.Tensor, sums: tf.Tensor
    ) -> tf.Tensor:
        x, y = self._batch(images, labels, chosen)
        with tf.GradientTape() as tape:
            probabilities = self.model(x, training=True)
            loss = self.model.loss(y, probabilities)
        self._update(tape.gradient(loss, self.model.trainable_variables))
        return sums + _sums(loss, y, probabilities)

    def _evaluate_step_in_python(
        self, images: tf.Tensor, labels: tf.Tensor, chosen: tf.Tensor, sums: tf.Tensor
    ) -> tf.Tensor:
        x, y = self._batch(images, labels, chosen)
        probabilities = self.model(x, training=False)
        return sums + _sums(self.model.loss(y, probabilities), y, probabilities)

    def _probabilities_in_python(self, images: tf.Tensor) -> tf.Tensor:
        return self.model(tf.cast(images, tf.float32), training=False)

    def _batch(self, images: tf.Tensor, labels: tf.Tensor, chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.cast(tf.gather(images, chosen), tf.float32), tf.gather(labels, chosen)

    def _update(self, gradients: Sequence[tf.Tensor]) -> None:
        """Does what `optimizer.apply` does, with the learning rate computed once and not once a variable.

        That halves the time to trace a step: `apply` passes every variable through the distribution strategy, twice.
        """
        optimizer, rate = self.model.optimizer, self.model.optimizer.learning_rate
        for kernel, _ in self._random_kernels:
            kernel.assign(kernel - kernel * optimizer.weight_decay * rate)
        for gradient, variable in zip(gradients, self.model.trainable_variables, strict=True):
            optimizer.update_step(gradient, variable, rate)
        optimizer.iterations.assign_add(1)


def configure_runtime() -> None:
    """Turns TensorFlow's graph rewriting off where there is no GPU, for this process.

    On two cores it takes 1 to 3 s of a network's first step and makes no later step faster (benchmarks/README.md); on
    a GPU it also chooses the layout of the images.
    """
    if not tf.config.list_physical_devices("GPU"):
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def _sums(loss: tf.Tensor, labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    """Returns the summed loss, the hits and the number of a batch's images, `(3,)`."""
    count = tf.cast(tf.size(labels), tf.float32)
    return tf.stack([loss * count, _hits(labels, probabilities), count])


def _hits(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    predicted = tf.argmax(probabilities, axis=-1, output_type=labels.dtype)
    return tf.reduce_sum(tf.cast(predicted == labels, tf.float32))


def _random_kernels(model: keras.Model) -> list[tuple[keras.Variable, keras.Initializer]]:
    """Returns the weights that start at random with their initializers; all others start at constants."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)]
    return [(layer.kernel, layer.kernel_initializer) for layer in layers]


def _assign(variables: list[Any], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def derived_seed(*parts: object) -> int:
    """Returns a seed from 0 to 2**31 - 1 that follows from plain values, the same in every process."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
