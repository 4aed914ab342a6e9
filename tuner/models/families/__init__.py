"""SE networks that are no plain ResNet and so have no `ModelConfig`: each is built from Keras layers.

    resnext       SE-ResNeXt-50 and -101 (32x4d), SENet-154
    bn_inception  SE-BN-Inception
    applications  networks of `keras.applications` with gates put into them by `add_se`
    layers        convolution, batch normalisation, ReLU

`tuner.models.build` is the entrance.
"""

from __future__ import annotations

from typing import Any

import keras

from tuner.errors import UsageError
from tuner.models.families.applications import APPLICATIONS, build_application
from tuner.models.families.bn_inception import build_bn_inception
from tuner.models.families.resnext import RESNEXTS, build_resnext

__all__ = ["build_family"]


def build_family(
    name: str,
    *,
    input_shape: tuple[int, int, int],
    classes: int,
    se_bias: bool,
    se_ratio: int = 16,
    norm_momentum: float | None = None,
    norm_epsilon: float | None = None,
) -> keras.Model:
    """Builds a network of a family, with fresh weights.

    Args:
        name: One of `tuner.models.presets.FAMILIES`.
        input_shape: Image shape, `(height, width, channels)`, each >= 1.
        classes: Number of classes, >= 2.
        se_bias: Whether the dense layers of the gates have a bias.
        se_ratio: Channels per gate unit, >= 1, or 0 for no gates; 16 in the paper.
        norm_momentum: Share of the old moving statistics that batch normalisation keeps a step, or None for the
            network's own.
        norm_epsilon: Added to the batch variance, > 0, or None for the network's own.

    Returns:
        A model from images, `(batch, height, width, channels)`, to class probabilities, `(batch, classes)`.

    Raises:
        UsageError: If the image is too small for the network, or a number is out of range.
    """
    _check(name, classes=classes, se_ratio=se_ratio)
    sizes: dict[str, Any] = {
        "input_shape": tuple(input_shape),
        "classes": classes,
        "se_ratio": se_ratio,
        "se_bias": se_bias,
    }
    title = name if se_ratio else name.removeprefix("se_")
    if name in RESNEXTS:
        model = build_resnext(RESNEXTS[name], name=title, **sizes)
    elif name in APPLICATIONS:
        model = build_application(APPLICATIONS[name], name=title, **sizes)
    else:
        model = build_bn_inception(name=title, **sizes)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = layer.momentum if norm_momentum is None else norm_momentum
            layer.epsilon = layer.epsilon if norm_epsilon is None else norm_epsilon
    return model


def _check(name: str, *, classes: int, se_ratio: int) -> None:
    if classes < 2:
        raise UsageError(f"{name}: received classes={classes!r}, allowed is a whole number >= 2.")
    if se_ratio < 0:
        raise UsageError(f"{name}: received se_ratio={se_ratio!r}, allowed is a whole number >= 1, or 0 for no gates.")
