"""How TensorFlow computes in this process: its threads, and what it does to a graph before that runs."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import tensorflow as tf

from tuner.hardware import available_cores

__all__ = ["configure_runtime"]

_PIXELS_TO_SHARE = 24 * 24
_MOST_THREADS = 8  # more than two were not measured


def configure_runtime(
    shape: Sequence[int] | None = None, *, cores: int | None = None, threads: int | None = None
) -> None:
    """Sets TensorFlow up for short trainings of small networks, for this process.

    Operations that do not wait for each other run side by side, on all cores. How many threads share one operation is
    another matter: the order in which numbers are added depends on it, and with it the last bits of a result. Where the
    images are large, all cores do; two of two make a step on 28x28 images take 0.84 to 0.92 of the time, but one on
    14x14 0.89 to 1.26 of it, and one on 8x8 1.3 (benchmarks/README.md).

    Graph rewriting is off where there is no GPU: it takes longer to start a network than its steps win back in a short
    trial; on a GPU it also chooses the layout of the images.

    Args:
        shape: `(height, width, channels)` of the images; without it, an operation gets one thread.
        cores: Processor cores for this process; None means all.
        threads: Threads that share an operation, whatever the images are; None chooses.
    """
    cores = cores or available_cores()
    if threads is None:
        is_large = shape is not None and shape[0] * shape[1] >= _PIXELS_TO_SHARE
        threads = min(cores, _MOST_THREADS) if is_large else 1
    with contextlib.suppress(RuntimeError):  # TensorFlow has run something already: its threads stay as they are
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(cores)
    if not tf.config.list_physical_devices("GPU"):
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
