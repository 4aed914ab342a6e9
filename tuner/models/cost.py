"""What a network weighs and computes, by arithmetic, without building it.

A search rejects a configuration that is too large when it is sampled. The counts equal those of the built Keras model
exactly. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass

from tuner.models.config import ModelConfig
from tuner.models.memory import peak_activation_bytes
from tuner.models.plan import (
    Convolution,
    ResidualBlock,
    has_stem_pool,
    output_shape,
    residual_blocks,
    stem_convolutions,
    strided,
)

__all__ = ["Cost", "cost"]

_Shape = tuple[int, int, int]  # (height, width, channels)


@dataclass(frozen=True)
class Cost:
    """The size of a network, or of a part of one.

    Attributes:
        params: All weights, as `keras.Model.count_params` counts them.
        trainable_params: Weights but for the moving statistics of batch normalisation.
        macs: Multiply-accumulates of convolutions and dense layers for one image. The zeros of the padding count;
            biases, normalisation, activations, pooling and the scaling by the gates do not.
        peak_activation_bytes: Most bytes that results of layers take at the same time in a forward pass of one image
            (`memory.peak_activation_bytes` defines it exactly).
    """

    params: int
    trainable_params: int
    macs: int
    peak_activation_bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            params=self.params + other.params,
            trainable_params=self.trainable_params + other.trainable_params,
            macs=self.macs + other.macs,
            peak_activation_bytes=max(self.peak_activation_bytes, other.peak_activation_bytes),  # one after the other
        )


def cost(config: ModelConfig) -> Cost:
    """Returns what a network weighs, computes and holds for one image of `config.input_shape`."""
    total, shape = Cost(0, 0, 0, peak_activation_bytes(config)), config.input_shape
    for convolution in stem_convolutions(config).values():
        total += _convolution(convolution, shape, bias=config.conv_bias) + _norm(convolution.filters)
        shape = output_shape(convolution, shape)
    if has_stem_pool(config):
        height, width, channels = shape
        shape = (strided(height, 2), strided(width, 2), channels)
    for block in residual_blocks(config):
        total += _residual_block(block, shape, config)
        for convolution in block.branch:
            shape = output_shape(convolution, shape)
    return total + _dense(shape[2], config.classes, bias=True)


def _residual_block(block: ResidualBlock, shape: _Shape, config: ModelConfig) -> Cost:
    total = Cost(0, 0, 0)
    if block.projection:
        total += _convolution(block.projection, shape, bias=config.conv_bias)
        if config.has_projection_norm:
            total += _norm(block.projection.filters)
    for convolution in block.branch:
        total += _convolution(convolution, shape, bias=config.conv_bias) + _norm(convolution.filters)
        shape = output_shape(convolution, shape)
    if block.gate:
        channels, units = block.gate.channels, block.gate.units
        total += _dense(channels, units, bias=config.se_bias) + _dense(units, channels, bias=config.se_bias)
    return total


def _convolution(convolution: Convolution, shape: _Shape, *, bias: bool) -> Cost:
    height, width, filters = output_shape(convolution, shape)
    kernel = convolution.kernel**2 * shape[2] // convolution.groups * filters
    params = kernel + filters * bias
    return Cost(params, params, kernel * height * width)


def _dense(inputs: int, units: int, *, bias: bool) -> Cost:
    params = inputs * units + units * bias
    return Cost(params, params, inputs * units)


def _norm(channels: int) -> Cost:
    return Cost(params=4 * channels, trainable_params=2 * channels, macs=0)  # scale, offset; moving mean, variance
