"""A small network in the manner of `keras.applications`, with all that is special about those, for fast tests."""

import contextlib

import keras
import pytest

from tuner.models.backbone import BACKBONES

NAME = "Tiny"


def build(*, include_top, weights, input_tensor, input_shape):
    """Inputs scaled by Keras, a strided 1x1 convolution, layers without a name, a random layer, a residual addition."""
    assert not include_top
    assert weights is None
    assert input_tensor.shape[1:] == input_shape
    x = keras.layers.Rescaling(1 / 255)(input_tensor)
    x = keras.layers.Normalization()(x)
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization(epsilon=1e-3)(x)
    x = keras.layers.ReLU()(x)
    branch = keras.layers.SeparableConv2D(8, 3, padding="same", strides=2, name="separable")(x)
    branch = keras.layers.BatchNormalization(scale=False)(branch)
    branch = keras.layers.Dropout(0.3, noise_shape=(None, 1, 1, 1), name="path_drop")(branch)
    shortcut = keras.layers.Conv2D(8, 1, strides=2, name="shortcut")(x)
    x = keras.layers.Add(name="add")([branch, shortcut])
    x = keras.layers.Conv2D(8, 3, groups=8, padding="same", kernel_initializer="he_normal")(x)
    x = keras.layers.Activation("relu")(x)
    return keras.Model(keras.utils.get_source_inputs(input_tensor), x, name="tiny")


@contextlib.contextmanager
def tiny_backbone():
    """Makes `Tiny` a backbone like the others, for images from 4x4."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.applications, NAME, build, raising=False)
        patch.setitem(BACKBONES, NAME, 4)
        yield
