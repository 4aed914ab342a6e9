"""SE-BN-Inception: GoogLeNet's successor with batch normalisation, a gate behind each of its ten modules.

Not among the networks of `keras.applications`. Structure and channels are those of the Caffe definition that the
authors of arXiv 1709.01507 built upon.

Reference: Ioffe & Szegedy, 2015, https://arxiv.org/abs/1502.03167, figure 5; Hu et al., 2018,
https://arxiv.org/abs/1709.01507, figure 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras

from tuner.models.blocks import squeeze_excite
from tuner.models.families.layers import conv_norm_relu

__all__ = ["build_bn_inception"]


@dataclass(frozen=True)
class _Module:
    """Channels of one module.

    Attributes:
        name: Its number in the paper.
        point: Channels of the 1x1 branch, or 0: the module has none and halves the image.
        single: Channels of the two convolutions of the 3x3 branch.
        double: Channels of the first two convolutions of the double 3x3 branch; the third has as many as the second.
        pooled: Channels behind the pooling, or 0: they are those of the module's input.
        pooling: "average" or "max".
    """

    name: str
    point: int
    single: tuple[int, int]
    double: tuple[int, int]
    pooled: int
    pooling: str = "average"


_MODULES = (
    _Module("3a", 64, (64, 64), (64, 96), 32),
    _Module("3b", 64, (64, 96), (64, 96), 64),
    _Module("3c", 0, (128, 160), (64, 96), 0, "max"),
    _Module("4a", 224, (64, 96), (96, 128), 128),
    _Module("4b", 192, (96, 128), (96, 128), 128),
    _Module("4c", 160, (128, 160), (128, 160), 128),
    _Module("4d", 96, (128, 192), (160, 192), 128),
    _Module("4e", 0, (128, 192), (192, 256), 0, "max"),
    _Module("5a", 352, (192, 320), (160, 224), 128),
    _Module("5b", 352, (192, 320), (192, 224), 128, "max"),
)


def build_bn_inception(
    *, input_shape: tuple[int, int, int], classes: int, se_ratio: int, se_bias: bool, name: str
) -> keras.Model:
    """Builds BN-Inception with or without squeeze-and-excitation, with fresh weights.

    Args:
        input_shape: Image shape, `(height, width, channels)`, each >= 1.
        classes: Number of classes, >= 2.
        se_ratio: Channels per gate unit, >= 1, or 0 for no gates.
        se_bias: Whether the dense layers of the gates have a bias.
        name: Name of the model.

    Returns:
        A model from images, `(batch, height, width, channels)`, to class probabilities, `(batch, classes)`, float32.
    """
    image = keras.Input(shape=input_shape, name="image")
    x = conv_norm_relu(image, 64, 7, stride=2, name="stem1")
    x = keras.layers.MaxPooling2D(3, strides=2, padding="same", name="stem1_pool")(x)
    x = conv_norm_relu(x, 64, 1, name="stem2_reduce")
    x = conv_norm_relu(x, 192, 3, name="stem2")
    x = keras.layers.MaxPooling2D(3, strides=2, padding="same", name="stem2_pool")(x)
    for module in _MODULES:
        x = _inception(x, module)
        if se_ratio:
            x = squeeze_excite(x, ratio=se_ratio, use_bias=se_bias, name=f"inception_{module.name}_se")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    head = keras.layers.Dense(classes, activation="softmax", dtype="float32", name="predictions")
    return keras.Model(image, head(x), name=name)


def _inception(x: keras.KerasTensor, module: _Module) -> keras.KerasTensor:
    name = f"inception_{module.name}"
    stride = 1 if module.point else 2
    branches = []
    if module.point:
        branches.append(conv_norm_relu(x, module.point, 1, name=f"{name}_1x1"))
    single = conv_norm_relu(x, module.single[0], 1, name=f"{name}_3x3_reduce")
    branches.append(conv_norm_relu(single, module.single[1], 3, stride=stride, name=f"{name}_3x3"))
    double = conv_norm_relu(x, module.double[0], 1, name=f"{name}_double_3x3_reduce")
    double = conv_norm_relu(double, module.double[1], 3, name=f"{name}_double_3x3_1")
    branches.append(conv_norm_relu(double, module.double[1], 3, stride=stride, name=f"{name}_double_3x3_2"))
    pooling = keras.layers.MaxPooling2D if module.pooling == "max" else keras.layers.AveragePooling2D
    pooled = pooling(3, strides=stride, padding="same", name=f"{name}_pool")(x)
    if module.pooled:
        pooled = conv_norm_relu(pooled, module.pooled, 1, name=f"{name}_pool_project")
    branches.append(pooled)
    return keras.layers.Concatenate(name=f"{name}_concat")(branches)
