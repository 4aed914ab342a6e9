"""The convolutions and gates that a `ModelConfig` stands for, in order.

All readers, the builder (`resnet`, `blocks`), the pass (`forward`) and the arithmetic (`weights`, `cost`), take the
structure from here, so that they cannot disagree on it. Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tuner.models.config import ModelConfig

__all__ = [
    "OPEN_BIAS",
    "Convolution",
    "Gate",
    "ResidualBlock",
    "has_stem_pool",
    "output_shape",
    "residual_blocks",
    "stem_convolutions",
    "strided",
]

# The bias with which a gate's last layer begins, by the activation behind it: so the gate begins 0.73 open. With a bias
# of 0 a sigmoid halves what it gates, and networks with gates learn later than those without (benchmarks/README.md,
# "Gates that begin open"; a bias of 1 as in Jozefowicz et al., 2015, https://proceedings.mlr.press/v37/jozefowicz15.html).
OPEN_BIAS = {"sigmoid": 1.0, "tanh": 0.93, "relu": 0.73}

_EXPANSION = {"basic": 1, "bottleneck": 4}  # He et al., 2015, table 1


@dataclass(frozen=True)
class Convolution:
    """A square convolution that keeps the image size, but for its stride."""

    kernel: int
    filters: int
    stride: int = 1
    groups: int = 1


@dataclass(frozen=True)
class Gate:
    """A squeeze-and-excitation gate: its channels, and how many of them there are to a unit of its hidden layer."""

    channels: int
    ratio: int

    @property
    def units(self) -> int:
        """Width of the hidden layer: C / r in the paper, here never less than one unit."""
        return max(1, self.channels // self.ratio)


@dataclass(frozen=True)
class ResidualBlock:
    """A residual block: the convolutions of its branch and of its shortcut, and its gate.

    Attributes:
        name: Prefix of its layer names, such as "stage1_block1".
        branch: Convolutions of the residual branch, in order.
        projection: The 1x1 convolution of the shortcut, or None where the shortcut is the identity.
        gate: The gate, which stands where `ModelConfig.se_position` says, or None.
        drop_share: Share of `ModelConfig.stochastic_depth` that is this block's: l / L of block l of L, counted from 1.
    """

    name: str
    branch: tuple[Convolution, ...]
    projection: Convolution | None
    gate: Gate | None
    drop_share: float


def stem_convolutions(config: ModelConfig) -> dict[str, Convolution]:
    """Returns the convolutions of the stem by the suffix of their layer names, in order.

    Each is followed by batch normalisation and ReLU; one of stride 2 is padded by `kernel // 2` on all sides.
    """
    if config.stem == "deep":
        half = max(1, config.width // 2)
        return {"1": Convolution(3, half, stride=2), "2": Convolution(3, half), "3": Convolution(3, config.width)}
    if config.stem == "imagenet":
        return {"": Convolution(7, config.width, stride=2)}
    return {"": Convolution(3, config.width)}


def has_stem_pool(config: ModelConfig) -> bool:
    """Whether the stem ends with 3x3 max-pooling of stride 2."""
    return config.stem != "small"


def output_shape(convolution: Convolution, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Returns what a convolution makes of a feature map's `(height, width, channels)`."""
    return strided(shape[0], convolution.stride), strided(shape[1], convolution.stride), convolution.filters


def strided(size: int, stride: int) -> int:
    """Returns the pixels that a stride leaves of `size`, rounded up: every layer is padded."""
    return -(-size // stride)


def residual_blocks(config: ModelConfig) -> Iterator[ResidualBlock]:
    """Yields the residual blocks from the stem to the head.

    The first block of every stage but the first halves the image. A shortcut is projected only where the identity does
    not fit: at a stride, or where the number of channels changes, as it does in the first stage of bottleneck networks.
    """
    channels, number = config.width, 0
    for stage, (blocks, ratio) in enumerate(zip(config.blocks, config.gate_ratios, strict=True)):
        out_channels = config.width * 2**stage * _EXPANSION[config.block]
        for block in range(blocks):
            number += 1
            stride = 2 if stage > 0 and block == 0 else 1
            is_projected = stride != 1 or channels != out_channels
            branch = _branch(config, stage, stride=stride)
            gated = {"pre": channels, "inner": branch[-2].filters}.get(config.se_position, out_channels)
            yield ResidualBlock(
                name=f"stage{stage + 1}_block{block + 1}",
                branch=branch,
                projection=Convolution(1, out_channels, stride) if is_projected else None,
                gate=Gate(gated, ratio) if ratio else None,
                drop_share=number / sum(config.blocks),
            )
            channels = out_channels


def _branch(config: ModelConfig, stage: int, *, stride: int) -> tuple[Convolution, ...]:
    filters = config.width * 2**stage
    if config.block == "basic":
        return Convolution(3, filters, stride), Convolution(3, filters)
    first, middle = (stride, 1) if config.stride_position == "first" else (1, stride)
    groups = config.cardinality
    group_width = config.group_width * 2**stage if config.group_width else max(1, filters // groups)
    inside = groups * group_width
    expanded = filters * _EXPANSION["bottleneck"]
    return Convolution(1, inside, first), Convolution(3, inside, middle, groups), Convolution(1, expanded)
