"""Where hyperparameter values put squeeze-and-excitation. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["DEFAULT_RATIO", "WITHOUT", "gate_ratios"]

WITHOUT = "without"  # what tables call a network that has none

_DEFAULT_STAGES = 3
DEFAULT_RATIO = 16  # Hu et al., 2018, table 10

_STAGE_NUMBER = re.compile(r"[1-9]\d*")


def gate_ratios(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """Returns the channels per gate unit that hyperparameter values give each stage, 0 for no gate.

    Raises:
        ValueError: If `se_stages` is no text of numbers.
    """
    return tuple(_ratio(values, stage) for stage in range(1, values.get("stages", _DEFAULT_STAGES) + 1))


def _ratio(values: Mapping[str, Any], stage: int) -> Any:
    """Returns the channels per gate unit of a stage, counted from 1; 0 where it is not one of `se_stages`."""
    stages = str(values.get("se_stages", "all"))
    if stages != "all" and str(stage) not in _numbers(stages):
        return 0
    return values.get(f"se_ratio_{stage}", values.get("se_ratio", DEFAULT_RATIO))


def _numbers(stages: str) -> list[str]:
    """Returns the numbers of a text such as "2,3".

    Raises:
        ValueError: If it is no such text.
    """
    numbers = [number.strip() for number in stages.split(",")]
    if not all(_STAGE_NUMBER.fullmatch(number) for number in numbers):
        raise ValueError(f"se_stages: received {stages!r}, allowed is 'all' or numbers of stages, such as '2,3'.")
    return numbers
