"""Training is exact: in pieces as in one, after another configuration as in a fresh network, and as Keras does it."""

import dataclasses
import functools
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from trainings import (
    BATCH,
    RECIPE,
    STEPS,
    STRICT,
    architecture,
    assert_goes_on_exactly,
    assert_trains_as_keras,
    bits,
    epochs,
)

from tuner.batches import images_of
from tuner.checkpoint import load_state, save_state
from tuner.data.split import Split
from tuner.errors import TunerError
from tuner.recipe import Recipe, compile_model
from tuner.runtime import configure_runtime
from tuner.training import Network, TrialTimeout

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", autouse=True)
def _runtime():
    configure_runtime()


@pytest.mark.parametrize(
    ("shape", "cores", "threads", "expected"),
    [
        (None, 4, None, 1),
        ((8, 8, 1), 4, None, 1),
        ((23, 25, 3), 4, None, 1),
        ((24, 24, 3), 4, None, 4),
        ((224, 224, 3), 1, None, 1),
        ((224, 224, 3), 64, None, 8),
        ((8, 8, 1), 4, 2, 2),
        ((224, 224, 3), 4, 1, 1),
    ],
)
def test_large_images_get_all_cores_for_each_operation(monkeypatch, shape, cores, threads, expected):
    given = {}
    for kind in ("intra", "inter"):
        monkeypatch.setattr(
            tf.config.threading, f"set_{kind}_op_parallelism_threads", functools.partial(given.__setitem__, kind)
        )
    configure_runtime(shape, cores=cores, threads=threads)
    assert given == {"intra": expected, "inter": cores}


@pytest.fixture(scope="module")
def networks():
    """One compiled network of each optimizer, as a worker keeps them."""
    return {name: Network(architecture(name)) for name in ("sgd", "adam")}


class _Interrupting:
    """A program that is interrupted in its first training step, as TensorFlow is while it traces one."""

    def __init__(self, program):
        self.evaluate = program.evaluate
        self._train, self._pressed = program.train, False

    def train(self, *args):
        if not self._pressed:
            self._pressed = True
            signal.raise_signal(signal.SIGINT)
        return self._train(*args)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_three_and_six_epochs_equal_nine_bit_for_bit(optimizer, networks, train):
    recipe, other = Recipe(optimizer, 0.01, 1e-3, 0.1, average_momentum=0.9), Recipe(optimizer, 0.5, 0.0, 0.0)
    through = assert_goes_on_exactly(networks[optimizer], train, recipe, other=other, first=3, later=6)
    assert through[-1]["accuracy"] > 0.6  # it has learnt something: chance is 0.33


_CONTINUE = """
import pathlib, sys
sys.path[:0] = ["tests"]
import numpy as np, keras
from trainings import RECIPE, architecture, epochs
from tuner.batches import Images
from tuner.checkpoint import load_state, save_state
from tuner.runtime import configure_runtime
from tuner.training import Network

configure_runtime()
keras.layers.Dense(3)(np.zeros((1, 2)))  # another process has another history of names and random numbers
data = np.load(sys.argv[1])
network = Network(architecture())
network.restore(RECIPE, load_state(pathlib.Path(sys.argv[2])))
print(repr(epochs(network, Images(data["images"], data["labels"]), 6)))
save_state(pathlib.Path(sys.argv[3]), network.state())
"""


@pytest.mark.slow
def test_fresh_process_goes_on_from_a_file_bit_for_bit(networks, train, stripes, tmp_path):
    np.savez(tmp_path / "data.npz", images=stripes.train.images, labels=stripes.train.labels)
    network = networks["sgd"]
    network.reset(RECIPE, seed=5)
    epochs(network, train, 3)
    save_state(tmp_path / "three.npz", network.state())
    expected = epochs(network, train, 6)

    files = [str(tmp_path / name) for name in ("data.npz", "three.npz", "nine.npz")]
    out = subprocess.check_output([sys.executable, "-c", _CONTINUE, *files], text=True, cwd=ROOT)

    assert out.splitlines()[-1] == repr(expected)
    assert bits(load_state(tmp_path / "nine.npz")) == bits(network.state())


def test_reset_gives_the_weights_of_a_fresh_network(networks, train):
    used, fresh = networks["sgd"], Network(architecture())
    used.reset(Recipe("sgd", 0.5, 0.1, 0.3), seed=1)
    epochs(used, train, 2)
    used.reset(RECIPE, seed=7)
    fresh.reset(RECIPE, seed=7)
    assert bits(used.state()) == bits(fresh.state())
    assert epochs(used, train, 2) == epochs(fresh, train, 2)
    assert bits(used.state()) == bits(fresh.state())


