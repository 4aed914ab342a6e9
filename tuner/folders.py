"""Folders that are there whole or not at all, as `tuner/files.py` has it for files. Standard library only.

A folder is made in a hidden one beside its place, `.NAME-...`, and renamed. What stood there before steps aside
meanwhile, as `.NAME-...-previous`.
"""

from __future__ import annotations

import contextlib
import itertools
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

__all__ = ["aside_of", "clear_away", "put_in_place", "staging"]

_PREVIOUS = "-previous"


@contextlib.contextmanager
def staging(place: Path) -> Iterator[Path]:
    """Gives a new folder beside a place, for what is made to stand there; it is removed at the end of the block."""
    prefix = f".{place.name}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=place.parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def aside_of(folder: Path) -> Path:
    """Returns where a folder stands aside while what was made in `folder`, one of `staging`, takes its place."""
    return Path(f"{folder}{_PREVIOUS}")


def clear_away(place: Path, *, idle_seconds: float) -> None:
    """Takes away what killed processes have left of a folder, and puts an earlier one back that stood aside.

    Args:
        place: The folder.
        idle_seconds: What was written to since may be another process's, and stays.
    """
    left = [path for path in place.parent.glob(f".{place.name}-*") if path.is_dir()]
    previous = [path for path in left if path.name.endswith(_PREVIOUS)]
    if previous and not place.exists():
        max(previous, key=lambda path: path.stat().st_mtime).rename(place)
    for path in left:
        if path.exists() and time.time() - path.stat().st_mtime > idle_seconds:
            _remove(path)


def put_in_place(fresh: Path, place: Path, *, previous: Path) -> Path | None:
    """Renames a folder to its place; an earlier one steps aside, and comes back if that fails.

    Args:
        fresh: The folder.
        place: Where it is to be.
        previous: Where the earlier one stands aside.

    Returns:
        The earlier one where it stands aside still, because it could not be removed; else None.
    """
    try:
        if place.exists():
            place.rename(previous)
        fresh.rename(place)
    except BaseException:  # an interrupt between the two must not lose the earlier one either
        if previous.exists() and not place.exists():
            previous.rename(place)
        raise
    return None if not previous.exists() or _remove(previous) else previous


def _remove(folder: Path) -> bool:
    """Removes a folder, also what is write-protected in it; returns whether it is gone."""
    with contextlib.suppress(OSError):  # a folder of somebody else
        for path in itertools.chain([folder], folder.rglob("*")):  # each folder before what is in it
            if path.is_dir() and not path.is_symlink():
                path.chmod(path.stat().st_mode | stat.S_IRWXU)
    rmtree(folder, ignore_errors=True)
    return not folder.exists()
