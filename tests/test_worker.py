"""A trial is trained to the same end whatever happened to the process, and tells of its failure in plain data."""

import dataclasses
import itertools
import math
import os
import subprocess
import sys
import time
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from tuner.checkpoint import load_state, save_state
from tuner.config import SearchConfig
from tuner.continuations import RESIDENT_NETWORKS
from tuner.data import DataSpec
from tuner.errors import DivergedError, TunerError
from tuner.messages import Facts, Measurement, Session, Task
from tuner.networks import MEASURED_STEPS
from tuner.records import COMPLETED, DIVERGED, FAILED, OUT_OF_MEMORY, RUNNING, TIMED_OUT
from tuner.training import Network, TrialTimeout
from tuner.worker import Worker

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
    return result, _state(worker, path)


def _state(worker, path):
    """Returns the state in a file once the worker has written it."""
    worker.flush()
    return load_state(path)


def _weights(state):
    return [array.tobytes() for array in [*state.weights, *state.optimizer]]


def _tail(curve, begin):
    return {name: values[begin:] for name, values in curve.items()}


PROCESS = """
import os

from tuner.imports import import_tensorflow

import_tensorflow()
import tensorflow as tf

from tuner.data import DataSpec
from tuner.messages import Session
from tuner.worker import Worker

cores = min(8, len(os.sched_getaffinity(0)) + 1)  # no default of TensorFlow's
Worker(Session(data=DataSpec("digits", (24, 24)), space="tiny", max_epochs=1, batch_size=64, cores=cores))
print(tf.config.threading.get_intra_op_parallelism_threads() - cores)
"""


@pytest.mark.slow
def test_threads_are_settled_before_the_data_is_prepared(tmp_path):
    environment = os.environ | {"TFDS_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-c", PROCESS]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert process.stdout.splitlines()[-1] == "0"


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
    assert _weights(_state(worker, tmp_path / "second.npz")) == _weights(through[1])


@pytest.mark.parametrize("lost", ["absent", "torn", "other seed", "other epoch"])
def test_promoted_trial_whose_state_is_lost_ends_the_same(lost, worker, through, tmp_path):
    parent = tmp_path / "parent.npz"
    changes = {"other seed": {"seed": 8}, "other epoch": {"epochs": 3}}.get(lost, {})
    if lost != "absent":
        worker.train(dataclasses.replace(TASK, **{"epochs": 2, "checkpoint": str(parent), **changes}))
    worker.flush()
    worker._continuations._resident.clear()  # the process is another one
    if lost == "torn":
        parent.write_bytes(parent.read_bytes()[:-40])
    result = worker.train(dataclasses.replace(TASK, initial_epoch=2, parent=str(parent)))
    assert result.curve == _tail(through[0].curve, 2)


@pytest.mark.parametrize("where", ["memory", "file"])
def test_child_of_a_trial_that_ended_early_goes_on_from_there(where, worker, through, tmp_path, monkeypatch):
    parent = tmp_path / "parent.npz"
    worker.train(dataclasses.replace(TASK, epochs=1, checkpoint=str(parent)))  # of two, which a callback ended
    worker.flush()
    if where == "file":
        worker._continuations._resident.clear()
    trained, train_epoch = [], Network.train_epoch

    def counted(network, *arguments, **options):
        trained.append(network.epoch + 1)
        return train_epoch(network, *arguments, **options)

    monkeypatch.setattr(Network, "train_epoch", counted)
    result = worker.train(dataclasses.replace(TASK, initial_epoch=2, parent=str(parent)))
    assert result.curve == _tail(through[0].curve, 2)
    assert trained == [2, 3, 4]


def test_epochs_that_were_lost_are_no_time_of_the_trial(worker, through, monkeypatch):
    train_epoch = Network.train_epoch

    def slow(network, *arguments, **options):
        if network.epoch < 3:
            time.sleep(1.0)
        return train_epoch(network, *arguments, **options)

    monkeypatch.setattr(Network, "train_epoch", slow)
    result = worker.train(dataclasses.replace(TASK, initial_epoch=3, parent="lost", seconds=2.5))
    assert (result.status, result.curve) == (COMPLETED, _tail(through[0].curve, 3))
    assert result.seconds < 2.5


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
    assert _weights(_state(worker, path)) == _weights(through[1])


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
    assert _state(worker, path).epoch == 2