def test_seed_decides_the_weights_and_the_order(networks, train):
    network = networks["sgd"]
    states, metrics = [], []
    for seed in (0, 1, 0):
        network.reset(RECIPE, seed=seed)
        states.append(bits(network.state())[2])
        metrics.append(network.train_epoch(train))
    assert states[0] == states[2] != states[1]
    assert metrics[0] == metrics[2] != metrics[1]


def test_fresh_weights_have_the_scale_of_their_initializers(networks):
    network = networks["sgd"]
    network.reset(RECIPE, seed=3)
    kernels = [np.array(variable) for variable in network.to_keras().variables if "kernel" in variable.path]
    assert len(kernels) == 1 + 2 + 2 + 1  # the stem, the block, its gate, the classifier
    assert all(kernel.std() > 0.05 for kernel in kernels)
    assert len({kernel.ravel()[0] for kernel in kernels}) == len(kernels)


@pytest.mark.parametrize(
    ("optimizer", "changes"),
    [
        ("sgd", {}),
        ("adam", {}),
        pytest.param("sgd", {"se_ratio": 0, "blocks": (1, 2), "norm_momentum": 0.9}, marks=pytest.mark.slow),
        pytest.param("sgd", {"block": "bottleneck", "blocks": (1, 1)}, marks=pytest.mark.slow),
        pytest.param(
            "sgd",
            {"block": "bottleneck", "cardinality": 2, "se_position": "identity", "squeeze": "max"},
            marks=pytest.mark.slow,
        ),
        pytest.param("adam", {"stem": "imagenet", "mean": None, "variance": None}, marks=pytest.mark.slow),
    ],
)
def test_metrics_and_weights_are_those_of_keras(optimizer, changes, networks, train, validation, stripes):
    recipe = Recipe(optimizer, **STRICT)
    network = Network(architecture(optimizer, **changes)) if changes else networks[optimizer]
    network.reset(recipe, seed=5)
    keras_model = compile_model(network.to_keras(), recipe, total_steps=9 * STEPS)
    assert_trains_as_keras(network, keras_model, stripes, train=train, validation=validation)


@pytest.mark.parametrize("steps", [1, 16])
def test_balanced_accuracy_is_that_of_keras_and_changes_nothing_else(steps, networks, train, validation, stripes):
    recipe, plain = Recipe("sgd", **STRICT), networks["sgd"]
    balanced = Network(dataclasses.replace(plain.architecture, balances=True), steps_per_execution=steps)
    for network in (plain, balanced):
        network.reset(recipe, seed=5)
    keras_model = compile_model(balanced.to_keras(), recipe, total_steps=9 * STEPS, balances=True)
    assert_trains_as_keras(balanced, keras_model, stripes, train=train, validation=validation)
    epochs(plain, train, 2)
    assert bits(balanced.state()) == bits(plain.state())
    assert plain.evaluate(validation).items() <= balanced.evaluate(validation).items()


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_class_weights_are_those_of_keras(optimizer, train, validation, stripes):
    recipe, weights = Recipe(optimizer, **STRICT), (0.25, 0.5, 2.25)
    network = Network(dataclasses.replace(architecture(optimizer), class_weights=weights))
    network.reset(recipe, seed=5)
    keras_model = compile_model(network.to_keras(), recipe, total_steps=9 * STEPS)
    assert_trains_as_keras(network, keras_model, stripes, train=train, validation=validation, class_weights=weights)


def test_other_class_weights_are_trained_by_the_same_program_and_ones_change_nothing(networks, train):
    plain = networks["sgd"]
    weighed = {w: dataclasses.replace(plain.architecture, class_weights=w) for w in [(1.0, 1.0, 1.0), (2.0, 0.5, 0.5)]}
    ones, others = weighed.values()
    assert ones.structure == others.structure != plain.architecture.structure
    program, ends = Network(ones).program, []
    for network in (plain, Network(ones, program), Network(others, program)):
        network.reset(RECIPE, seed=5)
        ends.append((epochs(network, train, 2), bits(network.state())))
    assert ends[0] == ends[1] != ends[2]


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_that_are_there(networks, train, stripes):
    network = Network(dataclasses.replace(networks["sgd"].architecture, balances=True))
    network.reset(RECIPE, seed=5)
    epochs(network, train, 1)
    images, labels = stripes.validation.images, stripes.validation.labels
    few = np.flatnonzero(labels == 0)[:3]
    chosen = np.sort(np.concatenate([few, np.flatnonzero(labels == 1)]))  # none of class 2
    predicted = network.predict(images[chosen]).argmax(axis=1)
    found = network.evaluate(images_of(Split(images[chosen], labels[chosen])))
    recalls = [np.mean(predicted[labels[chosen] == label] == label) for label in (0, 1)]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert found["accuracy"] == pytest.approx(np.mean(predicted == labels[chosen]))


