import keras_tuner
import numpy as np
import pytest

from oracles.driving import SPACES, six_values
from tuner.oracles.encoding import INACTIVE, Encoding, grid_values, is_active, probability_of


@pytest.mark.parametrize("space", SPACES)
def test_every_value_of_a_grid_comes_back_from_its_point(space):
    for entry in Encoding(SPACES[space]()).entries:
        for value in grid_values(entry):
            again = entry.prob_to_value(min(probability_of(entry, value), 1 - 1e-12))
            assert again == (value if not isinstance(value, float) else pytest.approx(value))


@pytest.mark.parametrize("space", SPACES)
def test_snapped_point_stands_for_the_same_values_and_hides_what_is_not_active(space):
    encoding = Encoding(SPACES[space]())
    points = np.random.default_rng(0).random((50, encoding.dimensions))
    hidden = 0
    for point, snapped in zip(points, encoding.snapped(points), strict=True):
        values = encoding.values(point)
        assert encoding.values(snapped) == values
        inactive = [place for place, entry in enumerate(encoding.free) if not is_active(entry, values)]
        assert snapped[inactive].tolist() == [INACTIVE] * len(inactive)
        counted = [place for place, entry in enumerate(encoding.free) if encoding.count(entry)]
        np.testing.assert_allclose(snapped[counted], encoding.point(values)[counted], atol=1e-12)
        hidden += len(inactive)
    assert (hidden > 0) == (space == "conditional")


def test_half_is_the_fifth_step_of_a_tenth():
    hp = keras_tuner.HyperParameters()
    hp.Float("dropout", 0.0, 1.0, step=0.1)
    encoding = Encoding(hp)
    assert encoding.values(encoding.point({"dropout": 0.5})) == {"dropout": 0.5}


@pytest.mark.parametrize("value", ["rmsprop", None, 7])
def test_value_that_is_none_of_the_choices_stands_in_the_middle(value):
    assert probability_of(six_values().space[0], value) == 0.5


def test_combinations_are_all_configurations_once():
    found = [tuple(values.items()) for values in Encoding(six_values()).combinations()]
    assert len(set(found)) == len(found) == Encoding(six_values()).size() == 6


@pytest.mark.parametrize("ends", [(0.1, 0.9), (1e-5, 1e-2), (0.3, 0.7), (1e-4, 1e-2), (0.5, 0.999)])
@pytest.mark.parametrize("sampling", ["linear", "log", "reverse_log"])
def test_value_of_any_probability_is_in_the_range(ends, sampling):
    """Until then a search ended for good with what Keras Tuner makes of 0 on a reversed logarithm."""
    hp = keras_tuner.HyperParameters()
    hp.Float("dropout", *ends, sampling=sampling)
    for probability in (0.0, 1e-17, 0.5, 1.0 - 1e-12, 1.0):
        assert ends[0] <= Encoding(hp).values([probability])["dropout"] <= ends[1]


@pytest.mark.parametrize("ends", [(1, 8), (2, 62), (1, 1_000_001), (10, 1_000_010)])
@pytest.mark.parametrize("sampling", ["linear", "log", "reverse_log"])
def test_whole_number_of_any_probability_is_in_the_range(ends, sampling):
    hp = keras_tuner.HyperParameters()
    hp.Int("width", *ends, sampling=sampling)
    for probability, expected in ((0.0, ends[0]), (1.0 - 1e-12, ends[1]), (1.0, ends[1])):
        value = Encoding(hp).values([probability])["width"]
        assert (value, type(value)) == (expected, int)
