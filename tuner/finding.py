"""Finds the study that a person means, in a folder of results or in a storage that several people share."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from tuner.errors import RequestError, StudyError, did_you_mean, without_password
from tuner.storage import close_storage, open_storage, sqlite_file, storage_url, stored_names, told_in_words
from tuner.study import Study

__all__ = ["find_study"]


def find_study(results: Path, name: str | None, storage: str | None = None) -> Study:
    """Returns the study of a name, or the newest one in a folder of results when no name is given.

    With a storage that is the newest of those that it holds: others in the folder may be kept elsewhere.

    Args:
        results: Folder of the studies.
        name: Name of the study, or None.
        storage: URL of the storage, or None for the study's own folder.

    Raises:
        RequestError: If there is none of that name, or none without a name and the storage holds others.
        StudyError: If there is none at all.
    """
    written = {path: _written(path) for path in results.glob("*")}
    folders = sorted((path for path, when in written.items() if when), key=lambda path: written[path])
    names = [path.name for path in folders]
    if name is None and names:
        held = _names_in(storage) if storage else names
        name = next((each for each in reversed(names) if each in held), None)
    study = None if name is None else Study.open(storage_url(results, name, storage), name)
    if study is None:
        raise _missing(name, results, names, storage)
    return study


def _missing(name: str | None, results: Path, names: Sequence[str], storage: str | None) -> StudyError:
    """Returns the error that says which studies there are where one was looked for; names are from old to new."""
    if name is not None and name in names:
        where = f"in {without_password(storage)}" if storage else "in its folder"
        back = "" if storage else ", or put its study.db back"
        return RequestError(f"The study {name!r} is not kept {where}; give the --storage that its search had{back}.")
    place = without_password(storage) if storage else str(results)
    held = _names_in(storage) if storage else names
    there = f"the newest are {', '.join(held[-5:])}" if held else "it holds none yet"
    if name is not None:
        return RequestError(f"There is no study {name!r} in {place}; {there}.{did_you_mean(name, held)}")
    if held:
        here = f"None of the studies in {results} is there" if names else f"{results} has no folder of a study"
        return RequestError(f"{here}; give the name of one that is in {place}: {there}.")
    return StudyError(f"There is no study in {place}; `python -m tuner.search` makes one.")


def _names_in(url: str) -> list[str]:
    """Returns the names of the studies in a storage."""
    file = sqlite_file(url)
    if file and not file.exists():
        return []
    with told_in_words(url):
        storage = open_storage(url)
        names = stored_names(storage)
        close_storage(storage)
    return names


def _written(folder: Path) -> float:
    """Returns when a search has last written into its folder; 0 where none has, or the folder is closed to us.

    To read it leaves files, too.
    """
    there = []
    for name in ("leaderboard.csv", "study.db", "study.db-wal"):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):  # SQLite removes its own
            there.append((folder / name).stat())
    return max((file.st_mtime for file in there if file.st_size), default=0.0)
