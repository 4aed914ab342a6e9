"""A complete trial is worth its last epoch; one that did not complete through its own fault, the worst there is."""

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import a_record

from tuner.messages import Progress
from tuner.records import (
    COMPLETED,
    DIVERGED,
    FAILED,
    OUT_OF_MEMORY,
    RUNNING,
    TIMED_OUT,
    WORKER_DIED,
)
from tuner.scoring import judged, worst_score

BEGUN = a_record(
    4,
    parent=1,
    hyperparameters={"width": 8},
    initial_epoch=1,
    epochs=4,
    status=RUNNING,
    seed=7,
    params=10,
    macs=100,
    worker="w1",
    after=3,
)
CURVE = {"epoch": [2, 3, 4], "loss": [1.0, 0.8, 0.7], "val_accuracy": [0.5, 0.7, 0.6], "val_loss": [1.0, 0.6, 0.8]}


def _judged(status=COMPLETED, curve=CURVE, *, objective="val_accuracy", direction="max", worst=-1.0):
    progress = Progress(status=status, curve={}, seconds=2.5, wait_seconds=0.25, message="why")
    return judged(BEGUN, progress, curve, objective=objective, direction=direction, worst=worst)


@pytest.mark.parametrize(
    ("objective", "direction", "score", "best"),
    [("val_accuracy", "max", 0.6, (0.7, 3)), ("val_loss", "min", 0.8, (0.6, 3))],
)
def test_complete_trial_has_the_score_of_its_last_epoch(objective, direction, score, best):
    record = _judged(objective=objective, direction=direction)
    assert (record.score, (record.best_score, record.best_epoch)) == (score, best)
    assert (record.status, record.epochs, record.curve) == (COMPLETED, 4, CURVE)


def test_record_takes_times_and_message_and_keeps_the_rest():
    record = _judged()
    assert (record.seconds, record.wait_seconds, record.message) == (2.5, 0.25, "why")
    for name in ("trial", "parent", "hyperparameters", "initial_epoch", "seed", "params", "macs", "worker", "after"):
        assert getattr(record, name) == getattr(BEGUN, name)


def test_trial_that_was_stopped_has_the_epochs_that_it_trained():
    record = _judged(curve={name: values[:2] for name, values in CURVE.items()})
    assert (record.epochs, record.score) == (3, 0.7)


@pytest.mark.parametrize(
    ("status", "trained", "target"), [(COMPLETED, 3, None), (COMPLETED, 2, 4), (DIVERGED, 2, None), (FAILED, 0, None)]
)
def test_trial_that_was_stopped_is_judged_at_the_rung_that_it_was_asked_for(status, trained, target):
    record = _judged(status, {name: values[:trained] for name, values in CURVE.items()})
    assert (record.target, record.rung) == (target, 4)


@pytest.mark.parametrize("status", [DIVERGED, OUT_OF_MEMORY, TIMED_OUT, WORKER_DIED])
@pytest.mark.parametrize("curve", [CURVE, {}])
def test_trial_that_did_not_complete_has_the_worst_score_whatever_its_epochs(status, curve):
    record = _judged(status, curve)
    assert (record.status, record.score, record.epochs) == (status, -1.0, 4)
    assert record.best_score == (0.7 if curve else None)


def test_failed_trial_has_no_score():
    assert _judged(FAILED).score is None


def test_best_epoch_is_a_finite_one():
    curve = {"epoch": [2, 3], "val_accuracy": [0.3, math.nan]}
    assert (_judged(DIVERGED, curve).best_score, _judged(DIVERGED, curve).best_epoch) == (0.3, 2)


scores = st.none() | st.floats(0, 1e6)


@given(st.lists(scores), st.integers(2, 1000))
def test_no_trial_is_worse_than_the_worst_score(held, classes):
    records = [dataclasses.replace(BEGUN, score=score) for score in held]
    known = [score for score in held if score is not None]
    loss = worst_score(records, "min", classes=classes)
    assert loss >= math.log(classes)
    assert all(loss >= score for score in known)
    assert loss in [math.log(classes), *known]
    assert worst_score(records, "max", classes=classes) == 0.0
