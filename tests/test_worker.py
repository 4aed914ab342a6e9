"""A trial is trained to the same end whatever happened to the process, and tells of its failure in plain data."""

import dataclasses
import math

import numpy as np
import pytest

from tuner.checkpoint import load_state, save_state
from tuner.config import SearchConfig
from tuner.data import DataSpec
from tuner.models import build_model
from tuner.records import COMPLETED, DIVERGED
from tuner.worker import Session, Task, Worker

VALUES = {"stages": 1, "blocks_1": 1, "width": 4, "se_ratio": 2, "learning_rate": 0.05}
TASK = Task(hyperparameters=VALUES, initial_epoch=0, epochs=4, seed=3)


@pytest.fixture(scope="module")
def worker(stripes):
    return Worker(Session(data=DataSpec("digits"), space="tiny", max_epochs=4, batch_size=32), stripes)


@pytest.fixture(scope="module")
def through(worker, tmp_path_factory):
    """A trial of four epochs in one piece: its result and its state."""
    path = tmp_path_factory.mktemp("through") / "state.npz"
    result = worker.train(dataclasses.replace(TASK, checkpoint=str(path)))
    return result, load_state(path)


def _weights(state):
    return [array.tobytes() for array in [*state.weights, *state.optimizer]]


def _tail(curve, begin):
    return {name: values[begin:] for name, values in curve.items()}


def test_curve_has_every_metric_by_absolute_epoch(through):
    result, _ = through
    assert (result.status, result.message) == (COMPLETED, "")
    assert set(result.curve) == {"epoch", "loss", "accuracy", "val_loss", "val_accuracy"}
    assert result.curve["epoch"] == [1, 2, 3, 4]
    assert result.seconds > 0


def test_promoted_trial_continues_exactly(worker, through, tmp_path):
    first, second = str(tmp_path / "first.npz"), str(tmp_path / "second.npz")
    worker.train(dataclasses.replace(TASK, epochs=1, checkpoint=first))
    worker.train(dataclasses.replace(TASK, seed=9))
    promoted = dataclasses.replace(TASK, initial_epoch=1, parent=first, checkpoint=second)
    assert worker.train(promoted).curve == _tail(through[0].curve, 1)
    assert _weights(load_state(tmp_path / "second.npz")) == _weights(through[1])


@pytest.mark.parametrize("lost", ["absent", "torn", "other seed", "other epoch"])
def test_promoted_trial_whose_state_is_lost_ends_the_same(lost, worker, through, tmp_path):
    parent = tmp_path / "parent.npz"
    changes = {"other seed": {"seed": 8}, "other epoch": {"epochs": 3}}.get(lost, {})
    if lost != "absent":
        worker.train(dataclasses.replace(TASK, **{"epochs": 2, "checkpoint": str(parent), **changes}))
    if lost == "torn":
        parent.write_bytes(parent.read_bytes()[:-40])
    result = worker.train(dataclasses.replace(TASK, initial_epoch=2, parent=str(parent)))
    assert result.curve == _tail(through[0].curve, 2)


def test_interrupted_trial_goes_on_from_its_own_state_and_reports_all_of_it(worker, through, tmp_path):
    path = tmp_path / "own.npz"
    part = worker.train(dataclasses.replace(TASK, epochs=2, checkpoint=str(path)))
    assert part.curve == {name: values[:2] for name, values in through[0].curve.items()}
    reported = []
    result = worker.train(
        dataclasses.replace(TASK, checkpoint=str(path)), lambda epoch, metrics: reported.append(epoch) or False
    )
    assert reported == [1, 2, 3, 4]
    assert result.curve == through[0].curve
    assert _weights(load_state(path)) == _weights(through[1])


def test_report_has_the_metrics_and_may_stop(worker, through, tmp_path):
    told = []

    def report(epoch, metrics):
        told.append((epoch, dict(metrics)))
        return epoch == 2

    path = tmp_path / "stopped.npz"
    result = worker.train(dataclasses.replace(TASK, checkpoint=str(path)), report)
    assert result.status == COMPLETED
    assert [epoch for epoch, _ in told] == result.curve["epoch"] == [1, 2]
    assert told[1][1] == {name: values[1] for name, values in through[0].curve.items() if name != "epoch"}
    assert load_state(path).epoch == 2


@pytest.mark.parametrize("rate", [math.nan, math.inf, 1e30])
def test_loss_that_is_not_finite_ends_the_trial_at_once(rate, worker, tmp_path):
    path = tmp_path / "diverged.npz"
    task = dataclasses.replace(TASK, hyperparameters={**VALUES, "learning_rate": rate}, checkpoint=str(path))
    result = worker.train(task)
    assert result.status == DIVERGED
    assert result.curve["epoch"] == [1]
    assert result.message == "The loss is not finite in epoch 1."
    assert not path.exists()
    assert worker.train(TASK).status == COMPLETED


def test_size_is_that_of_the_built_network(worker):
    cost = worker.cost(VALUES)
    assert cost.params == build_model(worker.hypermodel.model_config(VALUES)).count_params()
    assert cost.macs > 0


def test_retraining_uses_the_validation_images_too(worker, stripes):
    network = worker.retrain(VALUES, epochs=2, seed=3)
    assert network.epoch == 2
    # 180 images in batches of 32 are 6 steps an epoch, where 120 are 4.
    assert network.step == 12
    probabilities = network.predict(stripes.validation.images)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)


def test_measurement_is_plain_time(worker):
    measured = worker.measure(VALUES)
    assert measured.start_seconds > 0
    assert measured.epoch_seconds > 0


def test_session_says_what_a_search_shares(worker):
    config = SearchConfig(space="tiny", max_epochs=4, batch_size=32, image_size=(9, 9), validation_fraction=0.3)
    session = Session.of(config, "somewhere")
    assert (session.space, session.max_epochs, session.batch_size) == ("tiny", 4, 32)
    assert session.data == DataSpec("digits", (9, 9), 0.3, "somewhere")


def test_state_of_another_trial_is_not_taken_for_its_own(worker, through, tmp_path):
    path = tmp_path / "own.npz"
    worker.train(dataclasses.replace(TASK, seed=8, epochs=2, checkpoint=str(path)))
    assert worker.train(dataclasses.replace(TASK, checkpoint=str(path))).curve == through[0].curve


def test_torn_own_state_begins_again(worker, through, tmp_path):
    path = tmp_path / "own.npz"
    save_state(path, through[1])
    path.write_bytes(path.read_bytes()[:100])
    assert worker.train(dataclasses.replace(TASK, checkpoint=str(path))).curve == through[0].curve
