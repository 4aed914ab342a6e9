"""Batch normalisation in one operation, where Keras 3 takes a dozen that are slow to trace."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tuner.models.pairs import is_paired, normalized

__all__ = ["FusedBatchNormalization"]


@keras.saving.register_keras_serializable(package="tuner")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` of feature maps, channels last, with the same weights, outputs and gradients.

    What is no feature map, or has a mask, is normalised by Keras.
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Returns the normalised feature maps, `(batch, height, width, channels)`."""
        is_map = len(inputs.shape) == 4 and self.axis in (-1, 3) and isinstance(inputs, tf.Tensor)
        if not is_map or mask is not None:
            return super().call(inputs, training=training, mask=mask)
        batch = bool(training and self.trainable)
        scale = tf.cast(self.gamma, tf.float32) if self.scale else tf.ones(inputs.shape[-1])
        offset = tf.cast(self.beta, tf.float32) if self.center else tf.zeros(inputs.shape[-1])
        moving = None if batch else tuple(map(tf.convert_to_tensor, (self.moving_mean, self.moving_variance)))
        normalize = normalized if self._is_paired(inputs) else _fused
        outputs, mean, variance = normalize(inputs, scale, offset, epsilon=self.epsilon, statistics=moving)
        if batch:
            self._keep(self.moving_mean, mean)
            self._keep(self.moving_variance, variance)
        return outputs

    def _is_paired(self, inputs: Any) -> bool:
        _, height, width, channels = inputs.shape
        return None not in (height, width) and is_paired(channels, height * width, inputs.dtype)

    def _keep(self, moving: Any, value: Any) -> None:
        moving.assign(moving * self.momentum + value * (1.0 - self.momentum))


def _fused(x: Any, scale: Any, offset: Any, *, epsilon: float, statistics: Any) -> tuple[Any, Any, Any]:
    """What `normalized` computes, in one operation."""
    mean, variance = statistics or (tf.zeros(0),) * 2
    maps, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=scale,
        offset=offset,
        mean=mean,
        variance=variance,
        epsilon=epsilon,
        is_training=statistics is None,
    )
    values = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
    return maps, mean, variance * (1.0 - 1.0 / values)  # TensorFlow tells the unbiased one
