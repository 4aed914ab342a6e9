"""Networks of `keras.applications` with squeeze-and-excitation in them, with fresh weights.

Where the gates stand: the paper draws them for Inception modules and residual branches (figures 2 and 3); for VGG,
MobileNet and Inception-v3 the authors published no definition.

    se_inception_v3         behind each of the eleven Inception modules
    se_inception_resnet_v2  at the end of each of the forty residual branches, before the branch is scaled and added
    se_vgg16                behind each of the thirteen convolutions; Keras's VGG-16 has no batch normalisation
    se_mobilenet            behind each of the thirteen depthwise separable convolutions

Reference: Hu et al., 2018, https://arxiv.org/abs/1709.01507.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras

from tuner.errors import UsageError
from tuner.models.backbone import BACKBONES
from tuner.models.insertion import After, add_se

__all__ = ["APPLICATIONS", "build_application"]


@dataclass(frozen=True)
class _Application:
    """A network of `keras.applications`.

    Attributes:
        backbone: Name of its constructor there, one of `BACKBONES`.
        after: Where its gates go, as `add_se` takes it.
    """

    backbone: str
    after: After


APPLICATIONS = {
    "se_inception_v3": _Application("InceptionV3", tuple(f"mixed{i}" for i in range(11))),
    "se_inception_resnet_v2": _Application("InceptionResNetV2", "residual"),
    "se_vgg16": _Application("VGG16", "activation"),
    "se_mobilenet": _Application("MobileNet", tuple(f"conv_pw_{i}_relu" for i in range(1, 14))),
}


def build_application(
    application: _Application,
    *,
    input_shape: tuple[int, int, int],
    classes: int,
    se_ratio: int,
    se_bias: bool,
    name: str,
) -> keras.Model:
    """Builds a network of `keras.applications` with or without gates.

    Args:
        application: Which, and where its gates go.
        input_shape: Image shape, `(height, width, channels)`.
        classes: Number of classes, >= 2.
        se_ratio: Channels per gate unit, >= 1, or 0 for no gates.
        se_bias: Whether the dense layers of the gates have a bias.
        name: Name of the model.

    Returns:
        A model from images, `(batch, height, width, channels)`, to class probabilities, `(batch, classes)`.

    Raises:
        UsageError: If the image is smaller than the network takes.
    """
    smallest = BACKBONES[application.backbone]
    if min(input_shape[:2]) < smallest:
        size = "x".join(map(str, input_shape[:2]))
        raise UsageError(f"{name} takes images of {smallest}x{smallest} pixels or more, received {size}; resize them.")
    constructor = getattr(keras.applications, application.backbone)
    model = constructor(weights=None, input_shape=input_shape, classes=classes, name=name)
    if not se_ratio:
        return model
    return add_se(model, ratio=se_ratio, after=application.after, use_bias=se_bias)
