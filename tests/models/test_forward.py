"""The plain TensorFlow pass against the Keras model that it stands for."""

import itertools
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tuner.models import ModelConfig, build_model
from tuner.models.forward import forward
from tuner.models.noise import Noise, branch_scales, feature_scales
from tuner.models.weights import initial_weights, weight_specs

CONFIGS = {
    "basic": ModelConfig(input_shape=(8, 8, 1), classes=4, blocks=(2, 1), width=8, stem="small"),
    "published basic": ModelConfig(
        input_shape=(9, 7, 3),
        classes=5,
        blocks=(1, 2),
        width=8,
        stem="small",
        conv_bias=False,
        se_bias=True,
        projection_norm=True,
        mean=(90.0, 100.0, 110.0),
        variance=(900.0, 1000.0, 1100.0),
    ),
    "bottleneck": ModelConfig(input_shape=(33, 32, 3), classes=3, blocks=(1, 2), width=4, block="bottleneck"),
    "stride in the middle": ModelConfig(
        input_shape=(32, 32, 3), classes=3, blocks=(1, 1), width=4, block="bottleneck", stride_position="middle"
    ),
    "gate before the branch": ModelConfig(
        input_shape=(9, 8, 3),
        classes=3,
        blocks=(2, 1, 1),
        width=4,
        stem="small",
        se_ratio=(2, 0, 4),
        se_position="pre",
        squeeze="max",
        excitation="tanh",
        conv_bias=False,  # its gradient is rounding errors
    ),
    "gate behind the addition, groups": ModelConfig(
        input_shape=(17, 16, 3),
        classes=3,
        block="bottleneck",
        blocks=(1, 1),
        width=8,
        stem="deep",
        cardinality=4,
        se_ratio=4,
        se_stages=(2,),
        se_position="post",
        excitation="relu",
        se_bias=True,
    ),
    "gate on the shortcut, wide groups": ModelConfig(
        input_shape=(8, 7, 1),
        classes=3,
        block="bottleneck",
        blocks=(1, 1),
        width=4,
        stem="small",
        cardinality=2,
        group_width=3,
        stride_position="middle",
        se_ratio=2,
        se_position="identity",
        squeeze="max",
        conv_bias=False,
        stochastic_depth=0.5,  # without noise, neither has an effect
        dropout=0.5,
    ),
    "no gate": ModelConfig(input_shape=(8, 8, 3), classes=3, blocks=(1, 1, 1), width=4, stem="small", se_ratio=0),
}


@pytest.fixture(params=CONFIGS, ids=str)
def network(request):
    return _network(CONFIGS[request.param])


def _network(config):
    """A network, its Keras model and its weights, which are the same, and images."""
    model = build_model(config, for_export=True)  # without noise
    weights = initial_weights(config, seed=3)
    for variable in model.variables:
        variable.assign(weights[variable.path])
    images = np.random.default_rng(0).uniform(0, 255, (6, *config.input_shape)).astype(np.float32)
    return config, model, {name: tf.Variable(value) for name, value in weights.items()}, images


def test_weights_are_those_of_the_keras_model(network):
    config, model, _, _ = network
    specs = weight_specs(config)
    assert {spec.name: spec.shape for spec in specs} == {v.path: tuple(v.shape) for v in model.variables}
    assert {spec.name for spec in specs if spec.trainable} == {v.path for v in model.trainable_variables}


def test_evaluation_gives_the_probabilities_of_the_keras_model(network):
    config, model, weights, images = network
    logits, statistics = forward(config, weights, images, training=False)
    np.testing.assert_allclose(tf.nn.softmax(logits), model(images, training=False), atol=1e-6)
    assert statistics == {}


def test_training_gives_the_gradients_and_the_moving_statistics_of_the_keras_model(network):
    _assert_trains_alike(*network)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("position", "squeeze", "excitation"),
    list(
        itertools.product(["standard", "pre", "post", "identity", "inner"], ["avg", "max"], ["sigmoid", "tanh", "relu"])
    ),
)
@pytest.mark.parametrize("knobs", [{}, {"block": "bottleneck", "cardinality": 2, "stem": "deep"}], ids=["", "groups"])
def test_every_gate_in_every_place_trains_as_in_keras(position, squeeze, excitation, knobs):
    gates = {"se_position": position, "squeeze": squeeze, "excitation": excitation, "se_ratio": (2, 3)}
    shape = {"input_shape": (12, 11, 2), "classes": 3, "blocks": (1, 2), "width": 4, "stem": "small"}
    network = _network(ModelConfig(conv_bias=False, **shape | gates | knobs))
    config, model, weights, images = network
    logits, _ = forward(config, weights, images, training=False)
    np.testing.assert_allclose(tf.nn.softmax(logits), model(images, training=False), atol=1e-6)
    _assert_trains_alike(*network)


