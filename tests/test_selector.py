"""The winner is the best run of the highest rung, or nobody; other rules look at what a network costs."""

import dataclasses

import pytest

from tuner.errors import StudyError
from tuner.records import COMPLETED, DIVERGED, FAILED, RUNNING, Record
from tuner.selector import Retest, best_run, front_runs, knee_run, run_of, within_one_standard_error


def _record(trial, *, epochs=3, score=None, status=COMPLETED, parent=None, initial_epoch=0):
    plain = {"hyperparameters": {}, "seed": 0, "params": 1, "macs": 1}
    begin = {"trial": trial, "parent": parent, "initial_epoch": initial_epoch, "epochs": epochs}
    return Record(**begin, **plain, status=status, score=score)


@pytest.mark.parametrize(
    ("records", "winners"),
    [
        ([_record(0, score=0.5), _record(1, score=0.6)], {"max": 1, "min": 0}),
        ([_record(0, score=0.5, epochs=9), _record(1, score=0.6)], {"max": 0, "min": 0}),
        ([_record(0, score=0.5), _record(1, score=0.5)], {"max": 0, "min": 0}),
        ([_record(0, score=0.0, status=DIVERGED), _record(1, score=0.1)], {"max": 1, "min": 1}),
        ([_record(0, status=RUNNING), _record(1, score=0.1), _record(2, status=FAILED)], {"max": 1, "min": 1}),
        (
            [_record(0, score=0.9), _record(1, score=0.8), _record(2, parent=1, initial_epoch=3, epochs=9, score=0.7)],
            {"max": 1, "min": 1},
        ),
    ],
)
@pytest.mark.parametrize("direction", ["max", "min"])
def test_winner_is_the_best_of_the_highest_rung(records, winners, direction):
    assert best_run(records, direction).number == winners[direction]


@pytest.mark.parametrize("status", [RUNNING, FAILED, DIVERGED])
def test_study_without_a_score_has_no_winner(status):
    score = 0.0 if status == DIVERGED else None
    with pytest.raises(StudyError, match="No run of the study has a score yet"):
        best_run([_record(0, status=status, score=score)], "max")


def test_how_runs_without_a_score_ended_is_told():
    records = [_record(0, status=DIVERGED, score=0.0), _record(1, status=FAILED), _record(2, status=RUNNING)]
    with pytest.raises(StudyError, match=r"a score yet \(1 diverged, 1 failed\); search first, or continue"):
        best_run(records, "max")


def test_run_of_a_number_wins_whatever_its_score():
    records = [_record(0, score=0.9), _record(1, score=0.1), _record(2, parent=1, initial_epoch=3, epochs=9, score=0.2)]
    assert [record.trial for record in run_of(records, 1).trials] == [1, 2]


@pytest.mark.parametrize(
    ("number", "reason"),
    [(2, "is 2, but the study has no such run"), (1, "is 1, which is diverged"), (3, "is 3, which is running")],
)
def test_run_without_a_network_cannot_win(number, reason):
    records = [
        _record(0, score=0.9),
        _record(1, status=DIVERGED, score=0.0),
        _record(2, parent=0, initial_epoch=3, epochs=9, status=RUNNING),
        _record(3, status=RUNNING),
    ]
    with pytest.raises(StudyError, match=f"--run {reason}"):
        run_of(records, number)


def test_study_without_trials_has_no_winner():
    with pytest.raises(StudyError, match="No run"):
        best_run([], "max")


def _sized(trial, score, params, *, epochs=9, status=COMPLETED, latency_ms=None):
    sizes = {"params": params, "macs": 1000 - params, "latency_ms": latency_ms}
    return dataclasses.replace(_record(trial, score=score, epochs=epochs, status=status), **sizes)


SIZED = [
    _sized(0, 0.90, 500),
    _sized(1, 0.95, 900),
    _sized(2, 0.89, 600),  # beaten by 0
    _sized(3, 0.70, 100),
    _sized(4, 0.70, 120),  # beaten by 3
    _sized(5, 0.95, 950),  # beaten by 1
    _sized(6, 0.99, 10, epochs=3),  # of a lower rung
    _sized(7, 0.0, 5, status=DIVERGED),
    _sized(8, None, 5, status=RUNNING),
]


