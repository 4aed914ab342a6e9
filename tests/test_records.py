"""Trials that continue one another are a run; a run ranks by its highest rung first."""

import dataclasses
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.records import (
    COMPLETED,
    DIVERGED,
    FAILED,
    OUT_OF_MEMORY,
    RUNNING,
    TIMED_OUT,
    WORKER_DIED,
    Record,
    best_of,
    rank,
    runs_of,
)


def record(trial, *, parent=None, epochs=(0, 1), score=None, status=COMPLETED, **fields):
    """A trial with a curve that ends in its score."""
    seen = list(range(epochs[0] + 1, epochs[1] + 1)) if status == COMPLETED else []
    plain = {"hyperparameters": {"width": 8}, "seed": 0, "params": 100, "macs": 1000, "seconds": 2.0}
    return Record(
        trial=trial,
        parent=parent,
        initial_epoch=epochs[0],
        epochs=epochs[1],
        status=status,
        score=score,
        **{"curve": {"epoch": seen}, **plain, **fields},
    )


def _numbers(runs):
    return [run.number for run in runs]


def test_promoted_trials_are_one_run():
    first, other = record(0, score=0.5), record(1, score=0.6)
    second = record(2, parent=0, epochs=(1, 3), score=0.7)
    third = record(3, parent=2, epochs=(3, 9), score=0.9)
    runs = runs_of([third, first, other, second])
    assert [run.trials for run in runs] == [(first, second, third), (other,)]
    assert (runs[0].number, runs[0].score, runs[0].epochs, runs[0].seconds) == (0, 0.9, 9, 6.0)


@pytest.mark.parametrize(("direction", "best"), [("max", (0.8, 2)), ("min", (0.5, 1))])
def test_best_epoch_is_that_of_any_trial(direction, best):
    (run,) = runs_of(
        [
            record(0, score=0.5, best_score=0.5, best_epoch=1),
            record(1, parent=0, epochs=(1, 3), score=0.7, best_score=0.8, best_epoch=2),
        ]
    )
    assert run.best(direction) == best


@pytest.mark.parametrize(("direction", "best"), [("max", (0.8, 1)), ("min", (0.6, 3))])
def test_best_epoch_is_that_of_the_best_score_whichever_is_later(direction, best):
    (run,) = runs_of(
        [
            record(0, score=0.8, best_score=0.8, best_epoch=1),
            record(1, parent=0, epochs=(1, 3), score=0.6, best_score=0.6, best_epoch=3),
        ]
    )
    assert run.best(direction) == best


@pytest.mark.parametrize("best_score", [None, math.nan])
def test_run_without_a_score_has_no_best(best_score):
    (run,) = runs_of([record(0, status=FAILED, best_score=best_score)])
    assert run.best("max") == (None, None)


def test_longer_training_stands_first_whatever_the_score():
    runs = runs_of([record(0, score=0.99), record(1, epochs=(0, 3), score=0.5), record(2, epochs=(0, 3), score=0.6)])
    assert _numbers(rank(runs, "max")) == [2, 1, 0]
    assert _numbers(rank(runs, "min")) == [1, 2, 0]


def test_run_that_was_ended_early_ranks_by_its_score_among_those_of_its_rung():
    early = record(1, epochs=(0, 9), score=0.9)
    early = dataclasses.replace(early, epochs=6, target=9)
    runs = runs_of([record(0, epochs=(0, 9), score=0.8), early, record(2, epochs=(0, 7), score=0.99)])
    assert _numbers(rank(runs, "max")) == [1, 0, 2]
    assert [(run.epochs, run.rung) for run in runs] == [(9, 9), (6, 9), (7, 7)]


def test_equal_runs_keep_their_order():
    assert _numbers(rank(runs_of([record(n, score=0.5) for n in range(4)]), "max")) == [0, 1, 2, 3]


def test_runs_without_a_result_stand_last():
    runs = runs_of(
        [
            record(0, status=RUNNING, epochs=(0, 9)),
            record(1, status=DIVERGED, score=0.0, epochs=(0, 9)),
            record(2, status=FAILED, epochs=(0, 9)),
            record(3, score=0.01),
        ]
    )
    assert _numbers(rank(runs, "max")) == [3, 0, 1, 2]


@pytest.mark.parametrize("status", [RUNNING, FAILED])
def test_promotion_without_a_result_leaves_the_run_where_it_was(status):
    (run,) = runs_of([record(0, score=0.7), record(1, parent=0, epochs=(1, 3), status=status)])
    assert (run.score, run.epochs, run.status) == (0.7, 1, status)
    (better,) = runs_of([record(5, score=0.8)])
    assert _numbers(rank([run, better], "max")) == [5, 0]


