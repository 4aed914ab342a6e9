"""The plain numbers of one network, checked when they are put together.

A `ModelConfig` can be hashed, compared, written to JSON and costed; it knows no layer and no framework. What the
numbers stand for is in `plan`, what they cost in `cost`, the network itself in `resnet`. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tuner.quantities import is_number, is_whole

__all__ = ["ModelConfig"]

_CHOICES = {
    "block": ("basic", "bottleneck"),
    "stem": ("small", "imagenet", "deep"),
    "stride_position": ("first", "middle"),
    "se_position": ("standard", "pre", "post", "identity", "inner"),
    "squeeze": ("avg", "max"),
    "excitation": ("sigmoid", "tanh", "relu"),
}
_SMALLEST = {"width": 1, "cardinality": 1, "classes": 2}
_RATES = ("stochastic_depth", "dropout")
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
        cardinality: Groups of a bottleneck's 3x3 convolution (C of ResNeXt), >= 1; basic blocks have one.
        group_width: Channels of each of these groups in the first stage (d of ResNeXt), >= 1; every stage doubles them.
            None divides the stage's channels among the groups, at least one for each. A bottleneck's inside is
            `cardinality * group_width` wide, its end four times the stage's channels whatever that is.
        se_ratio: Channels per gate unit (r in the paper), >= 1, or 0 for no squeeze-and-excitation; a tuple has one
            entry a stage.
        se_stages: Numbers of the stages whose blocks have squeeze-and-excitation, from 1, ascending; None means all.
        se_position: Where a block has its gate (Hu et al., 2018, figure 5): "standard" (end of the branch), "pre"
            (beginning of the branch), "post" (behind addition and ReLU), "identity" (the shortcut, behind its
            projection, so that the gate is as wide as a standard one) or "inner" (behind the ReLU in front of the
            branch's last convolution, so that of a bottleneck it gates the 3x3 convolution, table 15).
        squeeze: How a gate sees a channel: its mean ("avg") or its largest value ("max"; table 11).
        excitation: What ends a gate: "sigmoid", "tanh" or "relu" (table 12).
        stem: "small" (3x3 convolution, stride 1), "imagenet" (7x7, stride 2, then 3x3 max-pooling, stride 2) or "deep"
            (three 3x3, the first two half as wide and the first of stride 2, then the pooling: ResNet-C of He et al.,
            2019, https://arxiv.org/abs/1812.01187, figure 2).
        conv_bias: Whether convolutions have a bias.
        se_bias: Whether the two dense layers of a gate have a bias.
        projection_norm: Whether the projection shortcut of a basic block is batch-normalised. That of a bottleneck
            block always is, in every source.
        stride_position: Where a bottleneck block halves the image: "first" (its first 1x1 convolution; He et al., 2015,
            and the paper's definitions) or "middle" (its 3x3; known as ResNet v1.5). Basic blocks use their first 3x3.
        stochastic_depth: Chance that the last block's branch is left out of a training step of an image, 0 <= p < 1; it
            falls linearly to 0 at the input (Huang et al., 2016, https://arxiv.org/abs/1603.09382, eq. 4).
        dropout: Chance that a feature is left out before the classifier in training, 0 <= p < 1.
        norm_momentum: Share of the old moving statistics that batch normalisation keeps a step, 0 <= m < 1 (0.99: the
            default of Keras).
        norm_epsilon: Added to the batch variance, > 0 (1e-5: the default of Caffe's BatchNorm layer, with which the
            paper's networks were published).
        mean: Mean of each channel of the raw images, or None: images are not normalised.
        variance: Variance of each channel of the raw images, > 0; given together with `mean`.

    Raises:
        ValueError: If a field has a value outside its range; the message has the field, the value and the range.

    Reference: Hu et al., 2018, https://arxiv.org/abs/1709.01507; He et al., 2015, https://arxiv.org/abs/1512.03385; Xie
    et al., 2017, https://arxiv.org/abs/1611.05431 (cardinality).
    """

    input_shape: tuple[int, int, int]
    classes: int
    block: Literal["basic", "bottleneck"] = "basic"
    blocks: tuple[int, ...] = (2, 2, 2, 2)
    width: int = 64
    cardinality: int = 1
    group_width: int | None = None
    se_ratio: int | tuple[int, ...] = 16
    se_stages: tuple[int, ...] | None = None
    se_position: Literal["standard", "pre", "post", "identity", "inner"] = "standard"
    squeeze: Literal["avg", "max"] = "avg"
    excitation: Literal["sigmoid", "tanh", "relu"] = "sigmoid"
    stem: Literal["small", "imagenet", "deep"] = "imagenet"
    conv_bias: bool = True
    se_bias: bool = False
    projection_norm: bool = False
    stride_position: Literal["first", "middle"] = "first"
    stochastic_depth: float = 0.0
    dropout: float = 0.0
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
            _require(is_whole(value, smallest), field, value, f"a whole number >= {smallest}")
        for field in _SWITCHES:
            value = getattr(self, field)
            _require(isinstance(value, bool), field, value, "True or False")
        _require(_are_whole(self.blocks), "blocks", self.blocks, "a tuple of whole numbers >= 1, one a stage")
        fits = _are_whole(self.input_shape) and len(self.input_shape) == 3
        _require(fits, "input_shape", self.input_shape, "(height, width, channels), each a whole number >= 1")
        for field in _RATES:
            value = getattr(self, field)
            _require(is_number(value) and 0 <= value < 1, field, value, "a number p with 0 <= p < 1")
        self._check_gates()
        self._check_groups()
        self._check_normalization()

    def _check_gates(self) -> None:
        ratio, stages, count = self.se_ratio, self.se_stages, len(self.blocks)
        each = isinstance(ratio, tuple) and len(ratio) == count and all(is_whole(value, 0) for value in ratio)
        allowed = f"a whole number >= 0, or a tuple of {count} of them, one a stage"
        _require(each or is_whole(ratio, 0), "se_ratio", ratio, allowed)
        fits = stages is None or (isinstance(stages, tuple) and set(stages) <= set(range(1, count + 1)))
        ascending = stages is None or (fits and list(stages) == sorted(set(stages)))
        _require(ascending, "se_stages", stages, f"None, or a tuple of ascending numbers from 1 to {count}")

    def _check_groups(self) -> None:
        if self.block == "basic":
            _require(self.cardinality == 1, "cardinality", self.cardinality, "1 with basic blocks")
            _require(self.group_width is None, "group_width", self.group_width, "None with basic blocks")
        fits = self.group_width is None or is_whole(self.group_width, 1)
        _require(fits, "group_width", self.group_width, "None or a whole number >= 1")

    def _check_normalization(self) -> None:
        momentum, epsilon = self.norm_momentum, self.norm_epsilon
        _require(is_number(momentum) and 0 <= momentum < 1, "norm_momentum", momentum, "a number m with 0 <= m < 1")
        _require(is_number(epsilon) and epsilon > 0, "norm_epsilon", epsilon, "a number > 0")
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
    def gate_ratios(self) -> tuple[int, ...]:
        """Channels per gate unit of each stage, 0 where its blocks have no gate."""
        ratios = self.se_ratio if isinstance(self.se_ratio, tuple) else (self.se_ratio,) * len(self.blocks)
        stages = range(1, len(ratios) + 1) if self.se_stages is None else self.se_stages
        return tuple(ratio if stage in stages else 0 for stage, ratio in enumerate(ratios, start=1))

    @property
    def name(self) -> str:
        """The network's name in the literature, such as "se_resnet50" or "resnext50_32x4d".

        Unusual depths are named the same way, and a "deep" stem counts as the one convolution that it stands for.
        """
        gates = "se_" if any(self.gate_ratios) else ""
        if self.cardinality == 1:
            return f"{gates}resnet{self.depth}"
        group_width = self.group_width or max(1, self.width // self.cardinality)
        return f"{gates}resnext{self.depth}_{self.cardinality}x{group_width}d"


def _require(holds: bool, field: str, received: object, allowed: str) -> None:
    if not holds:
        raise ValueError(f"ModelConfig.{field}: received {received!r}, allowed is {allowed}.")


def _are_whole(values: object) -> bool:
    return isinstance(values, tuple) and len(values) > 0 and all(is_whole(value, 1) for value in values)


def _are_numbers(values: object, count: int) -> bool:
    return isinstance(values, tuple) and len(values) == count and all(map(is_number, values))