def test_noise_leaves_out_in_keras_what_it_leaves_out_here():
    knobs = {"blocks": (2, 1), "width": 4, "stem": "small", "stochastic_depth": 0.6, "dropout": 0.5}
    config = ModelConfig(input_shape=(8, 8, 1), classes=3, **knobs)
    _, _, weights, images = _network(config)
    noise = Noise(tf.constant([5, 7]), stochastic_depth=tf.constant(0.6), dropout=tf.constant(0.5))
    scales = dict(
        zip(
            ("stage1_block1_drop", "stage1_block2_drop", "stage2_block1_drop"),
            branch_scales(config, noise, images=6)[:, :, tf.newaxis, tf.newaxis, tf.newaxis],
            strict=True,
        )
    )
    scales["dropout"] = feature_scales(noise, tf.zeros((6, 8)))
    assert all((scale.numpy() == 0).any() and (scale.numpy() > 0).any() for scale in scales.values())

    def without_chance(layer):
        if not isinstance(layer, keras.layers.Dropout):
            return layer
        scale = scales.pop(layer.name)
        return keras.layers.Lambda(lambda x: x * scale)

    model = keras.models.clone_model(build_model(config), clone_function=without_chance, call_function=_call)
    assert not scales  # each had its layer
    for variable in model.variables:
        variable.assign(weights[variable.path])
    _assert_trains_alike(config, model, weights, images, noise=noise)


def _call(layer, *arguments, **options):
    """Calls a layer of a clone."""
    options.pop("training", None)
    return layer(*arguments, **options)


def _assert_trains_alike(config, model, weights, images, *, noise=None):
    with tf.GradientTape() as tape:
        logits, statistics = forward(config, weights, images, training=True, noise=noise)
        loss = tf.reduce_mean(tf.square(tf.nn.softmax(logits)[:, 0]))
    names = [variable.path for variable in model.trainable_variables]
    gradients = tape.gradient(loss, [weights[name] for name in names])
    rounded = _gradients_of_rounded(model, weights, images)
    expected_loss, expected = _loss_and_gradients(model, images)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-4)
    for name, got, wanted, other in zip(names, gradients, expected, rounded, strict=True):
        rounding = 2 * float(tf.reduce_max(tf.abs(other - wanted)))
        tolerance = max(2e-4 * max(1e-3, float(tf.reduce_max(tf.abs(wanted)))), rounding)
        np.testing.assert_allclose(got, wanted, atol=tolerance, err_msg=name)
    kept = config.norm_momentum
    assert set(statistics) == {variable.path for variable in model.non_trainable_variables}
    for variable in model.non_trainable_variables:
        moved = weights[variable.path] * kept + statistics[variable.path] * (1 - kept)
        np.testing.assert_allclose(moved, variable.value, rtol=1e-4, atol=1e-5, err_msg=variable.path)


def _loss_and_gradients(model, images):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(images, training=True)[:, 0]))
    return loss, tape.gradient(loss, [variable.value for variable in model.trainable_variables])


def _gradients_of_rounded(model, weights, images):
    """The gradients of the Keras model where each weight is the next float32: what rounding alone may do to them.

    A gate with tanh that is almost 1 has a gradient of a difference of almost equal numbers.
    """
    for variable in model.trainable_variables:
        variable.assign(np.nextafter(weights[variable.path].numpy(), np.float32(np.inf)))
    _, gradients = _loss_and_gradients(model, images)
    for variable in model.variables:
        variable.assign(weights[variable.path])
    return gradients