@pytest.mark.parametrize("status", [DIVERGED, OUT_OF_MEMORY, TIMED_OUT, WORKER_DIED])
def test_run_that_broke_off_after_its_promotion_stands_last_with_the_epochs_it_finished(status):
    broken = record(1, parent=0, epochs=(1, 9), status=status, score=0.0, curve={"epoch": [2, 3]})
    (run,) = runs_of([record(0, score=0.7), broken])
    assert (run.score, run.epochs, run.status) == (0.0, 3, status)
    (worse,) = runs_of([record(5, score=0.1)])
    assert _numbers(rank([run, worse], "max")) == [5, 0]


@st.composite
def searches(draw):
    """Trials as a search makes them: each new, or the promotion of an earlier one that has no child."""
    made, leaves = [], []
    for trial in range(draw(st.integers(1, 12))):
        parent = draw(st.sampled_from([None, *leaves]))
        status = draw(st.sampled_from([COMPLETED, DIVERGED, TIMED_OUT, FAILED, RUNNING]))
        begin = 0 if parent is None else made[parent].epochs
        score = {COMPLETED: draw(st.floats(0, 1)), DIVERGED: 0.0, TIMED_OUT: 0.0}.get(status)
        made.append(record(trial, parent=parent, epochs=(begin, begin + 1 + trial % 3), score=score, status=status))
        leaves = [leaf for leaf in [*leaves, trial] if leaf != parent]
    return made


@given(searches(), st.randoms())
def test_runs_are_a_partition_that_no_order_changes(trials, random):
    runs = runs_of(trials)
    assert sorted(r.trial for run in runs for r in run.trials) == list(range(len(trials)))
    for run in runs:
        assert run.trials[0].parent is None
        assert all(after.parent == before.trial for before, after in itertools.pairwise(run.trials))
    shuffled = list(trials)
    random.shuffle(shuffled)
    assert runs_of(shuffled) == runs


@given(searches(), st.sampled_from(["max", "min"]))
def test_ranking_is_a_sorted_permutation(trials, direction):
    runs = runs_of(trials)
    ranked = rank(runs, direction)
    assert sorted(_numbers(ranked)) == sorted(_numbers(runs))
    judged = [run.last.status == COMPLETED for run in ranked]
    assert judged == sorted(judged, reverse=True)
    for before, after in itertools.pairwise(ranked):
        if after.last.status == COMPLETED:
            assert before.epochs >= after.epochs
            if before.epochs == after.epochs:
                assert before.score >= after.score if direction == "max" else before.score <= after.score


@given(searches())
def test_mirrored_scores_rank_the_same_the_other_way(trials):
    mirrored = [r if r.score is None else dataclasses.replace(r, score=-r.score) for r in trials]
    assert _numbers(rank(runs_of(mirrored), "min")) == _numbers(rank(runs_of(trials), "max"))


@pytest.mark.parametrize(("direction", "best"), [("max", (0.9, 4)), ("min", (0.1, 2))])
def test_best_of_a_curve_is_a_finite_value_with_its_epoch(direction, best):
    curve = {"epoch": [2, 3, 4, 5], "val_loss": [0.1, math.inf, 0.9, math.nan]}
    assert best_of(curve, "val_loss", direction=direction) == best


@pytest.mark.parametrize(("direction", "best"), [("max", (0.9, 3)), ("min", (0.7, 5))])
def test_best_of_a_curve_need_not_be_its_end_and_is_the_first_of_equals(direction, best):
    curve = {"epoch": [2, 3, 4, 5, 6], "val_accuracy": [0.8, 0.9, 0.9, 0.7, 0.7]}
    assert best_of(curve, "val_accuracy", direction=direction) == best


@pytest.mark.parametrize("curve", [{}, {"epoch": [1], "val_loss": [math.nan]}])
def test_curve_without_a_finite_value_has_no_best(curve):
    assert best_of(curve, "val_loss", direction="min") == (None, None)


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ("", ""),
        ("one", "one"),
        ("Traceback:\n  line\nValueError: x", "ValueError: x"),
        ("Traceback:\n  line\nValueError: x\n\nb | c", "ValueError: x"),
        (
            "Traceback:\nKeyError: 'y'\n\nDuring that:\n  line\na.OpError: {{node}}\n\t[[{{x}}]] [Op:f]",
            "a.OpError: {{node}}",
        ),
        ("Traceback:\n  line\nSystemExit", "SystemExit"),
        ("Traceback:\n  line\nMine: x", "Mine: x"),
    ],
)
def test_cause_is_the_last_line(message, cause):
    assert record(0, status=FAILED, message=message).cause == cause


def test_place_of_a_failure_is_where_the_error_comes_from_and_its_kind():
    text = 'Traceback (most recent call last):\n  File "{}", line 3, in f\n    x\n{}: odd {}'
    one, other = (record(0, status=FAILED, message=text.format("a.py", "ValueError", n)).place for n in (1, 2))
    assert one == other == ('  File "a.py", line 3, in f', "ValueError")
    for file, kind in ("b.py", "ValueError"), ("a.py", "KeyError"):
        assert record(0, status=FAILED, message=text.format(file, kind, 1)).place != one
