"""Refuses arguments of an oracle when it is made: later Keras Tuner would keep its lock, and a search hang."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["check_count", "check_queue", "check_rungs", "check_seed"]


def check_count(name: str, received: object, *, optional: bool = False) -> None:
    """Refuses what is no whole number from 1, nor, where that is optional, None.

    Raises:
        ValueError: If it is something else.
    """
    if received is None and optional:
        return
    if not _is_whole(received, lowest=1):
        raise ValueError(f"{name} is {received!r}; allowed is a whole number from 1{', or None' if optional else ''}.")


def check_seed(received: object) -> None:
    """Refuses what is no seed.

    Raises:
        ValueError: If it is neither None nor a whole number from 0.
    """
    if received is not None and not _is_whole(received, lowest=0):
        raise ValueError(f"seed is {received!r}; allowed is a whole number from 0, or None.")


def check_rungs(max_epochs: int, *, eta: int, min_epochs: int) -> None:
    """Refuses numbers of which no rungs can be made.

    Raises:
        ValueError: If one is out of its range.
    """
    check_count("max_epochs", max_epochs)
    if not _is_whole(eta, lowest=2):
        raise ValueError(f"eta is {eta!r}; allowed is a whole number from 2.")
    if not _is_whole(min_epochs, lowest=1) or min_epochs > max_epochs:
        raise ValueError(f"min_epochs is {min_epochs!r}; allowed is from 1 to max_epochs, {max_epochs}.")


def check_queue(received: Any) -> None:
    """Refuses what are no configurations.

    Raises:
        ValueError: If it is something else than a sequence of mappings.
    """
    if not isinstance(received, Sequence) or not all(isinstance(values, Mapping) for values in received):
        raise ValueError(f"enqueue is {received!r}; allowed is a list of configurations, such as [{{'width': 16}}].")


def _is_whole(received: object, *, lowest: int) -> bool:
    is_whole = isinstance(received, numbers.Integral) and not isinstance(received, bool)
    return is_whole and int(received) >= lowest  # type: ignore[call-overload]
