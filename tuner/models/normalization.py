"""Batch normalisation in one operation, where Keras 3 takes a dozen that are slow to trace."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

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
        ones, nothing = tf.ones(inputs.shape[-1]), tf.zeros(0)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.cast(self.gamma, tf.float32) if self.scale else ones,
            offset=tf.cast(self.beta, tf.float32) if self.center else ones - 1.0,
            mean=nothing if batch else tf.convert_to_tensor(self.moving_mean),
            variance=nothing if batch else tf.convert_to_tensor(self.moving_variance),
            epsilon=self.epsilon,
            is_training=batch,
        )
        if batch:
            values = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
            # TensorFlow tells the unbiased variance, Keras keeps the biased one.
            self._keep(self.moving_mean, mean)
            self._keep(self.moving_variance, variance * (1.0 - 1.0 / values))
        return outputs

    def _keep(self, moving: Any, value: Any) -> None:
        moving.assign(moving * self.momentum + value * (1.0 - self.momentum))
