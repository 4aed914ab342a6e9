"""The network as a function of its weights, in plain TensorFlow: what `resnet.build_model` computes, for training.

A Keras model is traced layer by layer, 1.8 s for a small network on two cores, and again for another width, because
its layers know their shapes. This function takes weights of any width and gate size, is traced in a fraction of that,
and uses the fused batch normalisation. A test holds both to the same outputs and gradients.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from tuner.models.config import ModelConfig
from tuner.models.grouped import grouped_convolution, thinned
from tuner.models.noise import Noise, branch_scales, feature_scales
from tuner.models.pairs import is_paired, normalized
from tuner.models.plan import Convolution, ResidualBlock, has_stem_pool, residual_blocks, stem_convolutions

__all__ = ["Statistics", "forward"]

Statistics = dict[str, tf.Tensor]

KERAS_EPSILON = 1e-7  # keras.layers.Normalization divides by no less

_NORM_PARTS = ("gamma", "beta", "moving_mean", "moving_variance")
_SQUEEZES = {"avg": tf.reduce_mean, "max": tf.reduce_max}
_EXCITATIONS = {"sigmoid": tf.sigmoid, "tanh": tf.tanh, "relu": tf.nn.relu}


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

    def convolve(self, x: tf.Tensor, name: str, convolution: Convolution, *, padding: str = "SAME") -> tf.Tensor:
        kernel, stride = tf.cast(self.weights[f"{name}/kernel"], self.dtype), convolution.stride
        if convolution.kernel == 1:  # see blocks.convolve
            x, stride = thinned(x, stride), 1
        if convolution.groups > 1:
            x = grouped_convolution(x, kernel, stride=stride, padding=padding)
        else:
            x = tf.nn.conv2d(x, kernel, stride, padding)
        return tf.nn.bias_add(x, tf.cast(self.weights[f"{name}/bias"], self.dtype)) if self.config.conv_bias else x

    def normalize(self, x: tf.Tensor, name: str, *, channels: int) -> tf.Tensor:
        """Batch normalisation; in training the statistics of the batch are kept for the caller.

        Of `channels`, those of the configuration, only what `is_paired` says of them counts.
        """
        gamma, beta, *moving = (self.weights[f"{name}/{part}"] for part in _NORM_PARTS)
        epsilon, pixels = self.config.norm_epsilon, x.shape[1] * x.shape[2]
        if is_paired(channels, pixels, x.dtype):
            given = None if self.training else tuple(moving)
            y, mean, variance = normalized(x, gamma, beta, epsilon=epsilon, statistics=given)
        else:
            given_mean, given_variance = (self._nothing, self._nothing) if self.training else moving
            y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
                x=x,
                scale=gamma,
                offset=beta,
                mean=given_mean,
                variance=given_variance,
                epsilon=epsilon,
                is_training=self.training,
            )
            if self.training:
                variance *= self._bias_of_variance(pixels)
        if self.training:
            self.statistics |= {f"{name}/moving_mean": mean, f"{name}/moving_variance": variance}
        return y

    def _bias_of_variance(self, pixels: int) -> tf.Tensor:
        """Returns what makes TensorFlow's unbiased variance of a batch the biased one, which Keras keeps."""
        if pixels not in self._biases:
            self._biases[pixels] = 1.0 - 1.0 / (self._images * pixels)
        return self._biases[pixels]

    def dense(self, x: tf.Tensor, name: str, *, bias: bool) -> tf.Tensor:
        x = tf.matmul(x, self.weights[f"{name}/kernel"])
        return tf.nn.bias_add(x, self.weights[f"{name}/bias"]) if bias else x

    def block(self, x: tf.Tensor, block: ResidualBlock, kept: tf.Tensor | None) -> tf.Tensor:
        """A residual block; `kept` are the factors of the branch, `(batch,)`, where there is stochastic depth."""
        branch = self.gated(x, block, position="pre")
        for number, convolution in enumerate(block.branch, start=1):
            branch = self.convolve(branch, f"{block.name}_conv{number}", convolution)
            branch = self.normalize(branch, f"{block.name}_norm{number}", channels=convolution.filters)
            if number < len(block.branch):
                branch = tf.nn.relu(branch)
            if number == len(block.branch) - 1:
                branch = self.gated(branch, block, position="inner")
        branch = self.gated(branch, block, position="standard")
        if kept is not None:
            branch *= tf.cast(kept, self.dtype)[:, tf.newaxis, tf.newaxis, tf.newaxis]
        if block.projection:
            x = self.convolve(x, f"{block.name}_projection", block.projection)
            if self.config.has_projection_norm:
                x = self.normalize(x, f"{block.name}_projection_norm", channels=block.projection.filters)
        x = self.gated(x, block, position="identity")
        return self.gated(tf.nn.relu(x + branch), block, position="post")

    def gated(self, x: tf.Tensor, block: ResidualBlock, *, position: str) -> tf.Tensor:
        """Squeeze-and-excitation where the block has it at this position; else `x` as it is."""
        if block.gate is None or self.config.se_position != position:
            return x
        name, bias = f"{block.name}_se", self.config.se_bias
        scale = _SQUEEZES[self.config.squeeze](tf.cast(x, tf.float32), axis=(1, 2))
        scale = tf.nn.relu(self.dense(scale, f"{name}_reduce", bias=bias))
        scale = _EXCITATIONS[self.config.excitation](self.dense(scale, f"{name}_expand", bias=bias))
        return x * tf.cast(scale, self.dtype)[:, tf.newaxis, tf.newaxis, :]

    def stem(self, x: tf.Tensor) -> tf.Tensor:
        for suffix, convolution in stem_convolutions(self.config).items():
            padding = "SAME"
            if convolution.stride > 1:  # see resnet._stem
                around = [convolution.kernel // 2] * 2
                x, padding = tf.pad(x, [[0, 0], around, around, [0, 0]]), "VALID"
            x = self.convolve(x, f"stem_conv{suffix}", convolution, padding=padding)
            x = tf.nn.relu(self.normalize(x, f"stem_norm{suffix}", channels=convolution.filters))
        return tf.nn.max_pool2d(x, 3, 2, "SAME") if has_stem_pool(self.config) else x


def forward(
    config: ModelConfig,
    weights: Mapping[str, tf.Tensor],
    images: tf.Tensor,
    *,
    training: bool,
    dtype: tf.DType = tf.float32,
    noise: Noise | None = None,
) -> tuple[tf.Tensor, Statistics]:
    """Computes the network.

    Args:
        config: The network; width, ratio and cardinality are taken from the weights, the rates of stochastic depth and
            dropout from `noise`: of these, only whether there are any counts.
        weights: Tensors by the names of `weight_specs`.
        images: `(batch, height, width, channels)`, float32.
        training: Whether batch normalisation uses the statistics of the batch.
        dtype: Type of the feature maps and of what convolutions multiply. Weights, statistics, means over a map, gates
            and logits are float32 whatever it is.
        noise: What the random numbers of training follow from; None draws none.

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
    x = run.stem(x)
    kept = None
    if training and noise is not None and config.stochastic_depth:
        kept = branch_scales(config, noise, images=tf.shape(images)[0])
    for number, block in enumerate(residual_blocks(config)):
        x = run.block(x, block, None if kept is None else kept[number])
    features = tf.reduce_mean(tf.cast(x, tf.float32), axis=(1, 2))
    if training and noise is not None and config.dropout:
        features *= feature_scales(noise, features)
    return run.dense(features, "predictions", bias=True), run.statistics
