"""Opens the Optuna storage of a study. That one search writes to it is `tuner/locks.py`'s."""

from __future__ import annotations

import contextlib
import logging
import os
import time
import urllib.parse
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy

from tuner.errors import RequestError, StudyError, UsageError, without_password

__all__ = [
    "close_storage",
    "delete_unfinished",
    "find_whole",
    "is_own",
    "open_storage",
    "sqlite_file",
    "storage_url",
    "stored_names",
    "told_in_words",
]

_SQLITE = "sqlite:///"
_FORMS = "sqlite:///FILE.db or postgresql+psycopg://USER@HOST/DB"
_YES = ("true", "t", "yes", "y", "on", "1")  # as SQLAlchemy takes it
_BUSY_SECONDS = 60  # how long one waits for another program that holds the file, or makes the tables of a new storage
_SECONDS_BETWEEN_ATTEMPTS = 0.5


def storage_url(results: Path, name: str, storage: str | None) -> str:
    """Returns the URL of a study's storage: the one given, or SQLite in the study's own folder.

    Args:
        results: Folder of the studies.
        name: Name of the study, and of its folder in there.
        storage: The URL that was given, or None.

    Raises:
        UsageError: If a URL cannot hold the folder's name.
    """
    if storage is None and {"?", "%"} & {*str(results)}:
        raise UsageError(f"--results-dir is {results}; a URL of SQLite cannot hold ? and %, so choose another folder.")
    return storage or f"{_SQLITE}{(results / name / 'study.db').as_posix()}"


def sqlite_file(url: str) -> Path | None:
    """Returns the file that a URL of SQLite names; None of any other, and of a database in memory."""
    try:
        parsed = sqlalchemy.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError):  # told where it is opened
        return None
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    path = parsed.database
    if str(parsed.query.get("uri")).lower() in _YES:  # SQLite's own URL stands within, such as file:PATH
        path = "" if parsed.query.get("mode") == "memory" else urllib.parse.unquote(urllib.parse.urlsplit(path).path)
    return None if path in ("", ":memory:") else Path(path)


@contextlib.contextmanager
def told_in_words(url: str) -> Iterator[None]:
    """Says of a storage that fails why it does.

    Raises:
        StudyError: Then.
    """
    try:
        yield
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
        raise StudyError(
            f"The storage {without_password(url)} cannot be read or written: {_reason(error)}. The study is as it was "
            "before; once that is mended, the same command goes on."
        ) from error
    except optuna.exceptions.UpdateFinishedTrialError as error:
        raise StudyError(
            f"Another program has ended a trial in the storage {without_password(url)}; only one search may write to a "
            "study."
        ) from error


def open_storage(url: str) -> optuna.storages.RDBStorage:
    """Returns the storage of a SQLAlchemy URL; tables are made where there are none.

    Its connections are closed once nobody holds it, or the process ends: from Python 3.13 on, they would not be by
    themselves, and SQLite would leave what was written last in a file of its own beside the database.

    Raises:
        StudyError: If it cannot be opened; a `RequestError` if that is no URL of a storage.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # what it warns of comes as an error too, told in words
    # SQLAlchemy logs a traceback where Ctrl-C comes while a connection is given back, and raises it besides.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    opened = _readable(url)
    # Where a server was restarted, or has cut a connection that nobody used for long, another one is made.
    is_file = opened.startswith("sqlite")
    options = {"connect_args": {"timeout": _BUSY_SECONDS}} if is_file else {"pool_pre_ping": True}
    try:
        # Optuna puts the version of its tables in the place of {SCHEMA_VERSION}.
        storage = _with_tables(opened.replace("{", "{{").replace("}", "}}"), options)
    except ImportError as error:
        raise StudyError(
            f"The storage {without_password(url)} needs a driver that is not installed; for PostgreSQL: "
            "pip install 'se-tuner[postgresql]', and write postgresql+psycopg://."
        ) from error
    except (sqlalchemy.exc.SQLAlchemyError, ValueError, RuntimeError) as error:  # the last: tables of another Optuna
        hint = " Write postgresql+psycopg://." if url.startswith("postgres://") else ""  # as other programs take it
        hint = hint or (f" Write {_FORMS}." if "://" not in url else "")
        is_wrong = isinstance(error, sqlalchemy.exc.ArgumentError | ValueError)  # as a URL; else it cannot be reached
        raise (RequestError if is_wrong else StudyError)(
            f"The storage {without_password(url)} cannot be opened: {_reason(error).rstrip('.')}.{hint}"
        ) from error
    weakref.finalize(storage, storage.engine.dispose)
    if storage.engine.dialect.name == "sqlite" and opened == url:
        sqlalchemy.event.listen(storage.engine, "connect", _without_waiting)
        storage.engine.dispose()
        if (file := sqlite_file(url)) is None:
            raise RequestError(f"The storage {url} is in memory, where no other command finds it; write {_FORMS}.")
        _watch(storage.engine, file)
    return storage


def _with_tables(url: str, options: dict[str, Any]) -> optuna.storages.RDBStorage:
    """Returns Optuna's storage, whose tables it makes where there are none, unless another search does so meanwhile."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return optuna.storages.RDBStorage(url, options)
        except sqlalchemy.exc.DatabaseError as error:
            is_made = isinstance(error, sqlalchemy.exc.IntegrityError) or "already exists" in str(error)
            if not is_made or time.monotonic() > deadline:
                raise
        time.sleep(_SECONDS_BETWEEN_ATTEMPTS)  # the other one is through soon


