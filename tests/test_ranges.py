"""The default configuration of a space is what Keras Tuner takes for it."""

import keras_tuner
import pytest

from tuner.ranges import is_default


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
