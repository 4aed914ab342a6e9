"""Imports of large packages: silent, fast, and without what they look for and nobody here uses.

Standard library only, until one of these is called.
"""

from __future__ import annotations

import contextlib
import gc
import os
import platform
import sys
import tempfile
from collections.abc import Iterator

__all__ = ["hidden", "import_tensorflow", "lasting_imports"]

X86 = ("x86_64", "AMD64")


def import_tensorflow() -> None:
    """Imports TensorFlow with oneDNN's operations on, and Keras on it, with start-up notices kept off the terminal.

    TensorFlow turns oneDNN on by itself where a processor has instructions for neural networks, such as AVX512-VNNI. On
    an older one a step is up to 1.8 times as fast with it (137 ms, not 244, at 28x28: benchmarks/README.md); who sets
    `TF_ENABLE_ONEDNN_OPTS` to 0 is heard.

    The notices come from C++ before its log level counts, and would break the live display. The devices are looked for
    here too, because a machine without a GPU gets another notice then.

    Who has set another backend, type or order of axes for Keras, by `KERAS_BACKEND` or in `keras.json`, has meant other
    programs: networks and exports here do not depend on it. A Keras that is imported already is its importer's.
    """
    is_first = "keras" not in sys.modules
    if is_first:
        os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if platform.machine() in X86:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    sys.stderr.flush()
    terminal = os.dup(2)
    # Keras takes a fifth of the time to import scikit-learn, for wrappers that are not used here.
    with tempfile.TemporaryFile() as notices, lasting_imports(), hidden("sklearn"):
        os.dup2(notices.fileno(), 2)
        try:
            import keras
            import tensorflow

            if is_first:
                keras.config.set_floatx("float32")
                keras.config.set_image_data_format("channels_last")
                keras.config.set_epsilon(1e-7)
            tensorflow.config.list_physical_devices()
            tensorflow.get_logger().setLevel("ERROR")  # it counts the tracings of different networks as one's
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)


@contextlib.contextmanager
def lasting_imports() -> Iterator[None]:
    """Collects no garbage while modules are imported, and takes all that they made out of later collections.

    Nothing of it is garbage before the process ends. TensorFlow makes so many objects that to look at them takes a
    sixth of the time of its import, and a second when the process ends (benchmarks/README.md).
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def hidden(package: str) -> Iterator[None]:
    """Makes an optional package look as if it were not installed to what is imported meanwhile, if it was not yet.

    Reference: Python's import system, https://docs.python.org/3/reference/import.html#the-module-cache.
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]