@pytest.mark.parametrize("rate", [math.nan, math.inf, 1e30])
def test_loss_that_is_not_finite_ends_the_trial_at_once(rate, worker, tmp_path):
    path = tmp_path / "diverged.npz"
    task = dataclasses.replace(TASK, hyperparameters={**VALUES, "learning_rate": rate}, checkpoint=str(path))
    result = worker.train(task)
    assert result.status == DIVERGED
    assert result.curve["epoch"] == [1]
    assert result.message == "The loss is not finite in epoch 1."
    worker.flush()
    assert not path.exists()
    assert worker.train(TASK).status == COMPLETED


@pytest.mark.parametrize(("rate", "status"), [(0.05, COMPLETED), (1e30, DIVERGED)])
def test_balanced_accuracy_is_in_the_curve_where_it_is_sought(rate, status, worker, stripes):
    config = SearchConfig(space="tiny", max_epochs=4, batch_size=32, objective="val_balanced_accuracy")
    balanced = Worker(Session.of(config, None), stripes)
    task = dataclasses.replace(TASK, hyperparameters={**VALUES, "learning_rate": rate})
    (plain, found) = (each.train(task) for each in (worker, balanced))
    assert plain.status == found.status == status
    assert found.curve.keys() - plain.curve.keys() == {"balanced_accuracy", "val_balanced_accuracy"}
    assert all(np.array_equal(plain.curve[name], found.curve[name], equal_nan=True) for name in plain.curve)


def test_retraining_that_diverges_ends_at_once(worker):
    with pytest.raises(DivergedError, match="not finite in epoch 1"):
        worker.retrain(VALUES | {"learning_rate": 1e30}, epochs=2, seed=3)


def test_retraining_uses_the_validation_images_too(worker, stripes):
    network = worker.retrain(VALUES, epochs=2, seed=3)
    assert network.epoch == 2
    # 180 images in batches of 32 are 6 steps an epoch, where 120 are 4.
    assert network.step == 12
    probabilities = network.predict(stripes.validation.images)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)


def test_class_weights_are_of_the_images_that_are_trained_on(worker, stripes):
    values = VALUES | {"class_weights": True}
    searched = worker.networks.network(worker.hypermodel, values)
    assert searched.architecture.class_weights == pytest.approx(tuple(40 / np.bincount(stripes.train.labels)))
    labels = np.concatenate([stripes.train.labels, stripes.validation.labels])
    final = worker.retrain(values, epochs=1, seed=3)
    assert final.architecture.class_weights == pytest.approx(tuple(60 / np.bincount(labels)))


def test_measurement_is_plain_time(worker):
    measured = worker.measure(VALUES)
    assert measured.start_seconds > 0
    assert measured.epoch_seconds > 0
    assert measured.images_per_second > 0


def test_measurement_takes_few_steps_however_many_images_there_are(stripes, monkeypatch):
    session = Session(data=DataSpec("digits"), space="tiny", max_epochs=3, batch_size=4)
    worker, clock = Worker(session, stripes), itertools.count(0.0, 7.0)  # each of three parts takes 7 s
    taken = {"train": [], "evaluate": []}

    def counted(name, original):
        def call(network, data, *, max_steps=None, **options):
            taken[name].append(max_steps)
            return original(network, data, max_steps=max_steps, **options)

        return call

    monkeypatch.setattr(Network, "train_epoch", counted("train", Network.train_epoch))
    monkeypatch.setattr(Network, "evaluate", counted("evaluate", Network.evaluate))
    monkeypatch.setattr("tuner.networks.time", types.SimpleNamespace(perf_counter=lambda: next(clock)))
    measured = worker.measure(VALUES)
    assert taken == {"train": [1, MEASURED_STEPS], "evaluate": [1, MEASURED_STEPS]}
    # 120 training images are 30 steps, of which 8 were made; of 60 validation images 32 were looked at.
    assert measured == Measurement(
        start_seconds=7.0, epoch_seconds=7.0 * 30 / 8 + 7.0 * 60 / 32, images_per_second=8 * 4 / 7.0
    )


