"""Trains one network from epoch to epoch.

`model.fit` traces its step twice and creates the optimizer's variables while doing so: five to six seconds before the
first epoch of a small network on two cores, and again for the next. Here a step is traced once for a structure
(`tuner/program.py`), and what it computes is what `model.fit` would: the metrics have its names and its values.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from tuner.architecture import Architecture
from tuner.batches import AnyImages, Batch, Images
from tuner.checkpoint import TrainingState
from tuner.config import STEPS_BETWEEN_CHECKS
from tuner.errors import TunerError
from tuner.executions import executions
from tuner.interrupts import held_interrupt
from tuner.mirror import Mirror
from tuner.models import build_model
from tuner.models.kinds import initial_weights, variables_by_name
from tuner.moment import Moment
from tuner.program import Layout, Program, State
from tuner.recipe import OPTIMIZER_SLOTS, Recipe
from tuner.splitting import Splits, Steps

__all__ = ["Network", "OnBatch", "TrialTimeout"]

OnBatch = Callable[[int, Mapping[str, float]], None]


class TrialTimeout(Exception):  # noqa: N818  (it is no error of the program)
    """A training has passed its deadline."""


class Network:
    """The weights and the optimizer of one training.

    Args:
        architecture: What is trained.
        program: The compiled steps of its structure, where the caller has them; else they are compiled.
        splits: What is known of batches that do not fit into memory, shared by the networks of a worker.
        steps_per_execution: Training steps that one call of the program makes where the images are in memory, from 1 to
            `STEPS_BETWEEN_CHECKS`; results do not depend on it.
        mirror: The devices that share each batch; None means one.

    Attributes:
        recipe: How it is trained.
        step: Training steps so far.
        epoch: Epochs so far.
        seed: Seed of the weights and of the order of the images.
    """

    def __init__(
        self,
        architecture: Architecture,
        program: Program | None = None,
        *,
        splits: Splits | None = None,
        steps_per_execution: int = 1,
        mirror: Mirror | None = None,
    ) -> None:
        self.architecture = architecture
        self.program = program or Program(architecture.structure)
        self._layout = Layout(architecture.config, architecture.class_weights)
        self._steps_per_execution = steps_per_execution
        self._steps = Steps(
            self.program,
            self._layout.tensors,
            network=architecture,
            splits=splits or Splits(),
            is_looped=steps_per_execution > 1,
            mirror=mirror,
        )
        self._rates = architecture.schedule(1.0)(tf.range(architecture.total_steps)).numpy()
        self.recipe = Recipe(architecture.optimizer, 0.0)
        self._nothing = tf.zeros(architecture.structure.num_sums)
        self._state = State(None, None, None, None)
        self.step, self.epoch, self.seed = 0, 0, 0

    def reset(self, recipe: Recipe, *, seed: int) -> None:
        """Makes the network new: fresh weights, blank optimizer.

        Args:
            recipe: How to train; its optimizer is the architecture's.
            seed: Seed of the weights and of the order of the images; both depend on nothing else.
        """
        self.recipe, self.seed, self.step, self.epoch = recipe, seed, 0, 0
        weights = initial_weights(self.architecture.config, seed=seed)
        self._steps.begin()
        self._state = self._layout.pack(weights, slots=OPTIMIZER_SLOTS[self.architecture.optimizer])

    def restore(self, recipe: Recipe, state: TrainingState) -> None:
        """Puts back the training state of a checkpoint; what follows equals a training that was never interrupted.

        Raises:
            TunerError: If the state has no averaged weights.
        """
        if len(state.weights) != 3:
            raise TunerError(
                "A checkpoint of the study was written by an earlier version of this program, which kept no averaged "
                "weights; begin a new study with another --study."
            )
        self.recipe, self.seed, self.epoch = recipe, state.seed, state.epoch
        self._steps.begin(state.parts)
        (weights, statistics, average), (slots, step) = state.weights, state.optimizer
        self.step = int(step)
        self._state = State(*(tf.constant(array) for array in (weights, slots, statistics, average)))

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next step."""
        return float(self.architecture.schedule(self.recipe.learning_rate)(self.step))

    @property
    def remark(self) -> str:
        """What a person should know of the training, or an empty text."""
        if not self._steps.is_split:
            return ""
        size, parts = self.architecture.batch_size, self._steps.parts
        return f"Its batches are split in {parts}: {size} images at a time do not fit into the memory of the device."

    def state(self) -> TrainingState:
        """Returns the whole training state after the last epoch."""
        return self.frozen()()

    def frozen(self) -> Callable[[], TrainingState]:
        """Returns a function that gives the training state of this moment, from any thread, whatever follows."""
        state, epoch, seed, step, parts = self._state, self.epoch, self.seed, np.array(self.step), self._steps.parts

        def frozen() -> TrainingState:
            weights, slots, statistics, average = (tensor.numpy() for tensor in state)
            return TrainingState(
                epoch=epoch, seed=seed, weights=[weights, statistics, average], optimizer=[slots, step], parts=parts
            )

        return frozen

    def train_epoch(
        self,
        data: AnyImages,
        *,
        max_steps: int | None = None,
        deadline: float = math.inf,
        on_batch: OnBatch | None = None,
    ) -> dict[str, float]:
        """Trains one epoch in an order that follows from the seed and the number of the epoch.

        Args:
            data: Training images.
            max_steps: Stop after so many steps (to measure the speed); None trains the whole epoch.
            deadline: Time of `time.monotonic` after which the epoch is given up.
            on_batch: Called after each step, or after the last of those that one call of the program makes, with its
                number in the epoch, from 0, and the metrics so far.

        Returns:
            `loss` and `accuracy`, means over the epoch's images; `balanced_accuracy` where the architecture says so. A
            loss that is not finite ends the epoch at once and comes back as it is.

        Raises:
            TrialTimeout: If the deadline passes.
        """
        batches = data.batches(self.architecture.batch_size, shuffle=(self.seed, self.epoch))
        most = self._steps_per_execution if isinstance(data, Images) else 1
        calls = executions(itertools.islice(batches, max_steps), most=most)
        means = self._means(calls, self._train_steps, deadline=deadline, on_batch=on_batch)
        self.epoch += 1
        return means

    def evaluate(
        self, data: AnyImages, *, max_steps: int | None = None, on_batch: OnBatch | None = None
    ) -> dict[str, float]:
        """Returns the metrics of `train_epoch` of the averaged weights, over all images or those of a few steps.

        `on_batch` is called after each step, as by `train_epoch`.
        """
        batches = itertools.islice(data.batches(self.architecture.batch_size), max_steps)
        return self._means(([batch] for batch in batches), self._evaluate_step, on_batch=on_batch)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Returns class probabilities `(n, classes)` of images `(n, height, width, channels)`, uint8, 0 to 255."""
        size = math.ceil(self.architecture.batch_size / self._steps.parts)
        batches = [tf.constant(images[start : start + size]) for start in range(0, len(images), size)]
        parts = [self.program.probabilities(self._state, self._layout.tensors, batch).numpy() for batch in batches]
        return np.concatenate(parts)

    def to_keras(self) -> keras.Model:
        """Returns a Keras model of stock layers with the averaged weights as they are now; it is not compiled."""
        model = build_model(self.architecture.config, for_export=True)
        self.write_to(model)
        return model

    def write_to(self, model: keras.Model) -> None:
        """Gives a model that `to_keras` has made the averaged weights as they are now."""
        weights = self._layout.unpack(self._state)
        for name, variable in variables_by_name(model, self.architecture.config).items():
            variable.assign(weights[name])

    def _means(
        self,
        calls: Iterable[Sequence[Batch]],
        step: Callable[[Sequence[Batch], tf.Tensor], tf.Tensor],
        *,
        deadline: float = math.inf,
        on_batch: OnBatch | None = None,
    ) -> dict[str, float]:
        """Returns the metrics of a step over batches."""
        sums, done = self._nothing, 0
        for batches in calls:
            with held_interrupt():
                sums = step(batches, sums)
            done += len(batches)
            if on_batch is not None:
                on_batch(done - 1, _means_of(sums))
            if done % STEPS_BETWEEN_CHECKS == 0:
                if not np.isfinite(sums.numpy()[0]):
                    break
                if time.monotonic() > deadline:
                    raise TrialTimeout
        return _means_of(sums)

    def _train_steps(self, batches: Sequence[Batch], sums: tf.Tensor) -> tf.Tensor:
        moments = [self._moment(self.step + number) for number in range(len(batches))]
        self._state, sums = self._steps.train_many(self._state, batches, moments, sums)
        self.step += len(batches)
        return sums

    def _evaluate_step(self, batches: Sequence[Batch], sums: tf.Tensor) -> tf.Tensor:
        (batch,) = batches
        return self._steps.evaluate(self._state, batch, self._moment(self.step), sums)

    def _moment(self, step: int) -> tf.Tensor:
        """Returns what a step, counted from 0, is told of its moment."""
        config, recipe = self.architecture.config, self.recipe
        moment = Moment.of(
            learning_rate=recipe.learning_rate * self._rates[min(step, len(self._rates) - 1)],
            weight_decay=recipe.weight_decay,
            label_smoothing=recipe.label_smoothing,
            step=step + 1,
            seed=self.seed,
            stochastic_depth=config.stochastic_depth,
            dropout=config.dropout,
            # The average begins with the weights after the first step.
            average_momentum=recipe.average_momentum if step else 0.0,
            horizontal_flip=recipe.horizontal_flip,
            translation=recipe.translation,
        )
        return moment.packed()


def _means_of(sums: tf.Tensor) -> dict[str, float]:
    (loss, hits, seen), by_class = np.split(sums.numpy().astype(float), [3])
    metrics = {"loss": float(loss / seen), "accuracy": float(hits / seen)}
    if by_class.size:
        class_hits, images = np.split(by_class, 2)
        metrics["balanced_accuracy"] = float(np.mean(class_hits[images > 0] / images[images > 0]))
    return metrics
