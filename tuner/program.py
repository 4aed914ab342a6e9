"""Compiled training and evaluation steps that serve every width, gate size and recipe of a structure.

The weights are one flat vector and travel as arguments, so a program has no state: it is traced once for a structure
(the blocks of each stage, with or without gates, and the optimizer; of a backbone all but the dropout), and another
configuration of that structure starts without tracing. The arithmetic is that of Keras's layers, loss and optimizers;
tests compare them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tuner.augmentation import augmented
from tuner.executions import looped
from tuner.models import AnyConfig
from tuner.models.kinds import Weight, pass_of, structure_of, weight_specs
from tuner.moment import MOMENT_SPEC, Moment
from tuner.recipe import OPTIMIZER_SLOTS, PAPER_MOMENTUM

__all__ = ["Carry", "Layout", "Program", "State", "Structure"]

# keras.optimizers.AdamW's defaults.
ADAM_BETA_1, ADAM_BETA_2, ADAM_EPSILON = 0.9, 0.999, 1e-7


@dataclasses.dataclass(frozen=True)
class Structure:
    """What a compiled step depends on; equal ones share it.

    Args:
        config: A network of the structure, with stand-ins for what is a value: width, ratio, groups and chances.
        optimizer: Name of the optimizer.
        mixed_precision: Whether feature maps are bfloat16 in training and evaluation.
        jit: Whether XLA compiles the steps; it needs all sizes, so `config` is then the network itself.
        augments: Whether training images are moved and mirrored (`tuner/augmentation.py`).
        balances: Whether hits and images are also counted by class.
        weighs: Whether training images weigh as `Layout.class_weights` says.
    """

    config: AnyConfig
    optimizer: str
    mixed_precision: bool = False
    jit: bool = False
    augments: bool = False
    balances: bool = False
    weighs: bool = False

    @classmethod
    def of(cls, config: AnyConfig, optimizer: str, *, mixed_precision: bool, jit: bool, **options: bool) -> Structure:
        """Returns the structure of a network; without XLA all that run the same operations share it."""
        shared = config if jit else structure_of(config, _maps_of(mixed_precision))
        return cls(shared, optimizer, mixed_precision, jit, **options)

    @property
    def num_sums(self) -> int:
        """How many sums a step adds to: loss, hits and images, and both of these by class."""
        return 3 + (2 * self.config.classes if self.balances else 0)


def _maps_of(mixed_precision: bool) -> tf.DType:
    return tf.bfloat16 if mixed_precision else tf.float32


class State(NamedTuple):
    """What training changes, as tensors.

    Args:
        weights: Trainable weights, `(params,)`, in the order of `weight_specs`.
        slots: Momentum, or both moments of Adam, `(slots, params)`.
        statistics: Moving means and variances, `(n,)`, in the order of `weight_specs`.
        average: Moving average of `weights`, `(params,)`: those of the model that is validated and handed on.
    """

    weights: Any
    slots: Any
    statistics: Any
    average: Any


class Carry(NamedTuple):
    """What the parts of a batch have brought so far, as tensors.

    Args:
        gradient: Sum of the gradients, each weighted by the part's share of the batch, `(params,)`.
        statistics: The same of the means and variances of the parts, `(n,)`, as `State.statistics`.
        sums: Summed loss, hits and images, `(sums,)`, see `Structure.num_sums`.
    """

    gradient: Any
    statistics: Any
    sums: Any


class Layout:
    """Where each weight of a network lies in the flat vectors, as tensors for a program.

    Args:
        config: The network.
        class_weights: How much a training image of each class weighs in the loss; empty means 1.
    """

    def __init__(self, config: AnyConfig, class_weights: Sequence[float] = ()) -> None:
        specs = weight_specs(config)
        self.trainable = [spec for spec in specs if spec.trainable]
        self.moving = [spec for spec in specs if not spec.trainable]
        shapes = [[1] * (4 - len(spec.shape)) + list(spec.shape) for spec in self.trainable]
        kernels = [np.full(spec.size, spec.is_kernel, np.float32) for spec in self.trainable]
        self.sizes = np.array(shapes, np.int32), np.array([spec.size for spec in self.moving], np.int32)
        self.shapes, self.moving_sizes = map(tf.constant, self.sizes)
        self.is_kernel = tf.constant(np.concatenate(kernels))
        self.class_weights = tf.constant(class_weights or [1.0] * config.classes, tf.float32)

    @property
    def tensors(self) -> tuple[Any, ...]:
        """What a program is told of the network with every step."""
        return self.shapes, self.moving_sizes, self.is_kernel, self.class_weights

    def pack(self, values: dict[str, np.ndarray], *, slots: int) -> State:
        """Returns the state of fresh weights, given by name."""
        weights = tf.constant(np.concatenate([values[spec.name].ravel() for spec in self.trainable]))
        nothing = np.zeros(0, np.float32)  # of a network without batch normalisation
        statistics = np.concatenate([nothing, *(values[spec.name].ravel() for spec in self.moving)])
        return State(weights, tf.zeros((slots, *weights.shape)), tf.constant(statistics), weights)

    def unpack(self, state: State) -> dict[str, np.ndarray]:
        """Returns all weights of the averaged network by name."""
        values: dict[str, np.ndarray] = {}
        for specs, flat in ((self.trainable, state.average.numpy()), (self.moving, state.statistics.numpy())):
            ends = np.cumsum([spec.size for spec in specs])
            parts = np.split(flat, ends)[:-1]  # the last is what is left, nothing
            values |= {spec.name: part.reshape(spec.shape) for spec, part in zip(specs, parts, strict=True)}
        return values


class Program:
    """The compiled steps of a structure.

    Args:
        structure: What is compiled.

    Attributes:
        train: One step: `(state, layout tensors, images, labels, chosen, moment, sums) -> (state, sums)`, on the images
            whose numbers are in `chosen`. `moment` is what `Moment.packed` returns; `sums` are those of `Carry`.
        train_many: Several such steps one after the other (`tuner/executions.py`).
        accumulate: A part of a step: `(carry, state, layout tensors, images, labels, chosen, place, moment) ->
            carry`; `place` is the number of the part's first image in the batch and the images of that, `(2,)`, int32.
        update: The end of such a step: `(state, layout tensors, carry, moment) -> state`.
        evaluate: `train` of the averaged weights, without training: `-> sums`.
        probabilities: `(state, layout tensors, images) -> (batch, classes)`, in float32: what an export predicts.
    """

    def __init__(self, structure: Structure) -> None:
        self.structure = structure
        self._dtype = _maps_of(structure.mixed_precision)
        self._forward = pass_of(structure.config, self._dtype)
        specs = weight_specs(structure.config)
        self._trainable = [spec for spec in specs if spec.trainable]
        self._moving = [spec for spec in specs if not spec.trainable]
        vector, numbers = tf.TensorSpec((None,)), tf.TensorSpec((None,), tf.int32)
        state = State(vector, tf.TensorSpec((OPTIMIZER_SLOTS[structure.optimizer], None)), vector, vector)
        layout = (tf.TensorSpec((len(self._trainable), 4), tf.int32), numbers, vector, vector)
        self._sizes = Layout(structure.config).sizes if structure.jit else None
        compiled = functools.partial(tf.function, autograph=False, jit_compile=structure.jit or None)
        images = tf.TensorSpec((None, *structure.config.input_shape), tf.uint8)
        data = (images, numbers, numbers, MOMENT_SPEC, tf.TensorSpec((structure.num_sums,)))
        self.train = compiled(self._train, input_signature=(state, layout, *data))
        self.train_many = looped(self.train)
        carry = Carry(vector, vector, data[-1])
        part = (carry, state, layout, *data[:3], tf.TensorSpec((2,), tf.int32), MOMENT_SPEC)
        self.accumulate = compiled(self._accumulate, input_signature=part)
        self.update = compiled(self._update, input_signature=(state, layout, carry, MOMENT_SPEC))
        self.evaluate = compiled(self._evaluate, input_signature=(state, layout, *data))
        self.probabilities = compiled(self._classify, input_signature=(state, layout, images))

    def blank(self, state: State, sums: Any) -> Carry:
        """Returns what there is before the first part of a batch."""
        return Carry(tf.zeros_like(state.weights), tf.zeros_like(state.statistics), sums)

    def _train(
        self, state: State, layout: Any, images: Any, labels: Any, chosen: Any, moment: Any, sums: Any
    ) -> tuple[State, Any]:
        brought = self._brought(state, layout, images, labels, chosen, moment)
        return self._update(state, layout, brought, moment), sums + brought.sums

    def _accumulate(
        self, carry: Carry, state: State, layout: Any, images: Any, labels: Any, chosen: Any, place: Any, moment: Any
    ) -> Carry:
        brought = self._brought(state, layout, images, labels, chosen, moment, place)
        share = tf.cast(tf.size(chosen) / place[1], tf.float32)
        gradient = carry.gradient + share * brought.gradient
        return Carry(gradient, carry.statistics + share * brought.statistics, carry.sums + brought.sums)

    def _brought(
        self, state: State, layout: Any, images: Any, labels: Any, chosen: Any, moment: Any, place: Any | None = None
    ) -> Carry:
        """Returns gradient, batch statistics and sums of some images."""
        now = Moment.unpacked(moment)
        noise, x, y = now.noise(place), tf.gather(images, chosen), tf.gather(labels, chosen)
        if self.structure.augments:
            x = augmented(x, noise, horizontal_flip=now.horizontal_flip, translation=now.translation)
        with tf.GradientTape() as tape:
            tape.watch(state.weights)
            weights, pixels = self._named(state.weights, state, layout), tf.cast(x, tf.float32)
            logits, batch = self._forward(weights, pixels, training=True, dtype=self._dtype, noise=noise)
            loss = self._loss(logits, y, now.label_smoothing, layout[3] if self.structure.weighs else None)
        gradient = tape.gradient(loss, state.weights)
        statistics = [batch[spec.name] for spec in self._moving] or [tf.zeros(0)]
        return Carry(gradient, tf.concat(statistics, axis=0), self._sums(loss, logits, y))

    def _update(self, state: State, layout: Any, brought: Carry, moment: Any) -> State:
        """Returns the state after a step."""
        now = Moment.unpacked(moment)
        weights, slots = self._updated(state, brought.gradient, now, is_kernel=layout[2])
        kept = self.structure.config.norm_momentum
        statistics = state.statistics * kept + (1.0 - kept) * brought.statistics
        momentum = now.average_momentum
        average = state.average * momentum + weights * (1.0 - momentum)  # keras.optimizers.Optimizer's, `use_ema`
        return State(weights, slots, statistics, average)

    def _evaluate(
        self, state: State, layout: Any, images: Any, labels: Any, chosen: Any, moment: Any, sums: Any
    ) -> Any:
        x, y = tf.cast(tf.gather(images, chosen), tf.float32), tf.gather(labels, chosen)
        weights = self._named(state.average, state, layout)
        logits, _ = self._forward(weights, x, training=False, dtype=self._dtype)
        return sums + self._sums(self._loss(logits, y, Moment.unpacked(moment).label_smoothing), logits, y)

    def _classify(self, state: State, layout: Any, images: Any) -> Any:
        weights = self._named(state.average, state, layout)
        logits, _ = self._forward(weights, tf.cast(images, tf.float32), training=False)
        return tf.nn.softmax(logits)

    def _named(self, weights: Any, state: State, layout: Any) -> dict[str, Any]:
        """Returns weights and the moving statistics by name; XLA alone knows their shapes before the program runs."""
        shapes, moving_sizes = layout[:2] if self._sizes is None else map(tf.constant, self._sizes)
        parts = tf.split(weights, tf.reduce_prod(shapes, axis=1), num=len(self._trainable))
        rows = tf.unstack(shapes)
        named = {s.name: _shaped(part, row, s) for s, part, row in zip(self._trainable, parts, rows, strict=True)}
        moving = tf.split(state.statistics, moving_sizes, num=len(self._moving)) if self._moving else []
        return named | {spec.name: part for spec, part in zip(self._moving, moving, strict=True)}

    def _loss(self, logits: Any, labels: Any, smoothing: Any, class_weights: Any | None = None) -> Any:
        classes = self.structure.config.classes
        targets = tf.one_hot(labels, classes) * (1.0 - smoothing) + smoothing / classes
        losses = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
        return tf.reduce_mean(losses if class_weights is None else losses * tf.gather(class_weights, labels))

    def _sums(self, loss: Any, logits: Any, labels: Any) -> Any:
        """Returns the sums of a batch: loss, hits and images, then hits and images of each class."""
        hits = tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32) == labels, tf.float32)
        count = tf.cast(tf.size(labels), tf.float32)
        sums = tf.stack([loss * count, tf.reduce_sum(hits), count])
        if not self.structure.balances:
            return sums
        classes = self.structure.config.classes
        by_class = [tf.math.unsorted_segment_sum(each, labels, classes) for each in (hits, tf.ones_like(hits))]
        return tf.concat([sums, *by_class], axis=0)

    def _updated(self, state: State, gradient: Any, now: Moment, *, is_kernel: Any) -> tuple[Any, Any]:
        """Returns new weights and slots by the rule of Keras's SGD with Nesterov momentum, or of its AdamW."""
        rate, step = now.learning_rate, now.step
        weights = state.weights - state.weights * is_kernel * (now.weight_decay * rate)
        if self.structure.optimizer == "sgd":
            momentum = PAPER_MOMENTUM * state.slots[0] - rate * gradient
            return weights + PAPER_MOMENTUM * momentum - rate * gradient, momentum[tf.newaxis]
        mean = state.slots[0] + (gradient - state.slots[0]) * (1.0 - ADAM_BETA_1)
        square = state.slots[1] + (tf.square(gradient) - state.slots[1]) * (1.0 - ADAM_BETA_2)
        corrected = rate * tf.sqrt(1.0 - ADAM_BETA_2**step) / (1.0 - ADAM_BETA_1**step)
        return weights - corrected * mean / (tf.sqrt(square) + ADAM_EPSILON), tf.stack([mean, square])


def _shaped(part: Any, row: Any, spec: Weight) -> Any:
    rank = len(spec.shape)
    if rank == 1:
        return part
    shaped = tf.reshape(part, row if rank == 4 else row[4 - rank :])
    shaped.set_shape([*spec.shape[:2], None, None] if rank == 4 else [None, None])
    return shaped
