import keras
import numpy as np
import pytest

from tuner.models import squeeze_excite


def _gated_by_numpy(x, reduce, expand, *, reduce_bias=0.0, expand_bias=0.0):
    """Equations 2-4 of https://arxiv.org/abs/1709.01507."""
    squeezed = x.mean(axis=(1, 2))
    hidden = np.maximum(squeezed @ reduce + reduce_bias, 0.0)
    excited = 1.0 / (1.0 + np.exp(-(hidden @ expand + expand_bias)))
    return x * excited[:, np.newaxis, np.newaxis, :]


@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize(
    ("channels", "ratio", "units"),
    [(32, 16, 2), (8, 1, 8), (10, 3, 3), (4, 16, 1), (1, 2, 1)],
)
def test_squeeze_excite_follows_the_equations(channels, ratio, units, use_bias):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(3, 5, 7, channels)).astype("float32")
    image = keras.Input(shape=(5, 7, channels))
    model = keras.Model(image, squeeze_excite(image, ratio=ratio, use_bias=use_bias, name="se"))
    reduce, expand = model.get_layer("se_reduce"), model.get_layer("se_expand")
    weights = {
        layer.name: [generator.normal(size=weight.shape) for weight in layer.weights] for layer in (reduce, expand)
    }
    for layer in (reduce, expand):
        layer.set_weights(weights[layer.name])
    biases = {"reduce_bias": weights["se_reduce"][1], "expand_bias": weights["se_expand"][1]} if use_bias else {}

    expected = _gated_by_numpy(x, weights["se_reduce"][0], weights["se_expand"][0], **biases)

    assert reduce.kernel.shape == (channels, units)
    assert len(reduce.weights) == len(expand.weights) == 1 + use_bias
    # float32 against float64: rounding errors of about 1e-6 of values below 10
    np.testing.assert_allclose(np.asarray(model(x)), expected, rtol=1e-5, atol=1e-5)


def test_gate_depends_on_the_image_and_not_on_the_position():
    generator = np.random.default_rng(1)
    image = keras.Input(shape=(4, 4, 6))
    model = keras.Model(image, squeeze_excite(image, ratio=2, use_bias=False, name="se"))
    for layer in model.layers:  # weights that leave no unit dead, as random ones do now and then
        layer.set_weights([generator.uniform(0.1, 1.0, size=array.shape) for array in layer.get_weights()])
    x = generator.uniform(1.0, 2.0, size=(2, 4, 4, 6)).astype("float32")
    gates = np.asarray(model(x)) / x
    np.testing.assert_allclose(gates, np.broadcast_to(gates[:, :1, :1], gates.shape), rtol=1e-5)
    assert not np.allclose(gates[0], gates[1])


@pytest.mark.parametrize("excitation", ["sigmoid", "tanh", "relu"])
def test_gate_begins_open(excitation):
    image = keras.Input(shape=(4, 4, 64))
    gated = squeeze_excite(image, ratio=4, use_bias=True, excitation=excitation, name="se")
    model = keras.Model(image, gated)
    # What normalisation leaves of a map: a mean near zero, so that a gate begins with little but its bias.
    x = np.random.default_rng(0).normal(size=(8, 4, 4, 64)).astype("float32")
    assert np.mean(np.asarray(model(x)) / x) == pytest.approx(0.73, abs=0.05)


@pytest.mark.parametrize("ratio", [0, -4])
def test_ratio_below_one_is_refused(ratio):
    with pytest.raises(ValueError, match="ratio"):
        squeeze_excite(keras.Input(shape=(4, 4, 8)), ratio=ratio, use_bias=False, name="se")


@pytest.mark.parametrize("kind", [{"squeeze": "mean"}, {"excitation": "swish"}], ids=["squeeze", "excitation"])
def test_gate_of_another_kind_is_refused(kind):
    ((argument, value),) = kind.items()
    with pytest.raises(ValueError, match=f"received {argument}='{value}', allowed is '"):
        squeeze_excite(keras.Input(shape=(4, 4, 8)), ratio=2, use_bias=False, name="se", **kind)
