"""SE-ResNets and backbones as a `keras_tuner.HyperModel`: hyperparameters in, compiled Keras model out.

It needs nothing else of this program, so it works in a stock Keras Tuner tuner too:

    hypermodel = SEResNetHyperModel(
        space="small", input_shape=(8, 8, 1), classes=10, max_epochs=9, steps_per_epoch=23)
    keras_tuner.Hyperband(hypermodel, objective="val_accuracy", max_epochs=9).search(x, y, validation_data=(xv, yv))
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import keras_tuner

from tuner.augmentation import augmenting
from tuner.declaration import GROUP_NAMES, active_values, declare
from tuner.errors import SpaceError, UsageError
from tuner.gates import DEFAULT_RATIO, gate_ratios
from tuner.messages import Facts, Session
from tuner.models import AnyConfig, BackboneConfig, ModelConfig, build_model
from tuner.quantities import counted
from tuner.recipe import Recipe, balancing_weights, compile_model, norm_momentum, progress_exponent
from tuner.space import Space, load_space

__all__ = ["SEResNetHyperModel", "active_values", "declare"]

DEFAULT_BLOCKS = 2
DEFAULT_WIDTH = 16


class SEResNetHyperModel(keras_tuner.HyperModel):
    """SE-ResNets over a search space, or networks of `keras.applications` where it declares `backbone`.

    Args:
        space: Name of a space, path of a Python file, a `Space`, or a function `declare(hp)`.
        input_shape: Shape of an image, `(height, width, channels)`.
        classes: Number of classes, >= 2.
        max_epochs: Full budget of one configuration, >= 1; the learning-rate schedule spans it whatever the rung.
        steps_per_epoch: Training steps of an epoch, >= 1.
        batch_size: Images a step, >= 1; decides the default learning rate only.
        mean: Mean of each channel of the training images; with `variance`, the network's first layer normalises.
        variance: Variance of each channel of the training images; a channel that has none is only moved by its mean.
        balances: Whether models have the metric `balanced_accuracy` too.
        class_sizes: Training images of each class, which a space with `class_weights` needs.

    Raises:
        UsageError: If a number is none in its range; NumPy's are as good as Python's.
    """

    def __init__(
        self,
        space: str | Space | Callable[[Any], None],
        input_shape: tuple[int, int, int],
        classes: int,
        max_epochs: int,
        steps_per_epoch: int,
        *,
        batch_size: int = 64,
        mean: Iterable[float] | None = None,
        variance: Iterable[float] | None = None,
        balances: bool = False,
        class_sizes: Iterable[int] = (),
    ) -> None:
        super().__init__(name="se_resnet")
        if isinstance(space, str):
            space = load_space(space)
        self.declare = space.declare if isinstance(space, Space) else space
        self.input_shape = _image_shape(input_shape)
        self.classes = _whole("classes", classes, 2)
        self.max_epochs = _whole("max_epochs", max_epochs, 1)
        self.steps_per_epoch = _whole("steps_per_epoch", steps_per_epoch, 1)
        self.batch_size = _whole("batch_size", batch_size, 1)
        self.balances = balances
        self.class_sizes = tuple(_whole("class_sizes", size, 0) for size in class_sizes)
        if len(self.class_sizes) not in (0, self.classes):
            raise UsageError(f"class_sizes is {class_sizes!r}; allowed is a number for each of {self.classes} classes.")
        self.mean = _per_channel("mean", mean, self.input_shape[2])
        variances = _per_channel("variance", variance, self.input_shape[2])
        self.variance = variances and tuple(value or 1.0 for value in variances)

    @classmethod
    def of(cls, session: Session, facts: Facts, space: Space | None = None) -> SEResNetHyperModel:
        """Returns the hypermodel of a search on its data; `space` where the caller has loaded it."""
        return cls(
            space=space or session.load_space(),
            input_shape=facts.input_shape,
            classes=facts.classes,
            max_epochs=session.max_epochs,
            steps_per_epoch=math.ceil(facts.train / session.batch_size),
            batch_size=session.batch_size,
            mean=facts.mean,
            variance=facts.variance,
            balances=session.balances,
            class_sizes=facts.class_sizes,
        )

    @property
    def total_steps(self) -> int:
        """Training steps of the full budget."""
        return self.max_epochs * self.steps_per_epoch

    @property
    def schedule_exponent(self) -> float:
        """How soon the learning rate falls, see `tuner.recipe.WarmupCosine`."""
        return progress_exponent(self.max_epochs)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Returns the compiled model of the values in `hp`, declaring the space on it first."""
        self.declare(hp)
        values = active_values(hp)
        recipe = self.recipe(values)
        model = augmenting(build_model(self.model_config(values)), recipe)
        return compile_model(
            model,
            recipe,
            total_steps=self.total_steps,
            schedule_exponent=self.schedule_exponent,
            balances=self.balances,
        )

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        """Trains a built model as `model.fit` does, with the class weights that its values ask for.

        Where its weights are averaged, the average is validated, saved and left in the model.
        """
        if weights := self.class_weights(self.recipe(active_values(hp))):
            kwargs["class_weight"] = dict(enumerate(weights))
        # With the policy mixed_float16, Keras puts the optimizer into one that scales the loss.
        if getattr(model.optimizer, "inner_optimizer", model.optimizer).use_ema:
            # First, so that what saves the model at the end of an epoch finds the average in it.
            averaging = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True), _LeaveAverage()]
            kwargs["callbacks"] = [*averaging, *(kwargs.get("callbacks") or [])]
        return super().fit(hp, model, *args, **kwargs)

    def model_config(self, values: Mapping[str, Any]) -> AnyConfig:
        """Returns the network that hyperparameter values ask for: a backbone where they name one.

        Raises:
            SpaceError: If the values make no network.
        """
        try:
            if "backbone" in values:
                return self._backbone_config(values)
            ratios = gate_ratios(values)
            return ModelConfig(
                block=values.get("block", "basic"),
                blocks=tuple(values.get(f"blocks_{stage}", DEFAULT_BLOCKS) for stage, _ in enumerate(ratios, start=1)),
                width=values.get("width", DEFAULT_WIDTH),
                stem=values.get("stem", "small"),
                se_ratio=ratios,
                se_position=values.get("se_position", "standard"),
                squeeze=values.get("squeeze", "avg"),
                excitation=values.get("excitation", "sigmoid"),
                **_groups(values),
                stochastic_depth=values.get("stochastic_depth", 0.0),
                dropout=values.get("dropout", 0.0),
                # The published networks: a bias before batch normalisation would change nothing.
                conv_bias=False,
                se_bias=True,
                projection_norm=True,
                classes=self.classes,
                input_shape=self.input_shape,
                norm_momentum=norm_momentum(self.steps_per_epoch),
                mean=self.mean,
                variance=self.variance,
            )
        except ValueError as error:
            raise SpaceError(f"The search space asks for a network that cannot be built: {error}") from error

    def _backbone_config(self, values: Mapping[str, Any]) -> BackboneConfig:
        return BackboneConfig(
            backbone=values["backbone"],
            se_ratio=values.get("se_ratio", DEFAULT_RATIO),
            se_after=values.get("se_after", "auto"),
            dropout=values.get("dropout", 0.0),
            classes=self.classes,
            input_shape=self.input_shape,
            norm_momentum=norm_momentum(self.steps_per_epoch),
            mean=self.mean,
            variance=self.variance,
        )

    def recipe(self, values: Mapping[str, Any]) -> Recipe:
        """Returns how to train with hyperparameter values.

        Raises:
            SpaceError: If the values make no recipe.
        """
        try:
            return Recipe.from_values(values, batch_size=self.batch_size, steps_per_epoch=self.steps_per_epoch)
        except ValueError as error:
            raise SpaceError(f"The search space asks for a training that there is not: {error}") from error

    def class_weights(self, recipe: Recipe) -> tuple[float, ...]:
        """Returns how much a training image of each class weighs in the loss; nothing where all weigh 1.

        Raises:
            SpaceError: If the number of images of each class is not known.
        """
        if not recipe.class_weights:
            return ()
        if not self.class_sizes:
            raise SpaceError(
                "The search space asks for class_weights, which follow from the training images of each class; give "
                "their numbers as class_sizes=(...,)."
            )
        return balancing_weights(self.class_sizes)


