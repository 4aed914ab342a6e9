"""How long a network takes on this machine: measured once for an architecture, then read from a file.

A latency belongs to an architecture and a machine, not to a study, so the file lies in the user's cache folder and all
searches share it. It is SQLite, because several processes may measure at the same time. Nothing is lost with it but the
time to measure again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import json
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tuner.hardware import available_cores, num_gpus, processor_name
from tuner.models import AnyConfig
from tuner.models.kinds import initial_weights, pass_of
from tuner.runtime import configure_runtime

__all__ = ["latency_file", "latency_ms", "measure"]

# The first call traces, the next ones allocate; a call that counts does neither.
WARM_UP_CALLS = 3
FEWEST_CALLS = 3
SECONDS = 0.5

# What changes no operation of the pass: values that it multiplies with, and what only training does.
_WITHOUT_EFFECT = ("norm_momentum", "norm_epsilon", "mean", "variance", "stochastic_depth", "dropout")

_TABLE = """
CREATE TABLE IF NOT EXISTS latency (
    architecture TEXT, batch INTEGER, machine TEXT, milliseconds REAL, PRIMARY KEY (architecture, batch, machine)
)
"""
_QUERY = "SELECT milliseconds FROM latency WHERE architecture = ? AND batch = ? AND machine = ?"
_BUSY_SECONDS = 10.0


def latency_ms(config: AnyConfig, *, batch: int = 1) -> float:
    """Returns how long a batch of images takes, from the file, where it is measured first if need be.

    Args:
        config: The network.
        batch: Images at a time, >= 1.

    Returns:
        Milliseconds of `measure` on this machine. A file that cannot be read or written is no error: what it lacks is
        measured, every time that it is asked for.

    Raises:
        ValueError: If `batch` is less than 1.
    """
    _require_batch(batch)
    configure_runtime()
    key = _architecture(config), batch, _machine()
    with contextlib.suppress(OSError, sqlite3.Error), _opened() as table:
        row = table.execute(_QUERY, key).fetchone()
        if row is not None:
            return float(row[0])
    milliseconds = measure(config, batch=batch)
    with contextlib.suppress(OSError, sqlite3.Error), _opened() as table:
        # What another search has measured meanwhile counts: it has decided by that.
        table.execute("INSERT OR IGNORE INTO latency VALUES (?, ?, ?, ?)", (*key, milliseconds))
        return float(table.execute(_QUERY, key).fetchone()[0])
    return milliseconds


def measure(config: AnyConfig, *, batch: int = 1) -> float:
    """Measures how long the compiled network takes from raw images to class probabilities.

    The pass is that of evaluation: float32, the threads that the process has settled on (`runtime.configure_runtime`;
    one for an operation where it has not), images in the memory of the device. It is called for half a second, three
    times at least, and the fastest call counts: whatever else the machine does can only make a call slower.

    Args:
        config: The network.
        batch: Images at a time, >= 1.

    Returns:
        Milliseconds for the batch.

    Raises:
        ValueError: If `batch` is less than 1.
    """
    _require_batch(batch)
    configure_runtime()
    classify = _compiled(config, batch)
    for _ in range(WARM_UP_CALLS):
        classify()
    seconds: list[float] = []
    while len(seconds) < FEWEST_CALLS or sum(seconds) < SECONDS:
        began = time.perf_counter()
        classify()
        seconds.append(time.perf_counter() - began)
    del classify
    gc.collect()  # a graph is full of circles
    return min(seconds) * 1000.0


def latency_file() -> Path:
    """Returns where measurements are kept: `latency.db` in the user's cache folder (`XDG_CACHE_HOME`)."""
    folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(folder) / "se-tuner" / "latency.db"


def _compiled(config: AnyConfig, batch: int) -> Callable[[], Any]:
    """Returns a function that classifies a batch and waits for the result."""
    forward = pass_of(config, tf.float32)
    weights = {name: tf.Variable(value) for name, value in initial_weights(config, seed=0).items()}
    pixels = np.random.default_rng(0).integers(0, 256, (batch, *config.input_shape))
    images = tf.constant(pixels, tf.float32)

    def classify(images: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(forward(weights, images, training=False)[0])

    step = tf.function(classify, input_signature=[tf.TensorSpec(images.shape)], autograph=False)
    return lambda: step(images).numpy()


def _architecture(config: AnyConfig) -> str:
    """Returns the fields on which the latency depends, as JSON."""
    fields = dataclasses.asdict(config)
    kept = {name: value for name, value in fields.items() if name not in _WITHOUT_EFFECT}
    return json.dumps(kept | {"normalizes": config.mean is not None}, sort_keys=True)


def _machine() -> str:
    """Returns what a latency depends on besides the network: processor, GPUs, threads, TensorFlow and oneDNN."""
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    names = [str(details.get("device_name", "GPU")) for details in gpus][: num_gpus()]
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    parts = [
        processor_name(),
        f"{available_cores()} cores",
        f"{threads} threads",
        f"oneDNN {os.environ.get('TF_ENABLE_ONEDNN_OPTS', 'by default')}",
        *names,
        f"TensorFlow {tf.__version__}",
    ]
    return ", ".join(parts)


@contextlib.contextmanager
def _opened() -> Any:
    """Opens the file for a transaction and closes it."""
    path = latency_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as connection, connection:
        connection.execute(_TABLE)
        yield connection


def _require_batch(batch: int) -> None:
    if batch < 1:
        raise ValueError(f"The latency of a batch of {batch} images was asked for; allowed is a whole number >= 1.")
