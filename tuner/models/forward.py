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
    """One forward pass: the weights, and the batch statistics that training gathers on the way."""

    def __init__(self, config: ModelConfig, weights: Mapping[str, tf.Tensor], *, training: bool) -> None:
        self.config = config
        self.weights = weights
        self.training = training
        self.statistics: Statistics = {}

    def convolve(self, x: tf.Tensor, name: str, *, kernel: int, stride: int, padding: str = "SAME") -> tf.Tensor:
        if kernel == 1 and stride > 1:  # see blocks.convolve
            x, stride = x[:, ::stride, ::stride, :], 1
        x = tf.nn.conv2d(x, self.weights[f"{name}/kernel"], stride, padding)
        return tf.nn.bias_add(x, self.weights[f"{name}/bias"]) if self.config.conv_bias else x

    def normalize(self, x: tf.Tensor, name: str) -> tf.Tensor:
        """Batch normalisation; in training the new moving statistics are kept for the caller."""
        old_mean, old_variance = self.weights[f"{name}/moving_mean"], self.weights[f"{name}/moving_variance"]
        no_statistics = tf.zeros(0)
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=self.weights[f"{name}/gamma"],
            offset=self.weights[f"{name}/beta"],
            mean=no_statistics if self.training else old_mean,
            variance=no_statistics if self.training else old_variance,
            epsilon=self.config.norm_epsilon,
            is_training=self.training,
        )
        if self.training:
            # TensorFlow returns the unbiased variance of the batch, Keras keeps the biased one.
            count = tf.cast(tf.reduce_prod(tf.shape(x)[:3]), tf.float32)
            variance *= (count - 1.0) / count
            kept = self.config.norm_momentum
            self.statistics[f"{name}/moving_mean"] = old_mean * kept + mean * (1.0 - kept)
            self.statistics[f"{name}/moving_variance"] = old_variance * kept + variance * (1.0 - kept)
        return y

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
        gate = tf.reduce_mean(x, axis=(1, 2))
        gate = tf.nn.relu(self.dense(gate, f"{name}_reduce", bias=self.config.se_bias))
        gate = tf.sigmoid(self.dense(gate, f"{name}_expand", bias=self.config.se_bias))
        return x * gate[:, tf.newaxis, tf.newaxis, :]


def forward(
    config: ModelConfig, weights: Mapping[str, tf.Tensor], images: tf.Tensor, *, training: bool
) -> tuple[tf.Tensor, Statistics]:
    """Computes the network.

    Args:
        config: The network; its width and its ratio are taken from the weights, only whether there is a gate counts.
        weights: Tensors by the names of `weight_specs`.
        images: `(batch, height, width, channels)`, float32.
        training: Whether batch normalisation uses the statistics of the batch.

    Returns:
        Logits `(batch, classes)`, and in training the new moving statistics by name.
    """
    run = _Pass(config, weights, training=training)
    x = images
    if config.mean is not None and config.variance is not None:
        deviation = tf.maximum(tf.sqrt(tf.constant(config.variance)), KERAS_EPSILON)
        x = (x - tf.constant(config.mean)) / deviation
    stem, padding = stem_convolution(config), "SAME"
    if config.stem == "imagenet":
        x, padding = tf.pad(x, [[0, 0], [3, 3], [3, 3], [0, 0]]), "VALID"
    x = run.convolve(x, "stem_conv", kernel=stem.kernel, stride=stem.stride, padding=padding)
    x = tf.nn.relu(run.normalize(x, "stem_norm"))
    if config.stem == "imagenet":
        x = tf.nn.max_pool2d(x, 3, 2, "SAME")
    for block in residual_blocks(config):
        x = run.block(x, block)
    return run.dense(tf.reduce_mean(x, axis=(1, 2)), "predictions", bias=True), run.statistics
