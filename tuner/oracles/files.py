"""Files of Keras Tuner that a kill leaves whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tuner import files

__all__ = ["replacing"]


@contextlib.contextmanager
def replacing(name: str) -> Iterator[str]:
    """Gives the name under which to write what is to be a file of Keras Tuner.

    Keras Tuner empties a file before it writes: killed in between, it cannot read its project again. In a bucket
    (`gs://bucket/file`), which it can write to as well, a file appears whole by itself.
    """
    if "://" in name:
        yield name
        return
    with files.replacing(Path(name)) as temporary:
        yield str(temporary)
