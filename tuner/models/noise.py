"""The random numbers of training: what a step leaves out, and how it changes its images.

They follow from the seed of the training and the number of the step alone, so that a continued training draws what one
that was never interrupted would, on any device and with any number of threads (Philox counts; it keeps no state).
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from tuner.models.config import ModelConfig
from tuner.models.plan import residual_blocks

__all__ = ["Noise", "branch_scales", "feature_scales", "image_draws", "layer_seed"]

# Streams of one step; those of the layers of a Keras model begin with the last.
_IMAGES, _BRANCHES, _FEATURES, _LAYERS = -1, 0, 1, 2


class Noise(NamedTuple):
    """What the random numbers of a training step follow from.

    Args:
        seed: Seed of the training and number of the step, `(2,)`, int32.
        stochastic_depth: Chance that the last block's branch is left out, scalar, float32, in [0, 1).
        dropout: Chance that a feature is left out, scalar, float32, in [0, 1).
        place: Of a part of a batch, the number of its first image in the batch and the images of that, `(2,)`, int32:
            the same is left out as of the whole batch. None where the batch is whole.
    """

    seed: tf.Tensor
    stochastic_depth: tf.Tensor
    dropout: tf.Tensor
    place: tf.Tensor | None = None


def branch_scales(config: ModelConfig, noise: Noise, *, images: tf.Tensor) -> tf.Tensor:
    """Returns the factors of the branches of all blocks, `(blocks, images)`.

    A factor is 0 for a branch that is left out and 1 / p for one that is kept with chance p, so that evaluation, which
    keeps all, needs no factor. The paper leaves a block out for a whole batch and multiplies by p in evaluation; here
    each image draws for itself, as stock Keras's Dropout with a noise shape does.

    Args:
        config: The network.
        noise: What they follow from.
        images: Number of images, scalar, int32.

    Reference: Huang et al., 2016, https://arxiv.org/abs/1603.09382, section 3.
    """
    shares = tf.constant([block.drop_share for block in residual_blocks(config)])
    rates = shares * noise.stochastic_depth
    first, total = (0, images) if noise.place is None else tf.unstack(noise.place)
    scales = _scales(noise, _BRANCHES, shape=tf.stack([tf.size(rates), total]), rates=rates[:, tf.newaxis])
    return scales if noise.place is None else scales[:, first : first + images]


def feature_scales(noise: Noise, features: tf.Tensor) -> tf.Tensor:
    """Returns the factors of features, of the shape of `features`: 0, or 1 / p for one that is kept with chance p.

    Reference: Srivastava et al., 2014, https://jmlr.org/papers/v15/srivastava14a.html, section 10 (scaled in training).
    """
    if noise.place is None:
        return _scales(noise, _FEATURES, shape=tf.shape(features), rates=noise.dropout)
    first, total = tf.unstack(noise.place)
    images, width = tf.unstack(tf.shape(features))
    scales = _scales(noise, _FEATURES, shape=tf.stack([total, width]), rates=noise.dropout)
    return scales[first : first + images]


def image_draws(noise: Noise, *, images: tf.Tensor, draws: int) -> tf.Tensor:
    """Returns some numbers in [0, 1) for each image, `(images, draws)`.

    Args:
        noise: What they follow from.
        images: Number of images, scalar, int32.
        draws: Numbers of each.
    """
    first, total = (0, images) if noise.place is None else tf.unstack(noise.place)
    return _drawn(noise, _IMAGES, shape=tf.stack([total, draws]))[first : first + images]


def layer_seed(noise: Noise, place: int) -> tf.Tensor:
    """Returns the seed of a random layer in a step, `(2,)`, int32.

    Layers of different places draw differently, and so do the parts of a batch: such a layer cannot be told which part
    of its numbers to take.
    """
    seed = tf.random.experimental.stateless_fold_in(noise.seed, _LAYERS + place, alg="philox")
    if noise.place is None:
        return seed
    return tf.random.experimental.stateless_fold_in(seed, noise.place[0], alg="philox")


def _scales(noise: Noise, stream: int, *, shape: tf.Tensor, rates: tf.Tensor) -> tf.Tensor:
    drawn = _drawn(noise, stream, shape=shape)  # in [0, 1), so a rate of 0 leaves nothing out
    return tf.cast(drawn >= rates, tf.float32) / (1.0 - rates)


def _drawn(noise: Noise, stream: int, *, shape: tf.Tensor) -> tf.Tensor:
    seed = tf.random.experimental.stateless_fold_in(noise.seed, stream, alg="philox")
    return tf.random.stateless_uniform(shape, seed, alg="philox")
