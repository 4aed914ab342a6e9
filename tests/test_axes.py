"""Charts show scores by their errors, with ticks at round numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.axes import ScoreAxis, log_axis


def test_accuracies_are_placed_by_their_error():
    axis = ScoreAxis("val_accuracy", 100)
    assert axis.place(0.9) == ScoreAxis("val_balanced_accuracy", 100).place(0.9)
    assert [axis.place(score) for score in (0.0, 0.9, 0.98)] == pytest.approx([1.0, 0.1, 0.02])
    assert axis.place(1.0) == 0.005  # half an error, as a logarithm has no zero


def test_better_accuracies_are_up():
    axis = ScoreAxis("val_accuracy").settings([0.5, 0.89, 0.98])
    assert axis["ticktext"] == ["0.98", "0.95", "0.9", "0.8", "0.5"]
    low, high = axis["range"]
    assert low > high
    assert (10**high, 10**low) == pytest.approx((0.02 / 1.25, 0.5 * 1.25))


@pytest.mark.parametrize(
    ("scores", "ticks"),
    [
        ((0.1, 0.366), ["0.4", "0.3", "0.2", "0.1", "0"]),
        ((0.0,), ["0.2", "0.1", "0"]),
        ((0.9, 0.905), ["0.92", "0.91", "0.9", "0.88"]),
    ],
)
def test_accuracies_that_are_close_fill_the_axis_and_none_is_below_zero(scores, ticks):
    axis = ScoreAxis("val_accuracy", 1000).settings(scores)
    assert axis["ticktext"] == ticks
    worst, best = (1 - 10**end for end in axis["range"])
    assert worst == pytest.approx(max(0.0, 1 - 1.25 * (1 - min(scores))))
    assert best == pytest.approx(1 - (1 - max(scores)) / 1.25)


def test_losses_are_placed_by_themselves():
    axis = ScoreAxis("val_loss").settings([0.3, 0.03])
    assert axis["ticktext"] == ["0.05", "0.1", "0.2"]
    assert axis["range"] == sorted(axis["range"])
    assert ScoreAxis("val_loss").place(0.0) > 0


@pytest.mark.parametrize(
    ("objective", "what"), [("val_accuracy", "errors"), ("val_balanced_accuracy", "errors"), ("val_loss", "loss")]
)
def test_axis_says_what_its_distances_divide(objective, what):
    assert ScoreAxis(objective).note == f"Equal distances up or down divide the {what} by the same factor."


def test_many_decades_have_a_tick_each():
    assert log_axis([1e-5, 1e-1])["ticktext"] == ["1e-05", "0.0001", "0.001", "0.01", "0.1"]
    assert log_axis([0.1, 5.0], most_decades=1)["tickvals"] == [0.1, 1.0]


@given(st.lists(st.floats(1e-9, 1e12), min_size=1, max_size=5))
def test_every_value_lies_on_the_axis_between_two_ticks_or_more(values):
    axis = log_axis(values)
    low, high = axis["range"]
    assert len(axis["tickvals"]) >= 2
    assert all(low - 1e-9 <= math.log10(value) <= high + 1e-9 for value in values)
    assert all(low - 1e-9 <= math.log10(tick) <= high + 1e-9 for tick in axis["tickvals"])
