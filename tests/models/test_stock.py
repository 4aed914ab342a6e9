"""Networks with grouped convolutions, and their copies of stock layers."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from tuner.models import with_stock_layers
from tuner.models.grouped import GroupedConv2D, PointwiseConv2D
from tuner.models.normalization import FusedBatchNormalization
from tuner.models.stock import has_grouped

_IMAGES = np.random.default_rng(0).normal(size=(3, 9, 7, 4)).astype("float32")


def test_trained_network_predicts_the_same_in_a_compiled_step():
    # TensorFlow fuses a convolution with what follows where it can, and has no grouped kernel for that.
    model = _network()
    model.compile("sgd", "mse")
    model.fit(_IMAGES, np.zeros((3, 4), "float32"), verbose=0)
    np.testing.assert_allclose(model.predict(_IMAGES, verbose=0), model(_IMAGES), rtol=1e-5, atol=1e-6)


def _network():
    inner_image = keras.Input((9, 7, 4))
    x = GroupedConv2D(4, 3, padding="same", groups=2, name="inside")(inner_image)
    inner = keras.Model(inner_image, x, name="inner")
    image = keras.Input((9, 7, 4), name="image")
    x = GroupedConv2D(4, 3, groups=4, name="grouped")(inner(image))
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU(name="relu")(x)
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(x), name="net")


@pytest.mark.slow
def test_stock_copy_loads_in_a_process_without_the_package_and_predicts_the_same(tmp_path):
    model = _network()
    model.get_layer("norm").moving_mean.assign([0.1, 0.2, 0.3, 0.4])
    stock = with_stock_layers(model)
    assert has_grouped(model)
    assert not has_grouped(stock)
    stock.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", _IMAGES)
    code = """
import sys
sys.modules["tuner"] = None
import keras, numpy as np
model = keras.models.load_model(sys.argv[1] + "/model.keras")
np.save(sys.argv[1] + "/found.npy", np.asarray(model(np.load(sys.argv[1] + "/images.npy"))))
"""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1"}
    subprocess.run([sys.executable, "-I", "-c", code, str(tmp_path)], check=True, env=environment)
    # Another operation may add the same 36 products in another order: about 1e-7 of values near 1.
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), model(_IMAGES), rtol=1e-5, atol=1e-6)


def test_own_layer_loads_where_the_package_is(tmp_path):
    model = _network()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert has_grouped(loaded)
    np.testing.assert_array_equal(loaded(_IMAGES), model(_IMAGES))


def test_layers_of_a_backbone_have_stock_ones_in_their_place():
    image = keras.Input((9, 7, 4))
    x = PointwiseConv2D(6, 1, strides=2, activation="relu", name="point")(image)
    model = keras.Model(image, FusedBatchNormalization(epsilon=0.1, name="norm")(x))
    model.get_layer("norm").moving_mean.assign(np.arange(6.0))
    assert has_grouped(model)
    stock = with_stock_layers(model)
    assert [type(layer) for layer in stock.layers[1:]] == [keras.layers.Conv2D, keras.layers.BatchNormalization]
    np.testing.assert_allclose(stock(_IMAGES), model(_IMAGES), rtol=1e-5, atol=1e-6)


def test_model_without_groups_has_none():
    assert not has_grouped(keras.Sequential([keras.Input((8, 8, 4)), keras.layers.Conv2D(4, 3, groups=2)]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # tf2onnx asks NumPy for what it no longer has
def test_grouped_network_exports_to_onnx(tmp_path):
    pytest.importorskip("tf2onnx", reason="needs tf2onnx")
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    model = _network()
    expected = np.asarray(model(_IMAGES))
    model.export(str(tmp_path / "model.onnx"), format="onnx", verbose=False)
    session = runtime.InferenceSession(str(tmp_path / "model.onnx"))
    (found,) = session.run(None, {session.get_inputs()[0].name: _IMAGES})
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
