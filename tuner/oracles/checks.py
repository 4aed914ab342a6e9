"""Refuses arguments of an oracle when it is made: later Keras Tuner would keep its lock, and a search hang."""

from __future__ import annotations

import numbers
import sys
from collections.abc import Mapping, Sequence
from typing import Any, overload

from tuner.quantities import is_whole

__all__ = ["check_count", "check_number", "check_queue", "check_rungs"]


@overload
def check_count(name: str, received: object, *, lowest: int = 1) -> int: ...


@overload
def check_count(name: str, received: object, *, lowest: int = 1, optional: bool) -> int | None: ...


def check_count(name: str, received: Any, *, lowest: int = 1, optional: bool = False) -> int | None:
    """Returns a whole number, which may be one of NumPy, as one of Python: Keras Tuner writes it as JSON.

    Raises:
        ValueError: If it is none from the lowest one on, nor, where that is optional, None.
    """
    if received is None and optional:
        return None
    if not is_whole(received, lowest, kind=numbers.Integral):
        none = ", or None" if optional else ""
        raise ValueError(f"{name} is {received!r}; allowed is a whole number from {lowest}{none}.")
    return int(received)


def check_number(name: str, received: Any, *, highest: float | None = None) -> float:
    """Returns a number as one of Python.

    Raises:
        ValueError: If it is no finite number from 0 to the highest one; None means that any is allowed.
    """
    most = sys.float_info.max if highest is None else highest
    if not isinstance(received, numbers.Real) or not 0.0 <= float(received) <= most:
        allowed = "a finite number from 0" if highest is None else f"a number from 0 to {highest:g}"
        raise ValueError(f"{name} is {received!r}; allowed is {allowed}.")
    return float(received)


def check_rungs(max_epochs: int, *, eta: int, min_epochs: int) -> None:
    """Refuses numbers of which no rungs can be made.

    Raises:
        ValueError: If one is out of its range.
    """
    check_count("max_epochs", max_epochs)
    check_count("eta", eta, lowest=2)
    if not is_whole(min_epochs, 1, kind=numbers.Integral) or min_epochs > max_epochs:
        raise ValueError(f"min_epochs is {min_epochs!r}; allowed is from 1 to max_epochs, {max_epochs}.")


def check_queue(received: Any) -> None:
    """Refuses what are no configurations.

    Raises:
        ValueError: If it is something else than a sequence of mappings.
    """
    if not isinstance(received, Sequence) or not all(isinstance(values, Mapping) for values in received):
        raise ValueError(f"enqueue is {received!r}; allowed is a list of configurations, such as [{{'width': 16}}].")
