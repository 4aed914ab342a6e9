"""Trains one network from epoch to epoch.

`model.fit` traces its step twice and creates the optimizer's variables while doing so: five to six seconds before the
first epoch of a small network on two cores, and again for the next. Here a step is traced once for a structure
(`tuner/program.py`), and what it computes is what `model.fit` would: the metrics have its names and its values.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tuner.checkpoint import TrainingState
from tuner.models import ModelConfig, build_model
from tuner.models.weights import initial_weights
from tuner.program import Layout, Program, State, Structure
from tuner.recipe import OPTIMIZER_SLOTS, Recipe, WarmupCosine

__all__ = ["Architecture", "Images", "Network", "configure_runtime", "derived_seed"]

# Reading the loss waits for the step; on a GPU that would cost more than a step if it were done after each.
STEPS_BETWEEN_CHECKS = 16


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A network and what its training is laid out for.

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

    @property
    def structure(self) -> Structure:
        """What the compiled steps depend on."""
        return Structure.of(self.config, self.optimizer)


class Images:
    """Images and class numbers as tensors in memory.

    Args:
        images: `(n, height, width, channels)`, uint8, 0 to 255.
        labels: Class numbers, `(n,)`.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images = tf.constant(images)
        self.labels = tf.constant(labels, tf.int32)

    def __len__(self) -> int:
        """Number of images."""
        return int(self.labels.shape[0])


class Network:
    """The weights and the optimizer of one training.

    Args:
        architecture: What is trained.
        program: The compiled steps of its structure, where the caller has them; else they are compiled.
    """

    def __init__(self, architecture: Architecture, program: Program | None = None) -> None:
        self.architecture = architecture
        self.program = program or Program(architecture.structure)
        self._layout = Layout(architecture.config)
        self._layout_tensors = (self._layout.shapes, self._layout.moving_sizes, self._layout.is_kernel)
        schedule = WarmupCosine(1.0, architecture.total_steps)
        self._rates = schedule(tf.range(architecture.total_steps)).numpy()
        self._recipe = Recipe(architecture.optimizer, 0.0)
        self._state = State(None, None, None)
        self.step = 0
        self.epoch = 0
        self.seed = 0

    def reset(self, recipe: Recipe, *, seed: int) -> None:
        """Makes the network new: fresh weights, blank optimizer.

        Args:
            recipe: How to train; its optimizer is the architecture's.
            seed: Seed of the weights and of the order of the images; both depend on nothing else.
        """
        self._recipe, self.seed, self.step, self.epoch = recipe, seed, 0, 0
        weights = initial_weights(self.architecture.config, seed=seed)
        self._state = self._layout.pack(weights, slots=OPTIMIZER_SLOTS[self.architecture.optimizer])

    def restore(self, recipe: Recipe, state: TrainingState) -> None:
        """Puts back the training state of a checkpoint; what follows equals a training that was never interrupted."""
        self._recipe, self.seed, self.epoch = recipe, state.seed, state.epoch
        slots, step = state.optimizer
        self.step = int(step)
        self._state = State(*(tf.constant(array) for array in (state.weights[0], slots, state.weights[1])))

    def state(self) -> TrainingState:
        """Returns the whole training state after the last epoch."""
        weights, slots, statistics = (tensor.numpy() for tensor in self._state)
        return TrainingState(
            epoch=self.epoch, seed=self.seed, weights=[weights, statistics], optimizer=[slots, np.array(self.step)]
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
        means = self._means(data, order, self._train_step)
        self.epoch += 1
        return means

    def evaluate(self, data: Images) -> dict[str, float]:
        """Returns `loss` and `accuracy`, means over the images."""
        return self._means(data, np.arange(len(data), dtype=np.int32), self._evaluate_step)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Returns class probabilities `(n, classes)` of images `(n, height, width, channels)`, uint8, 0 to 255."""
        size = self.architecture.batch_size
        batches = [tf.constant(images[start : start + size]) for start in range(0, len(images), size)]
        parts = [self.program.probabilities(self._state, self._layout_tensors, batch).numpy() for batch in batches]
        return np.concatenate(parts)

    def to_keras(self) -> keras.Model:
        """Returns a Keras model of stock layers with the weights as they are now; it is not compiled."""
        model = build_model(self.architecture.config)
        weights = self._layout.unpack(self._state)
        for variable in model.variables:
            variable.assign(weights[variable.path])
        return model

    def _means(self, data: Images, order: np.ndarray, step: Callable[..., tf.Tensor]) -> dict[str, float]:
        """Returns the mean loss and accuracy of a step over the images of `order`, batch by batch."""
        sums, size = tf.zeros(3), self.architecture.batch_size
        for place, start in enumerate(range(0, len(order), size), start=1):
            sums = step(data, tf.constant(order[start : start + size]), sums)
            if place % STEPS_BETWEEN_CHECKS == 0 and not np.isfinite(sums.numpy()[0]):
                break
        loss, hits, seen = sums.numpy().tolist()
        return {"loss": loss / seen, "accuracy": hits / seen}

    def _train_step(self, data: Images, chosen: tf.Tensor, sums: tf.Tensor) -> tf.Tensor:
        hyper = self._hyperparameters()
        self._state, sums = self.program.train(
            self._state, self._layout_tensors, data.images, data.labels, chosen, hyper, sums
        )
        self.step += 1
        return sums

    def _evaluate_step(self, data: Images, chosen: tf.Tensor, sums: tf.Tensor) -> tf.Tensor:
        hyper = self._hyperparameters()
        return self.program.evaluate(self._state, self._layout_tensors, data.images, data.labels, chosen, hyper, sums)

    def _hyperparameters(self) -> Any:
        """Returns learning rate, weight decay, label smoothing and the number of the step from 1, `(4,)`."""
        rate = self._recipe.learning_rate * self._rates[min(self.step, len(self._rates) - 1)]
        return tf.constant([rate, self._recipe.weight_decay, self._recipe.label_smoothing, self.step + 1.0], tf.float32)


def configure_runtime() -> None:
    """Turns TensorFlow's graph rewriting off where there is no GPU, for this process.

    It takes longer to start a network than its steps win back in a short trial (benchmarks/README.md); on a GPU it also
    chooses the layout of the images.
    """
    if not tf.config.list_physical_devices("GPU"):
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def derived_seed(*parts: object) -> int:
    """Returns a seed from 0 to 2**31 - 1 that follows from plain values, the same in every process."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
