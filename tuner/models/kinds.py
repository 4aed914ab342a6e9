"""What every kind of network has, whatever its configuration is: cost, weights, Keras model, the pass of training.

A `ModelConfig` is costed and trained by arithmetic of ours; a `BackboneConfig` by the graph that Keras builds, so what
needs that imports it when it is asked for.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tuner.models.backbone import BackboneConfig
from tuner.models.config import ModelConfig
from tuner.models.cost import Cost
from tuner.models.cost import cost as _cost

if TYPE_CHECKING:
    import keras
    import numpy as np

__all__ = [
    "AnyConfig",
    "Pass",
    "Weight",
    "build_model",
    "cost",
    "initial_weights",
    "pass_of",
    "structure_of",
    "variables_by_name",
    "weight_specs",
]

AnyConfig = ModelConfig | BackboneConfig

_STAND_IN_CHANCE = 0.5


class Weight(Protocol):
    """One weight array: `weights.WeightSpec` or `trunk.BackboneWeight`."""

    @property
    def name(self) -> str:
        """A name of its own, the same in every process."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    def size(self) -> int:
        """Number of values."""

    @property
    def trainable(self) -> bool:
        """Whether a gradient changes it."""

    @property
    def is_kernel(self) -> bool:
        """Whether it multiplies features: weight decay is for kernels only."""


class Pass(Protocol):
    """The network as a function of its weights, in TensorFlow: `forward.forward` without the configuration."""

    def __call__(
        self,
        weights: Mapping[str, Any],
        images: Any,
        *,
        training: bool,
        dtype: Any = ...,
        noise: Any = ...,
    ) -> tuple[Any, Mapping[str, Any]]:
        """Returns logits `(batch, classes)`, and in training the statistics of the batch by name."""


def cost(config: AnyConfig) -> Cost:
    """Returns what a network weighs, computes and holds for one image of `config.input_shape`.

    Raises:
        UsageError: If a backbone has no place for the gates that are asked for.
    """
    if isinstance(config, BackboneConfig):
        from tuner.models.trunk import backbone_cost

        return backbone_cost(config)
    return _cost(config)


def build_model(config: AnyConfig, *, for_export: bool = False) -> keras.Model:
    """Builds the Keras model that a configuration describes, with fresh weights: see `resnet.build_model`.

    Raises:
        UsageError: If a backbone has no place for the gates that are asked for.
    """
    if isinstance(config, BackboneConfig):
        from tuner.models.trunk import backbone_model

        return backbone_model(config, for_export=for_export)
    from tuner.models.resnet import build_model as build

    return build(config, for_export=for_export)


def weight_specs(config: AnyConfig) -> Sequence[Weight]:
    """Returns the weights of a network, the trainable ones first."""
    if isinstance(config, BackboneConfig):
        from tuner.models.trunk import backbone_weights

        return backbone_weights(config)
    from tuner.models.weights import weight_specs as specs

    return specs(config)


def initial_weights(config: AnyConfig, *, seed: int) -> dict[str, np.ndarray]:
    """Returns fresh weights by name; equal seeds give equal ones in every process."""
    if isinstance(config, BackboneConfig):
        from tuner.models.trunk import fresh_weights

        return fresh_weights(config, seed=seed)
    from tuner.models.weights import initial_weights as initial

    return initial(config, seed=seed)


def variables_by_name(model: keras.Model, config: AnyConfig) -> dict[str, Any]:
    """Returns the variables of a model that `build_model` made for export, by the names of `weight_specs`."""
    if isinstance(config, BackboneConfig):
        variables = [*model.trainable_weights, *model.non_trainable_weights]
        return {spec.name: variable for spec, variable in zip(weight_specs(config), variables, strict=True)}
    return {variable.path: variable for variable in model.variables}


def pass_of(config: AnyConfig, dtype: Any) -> Pass:
    """Returns the network as a function of its weights, ready for feature maps of a type in training."""
    if isinstance(config, BackboneConfig):
        from tuner.models.trunk_pass import TrunkPass

        return TrunkPass(config, dtype)
    from tuner.models.forward import forward

    return functools.partial(forward, config)


def structure_of(config: AnyConfig, dtype: Any) -> AnyConfig:
    """Returns the configuration with stand-ins for what is a value to compiled steps and changes no operation.

    Args:
        config: The network.
        dtype: Type of its feature maps in training.
    """
    if isinstance(config, BackboneConfig):
        after = config.se_after if config.se_ratio else "auto"
        return dataclasses.replace(config, se_after=after, dropout=_STAND_IN_CHANCE)
    from tuner.models.pairs import stand_in

    return dataclasses.replace(
        config,
        width=stand_in(config.width, math.prod(config.input_shape[:2]), dtype),
        cardinality=min(2, config.cardinality),
        group_width=None,
        se_ratio=tuple(min(1, ratio) for ratio in config.gate_ratios),
        se_stages=None,
        stochastic_depth=_STAND_IN_CHANCE if config.stochastic_depth else 0.0,
        dropout=_STAND_IN_CHANCE if config.dropout else 0.0,
    )
