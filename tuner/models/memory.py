"""How much memory the feature maps of one forward pass take at most, by arithmetic, without building the network.

Standard library only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tuner.models.config import ModelConfig
from tuner.models.plan import (
    Convolution,
    ResidualBlock,
    has_stem_pool,
    output_shape,
    residual_blocks,
    stem_convolutions,
    strided,
)

__all__ = ["BYTES_PER_VALUE", "Result", "Results", "peak_activation_bytes"]

BYTES_PER_VALUE = 4  # float32


def peak_activation_bytes(config: ModelConfig) -> int:
    """Returns the most bytes that the results of layers take at the same time in a forward pass of one image.

    The layers are those of `build_model(config, for_export=True)`, the image included. Each makes a new float32 array:
    nothing is fused or computed in place, and an activation that belongs to a dense layer makes none. They run in the
    order of the plan, a block's branch before its shortcut. A result is there from its layer on until the last layer
    that reads it has run; the weights and what a layer needs inside itself do not count. Of a batch, images take a
    multiple; training keeps nearly all results for the gradient and needs far more.
    """
    walk = _Walk(config)
    x = walk.layer(config.input_shape)
    if config.mean is not None:
        x = walk.layer(x.shape, x)
    x = walk.stem(x)
    for block in residual_blocks(config):
        x = walk.block(x, block)
    features = walk.layer(x.shape[2:], x)
    walk.layer((config.classes,), features)
    return BYTES_PER_VALUE * walk.most_values()


@dataclass(frozen=True)
class Result:
    """What a layer puts out: the number of the layer, and the shape without the batch."""

    layer: int
    shape: tuple[int, ...]


class Results:
    """The results of layers in the order in which they run, and how long each is held."""

    def __init__(self) -> None:
        self._values: list[int] = []
        self._last_reader: list[int] = []

    def layer(self, shape: tuple[int, ...], *inputs: Result) -> Result:
        """Appends a layer that reads results and puts out another one."""
        number = len(self._values)
        self._values.append(math.prod(shape))
        self._last_reader.append(number)
        for result in inputs:
            self._last_reader[result.layer] = number
        return Result(number, shape)

    def most_values(self) -> int:
        """Returns the largest number of values that are held while a layer runs."""
        most = held = 0
        gone: dict[int, int] = {}
        for number, (values, reader) in enumerate(zip(self._values, self._last_reader, strict=True)):
            held += values
            most = max(most, held)
            gone[reader] = gone.get(reader, 0) + values
            held -= gone.pop(number, 0)
        return most


class _Walk(Results):
    """The layers of a residual network in the order in which they run."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    def stem(self, x: Result) -> Result:
        for convolution in stem_convolutions(self.config).values():
            height, width, channels = x.shape
            if convolution.stride > 1:
                around = 2 * (convolution.kernel // 2)
                padded = self.layer((height + around, width + around, channels), x)
                x = self.layer(output_shape(convolution, (height, width, channels)), padded)
            else:
                x = self._convolve(x, convolution)
            x = self._pointwise(self._pointwise(x))  # normalisation and ReLU
        if has_stem_pool(self.config):
            height, width, channels = x.shape
            x = self.layer((strided(height, 2), strided(width, 2), channels), x)
        return x

    def block(self, x: Result, block: ResidualBlock) -> Result:
        branch = self._gated(x, block, position="pre")
        for number, convolution in enumerate(block.branch, start=1):
            branch = self._pointwise(self._convolve(branch, convolution))
            if number < len(block.branch):
                branch = self._pointwise(branch)
            if number == len(block.branch) - 1:
                branch = self._gated(branch, block, position="inner")
        branch = self._gated(branch, block, position="standard")
        if block.projection:
            x = self._convolve(x, block.projection)
            if self.config.has_projection_norm:
                x = self._pointwise(x)
        x = self._gated(x, block, position="identity")
        x = self._pointwise(self.layer(x.shape, x, branch))
        return self._gated(x, block, position="post")

    def _convolve(self, x: Result, convolution: Convolution) -> Result:
        height, width, channels = x.shape
        if convolution.kernel == 1 and convolution.stride > 1:  # see blocks.convolve
            kept = strided(height, convolution.stride), strided(width, convolution.stride), channels
            return self.layer((*kept[:2], convolution.filters), self.layer(kept, x))
        return self.layer(output_shape(convolution, (height, width, channels)), x)

    def _pointwise(self, x: Result) -> Result:
        return self.layer(x.shape, x)

    def _gated(self, x: Result, block: ResidualBlock, *, position: str) -> Result:
        if block.gate is None or self.config.se_position != position:
            return x
        scale = x
        for width in (block.gate.channels, block.gate.units, block.gate.channels, block.gate.channels):
            scale = self.layer((width,), scale)  # squeeze, reduce, expand, the shape of a map
        return self.layer(x.shape, x, scale)