class _LeaveAverage(keras.callbacks.Callback):
    """Leaves the averaged weights of the last epoch in the model.

    Keras does that after all epochs that were asked for alone. Where a callback ends the training sooner, it leaves the
    weights themselves, and the average is lost.
    """

    def __init__(self) -> None:
        super().__init__()
        self._average: list[Any] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._average = [weight.numpy() for weight in self.model.trainable_variables]

    def on_train_end(self, logs: Any = None) -> None:
        if self._average:  # none of no epoch
            for weight, value in zip(self.model.trainable_variables, self._average, strict=True):
                weight.assign(value)


def _groups(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what bottleneck blocks have and basic blocks have not, as `blocks_4` means nothing to three stages."""
    if values.get("block", "basic") == "basic":
        return {}
    return {name: values[name] for name in GROUP_NAMES if name in values}


def _image_shape(received: Any) -> tuple[int, int, int]:
    """Returns the shape of an image.

    Raises:
        UsageError: If it is none.
    """
    try:
        height, width, channels = received
    except (TypeError, ValueError) as error:
        raise UsageError(f"input_shape is {received!r}; allowed is (height, width, channels).") from error
    sides = [_whole("input_shape", side, 1) for side in (height, width, channels)]
    return (sides[0], sides[1], sides[2])


def _per_channel(name: str, received: Any, channels: int) -> tuple[float, ...] | None:
    """Returns a number for each channel, or None for None.

    Raises:
        UsageError: If it is something else.
    """
    if received is None:
        return None
    try:
        values = tuple(map(float, received))
    except (TypeError, ValueError):
        values = ()
    if len(values) != channels:
        allowed = f"a tuple of {counted(channels, 'number')}, one for each channel"
        raise UsageError(f"{name} is {received!r}; allowed is {allowed}.")
    return values


def _whole(name: str, received: Any, lowest: int) -> int:
    """Returns a whole number, which may be one of NumPy, also what `np.ceil` returns, as one of Python.

    Raises:
        UsageError: If it is none from the lowest one on.
    """
    is_number = isinstance(received, numbers.Real) and not isinstance(received, bool)
    if not is_number or not float(received).is_integer() or received < lowest:
        raise UsageError(f"{name} is {received!r}; allowed is a whole number from {lowest}.")
    return int(received)
