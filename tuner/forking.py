"""The process from which workers are forked, and how Ctrl-C stays with the driver. It imports nothing that is slow."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker

from tuner.errors import TunerError
from tuner.interrupts import held_interrupt

__all__ = ["deaf_to_interrupts", "start_forkserver"]


def start_forkserver() -> None:
    """Starts the process that imports what workers need, once; it ends with this process.

    Raises:
        TunerError: If sockets cannot be made because `TMPDIR` is too long.
    """
    with deaf_to_interrupts():
        forkserver.set_forkserver_preload(["distributed", "tuner.preload"])
        try:
            forkserver.ensure_running()
        except OSError as error:
            if "AF_UNIX" not in str(error):
                raise
            raise TunerError(
                f"The folder of temporary files, {tempfile.gettempdir()}, has too long a name for the sockets in it; "
                "set TMPDIR to a shorter one, such as /tmp, or give --workers 0."
            ) from error
    atexit.unregister(_end_forkserver)
    atexit.register(_end_forkserver)


def _end_forkserver() -> None:
    """Kills that process, which keeps nothing, and waits until it is gone.

    By itself it would end its imports first, or take TensorFlow apart, for one to four seconds in which whoever reads
    the output of this program would wait for more. Not waited for, it could outlive this process by some milliseconds.
    """
    process = getattr(forkserver, "_forkserver", None)  # Python tells its number nowhere else
    pid = getattr(process, "_forkserver_pid", None)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@contextlib.contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Makes processes and threads that are started here, and theirs, blind to Ctrl-C: this process ends them.

    A terminal sends it to all of them, and each would write a traceback. Here it only waits until the end: in the midst
    of imports it would often be raised, and lost, in one of the callbacks with which Dask times garbage collections.
    """
    resource_tracker.ensure_running()  # it would unblock the signal
    # A thread that there is already takes a blocked signal, and Python handles it in the main thread all the same.
    with held_interrupt(always=True):
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
