import keras
import numpy as np
import pytest
import tensorflow as tf

from tuner.errors import UsageError
from tuner.models import add_se, count
from tuner.models.graph import calls_of, functional

_LAYERS = keras.layers


def _residual(x, number, *, projection=False):
    branch = _LAYERS.Conv2D(8, 3, padding="same", name=f"conv{number}a")(x)
    branch = _LAYERS.BatchNormalization(name=f"norm{number}a")(branch)
    branch = _LAYERS.ReLU(name=f"relu{number}")(branch)
    branch = _LAYERS.Conv2D(8, 3, padding="same", name=f"conv{number}b")(branch)
    shortcut = _LAYERS.Conv2D(8, 1, name=f"project{number}")(x) if projection else x
    return shortcut, branch


def _network():
    """Two residual blocks, one added by a layer and one by an operator, a concatenation and a head."""
    image = keras.Input((6, 6, 3), name="photo")
    shortcut, branch = _residual(image, 1, projection=True)
    x = _LAYERS.Add(name="sum1")([branch, shortcut])
    shortcut, branch = _residual(x, 2)
    y = shortcut + branch
    z = _LAYERS.Concatenate(name="both")([x, y])
    z = _LAYERS.Conv2D(4, 1, activation="relu", name="last")(z)
    pooled = _LAYERS.GlobalAveragePooling2D(name="pool")(z)
    return keras.Model(image, _LAYERS.Dense(3, name="head")(pooled), name="net")


def _gates(model):
    return [layer.name.removesuffix("_squeeze") for layer in model.layers if layer.name.endswith("_squeeze")]


def _gated_names(model):
    """The layer in front of each gate."""
    return sorted(_producer(model, model.get_layer(f"{gate}_scale").input[0]) for gate in _gates(model))


def _producer(model, tensor):
    (name,) = [operation.name for operation in model.operations if operation.output is tensor]
    return name


