"""The plain numbers of one network, checked when they are put together.

A `ModelConfig` can be hashed, compared, written to JSON and costed; it knows no layer and no framework. What the
numbers stand for is in `plan`, what they cost in `cost`, the network itself in `resnet`. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["ModelConfig"]

_CHOICES = {
    "block": ("basic", "bottleneck"),
    "stem": ("small", "imagenet"),
    "stride_position": ("first", "middle"),
}
_SMALLEST = {"width": 1, "se_ratio": 0, "classes": 2}
_SWITCHES = ("conv_bias", "se_bias", "projection_norm")
_CONVOLUTIONS = {"basic": 2, "bottleneck": 3}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """One residual network with or without squeeze-and-excitation.

    The defaults are the SE-ResNet-18 of the project's seed document (a Keras tutorial): a bias in every convolution,
    none in the gates, r = 16, stride on the first 1x1 convolution. `preset` also has the published recipe.

    Attributes:
        input_shape: Image shape, `(height, width, channels)`, each >= 1.
        classes: Number of classes, >= 2.
        block: "basic" (3x3, 3x3) or "bottleneck" (1x1, 3x3, 1x1 with four times the channels).
        blocks: Residual blocks of each stage, one entry a stage, each >= 1.
        width: Channels of the stem and of the first stage's 3x3 convolutions, >= 1; every stage doubles them.
        se_ratio: Channels per gate unit (r in the paper), >= 1, or 0 for no squeeze-and-excitation.
        stem: "small" (3x3 convolution, stride 1) or "imagenet" (7x7, stride 2, then 3x3 max-pooling, stride 2).
        conv_bias: Whether convolutions have a bias.
        se_bias: Whether the two dense layers of a gate have a bias.
        projection_norm: Whether the projection shortcut of a basic block is batch-normalised. That of a bottleneck
            block always is, in every source.
        stride_position: Where a bottleneck block halves the image: "first" (its first 1x1 convolution; He et al., 2015,
            and the paper's definitions) or "middle" (its 3x3; known as ResNet v1.5). Basic blocks use their first 3x3.
        norm_momentum: Share of the old moving statistics that batch normalisation keeps a step, 0 <= m < 1 (0.99: the
            default of Keras).
        norm_epsilon: Added to the batch variance, > 0 (1e-5: the default of Caffe's BatchNorm layer, with which the
            paper's networks were published).
        mean: Mean of each channel of the raw images, or None: images are not normalised.
        variance: Variance of each channel of the raw images, > 0; given together with `mean`.

    Raises:
        ValueError: If a field has a value outside its range; the message has the field, the value and the range.

    Reference: Hu et al., 2018, https://arxiv.org/abs/1709.01507; He et al., 2015, https://arxiv.org/abs/1512.03385.
    """

    input_shape: tuple[int, int, int]
    classes: int
    block: Literal["basic", "bottleneck"] = "basic"
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    width: int = 64
    se_ratio: int = 16
    stem: Literal["small", "imagenet"] = "imagenet"
    conv_bias: bool = True
    se_bias: bool = False
    projection_norm: bool = False
    stride_position: Literal["first", "middle"] = "first"
    norm_momentum: float = 0.99
    norm_epsilon: float = 1e-5
    mean: tuple[float, ...] | None = None
    variance: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for field, choices in _CHOICES.items():
            value = getattr(self, field)
            _require(value in choices, field, value, " or ".join(map(repr, choices)))
        for field, smallest in _SMALLEST.items():
            value = getattr(self, field)
            _require(_is_whole(value, smallest), field, value, f"a whole number >= {smallest}")
        for field in _SWITCHES:
            value = getattr(self, field)
            _require(isinstance(value, bool), field, value, "True or False")
        _require(_are_whole(self.blocks), "blocks", self.blocks, "a tuple of whole numbers >= 1, one a stage")
        fits = _are_whole(self.input_shape) and len(self.input_shape) == 3
        _require(fits, "input_shape", self.input_shape, "(height, width, channels), each a whole number >= 1")
        self._check_normalization()

    def _check_normalization(self) -> None:
        momentum, epsilon = self.norm_momentum, self.norm_epsilon
        _require(_is_number(momentum) and 0 <= momentum < 1, "norm_momentum", momentum, "a number m with 0 <= m < 1")
        _require(_is_number(epsilon) and epsilon > 0, "norm_epsilon", epsilon, "a number > 0")
        if self.mean is None and self.variance is None:
            return
        channels = self.input_shape[2]
        _require(_are_numbers(self.mean, channels), "mean", self.mean, f"a tuple of {channels} numbers with variance")
        positive = _are_numbers(self.variance, channels) and all(value > 0 for value in self.variance or ())
        _require(positive, "variance", self.variance, f"a tuple of {channels} numbers > 0 with mean")

    @property
    def depth(self) -> int:
        """Layers on the longest path: the convolutions of the stem and the residual branches, and the head."""
        return _CONVOLUTIONS[self.block] * sum(self.blocks) + 2

    @property
    def has_projection_norm(self) -> bool:
        """Whether projection shortcuts are batch-normalised, in the kind of block that this network has."""
        return self.projection_norm or self.block == "bottleneck"

    @property
    def name(self) -> str:
        """The network's name in the literature, such as "se_resnet50"; unusual depths are named the same way."""
        return f"{'se_' if self.se_ratio else ''}resnet{self.depth}"


def _require(holds: bool, field: str, received: object, allowed: str) -> None:
    if not holds:
        raise ValueError(f"ModelConfig.{field}: received {received!r}, allowed is {allowed}.")


def _is_whole(value: object, smallest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= smallest


def _are_whole(values: object) -> bool:
    return isinstance(values, tuple) and len(values) > 0 and all(_is_whole(value, 1) for value in values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def _are_numbers(values: object, count: int) -> bool:
    return isinstance(values, tuple) and len(values) == count and all(map(_is_number, values))
