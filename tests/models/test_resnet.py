import keras
import numpy as np
import pytest

from tuner.models import ModelConfig, build_model

_SMALL = {"classes": 4, "blocks": (1, 1, 1), "width": 4}


@pytest.fixture
def half_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("stem", ["small", "imagenet"])
@pytest.mark.parametrize("input_shape", [(8, 8, 1), (9, 7, 3), (1, 1, 1), (33, 28, 3)])
def test_odd_and_tiny_images_pass(input_shape, stem, block):
    model = build_model(ModelConfig(input_shape=input_shape, stem=stem, block=block, **_SMALL))
    images = np.random.default_rng(0).uniform(size=(2, *input_shape)).astype("float32")
    probabilities = np.asarray(model(images))
    assert probabilities.shape == (2, 4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)


@pytest.mark.slow
def test_full_size_image_passes():
    model = build_model(ModelConfig(input_shape=(224, 224, 3), classes=1000))
    probabilities = np.asarray(model(np.ones((1, 224, 224, 3), "float32")))
    assert model.get_layer("stage4_block2_relu").output.shape == (None, 7, 7, 512)  # He et al., 2015, table 1
    np.testing.assert_allclose(probabilities.sum(), 1.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("stem", "sizes"),
    [("small", [32, 16, 8]), ("imagenet", [8, 4, 2])],
)
def test_stages_after_the_first_halve_the_image_and_double_the_channels(stem, sizes):
    model = build_model(ModelConfig(input_shape=(32, 32, 3), stem=stem, **_SMALL))
    shapes = [model.get_layer(f"stage{stage}_block1_relu").output.shape for stage in (1, 2, 3)]
    assert shapes == [(None, size, size, 4 * 2**stage) for stage, size in enumerate(sizes)]


@pytest.mark.parametrize(("stride_position", "sizes"), [("first", [4, 4, 4]), ("middle", [8, 4, 4])])
def test_bottleneck_strides_where_it_is_told(stride_position, sizes):
    config = ModelConfig(
        input_shape=(8, 8, 3), block="bottleneck", stem="small", stride_position=stride_position, **_SMALL
    )
    model = build_model(config)
    branch = [model.get_layer(f"stage2_block1_conv{number}") for number in (1, 2, 3)]
    assert [layer.output.shape[1] for layer in branch] == sizes


def test_identity_shortcuts_are_projected_only_where_the_shape_changes():
    model = build_model(ModelConfig(input_shape=(8, 8, 3), classes=2, blocks=(2, 2), width=4))
    projections = [layer.name for layer in model.layers if layer.name.endswith("_projection")]
    assert projections == ["stage2_block1_projection"]


def test_gate_is_the_last_of_the_branch_before_the_addition():
    model = build_model(ModelConfig(input_shape=(8, 8, 3), **_SMALL))
    _, branch = model.get_layer("stage1_block1_add").input
    assert branch is model.get_layer("stage1_block1_se_scale").output
    assert model.get_layer("stage1_block1_se_scale").input[0] is model.get_layer("stage1_block1_norm2").output


def test_without_ratio_there_is_no_gate():
    model = build_model(ModelConfig(input_shape=(8, 8, 3), se_ratio=0, **_SMALL))
    assert not [layer.name for layer in model.layers if "_se_" in layer.name]


def test_statistics_normalise_raw_images_without_weights():
    raw = ModelConfig(input_shape=(8, 8, 3), mean=(100.0, 120.0, 140.0), variance=(400.0, 900.0, 1600.0), **_SMALL)
    plain = ModelConfig(input_shape=(8, 8, 3), **_SMALL)
    raw_model, plain_model = build_model(raw), build_model(plain)
    plain_model.set_weights(raw_model.get_weights())
    images = np.random.default_rng(0).integers(0, 256, size=(2, 8, 8, 3)).astype("float32")
    normalized = (images - np.array(raw.mean)) / np.sqrt(raw.variance)
    assert raw_model.count_params() == plain_model.count_params()
    expected = np.asarray(plain_model(normalized.astype("float32")))
    np.testing.assert_allclose(np.asarray(raw_model(images)), expected, rtol=1e-4, atol=1e-6)


def test_momentum_and_epsilon_reach_every_batch_norm():
    model = build_model(ModelConfig(input_shape=(8, 8, 3), norm_momentum=0.9, norm_epsilon=1e-3, **_SMALL))
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {(layer.momentum, layer.epsilon) for layer in norms} == {(0.9, 1e-3)}


@pytest.mark.parametrize(
    ("position", "before", "behind"),
    [
        ("standard", "stage2_block1_norm2", "stage2_block1_add"),
        ("pre", "stage1_block1_relu", "stage2_block1_conv1"),
        ("post", "stage2_block1_relu", "pool"),
        ("identity", "stage2_block1_projection", "stage2_block1_add"),
        ("inner", "stage2_block1_relu1", "stage2_block1_conv2"),
    ],
)
def test_gate_stands_where_the_paper_has_it(position, before, behind):
    config = ModelConfig(
        input_shape=(8, 8, 3), classes=2, blocks=(1, 1), width=4, stem="small", se_stages=(2,), se_position=position
    )
    model = build_model(config)
    scale = model.get_layer("stage2_block1_se_scale")
    inputs = model.get_layer(behind).input
    assert scale.input[0] is model.get_layer(before).output
    assert any(tensor is scale.output for tensor in (inputs if isinstance(inputs, list) else [inputs]))


