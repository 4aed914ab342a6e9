"""Grouped convolutions against one plain convolution for each group."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tuner.models.grouped import GroupedConv2D, grouped_convolution, thinned


def _one_by_one(x, kernel, *, groups, stride, padding):
    parts = zip(tf.split(x, groups, axis=-1), tf.split(kernel, groups, axis=-1), strict=True)
    return tf.concat([tf.nn.conv2d(maps, filters, stride, padding) for maps, filters in parts], axis=-1)


def _gradients(convolve, x, kernel):
    with tf.GradientTape() as tape:
        tape.watch([x, kernel])
        y = convolve(x, kernel)
        loss = tf.reduce_sum(tf.sin(y))  # another gradient for each value
    return [y, *tape.gradient(loss, [x, kernel])]


CASES = [
    *itertools.product([(9, 8), (1, 1), (2, 5)], [1, 2, 3], ["SAME"], [3], [(2, 3)]),
    ((9, 8), 2, "VALID", 3, (1, 1)),
    ((8, 8), 3, "VALID", 3, (2, 2)),  # two pixels that no kernel reaches
    ((7, 7), 2, "SAME", 5, (4, 2)),
    ((4, 4), 1, "SAME", 1, (2, 2)),
]


@pytest.mark.parametrize(("shape", "stride", "padding", "size", "widths"), CASES)
def test_outputs_and_gradients_are_those_of_the_groups(shape, stride, padding, size, widths):
    groups, (inputs, outputs) = 4, widths
    generator = np.random.default_rng(0)
    x = tf.constant(generator.normal(size=(3, *shape, groups * inputs)).astype(np.float32))
    kernel = tf.constant(generator.normal(size=(size, size, inputs, groups * outputs)).astype(np.float32))

    def ours(x, kernel):
        return grouped_convolution(x, kernel, stride=stride, padding=padding)

    unknown = [tf.TensorSpec((None, *shape, None)), tf.TensorSpec((size, size, None, None))]
    traced = tf.function(lambda x, kernel: _gradients(ours, x, kernel), input_signature=unknown, autograph=False)
    expected = _gradients(
        lambda x, kernel: _one_by_one(x, kernel, groups=groups, stride=stride, padding=padding), x, kernel
    )
    for got in (_gradients(ours, x, kernel), traced(x, kernel)):
        for one, wanted in zip(got, expected, strict=True):
            # float32: sums of at most 243 products of about 1, added up in another order.
            np.testing.assert_allclose(one, wanted, rtol=1e-4, atol=1e-4)


def test_bfloat16_has_gradients_too():
    generator = np.random.default_rng(0)
    x = tf.constant(generator.normal(size=(2, 6, 6, 8)), tf.bfloat16)
    kernel = tf.constant(generator.normal(size=(3, 3, 2, 8)), tf.bfloat16)
    got = _gradients(grouped_convolution, x, kernel)
    expected = _gradients(grouped_convolution, tf.cast(x, tf.float32), tf.cast(kernel, tf.float32))
    assert {tensor.dtype for tensor in got} == {tf.bfloat16}
    for one, wanted in zip(got, expected, strict=True):
        # 8 bits a number; the cosine in the gradient magnifies what the outputs are off.
        np.testing.assert_allclose(
            tf.cast(one, tf.float32), wanted, atol=0.05 * float(tf.reduce_max(tf.abs(wanted))) + 0.05
        )


@pytest.mark.parametrize(
    "unusual",
    [{}, {"strides": 2}, {"dilation_rate": 2}, {"kernel_size": (1, 3)}, {"strides": (1, 2), "padding": "valid"}],
)
def test_layer_has_the_weights_and_outputs_of_keras(unusual):
    options = {"filters": 6, "kernel_size": 3, "groups": 3, "padding": "same", **unusual}
    ours, stock = GroupedConv2D(**options), keras.layers.Conv2D(**options)
    x = np.random.default_rng(0).normal(size=(2, 7, 6, 12)).astype(np.float32)
    ours.build(x.shape)
    stock.build(x.shape)
    assert [tuple(w.shape) for w in ours.weights] == [tuple(w.shape) for w in stock.weights]
    ours.set_weights(stock.get_weights())
    np.testing.assert_allclose(ours(x), stock(x), rtol=1e-5, atol=1e-5)


def test_layer_comes_back_from_its_configuration():
    layer = GroupedConv2D(6, 3, groups=3)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(again, GroupedConv2D)
    assert again.groups == 3


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
@pytest.mark.parametrize(("shape", "strides"), [((9, 8), 2), ((7, 7), (2, 3)), ((1, 1), 2), ((4, 5), 1)])
def test_thinned_maps_and_their_gradient_have_the_bits_of_a_strided_slice(shape, strides, dtype):
    x = tf.cast(np.random.default_rng(0).normal(size=(3, *shape, 5)), dtype)
    rows, columns = np.broadcast_to(strides, 2)
    ours, sliced = (
        _gradients(drop, x, tf.ones(1, dtype))
        for drop in (lambda x, one: one * thinned(x, strides), lambda x, one: one * x[:, ::rows, ::columns, :])
    )
    for got, wanted in zip(ours, sliced, strict=True):
        np.testing.assert_array_equal(tf.cast(got, tf.float32), tf.cast(wanted, tf.float32))
