"""Networks by name, in the recipe of the tutorial or of the papers.

    variant      convolutions   projection of basic blocks   gates           stride of bottlenecks
    "tutorial"   with bias      without batch norm           without bias    first 1x1
    "paper"      without bias   with batch norm              with bias       first 1x1

"tutorial" is the project's seed document; "paper" are the definitions that the authors of the papers published. Both
have the ImageNet stem and r = 16. Any field of `ModelConfig` can be overridden, `stride_position="middle"` for instance
for the variant that most libraries ship as ResNet.

Reference: He et al., 2015, https://arxiv.org/abs/1512.03385, table 1; Hu et al., 2018,
https://arxiv.org/abs/1709.01507, table 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal

import keras

from tuner.errors import UsageError, did_you_mean
from tuner.models.config import ModelConfig
from tuner.models.resnet import build_model

__all__ = ["build", "preset"]

_RESNETS: dict[str, dict[str, Any]] = {  # He et al., 2015, table 1
    "resnet18": {"block": "basic", "blocks": (2, 2, 2, 2)},
    "resnet34": {"block": "basic", "blocks": (3, 4, 6, 3)},
    "resnet50": {"block": "bottleneck", "blocks": (3, 4, 6, 3)},
    "resnet101": {"block": "bottleneck", "blocks": (3, 4, 23, 3)},
    "resnet152": {"block": "bottleneck", "blocks": (3, 8, 36, 3)},
}
_NETWORKS: dict[str, dict[str, Any]] = {
    **{f"se_{name}": fields | {"se_ratio": 16} for name, fields in _RESNETS.items()},  # r = 16: Hu et al., table 10
    **{name: fields | {"se_ratio": 0} for name, fields in _RESNETS.items()},
}
_VARIANTS: dict[str, dict[str, Any]] = {
    "tutorial": {"conv_bias": True, "projection_norm": False, "se_bias": False},
    "paper": {"conv_bias": False, "projection_norm": True, "se_bias": True},
}
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
        name: "resnet" or "se_resnet" with 18, 34, 50, 101 or 152, such as "se_resnet50".
        input_shape: Image shape, `(height, width, channels)`, each >= 1.
        classes: Number of classes, >= 2.
        variant: The recipe, see the module's table.
        **overrides: Other fields of `ModelConfig`; they win over name and variant.

    Returns:
        The configuration.

    Raises:
        UsageError: If the name, the variant or a field is unknown.
        ValueError: If a value is out of range.
    """
    _require_known("network", name, _NETWORKS)
    _require_known("variant", variant, _VARIANTS)
    for field in overrides:
        _require_known("field", field, _OVERRIDABLE)
    fields = _NETWORKS[name] | _VARIANTS[variant] | overrides
    return ModelConfig(input_shape=input_shape, classes=classes, **fields)


def build(
    name: str,
    *,
    input_shape: tuple[int, int, int],
    classes: int,
    variant: Literal["tutorial", "paper"] = "tutorial",
    **overrides: Any,
) -> keras.Model:
    """Builds a network that has a name; see `preset` for the arguments and errors, `build_model` for the model."""
    return build_model(preset(name, input_shape=input_shape, classes=classes, variant=variant, **overrides))


def _require_known(kind: str, received: str, allowed: Iterable[str]) -> None:
    allowed = list(allowed)
    if received not in allowed:
        hint = did_you_mean(received, allowed)
        raise UsageError(f"Unknown {kind} {received!r}; allowed are {', '.join(allowed)}.{hint}")
