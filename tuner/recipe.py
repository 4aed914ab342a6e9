"""How a network is trained: optimizer, learning-rate schedule and loss, compiled into a Keras model.

Stock Keras Tuner trains what is compiled here; `tuner/program.py` computes the same without a Keras model.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tuner.metrics import BalancedAccuracy

__all__ = [
    "OPTIMIZER_SLOTS",
    "Recipe",
    "SmoothedCrossentropy",
    "WarmupCosine",
    "average_momentum",
    "balancing_weights",
    "compile_model",
    "norm_momentum",
    "progress_exponent",
]

# Name of an optimizer and the number of values that it keeps for each weight: momentum, or both moments.
OPTIMIZER_SLOTS = {"sgd": 1, "adam": 2}

# Hu et al., 2018, section 6.1: 0.6 for batches of 1,024 images; scaled in proportion to the batch.
PAPER_LEARNING_RATE_PER_IMAGE = 0.6 / 1024
PAPER_WEIGHT_DECAY = 1e-4
PAPER_MOMENTUM = 0.9

# Share of all steps in which the learning rate rises: less than half of the first epoch at 9 epochs, so that the score
# of the first rung is not the score of a warm-up.
WARMUP_FRACTION = 0.05

# Up to the first of these the learning rate falls along a cosine, with more epochs sooner. Nothing longer than the
# second was tried, so from there on it falls as it does then. benchmarks/README.md has what was seen.
COSINE_EPOCHS, LONGEST_EPOCHS = 9, 27

# Share of the initial, meaningless statistics (mean 0, variance 1) that batch normalisation holds after one epoch.
STALE_STATISTICS = 0.01
KERAS_NORM_MOMENTUM = 0.99

# Epochs over which the weights are averaged where a space does not say. Short, because the average begins with the
# weights after the first step: after one epoch exp(-4) of them, 2 %, are left. benchmarks/README.md has what was seen.
AVERAGED_EPOCHS = 0.25


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The hyperparameters of the training, as opposed to those of the network.

    Args:
        optimizer: `sgd` (Nesterov momentum) or `adam` (AdamW).
        learning_rate: Peak of the schedule, > 0.
        weight_decay: Decoupled decay, times the learning rate each step; >= 0.
        label_smoothing: Share of the target spread over all classes, in [0, 1).
        average_momentum: Share of itself that the moving average of the weights keeps at each step, in [0, 1); with 0
            it is the weights themselves.
        horizontal_flip: Whether half of the training images, at random, are mirrored.
        translation: Most that a training image is moved at random, as a share of its sides, in [0, 1).
        class_weights: Whether all classes weigh alike in the loss, however many images they have.

    Raises:
        ValueError: If the optimizer is unknown, or another is no number in its range.
    """

    optimizer: str
    learning_rate: float
    weight_decay: float = PAPER_WEIGHT_DECAY
    label_smoothing: float = 0.0
    average_momentum: float = 0.0
    horizontal_flip: bool = False
    translation: float = 0.0
    class_weights: bool = False

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZER_SLOTS:
            raise ValueError(f"optimizer is {self.optimizer!r}; allowed is one of {', '.join(OPTIMIZER_SLOTS)}.")
        if not isinstance(self.learning_rate, int | float | np.number):
            raise ValueError(f"learning_rate is {self.learning_rate!r}; allowed is a number.")
        _check_number("weight_decay", self.weight_decay, 0, math.inf, "0 and more")
        _check_number("label_smoothing", self.label_smoothing, 0, 1, "0 and more, below 1")
        _check_number("average_momentum", self.average_momentum, 0, 1, "0 and more, below 1")
        for name in ("horizontal_flip", "class_weights"):
            if getattr(self, name) not in (False, True):
                raise ValueError(f"{name} is {getattr(self, name)!r}; allowed is True or False.")
        _check_number("translation", self.translation, 0, 1, "0 and more, below 1")

    @property
    def augments(self) -> bool:
        """Whether training images are changed at random."""
        return bool(self.horizontal_flip or self.translation)

    @classmethod
    def from_values(cls, values: Mapping[str, Any], *, batch_size: int, steps_per_epoch: int) -> Recipe:
        """Returns the recipe that hyperparameter values ask for.

        What they leave out is the paper's; the weights are averaged, and images stay as they are.

        Args:
            values: Active values by name; those of the network are passed over.
            batch_size: Images a step, >= 1, to which the default learning rate is in proportion.
            steps_per_epoch: Training steps of an epoch, >= 1, over which averages are counted.

        Raises:
            ValueError: If the values make no recipe.
        """
        optimizer = values.get("optimizer", "sgd")
        shared_rate = values.get("learning_rate", PAPER_LEARNING_RATE_PER_IMAGE * batch_size)
        learning_rate = values.get(f"{optimizer}_learning_rate", shared_rate)
        if isinstance(learning_rate, int | float) and learning_rate <= 0:
            raise ValueError(f"learning_rate is {learning_rate!r}; allowed is a number above 0.")
        return cls(
            optimizer=optimizer,
            learning_rate=learning_rate,
            weight_decay=values.get("weight_decay", PAPER_WEIGHT_DECAY),
            label_smoothing=values.get("label_smoothing", 0.0),
            average_momentum=average_momentum(values.get("averaged_epochs", AVERAGED_EPOCHS), steps_per_epoch),
            horizontal_flip=values.get("horizontal_flip", False),
            translation=values.get("translation", 0.0),
            class_weights=values.get("class_weights", False),
        )