def _assert_weights_stay(original, gated):
    for layer in original.layers:
        for before, after in zip(layer.get_weights(), gated.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize(
    ("after", "gated"),
    [
        ("residual", ["conv1b", "conv2b"]),
        ("concatenation", ["both"]),
        ("activation", ["last", "relu1", "relu2"]),
        (["norm1a", "last"], ["last", "norm1a"]),
        (lambda layer: layer.name.startswith("project"), ["project1"]),
    ],
    ids=["residual", "concatenation", "activation", "names", "function"],
)
def test_gates_stand_where_they_are_told(after, gated):
    original = _network()
    model = add_se(original, ratio=2, after=after)
    assert _gated_names(model) == gated
    assert (model.name, model.layers[0].name) == ("net", "photo")
    assert not _gates(original)
    _assert_weights_stay(original, model)


@pytest.mark.parametrize(("use_bias", "weights"), [(False, 2 * 2 * 8 * 2), (True, 2 * (2 * 8 * 2 + 8 + 2))])
def test_two_gates_weigh_what_the_paper_says(use_bias, weights):
    original = _network()
    model = add_se(original, ratio=4, after="residual", use_bias=use_bias)
    assert model.count_params() - original.count_params() == weights
    assert count(model).macs - count(original).macs == 2 * 2 * 8 * 2


def test_sum_of_a_gated_sum_is_as_deep_as_what_leads_to_it():
    """The shorter branch of the outer sum has two layers, the other one three and the inner sum."""
    image = keras.Input((6, 6, 4))

    def convolutions(x, *names):
        for name in names:
            x = _LAYERS.Conv2D(4, 3, padding="same", name=name)(x)
        return x

    inner = _LAYERS.Add(name="inner")([image, convolutions(image, "long1", "long2", "long3")])
    outer = _LAYERS.Add(name="outer")([inner, convolutions(image, "short1", "short2")])
    model = add_se(keras.Model(image, outer), ratio=2, after="residual")
    assert _gated_names(model) == ["inner", "long3"]


def test_branch_in_a_model_of_its_own_is_as_deep_as_its_layers():
    """A nested model is one call for the model around it; the projections have as many calls, or more."""
    image = keras.Input((6, 6, 3))

    def branch(name):
        convolutions = [_LAYERS.Conv2D(4, 3, padding="same") for _ in range(3)]
        return keras.Sequential([convolutions[0], keras.Sequential(convolutions[1:])], name=name)

    projection = keras.Sequential([_LAYERS.Conv2D(4, 1), _LAYERS.BatchNormalization()], name="projection")
    x = _LAYERS.Add()([projection(image), branch("first")(image)])
    shortcut = _LAYERS.BatchNormalization(name="norm")(_LAYERS.Conv2D(4, 1, name="project")(x))
    x = _LAYERS.Add()([branch("second")(x), shortcut])
    x = _LAYERS.Add()([x, branch("third")(x)])
    calls = calls_of(functional(add_se(keras.Model(image, x), ratio=2)))
    gated = [call.inputs[0].operation for call in calls if call.operation.name.endswith("_squeeze")]
    assert gated == ["first", "second", "third"]


def test_function_without_a_name_goes_into_the_copy():
    scale = 3.0
    image = keras.Input((6, 6, 4))
    x = _LAYERS.Conv2D(4, 1, name="conv")(_LAYERS.Lambda(lambda x: scale * x)(image))
    original = keras.Model(image, x)
    model = add_se(original, ratio=2, after=["conv"])
    inside = keras.Model(model.input, model.get_layer("conv").output)
    images = np.random.default_rng(0).normal(size=(2, 6, 6, 4)).astype("float32")
    np.testing.assert_array_equal(inside(images), original(images))
    assert count(original).macs == 6 * 6 * 4 * 4


def test_open_gates_leave_the_outputs_as_they_were():
    original = _network()
    model = add_se(original, ratio=2, after="residual")
    for gate in _gates(model):  # sigmoid(30) is 1 in float32
        expand = model.get_layer(f"{gate}_expand")
        expand.set_weights([np.zeros(expand.kernel.shape), np.full(expand.bias.shape, 30.0)])
    images = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype("float32")
    np.testing.assert_allclose(model(images), original(images), rtol=1e-5, atol=1e-6)
    for gate in _gates(model):
        model.get_layer(f"{gate}_expand").set_weights([np.zeros((4, 8)), np.full(8, -30.0)])
    assert not np.allclose(model(images), original(images))


def test_frozen_layers_stay_frozen_and_the_copy_is_not_compiled():
    original = _network()
    original.get_layer("conv1a").trainable = False
    original.compile("sgd", "mse")
    model = add_se(original, after="residual")
    assert not model.get_layer("conv1a").trainable
    assert not model.compiled


def test_several_inputs_and_outputs_and_nested_models_keep_their_structure():
    inner = _network()
    left, right = keras.Input((6, 6, 3), name="left"), keras.Input((6, 6, 3), name="right")
    outputs = {"one": inner(left), "two": inner(right)}  # shared: its gates are shared too
    original = keras.Model({"left": left, "right": right}, outputs)
    model = add_se(original, ratio=2, after="residual")
    images = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype("float32")
    found = model({"left": images, "right": images})
    np.testing.assert_array_equal(found["one"], found["two"])
    assert _gates(model.get_layer("net")) == ["sum1_se", _gates(add_se(inner, ratio=2, after="residual"))[1]]
    _assert_weights_stay(inner, model.get_layer("net"))
    assert model.count_params() - original.count_params() == 2 * (2 * 8 * 4 + 8 + 4)


def test_sequential_model_becomes_a_functional_one():
    original = keras.Sequential([keras.Input((6, 6, 3)), _LAYERS.Conv2D(4, 3, activation="relu", name="conv")])
    model = add_se(original, ratio=2, after="activation")
    assert _gates(model) == ["conv_se"]
    np.testing.assert_array_equal(model.get_layer("conv").kernel, original.get_layer("conv").kernel)


def test_gates_can_be_added_twice():
    model = add_se(add_se(_network(), ratio=2, after=["norm1a"]), ratio=2, after=["norm1a"])
    assert sorted(_gates(model)) == ["norm1a_se", "norm1a_se2"]


def test_shared_layer_without_weights_is_gated_at_every_call():
    image, relu = keras.Input((6, 6, 3)), _LAYERS.ReLU(name="relu")
    x = relu(_LAYERS.Conv2D(4, 3)(image))
    model = add_se(keras.Model(image, relu(_LAYERS.Conv2D(4, 3)(x))), ratio=2, after="activation")
    assert sorted(_gates(model)) == ["relu_se", "relu_se2"]


def _shared():
    image, conv = keras.Input((6, 6, 3)), _LAYERS.Conv2D(3, 3, padding="same", name="twice")
    return keras.Model(image, conv(conv(image)))


def _channels_first():
    return keras.Sequential(
        [keras.Input((3, 6, 6)), _LAYERS.ReLU(), _LAYERS.MaxPooling2D(data_format="channels_first")]
    )


class Own(keras.Model):
    """A model without a graph."""


@pytest.mark.parametrize(
    ("build", "after", "message"),
    [
        (_network, "branch", r"Unknown after='branch'; allowed are 'residual', "),
        (_network, "residuals", r"Did you mean 'residual'\?"),
        (_network, ["conv1"], r"'net' has no layer 'conv1'\. Did you mean 'conv1"),
        (_network, ["head"], r"Layer 'head' puts out \(None, 3\); a gate needs a feature map"),
        (_network, lambda layer: False, "finds no place in the model 'net'"),
        (_shared, ["twice"], "Layer 'twice' shares its weights between several calls"),
        (_channels_first, "activation", "has its channels first"),
        (Own, "residual", "has no graph of layers"),
    ],
)
def test_impossible_wish_is_a_usage_error(build, after, message):
    with pytest.raises(UsageError, match=message):
        add_se(build(), ratio=2, after=after)


def test_ratio_below_one_is_refused():
    with pytest.raises(ValueError, match="ratio=0"):
        add_se(_network(), ratio=0, after="residual")


# Name, smallest image, rule, number of gates: of blocks with a shortcut, of concatenations, of convolutions.
_BACKBONES = [
    ("MobileNetV2", 32, "residual", 10),
    ("VGG16", 32, "activation", 13),
    ("ResNet50V2", 32, "residual", 16),
    ("DenseNet121", 32, "concatenation", 58),
    ("EfficientNetB0", 32, "residual", 9),
    ("Xception", 71, "residual", 12),
]


def test_model_with_gates_saves_and_loads_with_stock_layers(tmp_path):
    model = add_se(_network(), ratio=2, after="residual")
    images = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype("float32")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert {type(layer).__module__.split(".")[0] for layer in loaded.layers} == {"keras"}
    np.testing.assert_array_equal(loaded(images), model(images))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size", "after", "number"), _BACKBONES)
def test_backbone_of_keras_counts_saves_and_exports(name, size, after, number, tmp_path):
    original = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=5)
    model = add_se(original, ratio=16, after=after, use_bias=False)
    originals = {layer.name for layer in original.layers}
    new = [layer.name for layer in model.layers if layer.name not in originals]
    channels = [model.get_layer(layer).input.shape[-1] for layer in new if layer.endswith("_squeeze")]
    assert len(channels) == number
    gates = sum(2 * width * max(1, width // 16) for width in channels)
    assert model.count_params() == original.count_params() + gates
    _assert_weights_stay(original, model)

    images = np.random.default_rng(0).uniform(0, 1, (2, size, size, 3)).astype("float32")
    probabilities = np.asarray(model(images))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(images), probabilities)
    model.export(str(tmp_path / "saved_model"), format="tf_saved_model", verbose=False)
    saved = tf.saved_model.load(str(tmp_path / "saved_model"))
    np.testing.assert_allclose(saved.serve(images), probabilities, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # tf2onnx asks NumPy for what it no longer has
def test_backbone_with_gates_exports_to_onnx(tmp_path):
    pytest.importorskip("tf2onnx", reason="needs tf2onnx")
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    original = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), classes=5)
    model = add_se(original, ratio=16, after="residual")
    images = np.random.default_rng(0).uniform(0, 1, (2, 32, 32, 3)).astype("float32")
    expected = np.asarray(model(images))
    model.export(str(tmp_path / "model.onnx"), format="onnx", verbose=False)
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"))
    (found,) = session.run(None, {session.get_inputs()[0].name: images})
    np.testing.assert_allclose(found, expected, atol=1e-5)
