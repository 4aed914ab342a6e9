"""Where the time of a training step goes, and what a search could not be faster than: its convolutions alone.

    python benchmarks/limit.py --dataset digits
    python benchmarks/limit.py --dataset tfds:fashion_mnist --images 10000

The first table is TensorFlow's profile of the default network's steps, by kind of operation. The second runs the
default Hyperband schedule of `small` in thought: each convolution of each trial's network, forward and both gradients,
is timed by itself at its size, and the sum over all steps is set beside the time of the steps themselves.
"""

from __future__ import annotations

import argparse
import collections
import functools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tuner.imports import import_tensorflow

import_tensorflow()

import keras_tuner  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow.tsl.profiler.protobuf import xplane_pb2  # noqa: E402

from tuner import command  # noqa: E402
from tuner.data import DataSpec  # noqa: E402
from tuner.declaration import active_values, declare  # noqa: E402
from tuner.hardware import has_fast_bfloat16  # noqa: E402
from tuner.messages import Session  # noqa: E402
from tuner.models import ModelConfig, cost  # noqa: E402
from tuner.models.plan import residual_blocks, stem_convolutions  # noqa: E402
from tuner.oracles import Hyperband  # noqa: E402
from tuner.worker import Worker  # noqa: E402

STEPS = 20
REPEATS = 3
ROWS = 14

Shape = tuple[int, int, int, int, int]  # side, channels in, channels out, kernel, stride


def main() -> int:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--images", type=command.positive)
    parser.add_argument("--float32", action="store_true")
    command.add_debug_flag(parser)
    arguments = parser.parse_args()
    return command.run(lambda: _run(arguments), debug=arguments.debug)


def _run(arguments: argparse.Namespace) -> None:
    data = DataSpec(arguments.dataset, images=arguments.images)
    mixed = has_fast_bfloat16(data.known_size) and not arguments.float32
    worker = Worker(Session(data=data, space="small", max_epochs=9, batch_size=64, mixed_precision=mixed, cores=1))
    values = declare(worker.space).values
    print(f"{arguments.dataset}, {'bfloat16' if mixed else 'float32'}, batch 64, one thread\n")
    _print_profile(worker, values)
    _print_limit(worker, tf.bfloat16 if mixed else tf.float32)


def _print_profile(worker: Worker, values: dict[str, Any]) -> None:
    network = worker.networks.network(worker.hypermodel, values)
    network.reset(worker.hypermodel.recipe(values), seed=0)
    network.train_epoch(worker.train_images, max_steps=4)
    steps = min(STEPS, worker.hypermodel.steps_per_epoch)
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            network.train_epoch(worker.train_images, max_steps=steps)
        seconds, counts = _by_operation(Path(folder))
    total = seconds["Process"]
    print(
        f"| operation | number a step | ms a step | share |\n|---|---:|---:|---:|\n"
        f"| all | {counts['Process'] / steps:.0f} | {1e3 * total / steps:.1f} | 100 % |"
    )
    names = [name for name in seconds if name[0] in "_ABCDEFGHIJKLMNOPQRSTUVWXYZ" and name not in _ENVELOPES]
    for name in sorted(names, key=seconds.__getitem__, reverse=True)[:ROWS]:
        share = 100 * seconds[name] / total
        print(f"| {name} | {counts[name] / steps:.0f} | {1e3 * seconds[name] / steps:.2f} | {share:.0f} % |")


# What the profile calls the whole of a step, in its several layers.
_ENVELOPES = {"Process", "EagerExecute", "EagerKernelExecute", "TFE_Py_ExecuteCancelable", "Run", "_train"}


def _by_operation(folder: Path) -> tuple[dict[str, float], dict[str, int]]:
    """Returns seconds and number of events by kind of operation, from TensorFlow's trace."""
    space = xplane_pb2.XSpace()
    space.ParseFromString(next(folder.rglob("*.xplane.pb")).read_bytes())
    seconds: dict[str, float] = collections.defaultdict(float)
    counts: dict[str, int] = collections.defaultdict(int)
    for plane in space.planes:
        for line in plane.lines if "CPU" in plane.name else ():
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name.rpartition(":")[2]
                seconds[name] += event.duration_ps / 1e12
                counts[name] += 1
    return seconds, counts


