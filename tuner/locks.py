"""Keeps a study for one search: a second one is refused, also from another folder or another machine."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import sqlalchemy

from tuner.errors import StudyError, UsageError, without_password
from tuner.files import obstacle
from tuner.storage import sqlite_file, told_in_words

__all__ = ["check_place", "locked"]


def check_place(folder: Path, storage: str | None, *, is_new: bool = True) -> None:
    """Makes sure, as far as can be seen, that a study can be written: before there are workers, and nothing is made.

    Args:
        folder: The study's folder.
        storage: URL of its storage; None means a file in the folder.
        is_new: Whether there is no such study yet.

    Raises:
        UsageError: If one of the two can be no place for files.
        StudyError: If another search writes to one of them, or the folder is that of a study which is elsewhere.
    """
    if is_new and (folder / "leaderboard.csv").exists():
        raise StudyError(
            f"{folder} has the leaderboard of a study that is not in {without_password(storage) if storage else 'it'}; "
            "give the --storage that its search had, put its study.db back, or choose another --study."
        )
    if why := obstacle(folder):
        raise UsageError(f"The study would be in {folder}, but {why}; choose another --results-dir.")
    file = sqlite_file(storage) if storage else None
    if file and not file.parent.is_dir():
        raise UsageError(f"--storage is {storage}, but there is no folder {file.parent}; make it first.")
    if (folder / ".lock").exists():
        with locked(folder):
            pass
    if storage and (not file or _lock_file(file, folder.name).exists()):
        with _kept(storage, folder):
            pass


@contextlib.contextmanager
def locked(folder: Path, storage: str | None = None) -> Iterator[Callable[[], None]]:
    """Keeps a study for one search; a killed process frees it.

    Args:
        folder: The study's folder, which has its name.
        storage: URL of a storage that searches with other folders may use too, on a server those of other machines.

    Yields:
        A function that makes sure that the study is still kept: a server that was restarted has forgotten it.

    Raises:
        StudyError: If another search has it.
        UsageError: If nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}; choose another --results-dir.") from error
    with _file_lock(folder / ".lock", f"{folder}"), _kept(storage, folder) as hold:
        yield hold


def _kept(storage: str | None, folder: Path) -> contextlib.AbstractContextManager[Callable[[], None]]:
    """Keeps a study of a shared storage; of a server that is not PostgreSQL's nothing is kept."""
    if storage is None:
        return contextlib.nullcontext(_nothing)
    where = f"the study {folder.name} in {without_password(storage)}"
    if file := sqlite_file(storage):
        lock = _lock_file(file, folder.name)
        is_own = lock == folder.resolve() / ".lock"  # which is locked already
        return contextlib.nullcontext(_nothing) if is_own else _file_lock(lock, where)
    if storage.startswith("postgresql"):
        return _advisory_lock(storage, folder.name, where)
    return contextlib.nullcontext(_nothing)


def _nothing() -> None:
    """Makes sure of what cannot be lost."""


def _lock_file(database: Path, name: str) -> Path:
    """Returns the file that a search of a study in a database locks; names of studies may be long.

    A study's own database may be named by its URL, too, from another folder of results.
    """
    database = database.resolve()
    if (database.parent.name, database.name) == (name, "study.db"):
        return database.with_name(".lock")
    return database.with_name(f".{hashlib.sha256(f'{database.name}/{name}'.encode()).hexdigest()[:16]}.lock")


@contextlib.contextmanager
def _file_lock(file: Path, where: str) -> Iterator[Callable[[], None]]:
    lock = filelock.FileLock(file, timeout=0, mode=0o666)  # a database may be that of a group
    try:
        held = lock.acquire()
    except filelock.Timeout as error:
        raise _taken(where) from error
    except OSError as error:
        raise UsageError(f"{file.parent} cannot be written to: {error.strerror}; choose another place.") from error
    with held:
        yield _nothing


@contextlib.contextmanager
def _advisory_lock(url: str, name: str, where: str) -> Iterator[Callable[[], None]]:
    lock = _AdvisoryLock(url, name, where)
    try:
        lock.hold()
        yield lock.hold
    finally:
        lock.release()


class _AdvisoryLock:
    """A lock of PostgreSQL, which ends with its connection.

    Reference: PostgreSQL, "Explicit Locking", section "Advisory Locks".

    Args:
        url: URL of the storage.
        name: Name of the study.
        where: The study and its storage, for a person to read.
    """

    def __init__(self, url: str, name: str, where: str) -> None:
        self._url, self._where = url, where
        self._key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        self._engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT")
        self._connection: sqlalchemy.Connection | None = None

    def hold(self) -> None:
        """Takes the lock where it is not held: at the beginning, and where its connection has ended since.

        Raises:
            StudyError: If another search has it, or the server cannot be reached.
        """
        if self._is_held():
            return
        was_held = self._connection is not None
        self.release()
        with told_in_words(self._url):
            self._connection = self._engine.connect()
            is_ours = self._connection.execute(
                sqlalchemy.text("SELECT pg_try_advisory_lock(:key)"), {"key": self._key}
            ).scalar()
        if not is_ours and was_held:
            raise StudyError(
                f"The connection that kept {self._where} for this search was lost, and another search has it now, or "
                "the server has not missed the connection yet. The same command goes on once the study is free."
            )
        if not is_ours:
            raise _taken(self._where)

    def release(self) -> None:
        """Gives the lock back."""
        with contextlib.suppress(sqlalchemy.exc.SQLAlchemyError):  # the server has gone, and the lock with it
            if self._connection:
                self._connection.close()

    def _is_held(self) -> bool:
        if self._connection is None:
            return False
        try:
            self._connection.execute(sqlalchemy.text("SELECT 1"))
        except sqlalchemy.exc.SQLAlchemyError:
            return False
        return True


def _taken(where: str) -> StudyError:
    return StudyError(
        f"Another search is writing to {where}; wait for it, stop it, or start another study with --study NAME."
    )
