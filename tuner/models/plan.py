"""The convolutions that a `ModelConfig` stands for, in order.

Both readers, the builder (`resnet`, `blocks`) and the arithmetic (`cost`), take the structure from here, so that they
cannot disagree on it. Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tuner.models.config import ModelConfig

__all__ = ["Convolution", "ResidualBlock", "gate_units", "residual_blocks", "stem_convolution"]

_EXPANSION = {"basic": 1, "bottleneck": 4}  # He et al., 2015, table 1


@dataclass(frozen=True)
class Convolution:
    """A square convolution that keeps the image size, but for its stride."""

    kernel: int
    filters: int
    stride: int = 1


@dataclass(frozen=True)
class ResidualBlock:
    """A residual block: the convolutions of its branch and of its shortcut.

    Attributes:
        name: Prefix of its layer names, such as "stage1_block1".
        branch: Convolutions of the residual branch, in order.
        projection: The 1x1 convolution of the shortcut, or None where the shortcut is the identity.
    """

    name: str
    branch: tuple[Convolution, ...]
    projection: Convolution | None


def stem_convolution(config: ModelConfig) -> Convolution:
    """Returns the first convolution; "imagenet" has a 3x3 max-pooling of stride 2 behind it."""
    if config.stem == "imagenet":
        return Convolution(7, config.width, stride=2)
    return Convolution(3, config.width)


def residual_blocks(config: ModelConfig) -> Iterator[ResidualBlock]:
    """Yields the residual blocks from the stem to the head.

    The first block of every stage but the first halves the image. A shortcut is projected only where the identity does
    not fit: at a stride, or where the number of channels changes, as it does in the first stage of bottleneck networks.
    """
    channels = config.width
    for stage, blocks in enumerate(config.blocks):
        filters = config.width * 2**stage
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            out_channels = filters * _EXPANSION[config.block]
            is_projected = stride != 1 or channels != out_channels
            yield ResidualBlock(
                name=f"stage{stage + 1}_block{block + 1}",
                branch=_branch(config, filters, stride=stride),
                projection=Convolution(1, out_channels, stride) if is_projected else None,
            )
            channels = out_channels


def gate_units(channels: int, *, ratio: int) -> int:
    """Returns the width of a gate's first dense layer: C / r in the paper, here never less than one unit."""
    return max(1, channels // ratio)


def _branch(config: ModelConfig, filters: int, *, stride: int) -> tuple[Convolution, ...]:
    if config.block == "basic":
        return Convolution(3, filters, stride), Convolution(3, filters)
    first, middle = (stride, 1) if config.stride_position == "first" else (1, stride)
    expanded = filters * _EXPANSION["bottleneck"]
    return Convolution(1, filters, first), Convolution(3, filters, middle), Convolution(1, expanded)
