"""How every command begins and ends: the flags that several have; exit statuses and one-line messages.

    0    done
    1    the run failed
    2    wrong usage (argparse exits with 2 by itself)
    130  interrupted; 143 by SIGTERM

What it imports meanwhile is `tuner/imports.py`. Standard library only.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import NoReturn

from tuner.errors import TrialsFailError, TunerError
from tuner.interrupts import terminations

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "add_debug_flag",
    "add_moved_flags",
    "add_study_argument",
    "add_study_flags",
    "add_training_flags",
    "leave",
    "make_parser",
    "nonnegative",
    "positive",
    "print_error",
    "run",
    "shell_line",
    "terminal_width",
    "told_after",
]

FAILED = 1
SIGNALLED = 128  # and the number of the signal, as shells report it
INTERRUPTED = SIGNALLED + signal.SIGINT

INTERRUPTED_AGAIN_SECONDS = 0.05
SECONDS_IN_SILENCE = 10.0

# Of anything that is counted; TensorFlow counts in 32 bits.
LARGEST_NUMBER = 1_000_000_000

_STORAGE_HELP = "Optuna storage, such as postgresql+psycopg://user@host/db (default: SQLite in the study's folder)"


def run(
    function: Callable[[], int | None], *, debug: bool, interrupted: str | Callable[[], str] = "Interrupted."
) -> int:
    """Runs a command's work and turns its end into an exit status.

    Args:
        function: The work; returns an exit status, or None for 0.
        debug: Whether a failure shows its traceback above the message.
        interrupted: What Ctrl-C and SIGTERM print, such as the command that resumes, or a function that returns it.

    Returns:
        The exit status. `SystemExit` alone passes through.
    """
    sys.unraisablehook = _interrupt_again
    _open_streams()
    try:
        with terminations() as came:
            return _finished(function, debug=debug, interrupted=interrupted, came=came)
    finally:
        sys.unraisablehook = sys.__unraisablehook__


def _finished(
    function: Callable[[], int | None], *, debug: bool, interrupted: str | Callable[[], str], came: list[int]
) -> int:
    try:
        status = function() or 0
        sys.stdout.flush()  # a closed pipe shows here, not in the interpreter's shutdown
    except KeyboardInterrupt:
        # CPython keeps in mind that code made from text was interrupted, such as that of a data class, and would end by
        # the signal, not with the exit status. Other code made from text makes it forget.
        exec("")  # noqa: S102
        _write(interrupted if isinstance(interrupted, str) else interrupted())
        return SIGNALLED + came[0] if came else INTERRUPTED
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # noqa: BLE001 - the last place before the person
        if debug:
            traceback.print_exc()
        if isinstance(error, TrialsFailError):
            _write(error.traceback)
        print_error(_describe(error))
        return error.exit_status if isinstance(error, TunerError) else FAILED
    return status


def _open_streams() -> None:
    """Puts nothing in the place of streams that were closed before the process began: what follows writes to them.

    A terminal that knows few letters shows the code of another one, such as that of a class.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it takes the lowest number that is free
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def leave(status: int) -> NoReturn:
    """Ends the process; Ctrl-C while the interpreter puts things away ends it at once, and not with a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise SystemExit(status)


def print_error(message: object) -> None:
    """Writes `Error: ...` to stderr, in one line whatever the message contains."""
    _write(f"Error: {' '.join(str(message).split())}")


def make_parser(name: str, description: str, *, examples: str) -> argparse.ArgumentParser:
    """Returns the parser of a command, which adds its flags to it.

    Args:
        name: The module that a person runs, such as `tuner.search`.
        description: What it does.
        examples: What `--help` shows below the flags, with its line breaks.
    """
    return argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def shell_line(name: str, *arguments: str) -> str:
    """Returns the line that a person types into a shell to run a command, such as `tuner.select`, with arguments."""
    return shlex.join(["python", "-m", name, *arguments])


def add_study_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that say where studies are kept, and `--debug`."""
    parser.add_argument("--results-dir", default="results", metavar="DIR", help="where studies are (default: results)")
    parser.add_argument("--storage", metavar="URL", help=_STORAGE_HELP)
    add_debug_flag(parser)


def add_debug_flag(parser: argparse.ArgumentParser) -> None:
    """Adds `--debug`, which every command has."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def add_study_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the optional name of the study that a command reads."""
    parser.add_argument("study", nargs="?", metavar="STUDY", help="name of the study (default: the newest)")


def add_moved_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of the commands that read the images and the space of a study again, here or elsewhere."""
    parser.add_argument("--dataset", metavar="folder:PATH", help="where the images are now, if their folder has moved")
    parser.add_argument("--space", metavar="FILE.py", help="where the search space is now, if its file has moved")


def add_training_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of the commands that load images and train."""
    parser.add_argument("--data-dir", metavar="DIR", help="where tensorflow-datasets keeps data (default: its own)")
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def positive(text: str) -> int:
    """Returns a whole number from 1, for argparse."""
    return _whole_number(text, lowest=1)


def nonnegative(text: str) -> int:
    """Returns a whole number from 0, for argparse."""
    return _whole_number(text, lowest=0)


def terminal_width() -> int | None:
    """Returns the characters of a line of the terminal that stdout is; None where it is none, or does not say."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError, AttributeError):  # no terminal; closed; closed before the process began
        return None


@contextlib.contextmanager
def told_after(line: str, *, seconds: float = SECONDS_IN_SILENCE) -> Iterator[None]:
    """Writes a line to stderr, once, if what is done meanwhile takes longer."""
    timer = threading.Timer(seconds, _write, [line])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _interrupt_again(lost: sys.UnraisableHookArgs) -> None:
    """Repeats a Ctrl-C that was raised, and lost, in a callback of the garbage collector: Dask times collections so."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        main = threading.main_thread().ident
        # Once the callback is through. A signal wakes what the main thread waits in, `_thread.interrupt_main` does not.
        threading.Timer(INTERRUPTED_AGAIN_SECONDS, signal.pthread_kill, (main, signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(lost)


def _whole_number(text: str, *, lowest: int) -> int:
    number = int(text) if re.fullmatch("[0-9]{1,12}", text) else -1
    if not lowest <= number <= LARGEST_NUMBER:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {lowest} to {LARGEST_NUMBER:,}")
    return number


def _describe(error: Exception) -> str:
    """Returns what a person needs to know: the name of an error only where the message is not ours."""
    if isinstance(error, TunerError | OSError):
        return str(error) or type(error).__name__
    return f"unexpected {type(error).__name__}: {error} (--debug shows where)"


def _write(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