def test_session_says_what_a_search_shares():
    config = SearchConfig(space="tiny", max_epochs=4, batch_size=32, image_size=(9, 9), validation_fraction=0.3)
    config = dataclasses.replace(config, images=50, mixed_precision=True, jit=True, gpus_per_trial=2, augment=True)
    session = Session.of(config, "somewhere", cores=2)
    assert (session.space, session.max_epochs, session.batch_size) == ("tiny", 4, 32)
    assert (session.mixed_precision, session.cores, session.memory) == (True, 2, None)
    assert (session.jit, session.replicas, session.steps_per_execution) == (True, 2, 1)
    assert session.augment
    assert session.data == DataSpec("digits", (9, 9), 0.3, "somewhere", 50)


@pytest.mark.parametrize(("source", "whole"), [("folder:photos", "folder:{here}/photos"), ("digits", "digits")])
@pytest.mark.parametrize(("space", "file"), [("mine.py", "{here}/mine.py"), ("tiny", "tiny")])
def test_session_that_goes_elsewhere_has_whole_paths(source, whole, space, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    session = Session(data=DataSpec(source), space=space, max_epochs=3, batch_size=64).elsewhere()
    assert (session.data.source, session.space) == (whole.format(here=tmp_path), file.format(here=tmp_path))
    for given, there in (("mine", str(tmp_path / "mine")), ("gs://bucket", "gs://bucket"), (None, None)):
        data = DataSpec(source, data_dir=given)
        session = Session(data=data, space=space, max_epochs=3, batch_size=64).elsewhere()
        assert session.data.data_dir == there


def test_state_of_another_trial_is_not_taken_for_its_own(worker, through, tmp_path):
    path = tmp_path / "own.npz"
    worker.train(dataclasses.replace(TASK, seed=8, epochs=2, checkpoint=str(path)))
    assert worker.train(dataclasses.replace(TASK, checkpoint=str(path))).curve == through[0].curve


def test_torn_own_state_begins_again(worker, through, tmp_path):
    path = tmp_path / "own.npz"
    save_state(path, through[1])
    path.write_bytes(path.read_bytes()[:100])
    assert worker.train(dataclasses.replace(TASK, checkpoint=str(path))).curve == through[0].curve


def test_facts_are_those_of_the_data(worker, stripes):
    mean, variance = stripes.channel_statistics()
    of_classes = dict(zip(("class_means", "validation_means"), stripes.class_means(), strict=True))
    counts = {"train": 120, "validation": 60, "classes": 3}
    splits = {"class_sizes": stripes.train, "validation_sizes": stripes.validation}
    sizes = {name: tuple(np.sum(split.labels == label) for label in range(3)) for name, split in splits.items()}
    of_images = {"input_shape": (8, 8, 1), "mean": mean, "variance": variance, "labels": stripes.labels}
    named = Facts(**counts, **of_images, **of_classes, **sizes)
    assert worker.facts == named


def test_trial_is_told_epoch_by_epoch(worker, through):
    told = [worker.begin(TASK), worker.advance(), worker.advance(), worker.advance()]
    assert [progress.status for progress in told] == [RUNNING] * 3 + [COMPLETED]
    for place, progress in enumerate(told):
        assert progress.curve == {name: [values[place]] for name, values in through[0].curve.items()}
        assert progress.images_per_second > 0
        assert progress.memory > 0
    seconds = [progress.seconds for progress in told]
    assert seconds == sorted(seconds)


def test_time_without_a_trial_is_told(worker, monkeypatch):
    now = [100.0]

    def monotonic():
        now[0] += 1e-6  # no clock stands still for an epoch
        return now[0]

    monkeypatch.setattr("tuner.worker.time", types.SimpleNamespace(monotonic=monotonic))
    worker.train(dataclasses.replace(TASK, epochs=1))
    now[0] += 7.0
    waited = worker.begin(dataclasses.replace(TASK, epochs=2)).wait_seconds
    assert waited == pytest.approx(7.0, abs=1e-3)
    now[0] += 1.0
    assert worker.advance().wait_seconds == waited


def test_new_trial_replaces_one_of_a_driver_that_has_gone(worker, through):
    worker.begin(dataclasses.replace(TASK, seed=8))
    assert worker.train(TASK).curve == through[0].curve


def test_stopped_trial_is_complete_and_can_be_continued(worker, through, tmp_path):
    path = str(tmp_path / "first.npz")
    worker.begin(dataclasses.replace(TASK, checkpoint=path))
    told = worker.stop()
    assert (told.status, told.curve) == (COMPLETED, {})
    worker._continuations._resident.clear()
    result = worker.train(dataclasses.replace(TASK, initial_epoch=1, parent=path))
    assert result.curve == _tail(through[0].curve, 1)


def test_trial_that_nothing_continues_leaves_no_file(worker, tmp_path):
    path = tmp_path / "last.npz"
    assert worker.train(dataclasses.replace(TASK, checkpoint=str(path), keep=False)).status == COMPLETED
    worker.flush()
    assert not path.exists()


def test_resident_network_is_promoted_without_its_file(worker, through, tmp_path):
    first = tmp_path / "first.npz"
    worker.train(dataclasses.replace(TASK, epochs=1, checkpoint=str(first)))
    worker.flush()
    first.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Network, "reset", lambda *_, **__: pytest.fail("begun anew"))
        result = worker.train(dataclasses.replace(TASK, initial_epoch=1, parent=str(first)))
    assert result.curve == _tail(through[0].curve, 1)


