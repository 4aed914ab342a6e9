"""Files of Keras Tuner that a kill leaves whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

__all__ = ["replacing"]


@contextlib.contextmanager
def replacing(file: str) -> Iterator[str]:
    """Gives the name of a file that takes the place of another at the end of the block, so that one of both is there.

    Keras Tuner empties a file before it writes: killed in between, it cannot read its project again. In a bucket, which
    it can write to as well, a file appears whole by itself.

    Args:
        file: The file to be, a path or an address such as `gs://bucket/file`.

    Yields:
        The name to write to.
    """
    if "://" in file:
        yield file
        return
    temporary = f"{file}.tmp"
    yield temporary
    os.replace(temporary, file)  # noqa: PTH105 - Keras Tuner's names are text
