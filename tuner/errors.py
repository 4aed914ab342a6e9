"""Every error that a person can cause or has to know of.

    TunerError            exit status 1: the run failed
    ├── UsageError        exit status 2: a flag, name or value is wrong
    │   ├── DataError     the images are missing, empty, broken or contradictory
    │   ├── SpaceError    the search space cannot be loaded or declares nothing
    │   └── RequestError  a flag or a name does not fit the study; a StudyError, too
    ├── TrialsFailError   trials fail in the same way again and again; it has their traceback
    ├── DivergedError     a last training has no finite loss
    ├── StudyError        the study on disk and the request do not fit together
    └── ExportError       an exported model does not predict what the trained one does

A message is one sentence or two: what was received, what is allowed, the way out. Commands print it behind `Error: `.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

__all__ = [
    "DataError",
    "ExportError",
    "RequestError",
    "SpaceError",
    "StudyError",
    "TrialsFailError",
    "TunerError",
    "UsageError",
    "did_you_mean",
    "without_password",
]


class TunerError(Exception):
    """Base of all errors that are shown to a person without a traceback."""

    exit_status = 1


class UsageError(TunerError):
    """A flag, a name or a value is wrong."""

    exit_status = 2


class DataError(UsageError):
    """The images are missing, empty, broken or contradictory."""


class SpaceError(UsageError):
    """The search space cannot be loaded or declares nothing."""


class StudyError(TunerError):
    """The study on disk and the request do not fit together."""


class RequestError(UsageError, StudyError):
    """A flag or a name does not fit the study: another one does, and the study is as it should be."""


class TrialsFailError(TunerError):
    """Trials fail by a mistake in the person's own code, or in this one's.

    Args:
        message: What happened.
        traceback: Where, line by line.
    """

    def __init__(self, message: str, traceback: str) -> None:
        super().__init__(message)
        self.traceback = traceback


class DivergedError(TunerError):
    """The loss of a training is not finite."""


class ExportError(TunerError):
    """An exported model does not predict what the trained one does."""


def did_you_mean(received: str, allowed: Iterable[str]) -> str:
    """Returns " Did you mean 'x'?" for the closest allowed name, or nothing when none is close."""
    matches = difflib.get_close_matches(received, list(allowed), n=1)
    return f" Did you mean {matches[0]!r}?" if matches else ""


def without_password(url: str) -> str:
    """Returns a URL, or a text with one in it, as it may be shown; people write passwords with / and @ in them, too."""
    return re.sub(r"(//[^:/@\s]*):\S*@", r"\1:***@", re.sub(r"([?&]password=)[^&\s]*", r"\1***", url))
