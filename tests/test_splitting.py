"""A batch that does not fit into memory is trained in parts: exactly, for as long as it is needed, and no longer."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from trainings import BATCH, RECIPE, STEPS, architecture, bits, epochs

from tuner.batches import Images
from tuner.checkpoint import load_state
from tuner.data import DataSpec
from tuner.messages import Session, Task
from tuner.models import ModelConfig
from tuner.models.noise import Noise, branch_scales, feature_scales, layer_seed
from tuner.program import Program
from tuner.recipe import Recipe, compile_model
from tuner.records import COMPLETED, OUT_OF_MEMORY
from tuner.runtime import configure_runtime
from tuner.splitting import Splits, part_bounds
from tuner.training import Network
from tuner.worker import Worker

VALUES = {"stages": 1, "blocks_1": 1, "width": 4, "se_ratio": 2, "learning_rate": 0.05}
TASK = Task(hyperparameters=VALUES, initial_epoch=0, epochs=3, seed=3)
REMARK = "Its batches are split in 2: 32 images at a time do not fit into the memory of the device."


class Device:
    """A device that runs out of memory where a step gets more images than it has room for.

    Attributes:
        room: Images that fit.
        failures: Steps that failed.
    """

    def __init__(self, room=BATCH):
        self.room, self.failures = room, 0

    def limited(self, program):
        """Returns a program with the device's memory."""
        for name, place in (("train", 4), ("accumulate", 5), ("evaluate", 4)):
            setattr(program, name, self._limited(getattr(program, name), place))
        return program

    def _limited(self, step, place):
        def limited(*arguments):
            if len(arguments[place]) > self.room:
                self.failures += 1
                raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")
            return step(*arguments)

        return limited


@pytest.fixture(scope="module", autouse=True)
def _runtime():
    configure_runtime()


@pytest.fixture(scope="module")
def programs():
    """A compiled program of each optimizer."""
    return {name: Program(architecture(name).structure) for name in ("sgd", "adam")}


def _split_network(program, *, parts=2, optimizer="sgd", recipe=RECIPE):
    """Returns a new network that splits from its first step on."""
    own, splits = architecture(optimizer), Splits()
    splits.remember(own, parts)
    network = Network(own, program, splits=splits)
    network.reset(recipe, seed=5)
    return network


@pytest.mark.parametrize(
    ("images", "parts", "bounds"),
    [
        (8, 1, [(0, 8)]),
        (8, 2, [(0, 4), (4, 8)]),
        (7, 2, [(0, 3), (3, 7)]),
        (3, 8, [(0, 1), (1, 2), (2, 3)]),
        (1, 2, [(0, 1)]),
    ],
)
def test_parts_are_even_and_none_is_empty(images, parts, bounds):
    assert part_bounds(images, parts) == bounds


@pytest.mark.parametrize(("optimizer", "parts"), [("sgd", 2), ("adam", 3)])
def test_split_step_is_an_accumulation_over_a_keras_model(optimizer, parts, programs, train, stripes):
    recipe = Recipe(optimizer, 0.01, 5.0, 0.1)
    network = _split_network(programs[optimizer], parts=parts, optimizer=optimizer, recipe=recipe)
    model = compile_model(network.to_keras(), recipe, total_steps=9 * STEPS)
    chosen = np.random.default_rng([5, 0]).permutation(len(stripes.train.labels))[:BATCH]
    images, labels = stripes.train.images[chosen].astype(np.float32), stripes.train.labels[chosen]
    before = [variable.numpy() for variable in model.non_trainable_variables]
    gradients, moved = [], []
    for begin, end in part_bounds(BATCH, parts):
        for variable, value in zip(model.non_trainable_variables, before, strict=True):
            variable.assign(value)
        with tf.GradientTape() as tape:
            loss = model.compute_loss(y=labels[begin:end], y_pred=model(images[begin:end], training=True))
        share = (end - begin) / BATCH
        found = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        gradients.append([share * gradient for gradient in found])
        moved.append([share * variable.numpy() for variable in model.non_trainable_variables])
    model.optimizer.apply([sum(each) for each in zip(*gradients, strict=True)], model.trainable_variables)
    for variable, each in zip(model.non_trainable_variables, zip(*moved, strict=True), strict=True):
        variable.assign(sum(each))

    network.train_epoch(train, max_steps=1)

    assert network.step == 1
    for ours, theirs in zip(network.to_keras().variables, model.variables, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-5, err_msg=ours.path)