def test_prediction_is_that_of_the_exported_model(networks, train, stripes):
    network = networks["sgd"]
    network.reset(RECIPE, seed=2)
    epochs(network, train, 1)
    expected = network.to_keras().predict(stripes.validation.images.astype(np.float32), verbose=0)
    np.testing.assert_allclose(network.predict(stripes.validation.images), expected, atol=1e-5)


def test_average_is_that_of_the_weights_after_each_step(networks, train):
    network = networks["sgd"]
    network.reset(RECIPE, seed=5)
    weights, averages = [], []
    for _ in range(4):
        network.train_epoch(train, max_steps=1)
        state = network.state()
        weights.append(state.weights[0])
        averages.append(state.weights[2])
    # It begins with the weights after the first step, not with the random ones before.
    assert averages[0].tobytes() == weights[0].tobytes()
    expected = weights[0]
    for ours, new in zip(averages[1:], weights[1:], strict=True):
        expected = 0.75 * expected + 0.25 * new
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-7)
    assert np.abs(averages[-1] - weights[-1]).max() > 1e-3


def test_state_without_an_average_is_refused(networks):
    network = networks["sgd"]
    network.reset(RECIPE, seed=5)
    state = network.state()
    with pytest.raises(TunerError, match="begin a new study"):
        network.restore(RECIPE, dataclasses.replace(state, weights=state.weights[:2]))


def test_without_averaging_the_weights_themselves_are_scored(networks, train, validation):
    network = networks["sgd"]
    scores = {}
    for momentum in (0.0, 0.75):
        network.reset(Recipe("sgd", 0.1, average_momentum=momentum), seed=5)
        epochs(network, train, 2)
        scores[momentum], state = network.evaluate(validation), network.state()
        assert (state.weights[0].tobytes() == state.weights[2].tobytes()) == (momentum == 0.0)
    assert scores[0.0] != scores[0.75]


def test_averaging_changes_nothing_of_the_training(networks, train):
    network, trained = networks["sgd"], []
    for momentum in (0.0, 0.75):
        network.reset(Recipe("sgd", 0.1, average_momentum=momentum), seed=5)
        trained.append((epochs(network, train, 2), [array.tobytes() for array in network.state().weights[:2]]))
    assert trained[0] == trained[1]


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), 1e30])
def test_wild_learning_rate_shows_in_the_loss(rate, networks, train):
    network = networks["sgd"]
    network.reset(Recipe("sgd", rate), seed=1)
    assert not np.isfinite(network.train_epoch(train)["loss"])
    network.reset(RECIPE, seed=1)  # and is gone with the next trial
    assert np.isfinite(network.train_epoch(train)["loss"])


def test_measuring_steps_end_early(networks, train):
    network = networks["sgd"]
    network.reset(RECIPE, seed=1)
    network.train_epoch(train, max_steps=2)
    assert network.step == 2


def test_another_width_of_a_structure_is_trained_by_the_same_program(networks, train, validation):
    wide = Network(architecture(width=8, se_ratio=4), networks["sgd"].program)
    alone = Network(architecture(width=8, se_ratio=4))
    for network in (wide, alone):
        network.reset(RECIPE, seed=5)
    assert epochs(wide, train, 2) == epochs(alone, train, 2)
    assert wide.evaluate(validation) == alone.evaluate(validation)


NOISY = {"stochastic_depth": 0.5, "dropout": 0.3, "blocks": (2,)}


@pytest.fixture(scope="module")
def noisy():
    """A compiled network that leaves branches and features out."""
    return Network(architecture(**NOISY))


def test_noise_goes_on_bit_for_bit(noisy, train):
    assert_goes_on_exactly(noisy, train, RECIPE, other=Recipe("sgd", 0.5))


def test_seed_decides_the_noise(noisy, train):
    """The weights and the order are set back after the reset, so that nothing but the noise differs."""
    losses = []
    for seed in (2**31 - 1, 2**31 - 2, 2**31 - 1):  # float32 cannot tell these apart
        noisy.reset(RECIPE, seed=0)
        noisy.seed = seed
        batch = next(iter(train.batches(BATCH)))
        losses.append(float(noisy._train_steps([batch], np.zeros(3, np.float32))[0]))
    assert losses[0] == losses[2] != losses[1]


