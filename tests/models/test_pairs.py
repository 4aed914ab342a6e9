"""Batch normalisation of pixels by pairs against the operation that it stands for, and against Keras."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tuner.models import ModelConfig, build_model, pairs
from tuner.models.forward import forward
from tuner.models.kinds import structure_of
from tuner.models.normalization import FusedBatchNormalization
from tuner.models.weights import initial_weights

EPSILON = 1e-3
CONFIG = ModelConfig(input_shape=(14, 15, 2), classes=3, blocks=(1, 1), width=24, stem="small", norm_epsilon=EPSILON)


@pytest.fixture(autouse=True)
def wide_vectors(monkeypatch):
    """A processor that computes with 512 bits, whatever this one does."""
    monkeypatch.setattr(pairs, "has_wide_vectors", lambda: True)
    monkeypatch.setattr(pairs, "num_gpus", lambda: 0)


def fused(x, scale, offset, *, epsilon):
    """What TensorFlow has for it, with the biased variance."""
    nothing = tf.zeros(0)
    maps, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=nothing, variance=nothing, epsilon=epsilon, is_training=True
    )
    values = x.shape[0] * x.shape[1] * x.shape[2]
    return maps, mean, variance * (1 - 1 / values)


@pytest.mark.parametrize(("dtype", "tolerance"), [(tf.float32, 2e-5), (tf.bfloat16, 2e-2)])
@pytest.mark.parametrize("shape", [(3, 14, 15, 24), (3, 4, 4, 8), (2, 7, 4, 5)])
def test_values_statistics_and_gradients_are_those_of_the_fused_operation(shape, dtype, tolerance):
    draw = np.random.default_rng(0).normal
    channels = shape[-1]
    x = tf.constant(draw(3.0, np.arange(1, channels + 1), shape), dtype)
    scale, offset = (tf.constant(draw(size=channels), tf.float32) for _ in range(2))
    weights = tf.constant(draw(size=shape), tf.float32)
    found = []
    for normalize in (fused, pairs.normalized):
        with tf.GradientTape() as tape:
            tape.watch([x, scale, offset])
            maps, mean, variance = normalize(x, scale, offset, epsilon=EPSILON)
            loss = tf.reduce_sum(tf.cast(maps, tf.float32) * weights)
        found.append([maps, mean, variance, *tape.gradient(loss, [x, scale, offset])])
    for expected, got in zip(*found, strict=True):
        assert got.dtype == expected.dtype
        assert got.shape == expected.shape
        expected, got = (np.asarray(tf.cast(each, tf.float32)) for each in (expected, got))
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


def test_channels_that_hardly_vary_keep_their_variance():
    x = 1000.0 + tf.random.stateless_normal((8, 14, 14, 8), seed=(1, 2))
    _, mean, variance = pairs.normalized(x, tf.ones(8), tf.zeros(8), epsilon=EPSILON)
    np.testing.assert_allclose(mean, np.mean(x, axis=(0, 1, 2), dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(variance, np.var(x, axis=(0, 1, 2), dtype=np.float64), rtol=1e-3)


def test_network_of_pairs_computes_what_keras_does():
    model, weights = build_model(CONFIG, for_export=True), initial_weights(CONFIG, seed=3)
    assert pairs.is_paired(CONFIG.width, 14 * 15)
    for variable in model.variables:
        variable.assign(weights[variable.path])
    images = np.random.default_rng(0).uniform(0, 255, (5, *CONFIG.input_shape)).astype(np.float32)
    before = [variable.numpy() for variable in model.non_trainable_variables]

    logits, _ = forward(CONFIG, weights, images, training=False)
    np.testing.assert_allclose(tf.nn.softmax(logits), model(images, training=False), atol=1e-6)

    logits, statistics = forward(CONFIG, weights, images, training=True)
    np.testing.assert_allclose(tf.nn.softmax(logits), model(images, training=True), atol=1e-5)
    kept = CONFIG.norm_momentum
    for variable, old in zip(model.non_trainable_variables, before, strict=True):
        expected = kept * old + (1 - kept) * statistics[variable.path].numpy()
        np.testing.assert_allclose(variable, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("affine", [True, False])
def test_layer_of_a_backbone_computes_what_that_of_keras_does(affine):
    x = np.random.default_rng(0).normal(2.0, 3.0, (4, 14, 14, 24)).astype(np.float32)
    layers = [
        kind(momentum=0.9, center=affine, scale=affine)
        for kind in (FusedBatchNormalization, keras.layers.BatchNormalization)
    ]
    for training in (True, False):
        ours, theirs = (layer(x, training=training) for layer in layers)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(*(layer.get_weights() for layer in layers), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_stand_in_is_paired_where_the_width_is(dtype):
    for width, factor in itertools.product(range(1, 100), (1, 2, 4, 8, 16)):
        stands = pairs.stand_in(width, 14 * 14, dtype)
        assert pairs.is_paired(factor * width, 196, dtype) == pairs.is_paired(factor * stands, 196, dtype)


@pytest.mark.parametrize(
    ("channels", "pixels"), [(8, 196), (16, 196), (32, 196), (12, 196), (24, 195), (24, 197), (24, 64)]
)
def test_other_maps_are_not_paired(channels, pixels):
    assert pairs.is_paired(24, 196)
    assert not pairs.is_paired(channels, pixels)


def test_eight_channels_and_maps_of_few_pixels_are_paired_in_bfloat16():
    assert pairs.is_paired(8, 196, tf.bfloat16)
    assert pairs.is_paired(8, 64, tf.bfloat16)
    assert pairs.is_paired(24, 64, tf.bfloat16)
    assert not pairs.is_paired(24, 62, tf.bfloat16)


def test_widths_share_steps_but_for_the_pairs():
    def structure(width, side=14, dtype=tf.float32):
        config = ModelConfig(input_shape=(side, side, 1), classes=3, blocks=(1,), width=width, stem="small")
        return structure_of(config, dtype)

    assert structure(24) == structure(40) != structure(8) == structure(16) == structure(48)
    mixed = {width: structure(width, dtype=tf.bfloat16) for width in (8, 16, 24, 48)}
    assert mixed[8] == mixed[24] != mixed[16] == mixed[48]
    assert structure(24, side=8) == structure(16, side=8)
    assert structure(24, side=8, dtype=tf.bfloat16) != structure(16, side=8, dtype=tf.bfloat16)


@pytest.mark.parametrize("missing", ["vectors", "GPU"])
def test_without_gain_nothing_is_paired(monkeypatch, missing):
    if missing == "vectors":
        monkeypatch.setattr(pairs, "has_wide_vectors", lambda: False)
    else:
        monkeypatch.setattr(pairs, "num_gpus", lambda: 1)
    assert not pairs.is_paired(24, 784)
    assert pairs.stand_in(24, 784) == pairs.stand_in(16, 784)