def _print_limit(worker: Worker, dtype: tf.DType) -> None:
    """Prints the time of the schedule's training steps, and of their convolutions alone."""
    model, steps = worker.hypermodel, worker.hypermodel.steps_per_epoch
    convolutions = measured = flops = 0.0
    for values, epochs in _schedule(worker):
        config = model.model_config(values)
        convolutions += epochs * steps * sum(_seconds_of(shape, dtype) for shape in _convolutions(config))
        flops += epochs * len(worker.train_images) * 6.0 * cost(config).macs  # forward and twice backward, 2 a MAC
        network = worker.networks.network(model, values)
        network.reset(model.recipe(values), seed=0)
        network.train_epoch(worker.train_images, max_steps=3)
        began, some = time.perf_counter(), min(STEPS, steps)
        network.train_epoch(worker.train_images, max_steps=some)
        measured += epochs * steps * (time.perf_counter() - began) / some
    print("\n| the Hyperband schedule of `small`, training steps only | |\n|---|---:|")
    print(f"| floating-point operations | {flops / 1e12:.2f} T |")
    print(f"| seconds of the steps | {measured:.1f} |")
    print(f"| seconds of their convolutions alone (the limit) | {convolutions:.1f} |")
    print(f"| rate of the convolutions | {flops / convolutions / 1e9:.0f} GFLOP/s |")
    print(f"| steps over limit | {measured / convolutions:.2f} |")


def _schedule(worker: Worker) -> Iterator[tuple[dict[str, Any], int]]:
    """Yields configurations and epochs like those of a search: random ones, as many to each rung."""
    hp = declare(worker.space)
    oracle = Hyperband(
        objective=keras_tuner.Objective("val_accuracy", "max"),
        hyperparameters=hp,
        max_epochs=9,
        max_trials=None,
        seed=0,
    )
    for number, rung in enumerate(oracle.schedule()):
        for trial in range(rung.trials):
            for entry in hp.space:
                hp.values[entry.name] = entry.random_sample(1000 * number + trial)
            yield active_values(hp), rung.epochs - rung.initial_epoch


def _convolutions(config: ModelConfig) -> Iterator[Shape]:
    """Yields every convolution of a network of the small stem."""
    side, channels = config.input_shape[0], config.input_shape[2]
    (stem,) = stem_convolutions(config).values()
    yield side, channels, stem.filters, stem.kernel, stem.stride
    channels = stem.filters
    for block in residual_blocks(config):
        inside, branch_channels = side, channels
        for convolution in block.branch:
            yield inside, branch_channels, convolution.filters, convolution.kernel, convolution.stride
            inside, branch_channels = -(-inside // convolution.stride), convolution.filters
        if block.projection:  # its pixels are dropped before it
            yield inside, channels, block.projection.filters, 1, 1
        side, channels = inside, branch_channels


@functools.cache
def _seconds_of(shape: Shape, dtype: tf.DType) -> float:
    """Returns the time of a convolution, its input gradient and its filter gradient, for 64 images."""
    side, inputs, outputs, kernel, stride = shape
    x = tf.cast(tf.random.normal((64, side, side, inputs)), dtype)
    w = tf.cast(tf.random.normal((kernel, kernel, inputs, outputs)), dtype)

    @functools.partial(tf.function, autograph=False)
    def step(x: tf.Tensor, w: tf.Tensor) -> tuple[tf.Tensor, ...]:
        y = tf.nn.conv2d(x, w, stride, "SAME")
        options = {"strides": [1, stride, stride, 1], "padding": "SAME"}
        into_x = tf.raw_ops.Conv2DBackpropInput(input_sizes=tf.shape(x), filter=w, out_backprop=y, **options)
        into_w = tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=tf.shape(w), out_backprop=y, **options)
        return y[:1, :1, :1], into_x[:1, :1, :1], into_w

    best = float("inf")
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        for _ in range(STEPS):
            results = step(x, w)
        tf.cast(results[0], tf.float32).numpy()
        best = min(best, (time.perf_counter() - began) / STEPS)
    return best


if __name__ == "__main__":
    command.leave(main())
