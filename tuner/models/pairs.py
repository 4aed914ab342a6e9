"""Batch normalisation of pixels by pairs, for the numbers of channels that oneDNN has no vector code for.

With vectors of 512 bits that are the odd multiples of 8 (TensorFlow 2.21), in float32 from 24 on. 64 feature maps of
28x28 take 0.8 ms with 16 channels, 6.8 with 24 and 1.5 with 32, forward in float32; in bfloat16 0.8, 9.9 and 1.1, and
1.4, 13.5 and 2.5 back (one core of a Xeon); with 8 channels it is slow in bfloat16 alone. Two pixels of 24 channels are
one of 48: what is normalised here is that view of the same memory, with the statistics of both halves put together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tuner.hardware import has_wide_vectors, num_gpus

__all__ = ["is_paired", "normalized", "stand_in"]

_CHANNELS = 16  # float32 values of a vector
# Below, the time of a call counts for more than what is saved. On 8x8 images, one core of an EPYC of Zen 5, a step of
# width 8 takes 4.0 ms in bfloat16 and 2.4 by pairs, one of width 24 8.4 and 5.9; in float32 2.5 and 6.2 either way.
_FEWEST_PIXELS, _FEWEST_PIXELS_IN_BFLOAT16 = 14 * 14, 8 * 8

Statistics = tuple[tf.Tensor, tf.Tensor]  # mean and variance
Gradients = Callable[..., tuple[tf.Tensor, tf.Tensor, tf.Tensor]]


def is_paired(channels: int, pixels: int, dtype: tf.DType = tf.float32) -> bool:
    """Whether feature maps with so many channels and pixels are normalised faster by pairs, on this machine."""
    is_slow = channels % _CHANNELS == _CHANNELS // 2 and (channels > _CHANNELS or dtype == tf.bfloat16)
    return is_slow and pixels % 2 == 0 and _is_worthwhile(pixels, dtype)


def stand_in(width: int, pixels: int, dtype: tf.DType = tf.float32) -> int:
    """Returns a width of whose doubles, in maps of so many pixels at most, `is_paired` says what it says of `width`'s.

    Compiled steps serve all widths that have the same.
    """
    if not _is_worthwhile(pixels, dtype):
        return 1
    factor = math.gcd(width, _CHANNELS)
    if dtype == tf.bfloat16 or factor == _CHANNELS:
        return factor
    return _CHANNELS if width == factor else 3 * factor


def _is_worthwhile(pixels: int, dtype: tf.DType) -> bool:
    fewest = _FEWEST_PIXELS_IN_BFLOAT16 if dtype == tf.bfloat16 else _FEWEST_PIXELS
    return pixels >= fewest and has_wide_vectors() and not num_gpus()


def normalized(
    x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, *, epsilon: float, statistics: Statistics | None = None
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalises feature maps.

    Args:
        x: `(batch, height, width, channels)`, float32 or bfloat16; height times width is known and even.
        scale: Gamma, `(channels,)`, float32.
        offset: Beta, the same.
        epsilon: What is added to the variance.
        statistics: Mean and variance to normalise by, `(channels,)`, float32; None takes those of `x`, and the gradient
            goes through them.

    Returns:
        The maps as `x`, and the mean and the (biased) variance that they were normalised by.
    """
    if statistics is not None:
        return _normalized_by(x, scale, offset, statistics, epsilon=epsilon), *statistics

    @tf.custom_gradient
    def normalize(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], Gradients]:
        mean, variance = _statistics(x)

        def gradients(above: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            by_fixed, into_scale, into_offset, *_ = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=_paired(above),
                x=_paired(x),
                scale=_twice(scale),
                reserve_space_1=_twice(mean),
                reserve_space_2=_twice(variance),
                reserve_space_3=tf.zeros(0),
                epsilon=epsilon,
                is_training=False,
            )
            into_scale, into_offset = _both(into_scale), _both(into_offset)
            # Through the statistics (Ioffe and Szegedy, 2015, section 3): a linear function of the normalised maps.
            values = tf.cast(tf.size(x) / tf.size(mean), tf.float32)
            share = -scale * tf.math.rsqrt(variance + epsilon) / values
            by_statistics = _normalized_by(
                x, share * into_scale, share * into_offset, (mean, variance), epsilon=epsilon
            )
            return tf.reshape(by_fixed, tf.shape(x)) + by_statistics, into_scale, into_offset

        maps = _normalized_by(x, scale, offset, (mean, variance), epsilon=epsilon)
        return (maps, mean, variance), gradients

    maps, mean, variance = normalize(x, scale, offset)
    return maps, mean, variance


def _normalized_by(
    x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, statistics: Statistics, *, epsilon: float
) -> tf.Tensor:
    mean, variance = statistics
    maps, *_ = tf.raw_ops.FusedBatchNormV3(
        x=_paired(x),
        scale=_twice(scale),
        offset=_twice(offset),
        mean=_twice(mean),
        variance=_twice(variance),
        epsilon=epsilon,
        is_training=False,
    )
    return tf.ensure_shape(tf.reshape(maps, tf.shape(x)), x.shape)


def _statistics(x: tf.Tensor) -> Statistics:
    """Returns mean and biased variance of each channel: those of both halves, and how far the halves are apart."""
    pairs, nothing = _paired(x), tf.zeros(0)
    channels = tf.shape(pairs)[3]
    _, means, variances, *_ = tf.raw_ops.FusedBatchNormV3(
        x=pairs,
        scale=tf.ones([channels]),
        offset=tf.zeros([channels]),
        mean=nothing,
        variance=nothing,
        is_training=True,
    )
    values = tf.cast(tf.size(pairs) / channels, tf.float32)
    (first, second), biased = tf.split(means, 2), variances * (1.0 - 1.0 / values)  # TensorFlow tells the unbiased one
    return 0.5 * (first + second), 0.5 * _both(biased) + tf.square(0.5 * (first - second))


def _paired(x: Any) -> tf.Tensor:
    """Returns the view of feature maps in which two pixels with their channels are one."""
    _, height, width, _ = x.shape
    return tf.reshape(x, [-1, 1, height * width // 2, 2 * tf.shape(x)[3]])


def _twice(vector: tf.Tensor) -> tf.Tensor:
    return tf.concat([vector, vector], axis=0)


def _both(vector: tf.Tensor) -> tf.Tensor:
    first, second = tf.split(vector, 2)
    return first + second