def test_statistics_are_the_mean_and_the_biased_variance_of_the_batch():
    config = CONFIGS["basic"]
    weights = {name: tf.constant(value) for name, value in initial_weights(config, seed=3).items()}
    images = np.random.default_rng(0).uniform(0, 255, (2, *config.input_shape)).astype(np.float32)
    _, statistics = forward(config, weights, images, training=True)
    maps = tf.nn.bias_add(
        tf.nn.conv2d(images, weights["stem_conv/kernel"], 1, "SAME"), weights["stem_conv/bias"]
    ).numpy()
    # 2 x 8 x 8 numbers a channel: the unbiased variance is 0.8 % larger.
    np.testing.assert_allclose(statistics["stem_norm/moving_mean"], maps.mean((0, 1, 2)), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(statistics["stem_norm/moving_variance"], maps.var((0, 1, 2)), rtol=1e-3)


@pytest.mark.parametrize("training", [False, True])
def test_bfloat16_feature_maps_give_nearly_the_same_in_float32(training, network):
    config, _, weights, images = network
    logits, statistics = forward(config, weights, images, training=training)
    half, half_statistics = forward(config, weights, images, training=training, dtype=tf.bfloat16)
    assert {tensor.dtype for tensor in [half, *half_statistics.values()]} == {tf.float32}
    assert (half.numpy() != logits.numpy()).any()
    # 8 bits: 0.4 % a number, and a network of up to 13 convolutions.
    scale = float(tf.reduce_max(tf.abs(logits)))
    np.testing.assert_allclose(half, logits, atol=0.05 * scale)
    for name, expected in statistics.items():
        np.testing.assert_allclose(
            half_statistics[name], expected, atol=0.05 * float(tf.reduce_max(tf.abs(expected))), err_msg=name
        )


def test_fresh_weights_have_the_spread_of_keras_initializers():
    # 4 standard errors of a standard deviation from n values, 4 / sqrt(2 n): a false alarm in 16,000 runs a weight.
    config = ModelConfig(input_shape=(8, 8, 16), classes=10, blocks=(1,), width=64, stem="small", se_ratio=4)
    for spec in weight_specs(config):
        values = initial_weights(config, seed=0)[spec.name]
        if spec.initial == "he_normal":
            spread = np.sqrt(2.0 / np.prod(spec.shape[:-1]))
        elif spec.initial == "glorot_uniform":
            spread = np.sqrt(2.0 / sum(spec.shape))
        else:
            assert (values == np.float32(spec.initial)).all()
            continue
        assert abs(values.std() / spread - 1.0) < 4.0 / np.sqrt(2.0 * values.size), spec.name


@pytest.mark.parametrize("excitation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("has_bias", [True, False])
def test_what_is_no_kernel_begins_as_in_keras(excitation, has_bias):
    config = ModelConfig(input_shape=(8, 8, 16), classes=10, blocks=(1,), se_bias=has_bias, excitation=excitation)
    of_keras = {variable.path: variable.numpy() for variable in build_model(config).variables}
    fresh = initial_weights(config, seed=0)
    begun = {spec.name: fresh[spec.name] for spec in weight_specs(config) if not spec.is_kernel}
    assert any(name.endswith("_se_expand/bias") for name in begun) == has_bias
    for name, values in begun.items():
        np.testing.assert_array_equal(values, of_keras[name], err_msg=name)


def test_equal_seeds_give_equal_weights():
    config = CONFIGS["basic"]
    first, again, other = (initial_weights(config, seed=seed) for seed in (1, 1, 2))
    assert all((first[name] == again[name]).all() for name in first)
    assert any((first[name] != other[name]).any() for name in first)


@pytest.mark.slow
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_odd_batches_train_without_corrupting_memory(block):
    """TensorFlow 2.21's filter gradient of a strided 1x1 convolution crashes on a CPU with such batches."""
    program = (
        "import numpy as np\n"
        "from tuner.models import ModelConfig, build_model\n"
        f"config = ModelConfig(input_shape=(28, 28, 1), classes=3, block={block!r}, blocks=(1, 1), width=8,"
        " stem='small')\n"
        "model = build_model(config)\n"
        "model.compile('sgd', 'sparse_categorical_crossentropy')\n"
        "for batch in (63, 45, 29, 5):\n"
        "    images, labels = np.ones((batch, 28, 28, 1), 'float32'), np.zeros(batch, 'int32')\n"
        "    for _ in range(3):\n"
        "        model.train_on_batch(images, labels)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-500:]