def test_step_decides_the_noise(noisy, train):
    losses = []
    for step in (0, 1, 0):
        noisy.reset(RECIPE, seed=0)
        noisy.step = step
        batch = next(iter(train.batches(BATCH)))
        losses.append(float(noisy._train_steps([batch], np.zeros(3, np.float32))[0]))
    assert losses[0] == losses[2] != losses[1]


def test_evaluation_leaves_nothing_out(noisy, validation):
    noisy.reset(RECIPE, seed=5)
    plain = Network(architecture(blocks=(2,)))
    plain.reset(RECIPE, seed=5)
    assert noisy.evaluate(validation) == plain.evaluate(validation)


def test_other_chances_are_trained_by_the_same_program(noisy, train):
    traced = noisy.program.train.experimental_get_tracing_count()
    other = architecture(**NOISY | {"stochastic_depth": 0.1, "dropout": 0.6})
    assert other.structure == noisy.architecture.structure
    network, alone = Network(other, noisy.program), Network(other)
    metrics = []
    for trained in (noisy, network, alone):
        trained.reset(RECIPE, seed=5)
        metrics.append(trained.train_epoch(train))
    assert metrics[0] != metrics[1] == metrics[2]
    assert noisy.program.train.experimental_get_tracing_count() == max(1, traced)


def test_other_groups_are_trained_by_the_same_program(train):
    grouped = {"block": "bottleneck", "cardinality": 2, "width": 4}
    first = architecture(**grouped)
    other = architecture(**grouped | {"cardinality": 4, "group_width": 2, "se_ratio": 3})
    assert other.structure == first.structure != architecture(**grouped | {"cardinality": 1}).structure
    program = Network(first).program
    network, alone = Network(other, program), Network(other)
    for trained in (network, alone):
        trained.reset(RECIPE, seed=5)
    assert epochs(network, train, 2) == epochs(alone, train, 2)


@pytest.mark.parametrize(
    "knob",
    [
        {"se_position": "pre"},
        {"squeeze": "max"},
        {"excitation": "relu"},
        {"stem": "deep"},
        {"se_stages": ()},
        {"dropout": 0.1},
        {"stochastic_depth": 0.1},
    ],
)
def test_what_changes_the_graph_is_another_structure(knob):
    assert architecture(**knob).structure != architecture().structure


@pytest.fixture(scope="module")
def mixed():
    """A compiled network that trains with bfloat16 feature maps."""
    return Network(architecture(mixed_precision=True))


def test_mixed_precision_trains_to_nearly_the_same_loss(mixed, networks, train, validation):
    losses = []
    for network in (networks["sgd"], mixed):
        network.reset(RECIPE, seed=5)
        trained = epochs(network, train, 9)
        losses.append([metrics["loss"] for metrics in trained] + [network.evaluate(validation)["loss"]])
        assert trained[-1]["accuracy"] > 0.6
    full, half = losses
    assert full != half
    # bfloat16 rounds by up to 0.4 %, and errors of steps add up.
    np.testing.assert_allclose(half, full, rtol=0.05)


def test_mixed_precision_keeps_weights_and_statistics_in_single_precision(mixed, train):
    mixed.reset(RECIPE, seed=5)
    epochs(mixed, train, 1)
    state = mixed.state()
    assert {array.dtype for array in [*state.weights, state.optimizer[0]]} == {np.dtype(np.float32)}
    # Rounded to bfloat16 they would have 16 zero bits at the end.
    assert (state.weights[0].view(np.uint32) & 0xFFFF).any()
    assert (state.weights[1].view(np.uint32) & 0xFFFF).any()


def test_mixed_precision_predicts_in_single_precision_what_the_export_does(mixed, train, stripes):
    mixed.reset(RECIPE, seed=2)
    epochs(mixed, train, 3)
    images = stripes.validation.images
    model = mixed.to_keras()
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    np.testing.assert_allclose(mixed.predict(images), model.predict(images.astype(np.float32), verbose=0), atol=1e-5)


def test_mixed_precision_goes_on_bit_for_bit(mixed, train):
    mixed.reset(RECIPE, seed=5)
    through = epochs(mixed, train, 3)
    mixed.reset(RECIPE, seed=5)
    pieces = epochs(mixed, train, 1)
    state = mixed.state()
    mixed.reset(Recipe("sgd", 0.5), seed=1)
    mixed.restore(RECIPE, state)
    assert pieces + epochs(mixed, train, 2) == through