def test_parts_with_the_same_images_are_as_the_whole_batch(programs, stripes):
    """Then batch normalisation sees the same; the rest differs by rounding."""
    half = BATCH // 2
    twice = Images(*(np.concatenate([array[:half]] * 2) for array in (stripes.train.images, stripes.train.labels)))
    whole, split = Network(architecture(), programs["sgd"]), _split_network(programs["sgd"])
    whole.reset(RECIPE, seed=5)
    batch, sums = next(iter(twice.batches(BATCH))), tf.zeros(3)
    for ours, theirs in zip(split._train_steps([batch], sums), whole._train_steps([batch], sums), strict=True):
        assert float(ours) == pytest.approx(float(theirs), rel=1e-5)
    for ours, theirs in zip(split.state().weights, whole.state().weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_parts_leave_out_what_the_whole_batch_leaves_out():
    config = ModelConfig(input_shape=(8, 8, 1), classes=3, blocks=(2, 2), stochastic_depth=0.5, dropout=0.5)
    noise = Noise(tf.constant([5, 1]), tf.constant(0.5), tf.constant(0.5))
    branches = branch_scales(config, noise, images=tf.constant(7))
    features = feature_scales(noise, tf.zeros((7, 4)))
    for begin, end in part_bounds(7, 3):
        part = noise._replace(place=tf.constant([begin, 7]))
        ours = branch_scales(config, part, images=tf.constant(end - begin))
        np.testing.assert_array_equal(ours, branches[:, begin:end])
        np.testing.assert_array_equal(feature_scales(part, tf.zeros((end - begin, 4))), features[begin:end])


def test_random_layers_of_a_keras_model_draw_anew_in_each_part():
    whole = Noise(tf.constant([5, 1]), tf.constant(0.5), tf.constant(0.5))
    parts = [whole._replace(place=tf.constant([begin, 7])) for begin, _ in part_bounds(7, 3)]
    seeds = {tuple(layer_seed(noise, place).numpy()) for noise in (whole, *parts) for place in (0, 1)}
    assert len(seeds) == 8


def test_step_that_fails_is_repeated_in_parts_and_loses_nothing(train):
    device = Device()
    program = device.limited(Program(architecture().structure))
    network = Network(architecture(), program)
    network.reset(RECIPE, seed=5)
    first, state = network.train_epoch(train), network.state()
    device.room = 20  # the second epoch begins with less memory: 32 images fit in two parts
    rest = epochs(network, train, 2)
    assert (device.failures, network.step) == (1, 3 * STEPS)
    assert network.remark == REMARK

    again = _split_network(program)
    again.restore(RECIPE, dataclasses.replace(state, parts=1))  # what is known of the split is the network's
    assert epochs(again, train, 2) == rest
    assert bits(again.state()) == bits(network.state())
    assert device.failures == 1
    assert first["loss"] > rest[-1]["loss"]


@pytest.mark.parametrize(("room", "parts", "failures"), [(32, 1, 0), (16, 2, 1), (15, 4, 2), (1, 32, 5)])
def test_batches_are_split_as_often_as_needed(room, parts, failures, train):
    device = Device(room)
    network = Network(architecture(), device.limited(Program(architecture().structure)))
    network.reset(RECIPE, seed=5)
    network.train_epoch(train, max_steps=1)
    assert (network.state().parts, device.failures, network.step) == (parts, failures, 1)


def test_batch_of_which_no_image_fits_fails_and_changes_nothing(train):
    network = Network(architecture(), Device(0).limited(Program(architecture().structure)))
    network.reset(RECIPE, seed=5)
    before = bits(network.state())
    with pytest.raises(tf.errors.ResourceExhaustedError):
        network.train_epoch(train)
    assert (bits(network.state()), network.step) == (before, 0)


def test_evaluation_that_does_not_fit_is_split(train):
    network = Network(architecture(), Program(architecture().structure))
    network.reset(RECIPE, seed=5)
    expected = network.evaluate(train)
    Device(10).limited(network.program)
    found = network.evaluate(train)
    assert found["accuracy"] == expected["accuracy"]
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-6)


def test_training_is_whole_where_a_validation_did_not_fit(train):
    """Another process may have held the device for a moment; the next training must not depend on it."""
    splits = Splits()
    network = Network(architecture(), Program(architecture().structure), splits=splits)
    network.reset(RECIPE, seed=5)
    Device(10).limited(network.program)
    network.evaluate(train)
    assert (splits.parts(architecture()), network.remark) == (1, "")


def test_what_fits_traces_no_parts(train):
    network = Network(architecture(), Program(architecture().structure))
    network.reset(RECIPE, seed=5)
    network.train_epoch(train)
    network.evaluate(train)
    traced = [getattr(network.program, name).experimental_get_tracing_count() for name in ("accumulate", "update")]
    assert (traced, network.remark) == ([0, 0], "")


@pytest.fixture
def small_device(monkeypatch):
    """A device with room for half of the worker's batches."""
    device = Device(16)
    monkeypatch.setattr("tuner.networks.Program", lambda structure: device.limited(Program(structure)))
    return device


def _worker(stripes):
    return Worker(Session(data=DataSpec("digits"), space="tiny", max_epochs=3, batch_size=32), stripes)


def test_trial_whose_batches_are_split_is_complete_and_says_so(small_device, stripes):
    worker = _worker(stripes)
    result = worker.train(TASK)
    assert (result.status, result.message) == (COMPLETED, REMARK)
    assert result.curve["epoch"] == [1, 2, 3]
    assert small_device.failures == 1
    assert worker.train(TASK).curve == result.curve
    assert small_device.failures == 1  # the worker remembers


def test_split_trial_goes_on_split_in_another_worker(small_device, stripes, tmp_path):
    path = tmp_path / "first.npz"
    worker = _worker(stripes)
    through = worker.train(TASK).curve
    worker.train(dataclasses.replace(TASK, epochs=1, checkpoint=str(path)))
    worker.flush()
    assert load_state(path).parts == 2
    small_device.room, small_device.failures = 32, 0  # the other one would have had the memory
    result = _worker(stripes).train(dataclasses.replace(TASK, initial_epoch=1, parent=str(path)))
    assert result.curve == {name: values[1:] for name, values in through.items()}
    assert (result.message, small_device.failures) == (REMARK, 0)


def test_trial_of_which_no_image_fits_is_out_of_memory(small_device, stripes):
    small_device.room = 0
    worker = _worker(stripes)
    result = worker.train(TASK)
    assert (result.status, result.curve) == (OUT_OF_MEMORY, {})
    assert result.message == "Its batches do not fit into the memory of the device: OOM when allocating"
