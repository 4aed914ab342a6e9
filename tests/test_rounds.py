"""A list of trainings ends with one result each, whatever the workers do."""

import pytest
from fakes import FakeCrew, FakeWorker

from tuner.crew import LocalCrew
from tuner.errors import TunerError
from tuner.messages import Task
from tuner.records import COMPLETED, DIVERGED, FAILED, WORKER_DIED
from tuner.rounds import train_all

TASKS = [Task(hyperparameters={"width": width}, initial_epoch=0, epochs=3, seed=1, keep=False) for width in range(5)]


def _train(crew, tasks=TASKS):
    ends = {}

    def ended(place, progress):
        assert place not in ends
        ends[place] = progress

    train_all(crew, tasks, ended)
    return ends


@pytest.mark.parametrize(
    "crew", [LocalCrew(FakeWorker()), FakeCrew(2, seed=3), FakeCrew(8)], ids=["own", "two", "many"]
)
def test_every_training_ends_with_its_whole_curve(crew):
    ends = _train(crew)
    assert sorted(ends) == [0, 1, 2, 3, 4]
    assert {progress.status for progress in ends.values()} == {COMPLETED}
    assert all(list(progress.curve["epoch"]) == [1, 2, 3] for progress in ends.values())


def test_training_of_a_worker_that_died_begins_anew():
    crew = FakeCrew(2, dies=lambda worker, trial, answers: answers in (4, 7))
    ends = _train(crew)
    assert len(crew.begun) == 7
    assert all(list(progress.curve["epoch"]) == [1, 2, 3] for progress in ends.values())


def test_training_that_kills_its_workers_is_given_up():
    crew = FakeCrew(2, dies=lambda worker, trial, answers: trial == 2)
    ends = _train(crew)
    assert {place: progress.status for place, progress in ends.items() if place == 2} == {2: WORKER_DIED}
    assert [trial for trial, _ in crew.begun].count(2) == 3
    assert len(ends) == 5


def test_training_that_diverges_is_a_result():
    crew = FakeCrew(2, make=lambda: FakeWorker(diverges=lambda task: task.hyperparameters["width"] == 1))
    assert [progress.status for _, progress in sorted(_train(crew).items())].count(DIVERGED) == 1


def test_program_that_fails_is_no_result():
    crew = LocalCrew(FakeWorker(ends=lambda task, epoch: (FAILED, "Traceback\nValueError: why")))
    with pytest.raises(TunerError, match="A training failed: ValueError: why"):
        _train(crew)


def test_nothing_to_train_is_no_wait():
    assert _train(FakeCrew(1), []) == {}
