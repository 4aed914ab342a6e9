"""The network as a function of its weights, in plain TensorFlow: what `resnet.build_model` computes, for training.

A Keras model is traced layer by layer, 1.8 s for a small network on two cores, and again for another width, because
its layers know their shapes. This function takes weights of any width and gate size, is traced in a fraction of that,
and uses the fused batch normalisation. A test holds both to the same outputs and gradients.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from tuner.models.config import ModelConfig
from tuner.models.plan import ResidualBlock, residual_blocks, stem_convolution

__all__ = ["Statistics", "forward"]

Statistics = dict[str, tf.Tensor]

KERAS_EPSILON = 1e-7  # keras.layers.Normalization divides by no less


class _Pass:
    """One forward pass: the weights, and the statistics of the batch that training gathers on the way."""

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, tf.Tensor],
        *,
        images: tf.Tensor,
        training: bool,
        dtype: tf.DType,
    ) -> None:
        self.config = config
        self.weights = weights
        self.training = training
        self.dtype = dtype
        self.statistics: Statistics = {}
        self._images = tf.cast(images, tf.float32)
        self._nothing = tf.zeros(0)
        self._biases: dict[int, tf.Tensor] = {}

    def convolve(self, x: tf.Tensor, name: str, *, kernel: int, stride: int, padding: str = "SAME") -> tf.Tensor:
        if kernel == 1 and stride > 1:  # see blocks.convolve
            x, stride = x[:, ::stride, ::stride, :], 1
        x = tf.nn.conv2d(x, tf.cast(self.weights[f"{name}/kernel"], self.dtype), stride, padding)
        return tf.nn.bias_add(x, tf.cast(self.weights[f"{name}/bias"], self.dtype)) if self.config.conv_bias else x

    def normalize(self, x: tf.Tensor, name: str) -> tf.Tensor:
        """Batch normalisation; in training the statistics of the batch are kept for the caller."""
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=self.weights[f"{name}/gamma"],
            offset=self.weights[f"{name}/beta"],
            mean=self._nothing if self.training else self.weights[f"{name}/moving_mean"],
            variance=self._nothing if self.training else self.weights[f"{name}/moving_variance"],
            epsilon=self.config.norm_epsilon,
            is_training=self.training,
        )
        if self.training:
            self.statistics[f"{name}/moving_mean"] = mean
            self.statistics[f"{name}/moving_variance"] = variance * self._bias_of_variance(x.shape[1] * x.shape[2])
        return y

    def _bias_of_variance(self, pixels: int) -> tf.Tensor:
        """Returns what makes TensorFlow's unbiased variance of a batch the biased one, which Keras keeps."""
        if pixels not in self._biases:
            self._biases[pixels] = 1.0 - 1.0 / (self._images * pixels)
        return self._biases[pixels]

    def dense(self, x: tf.Tensor, name: str, *, bias: bool) -> tf.Tensor:
        x = tf.matmul(x, self.weights[f"{name}/kernel"])
        return tf.nn.bias_add(x, self.weights[f"{name}/bias"]) if bias else x

    def block(self, x: tf.Tensor, block: ResidualBlock) -> tf.Tensor:
        branch = x
        for number, convolution in enumerate(block.branch, start=1):
            branch = self.convolve(
                branch, f"{block.name}_conv{number}", kernel=convolution.kernel, stride=convolution.stride
            )
            branch = self.normalize(branch, f"{block.name}_norm{number}")
            if number < len(block.branch):
                branch = tf.nn.relu(branch)
        if self.config.se_ratio:
            branch = self.squeeze_excite(branch, f"{block.name}_se")
        if block.projection:
            x = self.convolve(x, f"{block.name}_projection", kernel=1, stride=block.projection.stride)
            if self.config.has_projection_norm:
                x = self.normalize(x, f"{block.name}_projection_norm")
        return tf.nn.relu(x + branch)

    def squeeze_excite(self, x: tf.Tensor, name: str) -> tf.Tensor:
        gate = tf.reduce_mean(tf.cast(x, tf.float32), axis=(1, 2))
        gate = tf.nn.relu(self.dense(gate, f"{name}_reduce", bias=self.config.se_bias))
        gate = tf.sigmoid(self.dense(gate, f"{name}_expand", bias=self.config.se_bias))
        return x * tf.cast(gate, self.dtype)[:, tf.newaxis, tf.newaxis, :]


def forward(
    config: ModelConfig,
    weights: Mapping[str, tf.Tensor],
    images: tf.Tensor,
    *,
    training: bool,
    dtype: tf.DType = tf.float32,
) -> tuple[tf.Tensor, Statistics]:
    """Computes the network.

    Args:
        config: The network; its width and its ratio are taken from the weights, only whether there is a gate counts.
        weights: Tensors by the names of `weight_specs`.
        images: `(batch, height, width, channels)`, float32.
        training: Whether batch normalisation uses the statistics of the batch.
        dtype: Type of the feature maps and of what convolutions multiply. Weights, statistics, means over a map, gates
            and logits are float32 whatever it is.

    Returns:
        Logits `(batch, classes)`, and in training the mean and the biased variance of the batch, by the names of the
        moving statistics that they belong to.
    """
    run = _Pass(config, weights, images=tf.shape(images)[0], training=training, dtype=dtype)
    x = images
    if config.mean is not None and config.variance is not None:
        deviation = tf.maximum(tf.sqrt(tf.constant(config.variance)), KERAS_EPSILON)
        x = (x - tf.constant(config.mean)) / deviation
    x = tf.cast(x, dtype)
    stem, padding = stem_convolution(config), "SAME"
    if config.stem == "imagenet":
        x, padding = tf.pad(x, [[0, 0], [3, 3], [3, 3], [0, 0]]), "VALID"
    x = run.convolve(x, "stem_conv", kernel=stem.kernel, stride=stem.stride, padding=padding)
    x = tf.nn.relu(run.normalize(x, "stem_norm"))
    if config.stem == "imagenet":
        x = tf.nn.max_pool2d(x, 3, 2, "SAME")
    for block in residual_blocks(config):
        x = run.block(x, block)
    features = tf.reduce_mean(tf.cast(x, tf.float32), axis=(1, 2))
    return run.dense(features, "predictions", bias=True), run.statistics
