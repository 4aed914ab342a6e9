import dataclasses
import math

import keras
import pytest

from tuner.errors import UsageError
from tuner.models import ModelConfig, build_model, cost, count

_LAYERS = keras.layers


def _model(*layers, shape=(8, 6, 4)):
    return keras.Sequential([keras.Input(shape), *layers])


# Multiply-accumulates by hand: weights of the kernel times positions.
@pytest.mark.parametrize(
    ("layer", "macs"),
    [
        (_LAYERS.Conv2D(5, 3, padding="same"), 9 * 4 * 5 * 8 * 6),
        (_LAYERS.Conv2D(5, 3), 9 * 4 * 5 * 6 * 4),
        (_LAYERS.Conv2D(6, 3, strides=2, padding="same", groups=2), 9 * 2 * 6 * 4 * 3),
        (_LAYERS.DepthwiseConv2D(3, padding="same", depth_multiplier=2), 9 * 4 * 2 * 8 * 6),
        (_LAYERS.SeparableConv2D(5, 3, padding="same"), (9 * 4 + 4 * 5) * 8 * 6),
        (_LAYERS.Conv2DTranspose(5, 2, strides=2), 4 * 4 * 5 * 8 * 6),
        (_LAYERS.Dense(7), 4 * 7 * 8 * 6),
        (_LAYERS.BatchNormalization(), 0),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_layer_counts_each_kernel_weight_once_a_position(layer, macs):
    model = _model(layer)
    counted = count(model)
    assert counted.macs == macs
    assert counted.params == model.count_params()
    assert counted.trainable_params == sum(math.prod(weight.shape) for weight in model.trainable_weights)


def test_moving_statistics_are_not_trainable():
    counted = count(_model(_LAYERS.BatchNormalization()))
    assert (counted.params, counted.trainable_params) == (16, 8)


def test_built_network_counts_as_its_config_does():
    config = ModelConfig(input_shape=(9, 7, 3), classes=5, blocks=(1, 1), width=8, block="bottleneck")
    assert count(build_model(config)) == dataclasses.replace(cost(config), peak_activation_bytes=0)


def test_shared_layer_and_nested_model_compute_at_every_call_and_weigh_once():
    inner = _model(_LAYERS.Conv2D(4, 3, padding="same"))
    image = keras.Input((8, 6, 4))
    shared = _LAYERS.Conv2D(4, 1)
    x = shared(inner(image))
    counted = count(keras.Model(image, shared(inner(x))))
    assert counted.macs == 2 * (9 * 4 * 4 + 4 * 4) * 48
    assert counted.params == (9 * 4 * 4 + 4) + (4 * 4 + 4)


def test_layer_that_another_model_uses_too_counts_only_here():
    layer = _LAYERS.Conv2D(4, 1)
    small, large = keras.Input((2, 2, 4)), keras.Input((8, 8, 4))
    models = [keras.Model(image, layer(image)) for image in (small, large)]
    assert [count(model).macs for model in models] == [16 * 4, 16 * 64]


def test_open_image_size_is_refused():
    with pytest.raises(UsageError, match="image size at layer 'open' is open"):
        count(_model(_LAYERS.Conv2D(4, 1, name="open"), shape=(None, None, 4)))


class Own(keras.Model):
    """A model without a graph."""

    def call(self, x):
        return x


@pytest.mark.parametrize("model", [Own(name="mine"), keras.Sequential([_LAYERS.Dense(2)], name="mine")])
def test_model_without_a_graph_is_refused(model):
    model.build((None, 2)) if isinstance(model, Own) else None
    with pytest.raises(UsageError, match="'mine' has no graph of layers; allowed is a functional model"):
        count(model)