def test_inner_gate_of_a_bottleneck_is_that_of_its_3x3_convolution():
    config = ModelConfig(input_shape=(8, 8, 3), block="bottleneck", se_position="inner", **_SMALL)
    scale = build_model(config).get_layer("stage1_block1_se_scale")
    assert scale.input[0].shape[-1] == config.width


def test_shortcut_of_a_gated_branch_is_not_gated():
    model = build_model(ModelConfig(input_shape=(8, 8, 3), classes=2, blocks=(1,), width=4, se_position="pre"))
    shortcut, _ = model.get_layer("stage1_block1_add").input
    assert shortcut is model.get_layer("stem_pool").output


def test_squeeze_and_excitation_are_the_chosen_ones():
    config = ModelConfig(input_shape=(8, 8, 3), squeeze="max", excitation="tanh", **_SMALL)
    model = build_model(config)
    assert isinstance(model.get_layer("stage1_block1_se_squeeze"), keras.layers.GlobalMaxPooling2D)
    assert model.get_layer("stage1_block1_se_expand").activation is keras.activations.tanh


def test_stages_have_their_own_ratios():
    model = build_model(ModelConfig(input_shape=(8, 8, 3), se_ratio=(2, 0, 8), **_SMALL))
    units = {layer.name: layer.units for layer in model.layers if layer.name.endswith("_se_reduce")}
    assert units == {"stage1_block1_se_reduce": 2, "stage3_block1_se_reduce": 2}


def test_deep_stem_is_that_of_resnet_c():
    model = build_model(ModelConfig(input_shape=(224, 224, 3), classes=2, blocks=(1,), stem="deep"))
    outputs = [model.get_layer(f"stem_conv{number}").output.shape[1:] for number in (1, 2, 3)]
    assert outputs == [(112, 112, 32), (112, 112, 32), (112, 112, 64)]  # He et al., 2019, figure 2 (b)
    assert model.get_layer("stem_pool").output.shape[1:] == (56, 56, 64)


def test_chance_of_being_left_out_rises_linearly_to_the_last_block():
    config = ModelConfig(input_shape=(8, 8, 3), classes=2, blocks=(2, 2), width=4, stochastic_depth=0.4, dropout=0.3)
    layers = [layer for layer in build_model(config).layers if isinstance(layer, keras.layers.Dropout)]
    assert [layer.rate for layer in layers] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.3])
    assert [layer.noise_shape for layer in layers] == [(None, 1, 1, 1)] * 4 + [None]


GROUPS = {"block": "bottleneck", "cardinality": 2, "se_position": "post", "stem": "deep"}


# TensorFlow 2.21 variables lack the `copy` argument that NumPy 2 asks of __array__; Keras meets it when it saves.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@pytest.mark.parametrize("knobs", [{}, GROUPS | {"stochastic_depth": 0.5, "dropout": 0.5}], ids=["plain", "groups"])
def test_exported_model_needs_stock_layers_only_and_predicts_the_same(knobs, tmp_path):
    config = ModelConfig(input_shape=(9, 7, 1), mean=(3.0,), variance=(2.0,), **_SMALL, **knobs)
    model, exported = build_model(config), build_model(config, for_export=True)
    weights = {variable.path: variable.numpy() for variable in model.variables}
    for variable in exported.variables:
        variable.assign(weights[variable.path])
    images = np.random.default_rng(0).uniform(0, 16, size=(2, 9, 7, 1)).astype("float32")
    exported.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert {type(layer).__module__.split(".")[0] for layer in exported.layers} == {"keras"}
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in exported.layers)
    np.testing.assert_array_equal(np.asarray(loaded(images)), np.asarray(exported(images)))
    np.testing.assert_allclose(np.asarray(exported(images)), np.asarray(model(images)), atol=1e-6)


@pytest.mark.usefixtures("half_precision")
def test_probabilities_are_float32_under_mixed_precision():
    config = ModelConfig(input_shape=(8, 8, 3), mean=(1.0,) * 3, variance=(1.0,) * 3, **_SMALL)
    model = build_model(config)
    assert model.get_layer("stem_conv").compute_dtype == "float16"
    assert model.get_layer("predictions").output.dtype == "float32"
    assert model(np.ones((1, 8, 8, 3), "float32")).dtype == "float32"


def test_same_seed_gives_the_same_weights():
    config = ModelConfig(input_shape=(8, 8, 3), **_SMALL)
    models = []
    for _ in range(2):
        keras.utils.set_random_seed(7)
        models.append(build_model(config))
    for first, second in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)
