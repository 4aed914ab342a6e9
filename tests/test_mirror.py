"""Two devices that share each batch train what one device trains in two parts.

Seen on two logical CPU devices only, in a process of their own: a process decides on its devices once.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from trainings import RECIPE, architecture, bits, epochs

from tuner.mirror import Mirror, strategy_for
from tuner.runtime import configure_runtime
from tuner.training import Network

ROOT = Path(__file__).parents[1]

_TRAIN = """
import json, sys
sys.path[:0] = ["tests"]
import numpy as np
import tensorflow as tf

processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)

from test_splitting import TASK
from trainings import RECIPE, architecture, epochs
import tuner.mirror
from tuner.batches import Images
from tuner.data import Dataset, DataSpec, Split
from tuner.messages import Session
from tuner.mirror import Mirror, MirroredSteps
from tuner.runtime import configure_runtime
from tuner.training import Network
from tuner.worker import Worker

configure_runtime()
data = np.load(sys.argv[1])
images = Images(data["images"], data["labels"])
found = {"mirrored": 0}
train = MirroredSteps.train


def counted(*arguments):
    found["mirrored"] += 1
    return train(*arguments)


MirroredSteps.train = counted
alone, program = Mirror(2), None
alone.strategy = None
for name, mirror in (("two", Mirror(2)), ("one", alone)):
    network = Network(architecture(dropout=0.3), program, mirror=mirror)
    program = network.program
    network.reset(RECIPE, seed=5)
    metrics = epochs(network, images, 2)
    state = network.state()
    found[name] = [metrics, network.evaluate(images), [array.tobytes().hex() for array in state.weights]]
    found[name] += [[array.tobytes().hex() for array in state.optimizer], network.remark, state.parts]

small, calls = Network(architecture(), mirror=Mirror(2)), []
small.reset(RECIPE, seed=5)
accumulate = small._steps._mirrored._accumulate


def failing_once(*arguments):
    calls.append(1)
    if len(calls) == 1:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM")
    return accumulate(*arguments)


small._steps._mirrored._accumulate = failing_once
found["small"] = [small.train_epoch(images, max_steps=2)["loss"], small.state().parts, small.remark, len(calls)]
found["mirrored in all"] = found["mirrored"]

split = Split(data["images"], data["labels"])
stripes = Dataset(name="stripes", labels=("rows", "columns", "none"), train=split, validation=split)
session = Session(data=DataSpec("digits"), space="tiny", max_epochs=3, batch_size=32, replicas=2)
for name in ("worker of two", "worker of one"):
    result = Worker(session, stripes).train(TASK)
    found[name] = [result.status, result.message, result.curve, found["mirrored"]]
    tuner.mirror.strategy_for = lambda replicas: None
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(stripes, tmp_path_factory):
    """What both trainings gave: of 97 images in batches of 32, so that the last batch has one."""
    path = tmp_path_factory.mktemp("mirror") / "data.npz"
    np.savez(path, images=stripes.train.images[:97], labels=stripes.train.labels[:97])
    run = subprocess.run(
        [sys.executable, "-c", _TRAIN, str(path)], text=True, cwd=ROOT, capture_output=True, check=True
    )
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.slow
def test_two_devices_train_as_one_in_two_parts_bit_for_bit(found):
    assert found["two"] == found["one"]
    assert found["two"][-2:] == ["", 2]  # what was asked for needs no remark


@pytest.mark.slow
def test_worker_trains_on_both_devices_what_it_trains_on_one(found):
    *two, mirrored = found["worker of two"]
    *one, still = found["worker of one"]
    assert two == one
    assert two[:2] == ["completed", ""]
    assert mirrored == still == found["mirrored in all"] + 3 * 3  # epochs, and batches of more than one image


@pytest.mark.slow
def test_batch_of_one_image_is_not_shared(found):
    assert found["mirrored in all"] == 2 * 3 + 2 + 1  # three of the four batches; below, two steps and one that failed


@pytest.mark.slow
def test_share_that_does_not_fit_is_split_again(found):
    loss, parts, remark, calls = found["small"]
    assert np.isfinite(loss)
    assert (parts, calls) == (4, 1 + 2 * 2)
    assert remark.startswith("Its batches are split in 4: ")


def test_machine_with_fewer_devices_trains_the_parts_one_after_the_other(train):
    configure_runtime()
    assert strategy_for(2) is None
    network, states = Network(architecture(), mirror=Mirror(2)), []
    for _ in range(2):
        network.reset(RECIPE, seed=5)
        epochs(network, train, 1)
        states.append(bits(network.state()))
    assert states[0] == states[1]
    assert network.state().parts == 2
    assert network.program.train.experimental_get_tracing_count() == 0


def test_one_device_is_no_mirror():
    assert Mirror().strategy is None
