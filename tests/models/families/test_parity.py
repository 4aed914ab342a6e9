"""Golden counts of the families.

Origin of every published figure: the project's `reference/parity.json`, from the definitions that the authors of arXiv
1709.01507 published and from timm's model tables (1000 classes, 224 x 224 x 3). "Own" figures have no such origin: they
were counted from the layers that TensorFlow 2.21 / Keras 3.15 builds, and hold what is built to itself.
"""

import keras
import pytest

from tuner.errors import UsageError
from tuner.models import build, cost, count, preset
from tuner.models.catalog import COUNTS

_IMAGENET = {"input_shape": (224, 224, 3), "classes": 1000}

# name: trainable with bias in the gates, without, total with bias (None: not published), 10^9 multiply-accumulates
_PUBLISHED = {
    "se_resnext50_32x4d": (27_559_896, 27_543_848, 27_628_120, 4.233),
    "se_resnext101_32x4d": (48_955_416, 48_920_872, 49_093_272, 7.975),
    "senet154": (115_088_984, 115_038_120, 115_336_536, 20.688),
    "se_bn_inception": (11_931_622, 11_924_584, None, 2.033),
}
# name: weights without gates, of gates without bias, number of gates. For Inception-ResNet-v2 parity.json has the first
# two, which the paper does not publish; the others are ours throughout.
_OWN = {
    "se_inception_v3": (23_851_784, 1_650_944, 11),
    "se_inception_resnet_v2": (55_873_736, 8_495_360, 40),
    "se_vgg16": (138_357_544, 226_304, 13),
    "se_mobilenet": (4_253_864, 479_744, 13),
}
_FAST = {"se_bn_inception", "se_mobilenet"}


def _rows(names):
    return [pytest.param(name, marks=() if name in _FAST else pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", _rows(_PUBLISHED))
@pytest.mark.parametrize("se_bias", [True, False])
def test_family_has_the_published_weights_and_computation(name, se_bias):
    with_bias, without_bias, total, gmacs = _PUBLISHED[name]
    counted = count(build(name, se_bias=se_bias, **_IMAGENET))
    assert counted.trainable_params == (with_bias if se_bias else without_bias)
    assert round(counted.macs / 1e9, 3) == gmacs
    if se_bias:
        assert total in (None, counted.params)
        assert counted == COUNTS[name]


def test_bn_inception_without_gates_has_the_weights_of_the_caffe_definition():
    assert count(build("se_bn_inception", se_ratio=0, **_IMAGENET)).trainable_params == 11_285_224


@pytest.mark.parametrize("name", _rows(_OWN))
def test_network_of_keras_gains_the_weights_of_its_gates(name):
    plain, gates, number = _OWN[name]
    without_bias = build(name, se_bias=False, **_IMAGENET)
    squeezes = [layer for layer in without_bias.layers if layer.name.endswith("_se_squeeze")]
    assert len(squeezes) == number
    assert gates == sum(2 * channels * (channels // 16) for channels in (layer.input.shape[-1] for layer in squeezes))
    assert without_bias.count_params() == plain + gates
    biases = sum(layer.input.shape[-1] * 17 // 16 for layer in squeezes)
    assert COUNTS[name].params == plain + gates + biases
    counted = count(without_bias)
    assert (counted.trainable_params + biases, counted.macs) == (COUNTS[name].trainable_params, COUNTS[name].macs)


def test_inception_resnet_v2_has_the_count_that_is_claimed():
    plain, gates, _ = _OWN["se_inception_resnet_v2"]
    assert plain + gates == 64_369_096


@pytest.mark.parametrize(
    ("name", "millions"),
    # He et al., 2015, table 6. Their shortcuts have no weights, ours have two projections with batch normalisation.
    [("resnet20", 0.27), ("resnet32", 0.46), ("resnet56", 0.85), ("resnet110", 1.7)],
)
def test_cifar_networks_have_the_published_weights_but_for_the_projections(name, millions):
    projections = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    config = preset(name, input_shape=(32, 32, 3), classes=10, variant="paper")
    trainable = cost(config).trainable_params - projections
    assert round(trainable / 1e6, 1 if millions > 1 else 2) == millions


@pytest.mark.parametrize(("depth", "block"), [(20, "basic"), (110, "basic"), (164, "bottleneck")])
def test_cifar_presets_are_named_after_their_layers(depth, block):
    config = preset(f"se_resnet{depth}", input_shape=(32, 32, 3), classes=10)
    assert (config.name, config.block, config.stem, config.width) == (f"se_resnet{depth}", block, "small", 16)
    assert len(config.blocks) == 3
    assert config.se_ratio == 16


def test_variant_decides_the_bias_of_the_gates_only():
    models = {
        variant: build("se_mobilenet", input_shape=(32, 32, 3), classes=4, variant=variant)
        for variant in ("tutorial", "paper")
    }
    gate = "conv_pw_1_relu_se_expand"
    assert [models[variant].get_layer(gate).use_bias for variant in ("tutorial", "paper")] == [False, True]
    assert models["tutorial"].name == "se_mobilenet"


def test_norm_fields_reach_every_batch_norm():
    model = build("se_mobilenet", input_shape=(32, 32, 3), classes=4, norm_momentum=0.9, norm_epsilon=1e-4)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {(layer.momentum, layer.epsilon) for layer in norms} == {(0.9, 1e-4)}
    assert keras.Model.from_config(model.get_config()).get_layer(norms[0].name).momentum == 0.9


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("se_vgg16", {"input_shape": (31, 64, 3)}, "se_vgg16 takes images of 32x32 pixels or more, received 31x64"),
        ("se_inception_v3", {}, "75x75 pixels or more, received 64x64"),
        ("senet154", {"classes": 1}, "received classes=1"),
        ("senet154", {"se_ratio": -1}, "received se_ratio=-1"),
        ("senet154", {"width": 8}, "Unknown field of senet154 'width'; allowed are se_ratio, "),
        ("senet154", {"variant": "papper"}, "Unknown variant 'papper'"),
        ("senet145", {}, r"Unknown network 'senet145'; .* Did you mean 'senet154'\?"),
    ],
)
def test_request_that_a_family_cannot_meet_is_a_usage_error(name, fields, message):
    with pytest.raises(UsageError, match=message):
        build(name, **{"input_shape": (64, 64, 3), "classes": 4} | fields)


def test_family_has_no_model_config():
    with pytest.raises(UsageError, match=r"'senet154' has no ModelConfig; tuner\.models\.build makes it"):
        preset("senet154", **_IMAGENET)
