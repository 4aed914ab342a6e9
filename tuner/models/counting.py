"""What a built Keras model weighs and computes, from the shapes of its layers.

For networks without a `ModelConfig`; `cost` counts those that have one, without building them.
"""

from __future__ import annotations

import math
from typing import Any

import keras

from tuner.errors import UsageError
from tuner.models.cost import Cost
from tuner.models.graph import Call, calls_of, functional, is_model

__all__ = ["count"]

_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
_TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)


def count(model: keras.Model) -> Cost:
    """Counts weights and the multiply-accumulates for one image.

    Args:
        model: A functional model, or a Sequential one that starts with `keras.Input`; every image size is fixed. Nested
            models are counted too, a layer that is called twice computes twice.

    Returns:
        The counts. Multiply-accumulates are those of dense layers and of all kinds of convolutions, also grouped and
        depthwise ones: each weight of a kernel once per output position, so the zeros of the padding count. Other
        layers count as none. Feature maps are not measured: `peak_activation_bytes` is 0.

    Raises:
        UsageError: If the model has no graph, or an image size is open.
    """
    graph = functional(model)
    return Cost(
        params=model.count_params(),
        trainable_params=sum(math.prod(weight.shape) for weight in model.trainable_weights),
        macs=_macs(graph),
    )


def _macs(model: keras.Model) -> int:
    return sum(_macs_of_call(call) for call in calls_of(model))


def _macs_of_call(call: Call) -> int:
    layer = call.operation
    if is_model(layer):
        return _macs(functional(layer))
    if isinstance(layer, keras.layers.Dense):
        return math.prod(layer.kernel.shape) * _positions(layer, call.inputs[0].shape[1:-1])
    if isinstance(layer, _CONVOLUTIONS + _DEPTHWISE):
        return math.prod(layer.kernel.shape) * _outputs(call)
    if isinstance(layer, _SEPARABLE):
        return (math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)) * _outputs(call)
    if isinstance(layer, _TRANSPOSED):  # every kernel weight meets every input position
        return math.prod(layer.kernel.shape) * _positions(layer, _image(layer, call.inputs[0].shape))
    return 0


def _outputs(call: Call) -> int:
    """Positions of the feature maps that a convolution puts out."""
    layer = call.operation
    return _positions(layer, _image(layer, layer.compute_output_shape(call.inputs[0].shape)))


def _image(layer: Any, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
    return shape[1:-1] if layer.data_format == "channels_last" else shape[2:]


def _positions(layer: Any, sizes: tuple[int | None, ...]) -> int:
    positions = 1
    for size in sizes:
        if size is None:
            raise UsageError(f"The image size at layer {layer.name!r} is open; give the model's input a fixed shape.")
        positions *= size
    return positions
