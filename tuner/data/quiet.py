"""Keeps TFDS from writing: it prints progress bars, log lines and sentences, some of them to stdout."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator

from tuner.data.tfds import tfds

__all__ = ["quiet"]

_LOGGERS = ("absl", "urllib3")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drops what TFDS prints and logs below the level of errors; progress bars stay off afterwards.

    It redirects `sys.stdout` of the whole process, so that no other thread should print meanwhile.
    """
    tfds.disable_progress_bar()
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
