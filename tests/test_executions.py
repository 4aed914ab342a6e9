"""Several steps in one call of a program are the steps one after the other, bit for bit."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_splitting import Device
from trainings import BATCH, RECIPE, STEPS, architecture, bits, epochs

from tuner.batches import Images, StreamedImages
from tuner.callbacks import Callbacks
from tuner.config import STEPS_BETWEEN_CHECKS
from tuner.data import DataSpec
from tuner.executions import executions
from tuner.flags import MOST_STEPS_PER_EXECUTION
from tuner.messages import Session
from tuner.program import Program
from tuner.recipe import Recipe
from tuner.runtime import configure_runtime
from tuner.training import Network, TrialTimeout
from tuner.worker import Worker


@pytest.fixture(scope="module", autouse=True)
def _runtime():
    configure_runtime()


@pytest.fixture(scope="module")
def networks():
    """The same network with 1, 3 and 16 steps a call, on one program."""
    own = architecture("adam", blocks=(1,), dropout=0.3)
    program = Program(own.structure)
    return {steps: Network(own, program, steps_per_execution=steps) for steps in (1, 3, 16)}


def _reset(network, rate=0.01):
    network.reset(Recipe("adam", rate, 1e-3, 0.1, average_momentum=0.75), seed=5)
    return network


def _batch(images):
    return None, None, tf.zeros(images, tf.int32)


@pytest.mark.parametrize(
    ("sizes", "most", "calls"),
    [
        ([8] * 4, 1, [1] * 4),
        ([8] * 5, 2, [2, 2, 1]),
        ([8, 8, 8, 3], 4, [3, 1]),
        ([8] * 34, 16, [16, 16, 2]),
        ([8] * 20, 5, [5, 5, 5, 1, 4]),
        ([], 4, []),
    ],
)
def test_calls_have_one_size_and_end_where_the_loss_is_checked(sizes, most, calls):
    assert [len(taken) for taken in executions(map(_batch, sizes), most=most)] == calls


@pytest.mark.parametrize("steps", [3, 16])
def test_steps_in_one_call_are_those_of_several_calls_bit_for_bit(steps, networks, train):
    one, many = _reset(networks[1]), _reset(networks[steps])
    assert epochs(many, train, 3) == epochs(one, train, 3)
    assert bits(many.state()) == bits(one.state())
    assert many.step == 3 * STEPS


def test_measuring_steps_end_early(networks, train):
    network = _reset(networks[3])
    network.train_epoch(train, max_steps=2)
    assert network.step == 2


def test_callbacks_hear_the_last_step_of_each_call(networks, train):
    heard = []
    metrics = _reset(networks[3]).train_epoch(train, on_batch=lambda number, told: heard.append((number, told)))
    assert [number for number, _ in heard] == [2, 3]
    assert heard[-1][1] == metrics


def test_callbacks_of_keras_hear_it_too(networks, train):
    batches = []

    class Heard(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            batches.append(("begin", batch))

        def on_train_batch_end(self, batch, logs=None):
            batches.append(("end", batch))

    network = _reset(networks[16])
    callbacks = Callbacks(lambda: [Heard()], network, epochs=1, steps=STEPS, test_steps=1)
    callbacks.epoch_begin()
    network.train_epoch(train, on_batch=callbacks.on_batch)
    # three whole batches, and one of 24
    assert batches == [("begin", 0), ("end", STEPS - 2), ("begin", STEPS - 1), ("end", STEPS - 1)]


def _many(stripes):
    """20 batches: the loss is checked once on the way."""
    images, labels = (np.concatenate([array] * 6)[: 20 * BATCH] for array in vars(stripes.train).values())
    return Images(images, labels)


def test_deadline_is_looked_at_as_often(networks, stripes):
    network = _reset(networks[3])
    with pytest.raises(TrialTimeout):
        network.train_epoch(_many(stripes), deadline=0.0)
    assert network.step == STEPS_BETWEEN_CHECKS


def test_loss_that_is_not_finite_ends_the_epoch_at_the_same_step(networks, stripes):
    found = []
    for network in networks.values():
        metrics = _reset(network, rate=float("nan")).train_epoch(_many(stripes))
        found.append((math.isfinite(metrics["loss"]), metrics["accuracy"], network.step))
    assert found == [(False, found[0][1], STEPS_BETWEEN_CHECKS)] * 3


def test_call_that_runs_out_of_memory_is_repeated_step_by_step(train):
    """What fits stays whole: the last batch, of 24 images, would not have failed, so only one step fails."""
    device, found = Device(), []
    program = device.limited(Program(architecture().structure))
    many = program.train_many

    def limited(*arguments):
        if arguments[4].shape[1] > device.room:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM")
        return many(*arguments)

    program.train_many = limited
    for steps in (1, 3):
        network = Network(architecture(), program, steps_per_execution=steps)
        network.reset(RECIPE, seed=5)
        device.room, device.failures = BATCH, 0
        epochs(network, train, 1)
        device.room = 16
        found.append((epochs(network, train, 2), bits(network.state()), device.failures, network.remark))
    assert found[0] == found[1]
    assert found[0][2] == 1


def test_streamed_images_come_step_by_step(networks, train):
    class Streamed(StreamedImages):
        def __init__(self):
            pass

        def batches(self, size, *, shuffle=None):
            return train.batches(size, shuffle=shuffle)

    heard = []
    streamed, held = _reset(networks[3]), _reset(networks[1])
    metrics = streamed.train_epoch(Streamed(), on_batch=lambda number, told: heard.append(number))
    assert heard == list(range(STEPS))
    assert metrics == held.train_epoch(train)


@pytest.mark.parametrize(
    ("looped", "steps"),
    [
        ([9.0, 1.0, 1.0, 1.0], 1),  # a start of 8 seconds, and no step is faster
        ([9.0, 0.9, 0.5, 0.8], 1),  # 4 steps are an epoch, which saves half a second
        ([0.9, 0.9, 0.5, 0.8], STEPS_BETWEEN_CHECKS),  # a start of 0.4 seconds
        ([0.6, 0.9, 0.5, 0.8], STEPS_BETWEEN_CHECKS),
    ],
)
def test_loop_is_chosen_where_an_epoch_wins_its_start_back(looped, steps, stripes, monkeypatch):
    session = Session(data=DataSpec("digits"), space="tiny", max_epochs=3, batch_size=32, steps_per_execution=None)
    worker, taken = Worker(session, stripes), iter(looped)

    def seconds(network, images):
        return next(taken) if network._steps_per_execution > 1 else 1.0

    monkeypatch.setattr("tuner.networks._seconds", seconds)
    values = {"stages": 1, "blocks_1": 1, "width": 4}
    assert worker.networks.network(worker.hypermodel, values)._steps_per_execution == 1
    worker.measure(values)
    assert worker.networks.network(worker.hypermodel, values)._steps_per_execution == steps


def test_flag_allows_as_many_steps_as_there_are_between_checks():
    assert MOST_STEPS_PER_EXECUTION == STEPS_BETWEEN_CHECKS


def test_one_step_a_call_traces_no_loop(train):
    network = Network(architecture())
    network.reset(RECIPE, seed=5)
    network.train_epoch(train)
    assert network.program.train_many.experimental_get_tracing_count() == 0
