"""The same images are held out every time, and every class keeps its share."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner.data.stratification import check_sizes, choose_images, hold_out
from tuner.errors import DataError

_NAMES = ("a", "b", "c")


@settings(deadline=None)  # the machine may be busy
@given(
    counts=st.lists(st.integers(2, 40), min_size=1, max_size=3),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**31 - 1),
)
def test_every_class_keeps_its_share_in_both_parts(counts, fraction, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    kept, held_out = hold_out(labels, fraction=fraction, names=_NAMES)
    assert sorted([*kept, *held_out]) == list(range(len(labels)))
    assert list(kept) == sorted(kept)
    assert list(held_out) == sorted(held_out)
    for label, count in enumerate(counts):
        expected = min(max(round(fraction * count), 1), count - 1)
        assert np.sum(labels[held_out] == label) == expected


def test_choice_is_always_the_same():
    # From a run with NumPy 2.4.6; RandomState's stream is frozen, so that any other result is a regression.
    _, held_out = hold_out(np.arange(20) % 2, fraction=0.3, names=_NAMES)
    assert list(held_out) == [3, 4, 7, 8, 11, 16]


def test_class_with_one_image_is_refused_by_name():
    with pytest.raises(DataError, match=r"Class 'b' has 1 training image; at least 2"):
        hold_out(np.array([0, 0, 1]), fraction=0.5, names=_NAMES)


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=9),
    least=st.integers(1, 2),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**31 - 1),
)
def test_exactly_so_many_images_are_chosen_and_every_class_keeps_its_share(counts, least, share, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    lowest = [min(least, count) for count in counts]
    number = max(round(share * len(labels)), sum(lowest))
    unused, used = choose_images(labels, number, least=least)
    assert sorted([*unused, *used]) == list(range(len(labels)))
    assert list(used) == sorted(used)
    assert len(used) == number
    fair = np.array(counts) * number / len(labels)
    taken = np.bincount(labels[used], minlength=len(counts))
    assert (taken >= lowest).all()
    if (fair >= lowest).all():
        assert (np.abs(taken - fair) < 1).all()


def test_many_small_classes_give_no_more_than_was_asked_for():
    _, used = choose_images(np.repeat(np.arange(100), 10), 150, least=1)
    assert len(used) == 150


def test_class_needs_one_image_for_each_part_and_one_more():
    check_sizes(np.array([0, 0, 1, 1]), parts=["validation"], names=_NAMES)
    with pytest.raises(
        DataError, match=r"Class 'b' has 1 training image; at least 2 are needed to hold one out for val"
    ):
        check_sizes(np.array([0, 0, 1]), parts=["validation"], names=_NAMES)
    check_sizes(np.array([0, 0, 0, 1, 1, 1]), parts=["validation", "test"], names=_NAMES)
    message = (
        "Class 'a' has 2 training images; at least 3 are needed to hold one out for validation and one for test. "
        "Add images or provide a validation and a test split, or remove the class."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        check_sizes(np.array([0, 0, 1, 1, 1]), parts=["validation", "test"], names=_NAMES)


def test_number_too_small_for_the_classes_says_how_many_are_needed():
    with pytest.raises(DataError, match=r"--images 5 is too few for 3 classes with at least 2 of each; give 6 or more"):
        choose_images(np.arange(30) % 3, 5, least=2)