def test_state_of_a_moment_stays_whatever_follows(networks, train):
    network = networks["sgd"]
    network.reset(RECIPE, seed=5)
    epochs(network, train, 1)
    now, later = bits(network.state()), network.frozen()
    epochs(network, train, 1)
    assert bits(later()) == now != bits(network.state())


def test_deadline_that_has_passed_gives_the_epoch_up(networks, train, monkeypatch):
    network = networks["sgd"]
    network.reset(RECIPE, seed=5)
    monkeypatch.setattr("tuner.training.STEPS_BETWEEN_CHECKS", 1)
    with pytest.raises(TrialTimeout):
        network.train_epoch(train, deadline=0.0)
    assert (network.step, network.epoch) == (1, 0)


def test_ctrl_c_waits_for_the_end_of_a_step(networks, train):
    network = Network(architecture(), _Interrupting(networks["sgd"].program))
    network.reset(RECIPE, seed=0)
    with pytest.raises(KeyboardInterrupt):
        network.train_epoch(train)
    assert network.step == 1


def test_loss_that_is_not_finite_ends_the_epoch_early(networks, train, monkeypatch):
    network = networks["sgd"]
    network.reset(Recipe("sgd", float("nan")), seed=1)
    monkeypatch.setattr("tuner.training.STEPS_BETWEEN_CHECKS", 1)
    assert not np.isfinite(network.train_epoch(train)["loss"])
    assert network.step == 2  # the first loss was that of the fresh weights


def test_every_step_can_be_listened_to(networks, train):
    network, heard = networks["sgd"], []
    network.reset(RECIPE, seed=5)
    metrics = network.train_epoch(train, on_batch=lambda number, told: heard.append((number, told)))
    assert [number for number, _ in heard] == list(range(STEPS))
    assert heard[-1][1] == metrics
    network.reset(RECIPE, seed=5)
    assert network.train_epoch(train) == metrics


def test_moving_statistics_are_those_of_the_batches_by_the_momentum(networks, train):
    network = networks["sgd"]
    network.reset(RECIPE, seed=5)
    before = network.state().weights[1]
    network.train_epoch(train, max_steps=1)
    once = network.state().weights[1]
    other = Network(architecture(norm_momentum=0.8))
    other.reset(RECIPE, seed=5)
    other.train_epoch(train, max_steps=1)
    batch = (once - before * 0.3) / 0.7
    np.testing.assert_allclose(other.state().weights[1], before * 0.8 + batch * 0.2, rtol=1e-4, atol=1e-5)


_THREADS = """
import tensorflow as tf
from tuner.runtime import configure_runtime

configure_runtime(cores=3)
print(tf.config.threading.get_intra_op_parallelism_threads(), tf.config.threading.get_inter_op_parallelism_threads())
tf.zeros(1) + 1
configure_runtime(cores=2)
"""


@pytest.mark.slow
def test_operation_has_one_thread_and_a_process_its_cores():
    out = subprocess.check_output([sys.executable, "-c", _THREADS], text=True, cwd=ROOT)
    assert out.splitlines()[-1] == "1 3"


def test_xla_compiles_a_network_of_known_sizes():
    narrow, wide = (dataclasses.replace(architecture(width=width), jit=True) for width in (4, 8))
    assert narrow.structure != wide.structure
    assert narrow.structure.config == narrow.config
    assert architecture(width=4).structure == architecture(width=8).structure != narrow.structure


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 3])
def test_xla_computes_the_same(steps, networks, train, validation):
    compiled = Network(dataclasses.replace(architecture(), jit=True), steps_per_execution=steps)
    found = []
    for network in (networks["sgd"], compiled):
        network.reset(RECIPE, seed=5)
        metrics = [*epochs(network, train, 1), network.evaluate(validation)]
        found.append(([value for each in metrics for value in each.values()], network.state().weights))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-3)
    for ours, theirs in zip(found[1][1], found[0][1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-2, atol=1e-3)  # other sums of single precision, four steps


@pytest.mark.slow
def test_noise_under_xla_follows_from_the_seed(train):
    """Its numbers are others than without XLA."""
    network, states = Network(dataclasses.replace(architecture(**NOISY), jit=True)), []
    for seed in (5, 6, 5):
        network.reset(RECIPE, seed=5)
        network.seed = seed
        network._train_steps([next(iter(train.batches(BATCH)))], np.zeros(3, np.float32))
        states.append(bits(network.state())[2])
    assert states[0] == states[2] != states[1]
