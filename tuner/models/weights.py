"""The weights of a network by name, shape and initial value: what `resnet.build_model` creates, without creating it.

Names are the paths of the Keras variables (`stage1_block1_conv1/kernel`), block by block in the order of branch, gate
and shortcut. NumPy only.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from tuner.models.config import ModelConfig
from tuner.models.plan import OPEN_BIAS, Convolution, Gate, residual_blocks, stem_convolutions

__all__ = ["WeightSpec", "initial_weights", "weight_specs"]

# A normal distribution cut at two standard deviations has this standard deviation, for which Keras corrects.
TRUNCATED_STANDARD_DEVIATION = 0.87962566103423978


@dataclasses.dataclass(frozen=True)
class WeightSpec:
    """One weight array.

    Args:
        name: Path of the Keras variable.
        shape: Its shape.
        initial: `he_normal`, `glorot_uniform`, or the number that all values are.
        trainable: Whether a gradient changes it; the moving statistics of batch normalisation are not.
    """

    name: str
    shape: tuple[int, ...]
    initial: str | float
    trainable: bool = True

    @property
    def is_kernel(self) -> bool:
        """Whether it multiplies features: weight decay is for kernels only."""
        return isinstance(self.initial, str)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


def weight_specs(config: ModelConfig) -> list[WeightSpec]:
    """Returns the weights of a network, the trainable ones first, each group in the order above."""
    specs = list(_specs(config))
    return [spec for spec in specs if spec.trainable] + [spec for spec in specs if not spec.trainable]


def initial_weights(config: ModelConfig, *, seed: int) -> dict[str, np.ndarray]:
    """Returns fresh weights by name, from the distributions of Keras's initializers.

    Args:
        config: The network.
        seed: Seed; equal seeds give equal weights in every process.

    Reference: He et al., 2015, https://arxiv.org/abs/1502.01852, eq. 10 (convolutions); Glorot and Bengio, 2010,
    eq. 16 (dense layers).
    """
    generator = np.random.default_rng([seed, 0])
    return {spec.name: _draw(spec, generator) for spec in weight_specs(config)}


def _specs(config: ModelConfig) -> Iterator[WeightSpec]:
    channels = config.input_shape[2]
    for suffix, convolution in stem_convolutions(config).items():
        yield from _convolution(f"stem_conv{suffix}", convolution, channels, bias=config.conv_bias)
        yield from _norm(f"stem_norm{suffix}", convolution.filters)
        channels = convolution.filters
    for block in residual_blocks(config):
        inputs = channels
        for number, convolution in enumerate(block.branch, start=1):
            yield from _convolution(f"{block.name}_conv{number}", convolution, channels, bias=config.conv_bias)
            yield from _norm(f"{block.name}_norm{number}", convolution.filters)
            channels = convolution.filters
        if block.gate:
            yield from _gate(f"{block.name}_se", block.gate, config)
        if block.projection:
            yield from _convolution(f"{block.name}_projection", block.projection, inputs, bias=config.conv_bias)
            if config.has_projection_norm:
                yield from _norm(f"{block.name}_projection_norm", channels)
    yield from _dense("predictions", channels, config.classes)


def _convolution(name: str, convolution: Convolution, inputs: int, *, bias: bool) -> Iterator[WeightSpec]:
    kernel, filters = convolution.kernel, convolution.filters
    yield WeightSpec(f"{name}/kernel", (kernel, kernel, inputs // convolution.groups, filters), "he_normal")
    if bias:
        yield WeightSpec(f"{name}/bias", (filters,), 0.0)


def _gate(name: str, gate: Gate, config: ModelConfig) -> Iterator[WeightSpec]:
    yield from _dense(f"{name}_reduce", gate.channels, gate.units, bias=0.0 if config.se_bias else None)
    opening = OPEN_BIAS[config.excitation] if config.se_bias else None
    yield from _dense(f"{name}_expand", gate.units, gate.channels, bias=opening)


def _dense(name: str, inputs: int, units: int, *, bias: float | None = 0.0) -> Iterator[WeightSpec]:
    yield WeightSpec(f"{name}/kernel", (inputs, units), "glorot_uniform")
    if bias is not None:
        yield WeightSpec(f"{name}/bias", (units,), bias)


def _norm(name: str, channels: int) -> Iterator[WeightSpec]:
    yield WeightSpec(f"{name}/gamma", (channels,), 1.0)
    yield WeightSpec(f"{name}/beta", (channels,), 0.0)
    yield WeightSpec(f"{name}/moving_mean", (channels,), 0.0, trainable=False)
    yield WeightSpec(f"{name}/moving_variance", (channels,), 1.0, trainable=False)


def _draw(spec: WeightSpec, generator: np.random.Generator) -> np.ndarray:
    if not isinstance(spec.initial, str):
        return np.full(spec.shape, spec.initial, np.float32)
    fan_in = math.prod(spec.shape[:-1])
    if spec.initial == "glorot_uniform":
        limit = math.sqrt(6.0 / (fan_in + spec.shape[-1]))
        return generator.uniform(-limit, limit, spec.shape).astype(np.float32)
    return (_truncated_normal(spec.size, generator) * math.sqrt(2.0 / fan_in)).astype(np.float32).reshape(spec.shape)


def _truncated_normal(count: int, generator: np.random.Generator) -> np.ndarray:
    """Returns values of a normal distribution cut at two standard deviations, rescaled to standard deviation 1."""
    values = generator.standard_normal(count)
    while (outside := np.abs(values) > 2.0).any():
        values[outside] = generator.standard_normal(np.count_nonzero(outside))
    return values / TRUNCATED_STANDARD_DEVIATION