@keras.saving.register_keras_serializable(package="tuner")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to a peak, then falls along half a cosine of a power of the progress to zero.

    It spans the full budget of a configuration, so a trial that stops at a rung saw the same learning rates as one that
    went on.

    Args:
        peak: Highest learning rate.
        total_steps: Training steps of the full budget, >= 1.
        exponent: Of the share of the steps after the rise that is done, in (0, 1]; with less the rate falls sooner.

    Reference: Loshchilov and Hutter, 2017, https://arxiv.org/abs/1608.03983, eq. 5 without restarts.
    """

    def __init__(self, peak: float, total_steps: int, exponent: float = 1.0) -> None:
        super().__init__()
        self.peak = peak
        self.total_steps = total_steps
        self.exponent = exponent
        self.warmup_steps = math.ceil(WARMUP_FRACTION * total_steps)

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate of a step, counted from 0, as a scalar tensor."""
        step = tf.cast(step, tf.float32)
        rising = (step + 1.0) / self.warmup_steps
        progress = (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
        falling = 0.5 * (1.0 + tf.cos(math.pi * tf.clip_by_value(progress, 0.0, 1.0) ** self.exponent))
        return self.peak * tf.where(step < self.warmup_steps, rising, falling)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {"peak": self.peak, "total_steps": self.total_steps, "exponent": self.exponent}


@keras.saving.register_keras_serializable(package="tuner")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of class numbers (or one-hot targets) with label smoothing.

    Keras's sparse cross-entropy has no smoothing, and its categorical one takes no class numbers.

    Args:
        smoothing: Share of the target that is spread evenly over all classes, in [0, 1).
        name: Name of the loss.

    Reference: Szegedy et al., 2016, https://arxiv.org/abs/1512.00567, section 7.
    """

    def __init__(self, smoothing: float = 0.0, name: str = "crossentropy", **options: Any) -> None:
        super().__init__(name=name, **options)
        self.smoothing = smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each image, `(batch,)`, of class numbers `(batch,)` or targets `(batch, classes)`."""
        y_true, y_pred = tf.convert_to_tensor(y_true), tf.convert_to_tensor(y_pred)
        if y_true.shape.rank != y_pred.shape.rank or y_true.shape[-1] != y_pred.shape[-1]:
            y_true = tf.one_hot(tf.cast(tf.reshape(y_true, [-1]), tf.int32), y_pred.shape[-1])
        target = tf.cast(y_true, y_pred.dtype) * (1.0 - self.smoothing) + self.smoothing / y_pred.shape[-1]
        return keras.ops.categorical_crossentropy(target, y_pred)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {**super().get_config(), "smoothing": self.smoothing}


def norm_momentum(steps_per_epoch: int) -> float:
    """Returns the batch-normalisation momentum with which the statistics are valid after one epoch.

    With Keras's 0.99 and 23 steps an epoch, 79 % of the statistics after the first epoch are the initial zeros and
    ones, and the validation accuracy is near chance whatever the configuration. Never above Keras's 0.99.
    """
    return min(KERAS_NORM_MOMENTUM, STALE_STATISTICS ** (1.0 / steps_per_epoch))


def progress_exponent(epochs: int) -> float:
    """Returns the exponent of `WarmupCosine` for a full budget of so many epochs.

    While the rate is high, a score says little of the end. A short training needs all of that time to learn; a longer
    one ends as well with less of it.
    """
    return math.sqrt(COSINE_EPOCHS / min(max(epochs, COSINE_EPOCHS), LONGEST_EPOCHS))


def average_momentum(epochs: float, steps_per_epoch: int) -> float:
    """Returns the momentum of a moving average of the weights over some epochs; 0, no average, over a step or less.

    Raises:
        ValueError: If `epochs` is negative.

    Reference: Polyak and Juditsky, 1992, https://doi.org/10.1137/0330046; as a moving average Tarvainen and Valpola,
    2017, https://arxiv.org/abs/1703.01780, section 2.
    """
    _check_number("averaged_epochs", epochs, 0, math.inf, "0 (no average) and more")
    return max(0.0, 1.0 - 1.0 / (epochs * steps_per_epoch)) if epochs else 0.0


def balancing_weights(class_sizes: Sequence[int]) -> tuple[float, ...]:
    """Returns how much an image of each class weighs so that all classes weigh alike, and an image 1 in the mean.

    Args:
        class_sizes: Training images of each class; one without any has the weight 1.

    Reference: King and Zeng, 2001, https://doi.org/10.1093/oxfordjournals.pan.a004868; "balanced" in scikit-learn.
    """
    share = sum(class_sizes) / sum(size > 0 for size in class_sizes)
    return tuple(share / size if size else 1.0 for size in class_sizes)


def _check_number(name: str, value: Any, least: float, end: float, allowed: str) -> None:
    """Refuses what is no number from `least` to below `end`."""
    if not isinstance(value, int | float | np.number) or not least <= value < end:
        raise ValueError(f"{name} is {value!r}; allowed is {allowed}.")


def compile_model(
    model: keras.Model, recipe: Recipe, *, total_steps: int, schedule_exponent: float = 1.0, balances: bool = False
) -> keras.Model:
    """Compiles a classifier in place: optimizer with schedule, loss, and the metric `accuracy`.

    The optimizer averages the weights where the recipe says so; `keras.callbacks.SwapEMAWeights` in `model.fit` makes
    validation use the average, as training without Keras does.

    Args:
        model: Maps images to class probabilities `(batch, classes)`.
        recipe: What to train with.
        total_steps: Training steps of the full budget.
        schedule_exponent: `exponent` of `WarmupCosine`.
        balances: Whether it has the metric `balanced_accuracy` too.

    Returns:
        The model itself.
    """
    schedule = WarmupCosine(recipe.learning_rate, total_steps, schedule_exponent)
    options: dict[str, Any] = {"weight_decay": recipe.weight_decay}
    if recipe.average_momentum:
        options |= {"use_ema": True, "ema_momentum": recipe.average_momentum}
    optimizer: keras.optimizers.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(schedule, momentum=PAPER_MOMENTUM, nesterov=True, **options)
    else:
        optimizer = keras.optimizers.AdamW(schedule, **options)
    # He et al., 2019, https://arxiv.org/abs/1812.01187, section 3.1: decay of kernels only.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(
        optimizer=optimizer,
        loss=SmoothedCrossentropy(recipe.label_smoothing),
        metrics=["accuracy", *([BalancedAccuracy(model.output_shape[-1])] if balances else [])],
    )
    return model
