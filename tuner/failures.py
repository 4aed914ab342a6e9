"""What an exception that ended a trial says of it: the kind of failure, and where it comes from."""

from __future__ import annotations

import itertools
import traceback
from pathlib import Path

from tuner import records
from tuner.errors import TunerError
from tuner.splitting import OUT_OF_MEMORY
from tuner.training import TrialTimeout

__all__ = ["kind_of"]

MOST_FRAMES = 10

# What passes through this module comes from a callback, which may need too much memory of its own.
_CALLBACKS = str(Path(__file__).with_name("callbacks.py"))


def kind_of(error: BaseException) -> tuple[str, str]:
    """Returns the status and the message of a trial that an exception ended; what a person has to mend is raised."""
    if isinstance(error, TunerError):
        raise error
    if isinstance(error, TrialTimeout):
        return records.TIMED_OUT, "It took longer than --trial-time-limit."
    if isinstance(error, OUT_OF_MEMORY) and not _is_of_a_callback(error):
        reason = (str(error) or "no more memory").splitlines()[0]
        return records.OUT_OF_MEMORY, f"Its batches do not fit into the memory of the device: {reason}"
    return records.FAILED, _traceback(error)


def _is_of_a_callback(error: BaseException) -> bool:
    return any(frame.filename == _CALLBACKS for frame in traceback.extract_tb(error.__traceback__))


def _traceback(error: BaseException) -> str:
    """Returns where an error comes from, without the frames of this program that lead to code of others."""
    told = traceback.TracebackException.from_exception(error)
    own = Path(__file__).parent
    others = list(itertools.dropwhile(lambda frame: own in Path(frame.filename).parents, told.stack))
    told.stack = traceback.StackSummary.from_list((others or told.stack)[-MOST_FRAMES:])
    return "".join(told.format()).strip()
