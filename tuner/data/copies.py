"""Which files are the same, byte by byte. Standard library only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path

__all__ = ["equal_files"]


def equal_files(files: Iterable[Path]) -> Iterator[list[Path]]:
    """Yields groups of two and more files of the same bytes, each in the order in which they are given.

    Only what has the size of another file is read. A file that is empty or cannot be read is the same as none.
    """
    for same_size in _grouped(files, lambda file: file.stat().st_size):
        yield from _grouped(same_size, _digest)


def _grouped(files: Iterable[Path], key: Callable[[Path], Hashable]) -> Iterator[list[Path]]:
    """Yields groups of two and more files that have the same in common, but for nothing."""
    groups: dict[Hashable, list[Path]] = {}
    for file in files:
        try:
            groups.setdefault(key(file), []).append(file)
        except OSError:  # who reads the images tells of it
            continue
    return (group for common, group in groups.items() if common and len(group) > 1)


def _digest(file: Path) -> bytes:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "blake2b").digest()
