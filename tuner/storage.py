"""Opens the Optuna storage of a study, and keeps a second search away from it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import optuna
import sqlalchemy

from tuner.errors import StudyError, without_password

__all__ = ["close_storage", "delete_unfinished", "find_whole", "locked", "open_storage", "storage_url"]


def storage_url(results: Path, name: str, storage: str | None) -> str:
    """Returns the URL of a study's storage: the one given, or SQLite in the study's own folder."""
    return storage or f"sqlite:///{(results / name / 'study.db').as_posix()}"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps the folder of a study for one search; a killed process frees it.

    Raises:
        StudyError: If another search has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            yield
    except filelock.Timeout as error:
        raise StudyError(
            f"Another search is writing to {folder}; wait for it, stop it, or start another study with --study NAME."
        ) from error


def open_storage(url: str) -> optuna.storages.RDBStorage:
    """Returns the storage of a SQLAlchemy URL; tables are made where there are none.

    Raises:
        StudyError: If it cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # SQLAlchemy logs a traceback where Ctrl-C comes while a connection is given back, and raises it besides.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    try:
        storage = optuna.storages.RDBStorage(url)
    except ImportError as error:
        raise StudyError(
            f"The storage {without_password(url)} needs a driver that is not installed; for "
            "PostgreSQL: pip install 'se-tuner[postgresql]'."
        ) from error
    except (sqlalchemy.exc.SQLAlchemyError, ValueError) as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise StudyError(f"The storage {without_password(url)} cannot be opened: {without_password(reason)}") from error
    if storage.engine.dialect.name == "sqlite":
        sqlalchemy.event.listen(storage.engine, "connect", _without_waiting)
        storage.engine.dispose()
    return storage


def close_storage(storage: optuna.storages.RDBStorage) -> None:
    """Gives its connections back."""
    storage.remove_session()
    storage.engine.dispose()


def find_whole(storage: optuna.storages.RDBStorage, name: str) -> int | None:
    """Returns the number of a study, or None where there is none, or one whose maker was killed at it."""
    identifier = _find(storage, name)
    return None if identifier is None or _is_unfinished(storage, identifier) else identifier


def delete_unfinished(storage: optuna.storages.RDBStorage, name: str) -> None:
    """Takes away what a search has left that was killed while it made its study."""
    identifier = _find(storage, name)
    if identifier is not None and _is_unfinished(storage, identifier):
        storage.delete_study(identifier)


def _find(storage: optuna.storages.RDBStorage, name: str) -> int | None:
    try:
        return storage.get_study_id_from_name(name)
    except KeyError:
        return None


def _is_unfinished(storage: optuna.storages.RDBStorage, identifier: int) -> bool:
    """Whether this program has begun to make a study, without coming to its configuration; others' have no space."""
    facts = storage.get_study_user_attrs(identifier)
    return "space" in facts and "config" not in facts and not storage.get_n_trials(identifier)


def _without_waiting(connection: Any, _: Any) -> None:
    """Lets SQLite append to a log instead of waiting for the disk twice a write; a killed process loses nothing."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
