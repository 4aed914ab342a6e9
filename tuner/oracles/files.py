"""Files of Keras Tuner that a kill leaves whole, and what is made of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import keras_tuner

from tuner import files

__all__ = ["has_directory", "mend", "replacing", "write_nothing"]


def has_directory(oracle: keras_tuner.Oracle) -> bool:
    """Whether a tuner has named a directory for an oracle."""
    return getattr(oracle, "_directory", None) is not None


def write_nothing(oracle: keras_tuner.Oracle) -> None:
    """Lets an oracle of any class, to which a tuner has to name a directory, write no file there."""
    for name in ("save", "_save_trial"):
        setattr(oracle, name, lambda *_: None)


def mend(oracle: keras_tuner.Oracle) -> None:
    """Puts what an oracle has read from its files into the state of a search that was not killed.

    Keras Tuner finds the trials in any order. One that is not in the oracle's own file was never handed out: the search
    was killed between the two. One that ran runs again, without what it told before; but if it has ended since, its end
    was written before it was taken from those that run.
    """
    known = {name: oracle.trials[name] for name in oracle.start_order if name in oracle.trials}
    oracle.trials.clear()
    oracle.trials.update(known)
    oracle._retry_queue[:] = [name for name in oracle._retry_queue if name not in oracle.end_order]
    for name in oracle._retry_queue:
        oracle.trials[name].metrics = type(oracle.trials[name].metrics)()


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
