"""Runs that are trained again get seeds of their own, and a training that fails is told."""

import dataclasses

import pytest
from samples import a_record

from tuner.errors import TunerError
from tuner.messages import Progress
from tuner.records import COMPLETED, DIVERGED, FAILED, runs_of
from tuner.retest import retested


class FakeWorker:
    """Ends a training with an accuracy that follows from its seed."""

    def __init__(self, *statuses):
        self.tasks = []
        self._statuses = statuses or (COMPLETED,)

    def train(self, task):
        self.tasks.append(task)
        curve = {"epoch": [1, task.epochs], "val_accuracy": [0.0, task.seed % 100 / 100]}
        status = self._statuses[(len(self.tasks) - 1) % len(self._statuses)]
        return Progress(status=status, curve=curve, seconds=1.0, message="The loss is not finite in epoch 1.")


def _runs():
    first = a_record(hyperparameters={"width": 8}, epochs=3, seed=5, score=0.5)
    return runs_of(
        [
            first,
            dataclasses.replace(first, trial=1, parent=0, initial_epoch=3, epochs=9),
            dataclasses.replace(first, trial=2, hyperparameters={"width": 4}),
        ]
    )


def test_each_training_is_a_whole_one_with_a_seed_of_its_own():
    worker, told = FakeWorker(), []
    found = retested(_runs(), worker, seed=0, times=3, report=told.append)
    assert [(task.initial_epoch, task.epochs) for task in worker.tasks] == [(0, 9)] * 3 + [(0, 3)] * 3
    seeds = [task.seed for task in worker.tasks]
    assert len({*seeds, 5}) == 7
    assert [retest.accuracies for retest in found] == [[s % 100 / 100 for s in seeds[i : i + 3]] for i in (0, 3)]
    assert told == found


def test_seeds_do_not_depend_on_the_order_of_the_values():
    worker = FakeWorker()
    for names in (["width", "depth"], ["depth", "width"]):
        record = dataclasses.replace(_runs()[1].last, hyperparameters=dict.fromkeys(names, 4))
        retested(runs_of([record]), worker, seed=0, times=1)
    first, second = worker.tasks
    assert first.seed == second.seed


def test_accuracy_is_the_one_that_is_asked_for():
    found = retested(_runs()[:1], FakeWorker(), seed=0, times=1, accuracy="epoch")
    assert found[0].accuracies == [9]


def test_seeds_follow_from_that_of_the_search():
    seeds = []
    for seed in (0, 0, 1):
        worker = FakeWorker()
        retested(_runs(), worker, seed=seed, times=2)
        seeds.append([task.seed for task in worker.tasks])
    assert seeds[0] == seeds[1] != seeds[2]


def test_training_that_does_not_end_is_told():
    with pytest.raises(TunerError, match="Run 0 diverged when it was trained again: The loss is not finite"):
        retested(_runs(), FakeWorker(DIVERGED), seed=0, times=1)


def test_training_that_diverges_counts_as_no_accuracy_and_the_others_go_on():
    worker = FakeWorker(COMPLETED, DIVERGED, COMPLETED)
    found = retested(_runs(), worker, seed=0, times=3)
    assert len(worker.tasks) == 6
    assert [retest.failed for retest in found] == [1, 1]
    assert [retest.accuracies[1] for retest in found] == [0.0, 0.0]
    assert found[0].accuracies[2] == worker.tasks[2].seed % 100 / 100


def test_error_in_a_training_ends_all():
    worker = FakeWorker(COMPLETED, FAILED)
    with pytest.raises(TunerError, match="Run 0 failed when it was trained again"):
        retested(_runs(), worker, seed=0, times=3)
    assert len(worker.tasks) == 2
