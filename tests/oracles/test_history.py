"""What is learned from is what reached the epochs, and every failure on the way there."""

import pytest

from tuner.oracles.history import WORST, Run, Seen, best_and_spread, observations

SEEN = [Seen({"width": 1}, 1, WORST), Seen({"width": 2}, 3, 0.5), Seen({"width": 3}, 9, 0.7)]


@pytest.mark.parametrize(
    ("epochs", "is_full", "widths"),
    [
        (3, False, [1, 2]),
        (9, False, [1, 3]),
        (9, True, [1, 3]),
        (3, True, [1, 2, 3]),  # where all go to the end, more epochs do as well
        (27, True, [1, 3]),  # and what went farthest, where nothing went so far
        (27, False, [1]),
    ],
)
def test_scores_of_another_study_count_at_their_epochs_and_its_failures_at_all(epochs, is_full, widths):
    found = observations(SEEN, [], epochs=epochs, is_full=is_full)
    assert found == [(seen.values, seen.goodness) for seen in SEEN if seen.values["width"] in widths]


def test_runs_count_where_they_were_judged_and_failures_everywhere():
    good = Run(0, {"width": 1}, "a", scores={1: 0.5, 3: 0.6})
    failed = Run(1, {"width": 2}, "b", scores={1: WORST})
    later = Run(2, {"width": 3}, "c", scores={1: 0.4, 3: WORST})
    found = observations([], [good, failed, later], epochs=1, is_full=False)
    assert found == [({"width": 1}, 0.5), ({"width": 2}, WORST), ({"width": 3}, 0.4)]
    found = observations([], [good, failed, later], epochs=3, is_full=False)
    assert found == [({"width": 1}, 0.6), ({"width": 2}, WORST), ({"width": 3}, WORST)]
    assert observations([], [good], epochs=9, is_full=False) == []


def test_what_is_kept_of_too_much_are_the_best_and_some_of_all_others():
    assert best_and_spread(list(range(6)), 6) == [0, 1, 2, 3, 4, 5]
    assert best_and_spread(list(range(20)), 8) == [0, 1, 2, 3, 4, 8, 12, 16]
