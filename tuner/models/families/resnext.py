"""SE-ResNeXt and SENet-154: residual networks whose 3x3 convolutions see one group of channels at a time.

Reference: Xie et al., 2016, https://arxiv.org/abs/1611.05431, table 1; Hu et al., 2018,
https://arxiv.org/abs/1709.01507, table 1 and section 6.4 (SENet-154).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import keras

from tuner.models.blocks import squeeze_excite
from tuner.models.families.layers import conv_norm, conv_norm_relu

__all__ = ["RESNEXTS", "GroupedNetwork", "build_resnext"]

_EXPANSION = 4  # channels of a block's output for each of its plane: He et al., 2015, table 1
_STAGE_PLANES = 64  # of the first stage; every stage doubles them
_SENET_STEM = (64, 64, 128)


@dataclass(frozen=True, kw_only=True)
class GroupedNetwork:
    """The plain numbers of one network.

    Attributes:
        blocks: Residual blocks of each stage.
        groups: Groups of the 3x3 convolutions.
        reduce: Channels of a block's first 1x1 convolution for each plane.
        middle: Channels of its 3x3 convolution for each plane; their number is a multiple of `groups`.
        deep_stem: Three 3x3 convolutions in place of one 7x7.
        wide_projection: Projection shortcuts that halve the image are 3x3 convolutions in place of 1x1.
        dropout: Share of features that is dropped before the classifier, 0 <= share < 1.
    """

    blocks: tuple[int, ...]
    groups: int
    reduce: int
    middle: int
    deep_stem: bool = False
    wide_projection: bool = False
    dropout: float = 0.0


RESNEXTS = {
    # 32 groups of 4 channels for 64 planes: Xie et al., table 1 and section 4.
    "se_resnext50_32x4d": GroupedNetwork(blocks=(3, 4, 6, 3), groups=32, reduce=2, middle=2),
    "se_resnext101_32x4d": GroupedNetwork(blocks=(3, 4, 23, 3), groups=32, reduce=2, middle=2),
    # "64x4d", its first 1x1 convolutions halved to save computation: Hu et al., section 6.4.
    "senet154": GroupedNetwork(
        blocks=(3, 8, 36, 3), groups=64, reduce=2, middle=4, deep_stem=True, wide_projection=True, dropout=0.2
    ),
}


def build_resnext(
    network: GroupedNetwork, *, input_shape: tuple[int, int, int], classes: int, se_ratio: int, se_bias: bool, name: str
) -> keras.Model:
    """Builds a network whose residual blocks have grouped convolutions, with fresh weights.

    Args:
        network: Its numbers.
        input_shape: Image shape, `(height, width, channels)`, each >= 1.
        classes: Number of classes, >= 2.
        se_ratio: Channels per gate unit, >= 1, or 0 for no gates.
        se_bias: Whether the dense layers of the gates have a bias.
        name: Name of the model.

    Returns:
        A model from images, `(batch, height, width, channels)`, to class probabilities, `(batch, classes)`, float32.
    """
    image = keras.Input(shape=input_shape, name="image")
    x = _stem(image, network)
    for block_name, planes, stride in _blocks(network):
        x = _block(x, network, planes=planes, stride=stride, se_ratio=se_ratio, se_bias=se_bias, name=block_name)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    if network.dropout:
        x = keras.layers.Dropout(network.dropout, name="dropout")(x)
    head = keras.layers.Dense(classes, activation="softmax", dtype="float32", name="predictions")
    return keras.Model(image, head(x), name=name)


def _stem(x: keras.KerasTensor, network: GroupedNetwork) -> keras.KerasTensor:
    if network.deep_stem:
        for number, filters in enumerate(_SENET_STEM, start=1):
            x = conv_norm_relu(x, filters, 3, stride=2 if number == 1 else 1, name=f"stem{number}")
    else:
        x = conv_norm_relu(x, _STAGE_PLANES, 7, stride=2, name="stem")
    return keras.layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(x)


def _blocks(network: GroupedNetwork) -> Iterator[tuple[str, int, int]]:
    """Yields name, planes and stride of each block; the first of every stage but the first halves the image."""
    for stage, blocks in enumerate(network.blocks):
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            yield f"stage{stage + 1}_block{block + 1}", _STAGE_PLANES * 2**stage, stride


def _block(
    x: keras.KerasTensor,
    network: GroupedNetwork,
    *,
    planes: int,
    stride: int,
    se_ratio: int,
    se_bias: bool,
    name: str,
) -> keras.KerasTensor:
    filters = planes * _EXPANSION
    branch = conv_norm_relu(x, planes * network.reduce, 1, name=f"{name}_conv1")
    branch = conv_norm_relu(
        branch, planes * network.middle, 3, stride=stride, groups=network.groups, name=f"{name}_conv2"
    )
    branch = conv_norm(branch, filters, 1, name=f"{name}_conv3")
    if se_ratio:
        branch = squeeze_excite(branch, ratio=se_ratio, use_bias=se_bias, name=f"{name}_se")
    if stride != 1 or x.shape[-1] != filters:
        kernel = 3 if network.wide_projection and stride != 1 else 1
        x = conv_norm(x, filters, kernel, stride=stride, name=f"{name}_projection")
    x = keras.layers.Add(name=f"{name}_add")([x, branch])
    return keras.layers.ReLU(name=f"{name}_relu")(x)
