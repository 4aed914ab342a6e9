"""TensorFlow Datasets, imported so that other threads can import what they like meanwhile.

While it is imported, it puts off the import of its optional parts (`etils.epy.lazy_imports`). For that `etils` puts a
function of its own in the place of `builtins.__import__`, which is that of all threads: `from distributed.client import
Client` in one of Dask's would get something else than the class, and fail when it is used. Here only the thread that
imports TensorFlow Datasets is given that function.
"""

from __future__ import annotations

import builtins
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from etils.epy import lazy_imports_utils

__all__ = ["tfds"]


@contextlib.contextmanager
def _lazy_in_this_thread_alone() -> Iterator[None]:
    """Has what others import imported as ever, though etils puts off imports meanwhile."""
    import_lazily, import_now, here = lazy_imports_utils._lazy_import, builtins.__import__, threading.get_ident()

    def choose(*what: Any, error_callback: Any, success_callback: Any, **named: Any) -> Any:
        if threading.get_ident() != here:
            return import_now(*what, **named)
        return import_lazily(*what, error_callback=error_callback, success_callback=success_callback, **named)

    lazy_imports_utils._lazy_import = choose
    try:
        yield
    finally:
        lazy_imports_utils._lazy_import = import_lazily


with _lazy_in_this_thread_alone():
    import tensorflow_datasets as tfds
