"""What is left out of a long study is neither its best nor one kind of the others."""

import pytest

from tuner.thinning import thinned, thinning_note


@pytest.mark.parametrize("number", [0, 1, 9, 10])
def test_few_items_are_all_there(number):
    assert thinned(range(number), 10, goodness=lambda item: item) == [*range(number)]
    assert thinning_note(number, 10, "runs") == ""


@pytest.mark.parametrize("number", [11, 12, 15, 16, 100, 1001])
@pytest.mark.parametrize("most", [2, 3, 10])
def test_many_items_are_as_many_as_may_be_in_their_order(number, most):
    kept = thinned(range(number), most, goodness=lambda item: item)
    assert len(kept) == most
    assert kept == sorted(kept)


def test_the_best_are_there_and_the_others_are_of_all_kinds():
    kept = thinned(range(1000), 20, goodness=lambda item: -item)
    assert kept[:10] == [*range(10)]
    assert [round(item, -2) for item in kept[10:]] == [*range(0, 1000, 100)]


def test_note_counts_what_is_drawn():
    assert thinning_note(5000, 11, "runs") == " Drawn are the best 5 of 5,000 runs, and 6 of the others."
