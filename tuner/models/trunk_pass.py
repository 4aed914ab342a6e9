"""A backbone as a function of its weights: what `forward` is for residual networks, around a stateless Keras model.

The Keras model is a graph of operations here: the weights travel as arguments, and the state of its random layers is
put in place at each step, so that what they leave out follows from seed and step alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from tuner.models.backbone import BackboneConfig
from tuner.models.noise import Noise, feature_scales, layer_seed
from tuner.models.trunk import backbone_weights, build_trunk

__all__ = ["TrunkPass"]

_POLICIES = {tf.float32: "float32", tf.bfloat16: "mixed_bfloat16"}
_HEAD = 2  # kernel and bias of the classifier, the last trainable weights


@dataclasses.dataclass(frozen=True)
class _Trunk:
    """A Keras model and the names of the weights that its variables stand for, None for the state of a random layer."""

    model: keras.Model
    trainable: list[str]
    fixed: list[str | None]


class TrunkPass:
    """The pass of one backbone (`kinds.Pass`).

    Args:
        config: The network.
        dtype: Type of the feature maps in training. What is built here need not be built while a step is traced, which
            TensorFlow would trace twice then.
    """

    def __init__(self, config: BackboneConfig, dtype: tf.DType = tf.float32) -> None:
        self._config = config
        self._specs = backbone_weights(config)
        self._trunks: dict[str, _Trunk] = {}
        self._trunk(_POLICIES[dtype])

    def __call__(
        self,
        weights: Mapping[str, tf.Tensor],
        images: tf.Tensor,
        *,
        training: bool,
        dtype: tf.DType = tf.float32,
        noise: Noise | None = None,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Computes the network.

        Args:
            weights: Tensors by the names of `trunk.backbone_weights`.
            images: `(batch, height, width, channels)`, float32.
            training: Whether batch normalisation uses the statistics of the batch, and features are left out.
            dtype: Type of the feature maps, float32 or bfloat16. Weights, statistics and logits are float32.
            noise: What the random numbers of training follow from; needed in training.

        Returns:
            Logits `(batch, classes)`, and in training the mean and the biased variance of the batch, by the names of
            the moving statistics that they belong to.
        """
        trunk = self._trunk(_POLICIES[dtype])
        shaped = {spec.name: tf.reshape(weights[spec.name], spec.shape) for spec in self._specs}
        fixed = [
            _layer_state(noise, place, variable) if name is None else shaped[name]
            for place, (name, variable) in enumerate(zip(trunk.fixed, trunk.model.non_trainable_variables, strict=True))
        ]
        features, changed = trunk.model.stateless_call(
            [shaped[name] for name in trunk.trainable], fixed, images, training=training
        )
        if training and noise is not None:
            features *= feature_scales(noise, features)
        kernel, bias = [spec.name for spec in self._specs if spec.trainable][-_HEAD:]
        logits = tf.nn.bias_add(tf.matmul(features, shaped[kernel]), shaped[bias])
        statistics = zip(trunk.fixed, changed, strict=True) if training else ()
        return logits, {name: value for name, value in statistics if name is not None}

    def _trunk(self, policy: str) -> _Trunk:
        """Returns the model of a dtype policy, built when it is first asked for."""
        if policy not in self._trunks:
            with tf.init_scope():  # not within the step that is being traced
                # Momentum 0: what batch normalisation would keep is what this batch has.
                model = build_trunk(self._config, stock=False, norm_momentum=0.0, dtype=policy)
            moving = iter(spec.name for spec in self._specs if not spec.trainable)
            states = {id(variable) for variable in model.non_trainable_weights}
            fixed = [next(moving) if id(v) in states else None for v in model.non_trainable_variables]
            trainable = [spec.name for spec in self._specs if spec.trainable][:-_HEAD]
            self._trunks[policy] = _Trunk(model, trainable, fixed)
        return self._trunks[policy]


def _layer_state(noise: Noise | None, place: int, variable: Any) -> tf.Tensor:
    """Returns what a random layer draws from in a step."""
    if noise is None:  # evaluation, which draws nothing
        return tf.zeros(variable.shape, variable.dtype)
    return tf.cast(layer_seed(noise, place), variable.dtype)
