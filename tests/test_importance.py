"""What mattered is told of runs that are comparable, and of enough of them."""

import random

import pytest
from samples import a_record

from tuner.importance import comparable, importances
from tuner.records import runs_of, varying


def _float(name, conditions=()):
    ends = {"min_value": 0.0, "max_value": 1.0, "step": None, "sampling": None}
    return {"class_name": "Float", "config": {"name": name, "conditions": list(conditions), **ends}}


SPACE = [
    _float("matters"),
    _float("idle"),
    {"class_name": "Fixed", "config": {"name": "x", "conditions": [], "value": 1}},
]


def _run(number, *scores, **values):
    return runs_of(
        [
            a_record(
                number,
                hyperparameters={"x": 1, **values},
                epochs=len(scores),
                score=scores[-1] if scores else None,
                curve={"epoch": [*range(1, len(scores) + 1)], "val_accuracy": list(scores)},
            )
        ]
    )[0]


def _runs(count, *, score=lambda values: values["matters"]):
    generator = random.Random(0)
    drawn = [{"matters": generator.random(), "idle": generator.random()} for _ in range(count)]
    return [_run(number, score(values), **values) for number, values in enumerate(drawn)]


def _importances(runs, space, *, direction="max"):
    return importances(comparable(runs, "val_accuracy")[1], space, direction=direction)


@pytest.mark.parametrize(("long", "epochs"), [(10, 3), (9, 1)])
def test_scores_are_compared_after_the_most_epochs_that_enough_runs_have(long, epochs):
    runs = [_run(number, 0.5) for number in range(20)]
    runs += [_run(20 + number, 0.5, 0.6, 0.7) for number in range(long)]
    assert comparable(runs, "val_accuracy")[0] == epochs


def test_of_few_runs_most_are_compared():
    assert comparable([_run(0, 0.1), _run(1, 0.2), _run(2, 0.1, 0.2, 0.3)], "val_accuracy")[0] == 1


def test_values_that_are_all_the_same_do_not_vary():
    assert varying([{"width": 8, "depth": 2}, {"width": 8, "depth": 3}]) == ["depth"]
    assert varying([{"width": 8}, {}]) == ["width"]


@pytest.mark.parametrize("direction", ["max", "min"])
def test_what_decides_the_score_matters_most(direction):
    sign = 1 if direction == "max" else -1
    runs = _runs(100, score=lambda values: sign * values["matters"])
    found = _importances(runs, SPACE, direction=direction)
    assert list(found) == ["matters", "idle"]
    assert found["matters"] > 0.8
    assert sum(found.values()) == pytest.approx(1)


@pytest.mark.parametrize(("direction", "decides"), [("max", "matters"), ("min", "idle")])
def test_what_decides_the_better_end_matters_most(direction, decides):
    runs = _runs(200, score=lambda values: 1 + values["matters"] if values["matters"] > 0.8 else -values["idle"])
    assert next(iter(_importances(runs, SPACE, direction=direction))) == decides


def test_too_few_runs_or_equal_scores_tell_nothing():
    assert _importances(_runs(9), SPACE) == {}
    assert _importances(_runs(20, score=lambda _: 0.5), SPACE) == {}
    assert _importances([_run(number, number / 20) for number in range(20)], SPACE) == {}


def test_what_is_active_in_some_runs_only_is_judged_too():
    condition = {"class_name": "Parent", "config": {"name": "matters", "values": [0.25]}}
    runs = [_run(n, n / 40, matters=0.25, idle=n / 40) for n in range(20)]
    runs += [_run(20 + n, n / 100, matters=0.75) for n in range(20)]
    found = _importances(runs, [SPACE[0], _float("idle", [condition]), SPACE[2]])
    assert set(found) == {"matters", "idle"}


def test_what_is_active_in_one_run_alone_is_no_warning():
    condition = {"class_name": "Parent", "config": {"name": "matters", "values": [0.25]}}
    runs = [_run(0, 1.0, matters=0.25, idle=0.5), *(_run(n, n / 40, matters=0.75 + n / 100) for n in range(1, 20))]
    found = _importances(runs, [SPACE[0], _float("idle", [condition]), SPACE[2]])
    assert set(found) == {"matters", "idle"}
