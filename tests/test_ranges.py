"""The default configuration of a space is what Keras Tuner takes for it."""

import keras_tuner
import pytest

from tuner.ranges import ends_reached, is_default


def _space(**defaults):
    hp = keras_tuner.HyperParameters()
    hp.Fixed("stages", 3)
    hp.Int("blocks", 1, 3, **{"default": 2} if "blocks" in defaults else {})
    hp.Float("rate", 0.01, 1.0, sampling="log", **{"default": 0.1} if "rate" in defaults else {})
    hp.Boolean("bias", **{"default": True} if "bias" in defaults else {})
    kind = hp.Choice("kind", ["a", "b"], **{"default": "b"} if "kind" in defaults else {})
    with hp.conditional_scope("kind", [kind]):
        hp.Choice("sizes", [16, 8], ordered=True, **{"default": 8} if "sizes" in defaults else {})
    return hp


@pytest.mark.parametrize("named", [(), ("blocks", "rate"), ("bias", "kind", "sizes")])
def test_default_is_that_of_keras_tuner(named):
    hp = _space(**dict.fromkeys(named))
    space = hp.get_config()["space"]
    assert is_default(space, hp.values)
    for name, other in {"blocks": 3, "rate": 0.5, "sizes": 5}.items():
        assert not is_default(space, {**hp.values, name: other})


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ({"width": 32, "rate": 0.01}, []),
        ({"width": 16, "rate": 0.1}, []),
        ({"width": 8, "rate": 1.0}, [("width", "smallest", 8), ("rate", "largest", 1.0)]),
        ({"width": 512, "rate": 1e-4}, [("width", "largest", 512), ("rate", "smallest", 1e-4)]),
    ],
)
def test_end_of_a_choice_is_its_least_or_largest_value(values, ends):
    """Their sizes grow by factors, so that the one in the middle is near the least."""
    hp = keras_tuner.HyperParameters()
    hp.Choice("width", [8, 16, 32, 64, 128, 256, 512])
    hp.Choice("rate", [1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    hp.Choice("code", [1, 2, 3], ordered=False)
    assert ends_reached(hp.get_config()["space"], values | {"code": 3}) == ends


@pytest.mark.parametrize(
    ("sampling", "value", "end"),
    [
        *(("linear", 0.97, None), ("linear", 0.98, "largest"), ("linear", 0.52, "smallest")),
        *(("log", 0.96, None), ("log", 0.97, "largest"), ("log", 0.51, "smallest")),
        *(("reverse_log", 0.97, None), ("reverse_log", 0.99, "largest"), ("reverse_log", 0.53, "smallest")),
    ],
)
def test_end_of_a_range_is_a_twentieth_of_the_scale_that_it_is_searched_on(sampling, value, end):
    hp = keras_tuner.HyperParameters()
    hp.Float("momentum", 0.5, 0.999, sampling=sampling)
    found = ends_reached(hp.get_config()["space"], {"momentum": value})
    assert [which for _, which, _ in found] == ([] if end is None else [end])
