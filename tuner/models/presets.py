"""Networks by name, in the recipe of the tutorial or of the papers.

    variant      convolutions   projection of basic blocks   gates           stride of bottlenecks
    "tutorial"   with bias      without batch norm           without bias    first 1x1
    "paper"      without bias   with batch norm              with bias       first 1x1

"tutorial" is the project's seed document; "paper" are the definitions that the authors of the papers published. All
have r = 16. Any field of `ModelConfig` can be overridden, `stride_position="middle"` for instance for the variant that
most libraries ship as ResNet.

    ResNet-18 to -152       ImageNet stem, four stages of 64, 128, 256, 512 planes
    ResNet-20 to -110       for CIFAR: small stem, three stages of 16, 32, 64 planes, basic blocks
    ResNet-164              the same with bottlenecks, 64, 128, 256 channels
    families                one definition each, not a `ModelConfig`: see `tuner.models.families`

The CIFAR networks are those of 2015, ReLU after the addition, and not the pre-activation networks of 2016. Where the
shape changes, their shortcut is a 1x1 convolution; He et al. pad the missing channels with zeros (their option A),
which has no weights.

Reference: He et al., 2015, https://arxiv.org/abs/1512.03385, tables 1 and 6; He et al., 2016,
https://arxiv.org/abs/1603.05027 (ResNet-164); Hu et al., 2018, https://arxiv.org/abs/1709.01507, table 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

from tuner.errors import UsageError, did_you_mean
from tuner.models.config import ModelConfig

if TYPE_CHECKING:
    import keras

__all__ = ["FAMILIES", "NETWORKS", "build", "preset"]

_CIFAR = {"stem": "small", "width": 16}  # He et al., 2015, section 4.2
_RESNETS: dict[str, dict[str, Any]] = {  # He et al., 2015, table 1
    "resnet18": {"block": "basic", "blocks": (2, 2, 2, 2)},
    "resnet34": {"block": "basic", "blocks": (3, 4, 6, 3)},
    "resnet50": {"block": "bottleneck", "blocks": (3, 4, 6, 3)},
    "resnet101": {"block": "bottleneck", "blocks": (3, 4, 23, 3)},
    "resnet152": {"block": "bottleneck", "blocks": (3, 8, 36, 3)},
    # 6 n + 2 layers: He et al., 2015, section 4.2.
    **{f"resnet{6 * n + 2}": _CIFAR | {"block": "basic", "blocks": (n, n, n)} for n in (3, 5, 9, 18)},
    "resnet164": _CIFAR | {"block": "bottleneck", "blocks": (18, 18, 18)},  # 9 n + 2 layers
}
NETWORKS: dict[str, dict[str, Any]] = {
    **{f"se_{name}": fields | {"se_ratio": 16} for name, fields in _RESNETS.items()},  # r = 16: Hu et al., table 10
    **{name: fields | {"se_ratio": 0} for name, fields in _RESNETS.items()},
}
FAMILIES = (
    "se_resnext50_32x4d",
    "se_resnext101_32x4d",
    "senet154",
    "se_bn_inception",
    "se_inception_v3",
    "se_inception_resnet_v2",
    "se_vgg16",
    "se_mobilenet",
)
_VARIANTS: dict[str, dict[str, Any]] = {
    "tutorial": {"conv_bias": True, "projection_norm": False, "se_bias": False},
    "paper": {"conv_bias": False, "projection_norm": True, "se_bias": True},
}
_FAMILY_FIELDS = ("se_ratio", "se_bias", "norm_momentum", "norm_epsilon")
_OVERRIDABLE = [field.name for field in dataclasses.fields(ModelConfig) if field.name not in {"input_shape", "classes"}]


def preset(
    name: str,
    *,
    input_shape: tuple[int, int, int],
    classes: int,
    variant: Literal["tutorial", "paper"] = "tutorial",
    **overrides: Any,
) -> ModelConfig:
    """Returns the numbers of a network that has a name.

    Args:
        name: "resnet" or "se_resnet" with 18, 34, 50, 101 or 152, or for CIFAR with 20, 32, 56, 110 or 164, such as
            "se_resnet50".
        input_shape: Image shape, `(height, width, channels)`, each >= 1.
        classes: Number of classes, >= 2.
        variant: The recipe, see the module's table.
        **overrides: Other fields of `ModelConfig`; they win over name and variant.

    Returns:
        The configuration.

    Raises:
        UsageError: If the name, the variant or a field is unknown, or the network has no `ModelConfig`.
        ValueError: If a value is out of range.
    """
    if name in FAMILIES:
        raise UsageError(f"The network {name!r} has no ModelConfig; tuner.models.build makes it.")
    _require_known("network", name, [*NETWORKS, *FAMILIES])
    _require_known("variant", variant, _VARIANTS)
    for field in overrides:
        _require_known("field", field, _OVERRIDABLE)
    fields = NETWORKS[name] | _VARIANTS[variant] | overrides
    return ModelConfig(input_shape=input_shape, classes=classes, **fields)


def build(
    name: str,
    *,
    input_shape: tuple[int, int, int],
    classes: int,
    variant: Literal["tutorial", "paper"] = "tutorial",
    **overrides: Any,
) -> keras.Model:
    """Builds a network that has a name, with fresh weights.

    Args:
        name: What `preset` takes, or one of the families "se_resnext50_32x4d", "se_resnext101_32x4d", "senet154",
            "se_bn_inception", "se_inception_v3", "se_inception_resnet_v2", "se_vgg16" and "se_mobilenet".
        input_shape: Image shape, `(height, width, channels)`, each >= 1; the Inception networks of Keras need 75 x 75
            pixels, VGG and MobileNet 32 x 32.
        classes: Number of classes, >= 2.
        variant: The recipe, see the module's table. Families have one definition; of them it only says whether gates
            have a bias.
        **overrides: Fields of `ModelConfig`; of a family `se_ratio`, `se_bias`, `norm_momentum` and `norm_epsilon`.

    Returns:
        A functional model that is not compiled, from images to class probabilities; see `build_model`.

    Raises:
        UsageError: If the name, the variant or a field is unknown, or a family does not take the image or a value.
        ValueError: If a value is out of range.
    """
    if name in FAMILIES:
        from tuner.models.families import build_family  # TensorFlow takes seconds, which names and costs need not

        _require_known("variant", variant, _VARIANTS)
        for field in overrides:
            _require_known(f"field of {name}", field, _FAMILY_FIELDS)
        fields = {"se_bias": _VARIANTS[variant]["se_bias"]} | overrides
        return build_family(name, input_shape=input_shape, classes=classes, **fields)
    from tuner.models.resnet import build_model

    return build_model(preset(name, input_shape=input_shape, classes=classes, variant=variant, **overrides))


def _require_known(kind: str, received: str, allowed: Iterable[str]) -> None:
    allowed = list(allowed)
    if received not in allowed:
        hint = did_you_mean(received, allowed)
        raise UsageError(f"Unknown {kind} {received!r}; allowed are {', '.join(allowed)}.{hint}")
