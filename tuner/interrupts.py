"""Ctrl-C, and what counts as it, where it can do no harm. Standard library only."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeGuard

__all__ = ["held_interrupt", "terminations"]


@contextlib.contextmanager
def held_interrupt(*, always: bool = False) -> Iterator[None]:
    """Lets Ctrl-C wait until the end of the block.

    TensorFlow crashes (2.21, a segmentation fault) where an exception comes out of nothing while it records a gradient,
    as it does when a training step is traced. In another thread than the main one, which no Ctrl-C reaches, it does
    nothing.

    Args:
        always: Whether a second Ctrl-C waits too.

    Raises:
        KeyboardInterrupt: At the end of the block, where Ctrl-C was pressed in it.
    """
    previous = signal.getsignal(signal.SIGINT)
    if not _is_heard(previous):
        yield
        return
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if noted and not always:
            previous(number, frame)
        noted.append(number)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if noted:
            previous(signal.SIGINT, None)


@contextlib.contextmanager
def terminations() -> Iterator[list[int]]:
    """Makes of SIGTERM, with which schedulers of clusters and `kill` end a process, a Ctrl-C for the block.

    Where Ctrl-C is ignored, as in the background of a shell script, and in another thread than the main one it stays
    what it is.

    Yields:
        The signals that came, by number.
    """
    came: list[int] = []
    if not _is_heard(signal.getsignal(signal.SIGINT)):
        yield came
        return

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        signal.raise_signal(signal.SIGINT)

    previous = signal.signal(signal.SIGTERM, note)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, previous)


def _is_heard(handler: Any) -> TypeGuard[Callable[[int, FrameType | None], Any]]:
    """Whether Ctrl-C reaches this thread, and a function handles it."""
    return threading.current_thread() is threading.main_thread() and callable(handler)
