"""What the families that are built layer by layer have in common: convolution, batch normalisation, ReLU.

As the authors of the papers published their networks: no bias in a convolution that batch normalisation follows, and
padding all round. Feature maps are `(batch, height, width, channels)`.
"""

from __future__ import annotations

import keras

from tuner.models.blocks import convolve
from tuner.models.grouped import GroupedConv2D
from tuner.models.plan import Convolution

__all__ = ["conv_norm", "conv_norm_relu"]

_NORM_EPSILON = 1e-5  # the default of Caffe's BatchNorm layer, with which the papers' networks were published


def conv_norm_relu(
    x: keras.KerasTensor, filters: int, kernel: int, *, stride: int = 1, groups: int = 1, name: str
) -> keras.KerasTensor:
    """Applies a convolution, batch normalisation and ReLU; see `conv_norm`."""
    x = conv_norm(x, filters, kernel, stride=stride, groups=groups, name=name)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def conv_norm(
    x: keras.KerasTensor, filters: int, kernel: int, *, stride: int = 1, groups: int = 1, name: str
) -> keras.KerasTensor:
    """Applies a square convolution and batch normalisation.

    Args:
        x: Feature map, `(batch, height, width, channels)`.
        filters: Channels of the result, a multiple of `groups`.
        kernel: Edge of the kernel in pixels, odd.
        stride: Pixels between two positions, >= 1.
        groups: Groups of channels, each of which is convolved by itself; a divisor of the channels of `x`.
        name: Name of the convolution, prefix of the others.

    Returns:
        A feature map, `(batch, ceil(height / stride), ceil(width / stride), filters)`.
    """
    padding = "same"
    if stride > 1 and kernel > 1:  # "same" would pad a stride of 2 unevenly, and depending on the image size
        x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
        padding = "valid"
    if groups == 1:
        x = convolve(x, Convolution(kernel, filters, stride), use_bias=False, name=name, padding=padding)
    else:
        layer = GroupedConv2D(
            filters,
            kernel,
            strides=stride,
            padding=padding,
            groups=groups,
            use_bias=False,
            kernel_initializer="he_normal",
            name=name,
        )
        x = layer(x)
    return keras.layers.BatchNormalization(epsilon=_NORM_EPSILON, name=f"{name}_norm")(x)
