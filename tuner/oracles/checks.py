"""Refuses arguments of an oracle when it is made: later Keras Tuner would keep its lock, and a search hang."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, overload

from tuner.quantities import is_whole

__all__ = ["check_count", "check_queue", "check_rungs", "check_share", "check_size"]


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


def check_share(name: str, received: Any) -> float:
    """Returns a share of a whole as a number of Python.

    Raises:
        ValueError: If it is no number from 0 to 1.
    """
    if not isinstance(received, numbers.Real) or not 0.0 <= float(received) <= 1.0:
        raise ValueError(f"{name} is {received!r}; allowed is a number from 0 to 1.")
    return float(received)


def check_size(name: str, received: Any) -> float:
    """Returns a size as a number of Python.

    Raises:
        ValueError: If it is no finite number from 0 on.
    """
    if not isinstance(received, numbers.Real) or not 0.0 <= float(received) < math.inf:
        raise ValueError(f"{name} is {received!r}; allowed is a finite number from 0.")
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