@pytest.mark.parametrize("other", [{"seed": 9}, {"epochs": 3}], ids=["seed", "later epoch"])
def test_resident_network_that_is_not_the_parent_s_is_not_promoted(other, worker, through, tmp_path):
    parent = str(tmp_path / "parent.npz")
    worker.train(dataclasses.replace(TASK, **{"epochs": 1, "checkpoint": parent, **other}))
    result = worker.train(dataclasses.replace(TASK, initial_epoch=1, parent=parent))
    assert result.curve == _tail(through[0].curve, 1)


def test_only_the_last_networks_stay(worker, tmp_path):
    paths = [str(tmp_path / f"{number}.npz") for number in range(RESIDENT_NETWORKS + 1)]
    for path in paths:
        worker.train(dataclasses.replace(TASK, epochs=1, checkpoint=path))
    assert list(worker._continuations._resident) == paths[1:]
    worker.flush()


def test_long_trial_is_saved_on_the_way(worker, through, tmp_path, monkeypatch):
    monkeypatch.setattr("tuner.worker.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    path = tmp_path / "own.npz"
    task = dataclasses.replace(TASK, checkpoint=str(path), keep=False)
    worker.begin(task)
    worker.advance()
    state = _state(worker, path)
    assert state.epoch == 2
    assert state.curve == {name: values[:2] for name, values in through[0].curve.items()}
    told = worker.begin(task)  # of a process that has been started again
    assert (told.status, told.curve) == (RUNNING, state.curve)
    assert worker.advance().curve == {name: [values[2]] for name, values in through[0].curve.items()}


def test_time_before_an_interruption_is_time_of_the_trial(worker, tmp_path, monkeypatch):
    clock = types.SimpleNamespace(passed=0.0)
    real = time.monotonic
    monkeypatch.setattr("tuner.worker.time", types.SimpleNamespace(monotonic=lambda: real() + clock.passed))
    monkeypatch.setattr("tuner.worker.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    task = dataclasses.replace(TASK, checkpoint=str(tmp_path / "own.npz"), seconds=10_000.0)
    worker.begin(task)
    worker._trial.began -= 3600.0  # the first epoch took an hour
    worker.advance()
    clock.passed += 86_400.0  # the machine was off
    assert 3600.0 < worker.begin(task).seconds < 4000.0
    worker._trial.began -= 7200.0
    assert worker.advance().status == TIMED_OUT


def test_child_that_was_interrupted_goes_on_from_its_own_state_where_its_parent_is_still_in_memory(
    worker, through, tmp_path, monkeypatch
):
    first, second = str(tmp_path / "first.npz"), str(tmp_path / "second.npz")
    worker.train(dataclasses.replace(TASK, epochs=1, checkpoint=first))
    child = dataclasses.replace(TASK, initial_epoch=1, parent=first, checkpoint=second)
    save_state(tmp_path / "second.npz", dataclasses.replace(through[1], curve=_tail(through[0].curve, 1), seconds=1.0))
    monkeypatch.setattr(Network, "train_epoch", lambda *_, **__: pytest.fail("trained again"))
    told = worker.begin(child)
    assert (told.status, told.curve) == (COMPLETED, _tail(through[0].curve, 1))
    assert first not in worker._continuations._resident  # its time has passed


def test_short_trial_is_not_saved_on_the_way(worker, tmp_path):
    path = tmp_path / "own.npz"
    worker.begin(dataclasses.replace(TASK, checkpoint=str(path)))
    worker.advance()
    worker.flush()
    assert not path.exists()


def test_trial_that_a_callback_ends_in_its_last_second_is_complete(worker, through, monkeypatch):
    class Stops(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            now = time.monotonic()
            monkeypatch.setattr("tuner.worker.time.monotonic", lambda: now + 3600.0)
            self.model.stop_training = True

    monkeypatch.setattr(worker, "space", dataclasses.replace(worker.space, callbacks=lambda: [Stops()]))
    result = worker.train(dataclasses.replace(TASK, seconds=1800.0))
    assert result.status == COMPLETED
    assert result.curve["loss"] == through[0].curve["loss"][:1]


def test_trial_over_its_time_is_given_up(worker, through):
    result = worker.train(dataclasses.replace(TASK, seconds=0.0))
    assert (result.status, result.message) == (TIMED_OUT, "It took longer than --trial-time-limit.")
    assert result.curve == {name: values[:1] for name, values in through[0].curve.items()}  # an epoch was trained
    assert worker.train(dataclasses.replace(TASK, seconds=3600.0)).curve == through[0].curve


def test_trial_that_is_given_up_within_an_epoch_keeps_those_before(worker, through, monkeypatch):
    train_epoch = Network.train_epoch

    def late(network, *arguments, **options):
        if network.epoch == 2:
            raise TrialTimeout
        return train_epoch(network, *arguments, **options)

    monkeypatch.setattr(Network, "train_epoch", late)
    result = worker.train(TASK)
    assert result.status == TIMED_OUT
    assert result.curve == {name: values[:2] for name, values in through[0].curve.items()}


def test_wait_for_its_turn_is_none_of_a_trial_s_time(worker, through, monkeypatch):
    clock = types.SimpleNamespace(waited=0.0)
    real = time.monotonic
    monkeypatch.setattr("tuner.worker.time", types.SimpleNamespace(monotonic=lambda: real() + clock.waited))
    worker.begin(dataclasses.replace(TASK, seconds=3600.0))
    told = []
    while not told or told[-1].status == RUNNING:
        clock.waited += 3600.0
        told.append(worker.advance())
    assert [progress.status for progress in told] == [RUNNING, RUNNING, COMPLETED]
    assert told[-1].seconds < 3600.0
    worker.begin(dataclasses.replace(TASK, seconds=3600.0))
    clock.waited += 3600.0
    assert worker.stop().seconds < 3600.0


def test_trial_that_ends_just_over_its_time_is_complete(worker, through):
    assert worker.train(dataclasses.replace(TASK, epochs=1, seconds=0.0)).curve["loss"] == through[0].curve["loss"][:1]


@pytest.mark.parametrize(
    ("error", "status", "phrase"),
    [
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nmore lines"), OUT_OF_MEMORY, "allocating"),
        (MemoryError(), OUT_OF_MEMORY, "no more memory"),
        (KeyError("odd"), FAILED, "KeyError: 'odd'"),
    ],
)
@pytest.mark.parametrize("epoch", [1, 2])
def test_error_in_training_ends_the_trial_and_not_the_worker(epoch, error, status, phrase, worker, through):
    train_epoch = Network.train_epoch

    def breaking(network, *arguments, **options):
        if network.epoch + 1 == epoch:
            raise error
        return train_epoch(network, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Network, "train_epoch", breaking)
        result = worker.train(TASK)
    assert result.status == status
    assert result.message.endswith(phrase)
    assert result.curve.get("epoch", []) == list(range(1, epoch))
    assert worker.train(TASK).curve == through[0].curve


def test_values_that_make_no_network_blame_the_space(worker):
    with pytest.raises(TunerError, match="The search space asks for a network that cannot be built"):
        worker.train(dataclasses.replace(TASK, hyperparameters={**VALUES, "width": 0}))


def test_checkpoint_that_cannot_be_written_ends_the_search(worker, tmp_path):
    (tmp_path / "file").touch()
    task = dataclasses.replace(TASK, epochs=1, checkpoint=str(tmp_path / "file" / "state.npz"))
    worker.train(task)
    with pytest.raises(TunerError, match="cannot be written"):
        worker.flush()


class _Written(keras.callbacks.Callback):
    """Writes down its epochs and stops after two."""

    heard: list

    def on_train_begin(self, logs=None):
        self.heard.append("begin")

    def on_epoch_end(self, epoch, logs=None):
        self.heard.append((epoch, sorted(logs)))
        self.model.stop_training = epoch == 1

    def on_train_end(self, logs=None):
        self.heard.append("end")


def _with(worker, callback):
    """Returns the worker's space with a callback."""
    return dataclasses.replace(worker.space, callbacks=lambda: [callback])


def test_callbacks_of_the_space_hear_the_trial_and_may_stop_it(worker, through, monkeypatch, tmp_path):
    callback = _Written()
    callback.heard = []
    monkeypatch.setattr(worker, "space", _with(worker, callback))
    result = worker.train(dataclasses.replace(TASK, checkpoint=str(tmp_path / "state.npz")))
    assert result.status == COMPLETED
    assert result.curve == {name: values[:2] for name, values in through[0].curve.items()}
    names = ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert callback.heard == ["begin", (0, names), (1, names), "end"]
    assert _state(worker, tmp_path / "state.npz").epoch == 2


@pytest.mark.parametrize("ended_by", ["callback", "oracle"])
def test_trial_that_was_ended_early_is_complete_when_its_end_was_not_heard(
    ended_by, worker, through, monkeypatch, tmp_path
):
    path, child = tmp_path / "state.npz", tmp_path / "child.npz"
    task = dataclasses.replace(TASK, epochs=3, checkpoint=str(path))
    if ended_by == "callback":
        callback = _Written()
        callback.heard = []
        monkeypatch.setattr(worker, "space", _with(worker, callback))
    result = worker.train(task, lambda epoch, metrics: epoch == 2)
    monkeypatch.undo()  # what stopped it would not do so again
    assert _state(worker, path).ended
    worker._continuations._resident.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Network, "train_epoch", lambda *_, **__: pytest.fail("trained on"))
        told = worker.begin(task)
    assert (told.status, told.curve) == (COMPLETED, result.curve)
    worker.flush()
    worker._continuations._resident.clear()
    promoted = dataclasses.replace(TASK, initial_epoch=3, parent=str(path), checkpoint=str(child))
    assert worker.train(promoted).curve == _tail(through[0].curve, 3)
    assert not _state(worker, child).ended


@pytest.mark.parametrize("event", ["on_train_begin", "on_epoch_begin", "on_train_batch_end", "on_epoch_end"])
def test_callback_that_fails_ends_the_trial_only(event, worker, through, monkeypatch):
    def fail(self, *arguments, **options):
        raise ValueError("my callback")

    monkeypatch.setattr(worker, "space", _with(worker, type("Failing", (keras.callbacks.Callback,), {event: fail})()))
    result = worker.train(TASK)
    assert (result.status, result.message.splitlines()[-1]) == (FAILED, "ValueError: my callback")
    assert f'File "{__file__}", line ' in result.message
    assert "/tuner/" not in result.message.replace(__file__, "")
    monkeypatch.undo()
    assert worker.train(TASK).curve == through[0].curve


def test_callback_that_leaves_the_program_ends_the_trial_only(worker, through, monkeypatch):
    def leave(self, *arguments, **options):
        sys.exit(5)

    monkeypatch.setattr(
        worker, "space", _with(worker, type("Leaving", (keras.callbacks.Callback,), {"on_epoch_end": leave})())
    )
    result = worker.train(TASK)
    assert (result.status, result.message.splitlines()[-1]) == (FAILED, "SystemExit: 5")
    monkeypatch.undo()
    assert worker.train(TASK).curve == through[0].curve


def test_callback_that_fails_at_the_end_ends_the_trial_only(worker, through, monkeypatch):
    def fail(self, *arguments, **options):
        raise ValueError("my callback")

    failing = type("Failing", (keras.callbacks.Callback,), {"on_train_end": fail})
    monkeypatch.setattr(worker, "space", _with(worker, failing()))
    result = worker.train(TASK)
    assert (result.status, result.message.splitlines()[-1]) == (FAILED, "ValueError: my callback")
    assert result.curve == through[0].curve
    monkeypatch.undo()
    assert worker.train(TASK).curve == through[0].curve


def test_mixed_precision_of_the_session_is_that_of_the_training(stripes, through):
    session = Session(data=DataSpec("digits"), space="tiny", max_epochs=4, batch_size=32, mixed_precision=True)
    result = Worker(session, stripes).train(TASK)
    losses, expected = result.curve["loss"], through[0].curve["loss"]
    assert losses != expected
    # bfloat16 has 8 bits: 0.4 % a number, averaged over thousands of them.
    np.testing.assert_allclose(losses, expected, rtol=0.05)