def test_front_holds_what_no_other_run_of_the_highest_rung_beats():
    assert [run.number for run in front_runs(SIZED, "max", cost="params")] == [1, 0, 3]
    assert [run.number for run in front_runs(reversed(SIZED), "max", cost="params")] == [1, 0, 3]
    # The fewest multiply-accumulates have those of the most weights.
    assert [run.number for run in front_runs(SIZED, "max", cost="macs")] == [5]


def test_front_has_the_best_of_equal_costs_and_the_first_of_equal_runs():
    records = [_sized(0, 0.9, 500), _sized(1, 0.8, 500), _sized(2, 0.9, 500), _sized(3, 0.7, 100)]
    assert [run.number for run in front_runs(records, "max", cost="params")] == [0, 3]


def test_front_holds_runs_that_were_ended_early():
    early = dataclasses.replace(_sized(9, 0.96, 990), epochs=5, target=9)
    assert [run.number for run in front_runs([*SIZED, early], "max", cost="params")] == [9, 1, 0, 3]


def test_front_of_losses_begins_with_the_least():
    records = [_sized(0, 0.3, 100), _sized(1, 0.1, 500), _sized(2, 0.3, 90), _sized(3, 0.2, 600)]
    assert [run.number for run in front_runs(records, "min", cost="params")] == [1, 2]


def test_front_needs_a_score_and_the_cost():
    with pytest.raises(StudyError, match="No run of the study has a score yet"):
        front_runs([_sized(0, None, 5, status=RUNNING)], "max", cost="params")
    with pytest.raises(StudyError, match="The study has no latencies; search with --objective -latency"):
        front_runs(SIZED, "max", cost="latency")
    timed = [_sized(0, 0.9, 5, latency_ms=2.0), _sized(1, 0.8, 5, latency_ms=1.0)]
    assert [run.number for run in front_runs(timed, "max", cost="latency")] == [0, 1]


@pytest.mark.parametrize("direction", ["max", "min"])
def test_knee_is_between_the_ends(direction):
    scores = (0.95, 0.94, 0.5) if direction == "max" else (0.05, 0.06, 0.5)
    records = [_sized(number, score, 900 - 400 * number) for number, score in enumerate(scores)]
    front = front_runs(records, direction, cost="params")
    assert knee_run(front, direction, cost="params").number == 1
    assert knee_run(front[:1], direction, cost="params").number == 0


def _retests(*pairs):
    return [
        Retest(front_runs([_sized(number, 0.5, params)], "max", cost="params")[0], accuracies)
        for number, (params, accuracies) in enumerate(pairs)
    ]


@pytest.mark.parametrize(
    ("pairs", "winner"),
    [
        # The standard error of 0.9 on 100 images is 0.03.
        ([(900, [0.9]), (500, [0.88]), (100, [0.8])], 1),
        ([(900, [0.9]), (500, [0.8699]), (100, [0.8])], 0),
        ([(900, [0.9]), (500, [0.8701]), (100, [0.8])], 1),
        ([(900, [0.8, 1.0]), (500, [0.88, 0.88]), (500, [0.87, 0.91])], 2),  # of equal costs, the better
        ([(900, [0.5]), (500, [0.99])], 1),  # the best of the search was lucky
        ([(900, [1.0]), (500, [0.999])], 0),  # no error, as far as one can tell
    ],
)
def test_cheapest_within_one_standard_error_wins(pairs, winner):
    assert within_one_standard_error(_retests(*pairs), cost="params", images=100).run.number == winner


def test_standard_error_is_that_of_the_images():
    (retest,) = _retests((1, [0.8, 0.9, 1.0]))
    assert retest.accuracy == pytest.approx(0.9)
    assert retest.standard_error(100) == pytest.approx(0.03)