def _readable(url: str) -> str:
    """Returns the URL with which a storage can be read.

    SQLite makes files beside a database, also to read it. Where it cannot, or could not remove them, so that they would
    be in the way of who writes, it has to be told that nobody writes; that is so unless a log is there, which it would
    leave out.
    """
    file = sqlite_file(url)
    if not file or file.with_name(f"{file.name}-wal").exists():
        return url
    if os.access(file.parent, os.W_OK) and (not file.exists() or os.access(file, os.W_OK)):
        return url
    return f"{_SQLITE}file:{urllib.parse.quote(file.absolute().as_posix())}?immutable=1&uri=true"


def close_storage(storage: optuna.storages.RDBStorage) -> None:
    """Gives its connections back."""
    storage.remove_session()
    storage.engine.dispose()


def stored_names(storage: optuna.storages.RDBStorage) -> list[str]:
    """Returns the names of all studies that a storage holds."""
    return [study.study_name for study in storage.get_all_studies()]


def is_own(url: str, name: str) -> bool:
    """Whether a storage is the file in the folder of a study, where no other study belongs."""
    return url.endswith(f"/{name}/study.db")


def find_whole(storage: optuna.storages.RDBStorage, name: str, url: str) -> int | None:
    """Returns the number of a study, or None where there is none, or one whose maker was killed at it."""
    identifier = _find(storage, name)
    return None if identifier is None or _is_unfinished(storage, identifier, is_own(url, name)) else identifier


def delete_unfinished(storage: optuna.storages.RDBStorage, name: str, url: str) -> None:
    """Takes away what a search has left that was killed while it made its study."""
    identifier = _find(storage, name)
    if identifier is not None and _is_unfinished(storage, identifier, is_own(url, name)):
        storage.delete_study(identifier)


def _reason(error: BaseException) -> str:
    """Returns the first line of what a database says, behind all that was made of it, without passwords."""
    while error.__cause__:
        error = error.__cause__
    told = str(error).strip().splitlines()
    return without_password(told[0]) if told else type(error).__name__


def _find(storage: optuna.storages.RDBStorage, name: str) -> int | None:
    try:
        return storage.get_study_id_from_name(name)
    except KeyError:
        return None


def _is_unfinished(storage: optuna.storages.RDBStorage, identifier: int, is_alone: bool) -> bool:
    """Whether this program has begun to make a study, without coming to its configuration.

    Others' have no space. One without any attribute is of this program where it stands in a folder of its own.
    """
    facts = storage.get_study_user_attrs(identifier)
    has_begun = "space" in facts or (is_alone and not facts)
    return has_begun and "config" not in facts and not storage.get_n_trials(identifier)


def _watch(engine: sqlalchemy.Engine, file: Path) -> None:
    """Refuses to go on where the file of a database is gone: what is written would go with it, without an error."""

    @sqlalchemy.event.listens_for(engine, "begin")
    def check(_: sqlalchemy.Connection) -> None:
        if not file.exists():
            raise StudyError(f"The file {file} was removed while it was in use; put it back, or search anew.")


def _without_waiting(connection: Any, _: Any) -> None:
    """Lets SQLite append to a log instead of waiting for the disk twice a write; a killed process loses nothing."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
