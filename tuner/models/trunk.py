"""Networks of `keras.applications` as Keras models: the trunk, from images to features, and the whole classifier.

Nothing of the applications is used but the graph of their layers: the weights are fresh, the input is normalised like
that of the other networks, the head is ours. Nothing here trains.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from typing import Any

import keras
import numpy as np

from tuner.errors import UsageError
from tuner.models.backbone import RULES, BackboneConfig
from tuner.models.cost import Cost
from tuner.models.counting import count
from tuner.models.graph import calls_of, copy, functional, is_model
from tuner.models.grouped import GroupedConv2D, PointwiseConv2D
from tuner.models.insertion import add_se
from tuner.models.memory import BYTES_PER_VALUE, Results
from tuner.models.normalization import FusedBatchNormalization

__all__ = ["BackboneWeight", "backbone_cost", "backbone_model", "backbone_weights", "build_trunk", "fresh_weights"]

# What Keras puts in front of a network to bring raw pixels to its own scale; ours are normalised already.
_PREPROCESSING = (keras.layers.Rescaling, keras.layers.Normalization)
_OWN_NORMALIZATION = "image_normalization"

# Not decayed by any optimizer of ours: He et al., 2019, https://arxiv.org/abs/1812.01187, section 3.1.
_WITHOUT_DECAY = ("bias", "gamma", "beta")


@dataclasses.dataclass(frozen=True)
class BackboneWeight:
    """One weight array of a network, like `weights.WeightSpec`.

    Args:
        name: A name of its own, the same in every process.
        shape: Its shape.
        initializer: The Keras initializer that makes fresh values.
        trainable: Whether a gradient changes it.
        is_kernel: Whether it multiplies features: weight decay is for kernels only.
    """

    name: str
    shape: tuple[int, ...]
    initializer: Any
    trainable: bool
    is_kernel: bool

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


def build_trunk(config: BackboneConfig, *, stock: bool, norm_momentum: float, dtype: str = "float32") -> keras.Model:
    """Builds a network up to the features that its classifier sees.

    Args:
        config: The network.
        stock: Whether all layers are Keras's own. Else those that Keras trains slowly or wrongly on a CPU are ours.
        norm_momentum: Momentum of batch normalisation; 0 makes its moving statistics those of the last batch.
        dtype: Name of the dtype policy of all layers but the normalisation of images and the last mean.

    Returns:
        A model from raw images, `(batch, height, width, channels)`, to features, `(batch, features)`, float32.

    Raises:
        UsageError: If `se_after` finds no place in the network.
    """
    trunk = _gated(_application(config), config)
    trunk = _changed(trunk, stock=stock, norm_momentum=norm_momentum, dtype=dtype)
    pool = keras.layers.GlobalAveragePooling2D(dtype="float32", name="pool")
    return keras.Model(trunk.input, pool(trunk.output), name=config.name)


def backbone_model(config: BackboneConfig, *, for_export: bool = False) -> keras.Model:
    """Builds the whole network; arguments and result are those of `resnet.build_model`.

    Raises:
        UsageError: If `se_after` finds no place in the network.
    """
    policy = "float32" if for_export else keras.config.dtype_policy().name
    trunk = build_trunk(config, stock=for_export, norm_momentum=config.norm_momentum, dtype=policy)
    features = trunk.output
    if config.dropout and not for_export:
        features = keras.layers.Dropout(config.dropout, dtype="float32", name="dropout")(features)
    head = keras.layers.Dense(config.classes, activation="softmax", dtype="float32", name="predictions")
    return keras.Model(trunk.input, head(features), name=config.name)


def backbone_cost(config: BackboneConfig) -> Cost:
    """Returns what a network weighs, computes and holds for one image; it is built once to be counted.

    Raises:
        UsageError: If `se_after` finds no place in the network.
    """
    return _facts(_plain(config)).cost


def backbone_weights(config: BackboneConfig) -> list[BackboneWeight]:
    """Returns the weights of a network, the trainable ones first, each group in the order of `backbone_model`."""
    return _facts(_plain(config)).weights


def fresh_weights(config: BackboneConfig, *, seed: int) -> dict[str, np.ndarray]:
    """Returns fresh weights by name, from Keras's initializers.

    Args:
        config: The network.
        seed: Seed; equal seeds give equal weights in every process.
    """
    weights = backbone_weights(config)
    seeds = np.random.SeedSequence([seed, 0]).generate_state(len(weights)) >> 1
    return {weight.name: _draw(weight, int(own)) for weight, own in zip(weights, seeds, strict=True)}


@dataclasses.dataclass(frozen=True)
class _Facts:
    """What there is to know of a network without keeping it."""

    cost: Cost
    weights: list[BackboneWeight]


def _plain(config: BackboneConfig) -> BackboneConfig:
    """Returns the configuration with stand-ins for all on which neither size nor weights depend."""
    channels = config.input_shape[2]
    mean, variance = (None, None) if config.mean is None else ((0.0,) * channels, (1.0,) * channels)
    after = config.se_after if config.se_ratio else "auto"
    return dataclasses.replace(config, se_after=after, dropout=0.0, norm_momentum=0.0, mean=mean, variance=variance)


@functools.cache
def _facts(config: BackboneConfig) -> _Facts:
    model = backbone_model(config, for_export=True)
    return _Facts(
        dataclasses.replace(count(model), peak_activation_bytes=_peak_activation_bytes(model)), _weights(model)
    )


def _weights(model: keras.Model) -> list[BackboneWeight]:
    layers = {id(weight): layer for layer in _layers(model) for weight in layer.weights}
    variables = [*model.trainable_weights, *model.non_trainable_weights]
    # Keras numbers layers without a name through all models of a process.
    return [_weight(f"{place:04d}", variable, layers[id(variable)]) for place, variable in enumerate(variables)]


def _layers(model: keras.Model) -> list[Any]:
    """Returns the layers of a model and of those within it."""
    return [inner for layer in model.layers for inner in (_layers(layer) if is_model(layer) else [layer])]


def _weight(name: str, variable: Any, layer: Any) -> BackboneWeight:
    short = variable.name
    kinds = (short, short.removesuffix("_kernel"), "depthwise")
    found = (getattr(layer, f"{kind}_initializer", None) for kind in kinds)
    initializer = next((each for each in found if each is not None), None)
    if initializer is None:
        values = np.unique(variable.numpy())
        assert values.size == 1, f"{variable.path} has no initializer that is known"
        initializer = keras.initializers.Constant(float(values[0]))
    is_kernel = variable.trainable and not any(part in short for part in _WITHOUT_DECAY)
    return BackboneWeight(name, tuple(variable.shape), initializer, bool(variable.trainable), is_kernel)


def _draw(weight: BackboneWeight, seed: int) -> np.ndarray:
    config = weight.initializer.get_config()
    if "seed" in config:
        config["seed"] = seed
    values = type(weight.initializer).from_config(config)(weight.shape, dtype="float32")
    return np.asarray(values, np.float32)


def _peak_activation_bytes(model: keras.Model) -> int:
    """Returns what `memory.peak_activation_bytes` defines, of the graph of a model in the order of its calls."""
    calls = calls_of(model)
    shapes = {(tensor.operation, tensor.call): tensor.shape[1:] for call in calls for tensor in call.inputs}
    results = Results()
    made = {(model.operations[0].name, 0): results.layer(model.input_shape[1:])}
    for call in calls:
        place = (call.operation.name, call.number)
        shape = shapes.get(place, model.output_shape[1:])
        made[place] = results.layer(shape, *(made[tensor.operation, tensor.call] for tensor in call.inputs))
    return BYTES_PER_VALUE * results.most_values()


def _application(config: BackboneConfig) -> keras.Model:
    """Returns the network of Keras from images, normalised where the configuration says how, to its last maps."""
    constructor = getattr(keras.applications, config.backbone)
    options = {"include_preprocessing": False}
    known = inspect.signature(constructor).parameters
    image = keras.Input(shape=config.input_shape, name="image")
    x = image
    if config.mean is not None and config.variance is not None:
        x = keras.layers.Normalization(
            mean=list(config.mean), variance=list(config.variance), dtype="float32", name=_OWN_NORMALIZATION
        )(x)
    application = constructor(
        weights=None,
        include_top=False,
        input_tensor=x,
        input_shape=config.input_shape,
        **{name: value for name, value in options.items() if name in known},
    )
    return keras.Model(image, application.output)  # Keras's own takes a list of one image


def _gated(model: keras.Model, config: BackboneConfig) -> keras.Model:
    if not config.se_ratio:
        return model
    rule = config.se_after if config.se_after != "auto" else _first_rule(config.backbone, config.input_shape)
    try:
        return add_se(model, ratio=config.se_ratio, after=rule)
    except UsageError as error:
        raise UsageError(
            f"se_after is {config.se_after!r}, which finds no place for a gate in {config.backbone}; use "
            f"{_first_rule(config.backbone, config.input_shape)!r}, or 'auto', which is the first of "
            f"{', '.join(map(repr, RULES))} that finds one."
        ) from error


@functools.cache
def _first_rule(backbone: str, input_shape: tuple[int, int, int]) -> str:
    """Returns the first rule that finds a place for a gate."""
    model = _application(BackboneConfig(backbone=backbone, input_shape=input_shape, classes=2))
    for rule in RULES[:-1]:
        try:
            add_se(model, after=rule)
        except UsageError:
            continue
        return rule
    return RULES[-1]  # every backbone has activations


def _changed(model: keras.Model, *, stock: bool, norm_momentum: float, dtype: str) -> keras.Model:
    """Returns a copy of a graph without its preprocessing, in the given precision and with layers that train."""

    def clone(operation: Any) -> Any:
        kind, config = type(operation), operation.get_config()
        if isinstance(operation, keras.layers.BatchNormalization):
            config["momentum"] = norm_momentum
        if isinstance(operation, keras.Layer) and operation.name != _OWN_NORMALIZATION:
            config["dtype"] = dtype
        if not stock:
            kind = _trainable_kind(operation)
        return kind.from_config(config)

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        is_foreign = isinstance(operation, _PREPROCESSING) and operation.name != _OWN_NORMALIZATION
        return args[0] if is_foreign else operation(*args, **kwargs)

    def nested(inner: keras.Model) -> keras.Model:
        return _changed(functional(inner), stock=stock, norm_momentum=norm_momentum, dtype=dtype)

    return copy(model, clone=clone, nested=nested, call=call)


def _trainable_kind(layer: Any) -> Any:
    """Returns the class of a layer, or that of ours in its place."""
    kind = type(layer)
    if kind is keras.layers.BatchNormalization:
        return FusedBatchNormalization
    if kind is keras.layers.Conv2D and layer.groups > 1:
        return GroupedConv2D
    if kind is keras.layers.Conv2D and {*layer.kernel_size} == {1}:
        return PointwiseConv2D
    return kind
