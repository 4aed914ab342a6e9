"""The winner is the best run of the highest rung, or nobody."""

import pytest

from tuner.errors import StudyError
from tuner.records import COMPLETED, DIVERGED, FAILED, RUNNING, Record
from tuner.selector import best_run


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


def test_study_without_trials_has_no_winner():
    with pytest.raises(StudyError, match="No run"):
        best_run([], "max")
