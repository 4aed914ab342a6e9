"""Files that are there whole or not at all, and whether there can be some. Standard library only."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from tuner.errors import TunerError

__all__ = ["obstacle", "replacing", "write_whole"]


def obstacle(folder: Path) -> str:
    """Returns why no file can be made in a folder, there or to be made itself, in words; nothing where one can."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not place.is_dir():
        return f"{place} is no folder"
    return "" if os.access(place, os.W_OK | os.X_OK) else f"{place} cannot be written to"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary name, under which a file is written that takes the place of another at the end of the block.

    What could not be written is removed; what was there before stays, also where the process is killed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:  # a full disk, or Ctrl-C
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_whole(path: Path, text: str) -> None:
    """Writes a text.

    Raises:
        TunerError: If it cannot be written; what was there before stays.
    """
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise TunerError(
            f"{path} cannot be written: {error.strerror or error}. Once that is mended, the same command goes on where "
            "the study stands."
        ) from error
