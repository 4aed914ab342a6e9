"""Numbers, times and sizes as people write and read them."""

from __future__ import annotations

import argparse
import math
import numbers
import re
from typing import Any

__all__ = [
    "byte_size",
    "count",
    "counted",
    "describe_bytes",
    "describe_cost",
    "describe_count",
    "describe_seconds",
    "duration",
    "gpus",
    "is_number",
    "is_whole",
    "milliseconds",
    "native",
    "on_grid",
]

# Values of a grid of floating-point steps are off by so much of a step at most.
ROUNDING = 1e-9

_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def is_number(value: object) -> bool:
    """Whether a value is a finite number; to Python, True is one."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def is_whole(value: Any, lowest: int, *, kind: Any = int) -> bool:
    """Whether a value is a whole number of at least so much; with `numbers.Integral` as kind, one of NumPy is, too."""
    return isinstance(value, kind) and not isinstance(value, bool) and bool(value >= lowest)


def native(value: Any) -> Any:
    """Returns a number of NumPy as one of Python, and all else as it is."""
    return value.item() if isinstance(value, numbers.Number) and hasattr(value, "item") else value


def on_grid(value: float, step: float) -> float:
    """Returns a value of a grid of steps, of which rounding may have left 5.6e-17 of 0."""
    return 0.0 if abs(value) < ROUNDING * step else value


def duration(text: str) -> float:
    """Returns seconds from `90`, `90s`, `30m`, `1h30m` or `2d`, for argparse.

    Raises:
        argparse.ArgumentTypeError: If the text is none.
    """
    parts = re.findall(_NUMBER + "([smhd]?)", text.lower())
    seconds = sum(float(number) * _SECONDS[unit or "s"] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text.lower() or not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 90s, 30m, 1h30m or 2d")
    return seconds


def byte_size(text: str) -> int:
    """Returns bytes from `500M`, `2G` or `1.5GB`, for argparse.

    Raises:
        argparse.ArgumentTypeError: If the text is none.
    """
    match = re.fullmatch(_NUMBER + "([kmgt]?)b?", text.lower())
    size = float(match[1]) * _BYTES[match[2]] if match else 0.0
    if not 1 <= size < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 500M or 2G")
    return int(size)


def count(text: str) -> int:
    """Returns a number of things from `500`, `163k`, `1.5M` or `2G`, for argparse.

    Raises:
        argparse.ArgumentTypeError: If the text is none.
    """
    match = re.fullmatch(_NUMBER + "([kmgt]?)", text.lower())
    number = float(match[1]) * _BYTES[match[2]] if match else 0.0
    if not 1 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of things; write 500, 163k or 1.5M")
    return round(number)


def milliseconds(text: str) -> float:
    """Returns a number above 0, for argparse.

    Raises:
        argparse.ArgumentTypeError: If the text is none.
    """
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no time in milliseconds; write a number above 0, such as 2.5")
    return number


def gpus(text: str) -> float:
    """Returns a share of a GPU, above 0 and up to 1, or a whole number of them, for argparse.

    Raises:
        argparse.ArgumentTypeError: If the text is none.
    """
    number = _number(text)
    if not (0 < number <= 1 or (number > 1 and number.is_integer())):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no share; write a number above 0 and up to 1, such as 0.5, or a whole number of GPUs"
        )
    return number


def _number(text: str) -> float:
    """Returns a number; 0, which no quantity may be, where it is none."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def describe_seconds(seconds: float) -> str:
    """Returns a duration in the units that a person would use."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h"


def describe_bytes(size: float) -> str:
    """Returns a number of bytes in the unit that a person would use."""
    for unit in ("bytes", "kB", "MB"):
        if round(size) < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def describe_count(number: float) -> str:
    """Returns a number of things with three significant digits: `999`, `18.2k`, `1.5M`."""
    for unit in ("", "k", "M"):
        if float(f"{number:.3g}") < 1000:
            return f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g}G"


def counted(number: int, one: str, many: str = "") -> str:
    """Returns a number with what it counts, such as `1 epoch` or `9 epochs`; most plurals only have one letter more."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def describe_cost(number: float, name: str, *, exact: bool = False) -> str:
    """Returns what a network costs for a person to read.

    Args:
        number: How much.
        name: `params`, `macs` or `latency` (in milliseconds).
        exact: Whether it is to be given as a limit that admits the network: whole, or rounded up.
    """
    if name == "latency":
        return f"{math.ceil(number * 1000) / 1000:.12g} ms" if exact else f"{number:.3g} ms"
    return f"{number:.0f} {name}" if exact else f"{describe_count(number)} {name}"
