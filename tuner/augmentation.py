"""Training images as a step sees them: moved and mirrored at random, each time anew.

The pixels stay what they are, bytes; only their places change. What is drawn follows from the seed of the training and
the number of the step (`tuner/models/noise.py`), so a continued training sees what one that was never interrupted does.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tuner.models.noise import Noise, image_draws
from tuner.recipe import Recipe

__all__ = ["augmented", "augmenting"]


def augmented(images: Any, noise: Noise, *, horizontal_flip: Any, translation: Any) -> Any:
    """Returns images that were moved and mirrored, of the same shape and type.

    Args:
        images: `(n, height, width, channels)`; height and width are known before the program runs.
        noise: What the random numbers follow from.
        horizontal_flip: 1, and each image is mirrored with a chance of one half; 0, and none is.
        translation: Each image is moved by a whole number of pixels up or down, and left or right, up to this share of
            its height and width, all numbers as likely; the pixels of the edge fill what it leaves.

    Reference: He et al., 2016, https://arxiv.org/abs/1512.03385, section 4.2 (4 of 32 pixels, filled with zeros).
    """
    height, width = images.shape[1:3]
    down, right, turn = tf.unstack(image_draws(noise, images=tf.shape(images)[0], draws=3), axis=1)
    rows, columns = _moved(height, down, translation), _moved(width, right, translation)
    is_turned = turn < 0.5 * horizontal_flip
    columns = tf.where(is_turned[:, tf.newaxis], width - 1 - columns, columns)
    return tf.gather(tf.gather(images, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)


def _moved(side: int, drawn: Any, translation: Any) -> Any:
    """Returns where the pixels of each image's side come from, `(n, side)`."""
    most = tf.round(translation * side)
    offsets = tf.cast(tf.floor(drawn * (2.0 * most + 1.0)) - most, tf.int32)
    return tf.clip_by_value(tf.range(side) - offsets[:, tf.newaxis], 0, side - 1)


def augmenting(model: keras.Model, recipe: Recipe) -> keras.Model:
    """Returns a classifier that changes its images in training as a recipe says; where that says nothing, the same.

    It has stock Keras layers, for stock Keras Tuner tuners. They draw other numbers than `augmented`, from the same
    ranges, and move by a share of a pixel, which they round.
    """
    if not recipe.augments:
        return model
    changed = images = keras.Input(model.input_shape[1:], name="image")
    layers: list[Any] = [keras.layers.RandomFlip("horizontal")] if recipe.horizontal_flip else []
    if recipe.translation:
        most = recipe.translation
        layers += [keras.layers.RandomTranslation(most, most, fill_mode="nearest", interpolation="nearest")]
    for layer in layers:
        # What `model(images)` and a SavedModel do: told nothing, these layers would train, and all behind them too.
        # `fit` says otherwise, and what it says counts.
        changed = layer(changed, training=False)
    return keras.Model(images, model(changed))
