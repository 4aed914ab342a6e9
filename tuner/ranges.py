"""Where in the ranges of a search space a configuration lies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tuner.distributions import active_entries

__all__ = ["ends_reached", "is_default"]

AT_AN_END = 0.05  # of a range, on the scale that it is searched on


def is_default(space: Sequence[Mapping[str, Any]], values: Mapping[str, Any]) -> bool:
    """Whether a configuration is the default one: where a space names none, Keras Tuner takes the first or least value.

    Args:
        space: Declared hyperparameters, as `keras_tuner.HyperParameters.get_config()["space"]` gives them.
        values: Active values by name.
    """
    return all(values.get(entry["name"]) == _default(entry) for entry in active_entries(space, values))


def _default(entry: Mapping[str, Any]) -> Any:
    if entry["kind"] == "Fixed":
        return entry["value"]
    if entry.get("default") is not None:
        return entry["default"]
    return entry["values"][0] if "values" in entry else entry["min_value"]


def ends_reached(space: Sequence[Mapping[str, Any]], values: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
    """Returns the name, which end, and the value of it, of each range at whose end a configuration lies.

    Args:
        space: Declared hyperparameters, as `keras_tuner.HyperParameters.get_config()["space"]` gives them.
        values: Active values by name.
    """
    found = []
    for entry in active_entries(space, values):
        low, high = _bounds(entry)
        if low is None or high is None or not low < high:
            continue
        place = _place(entry, values[entry["name"]], low, high)
        if place >= 1 - AT_AN_END:
            found.append((entry["name"], "largest", high))
        elif place <= AT_AN_END and _may_be_less(low):
            found.append((entry["name"], "smallest", low))
    return found


def _bounds(entry: Mapping[str, Any]) -> tuple[Any, Any]:
    """Returns the ends of what is a range: of numbers, or an ordered choice of three and more that are above 0."""
    if entry["kind"] in ("Int", "Float"):
        return entry["min_value"], entry["max_value"]
    values = entry.get("values", ()) if entry.get("ordered", True) else ()
    are_sizes = all(isinstance(value, int | float) and value > 0 for value in values)  # 0 leaves something out
    return (min(values), max(values)) if len(values) > 2 and are_sizes else (None, None)


def _place(entry: Mapping[str, Any], value: float, low: float, high: float) -> float:
    """Returns where in its range a value lies, from 0 to 1; of a choice, by how many of its values are less."""
    if "values" in entry:
        return sum(other < value for other in entry["values"]) / (len(entry["values"]) - 1)
    sampling = entry.get("sampling")
    if sampling == "log":
        return math.log(value / low) / math.log(high / low)
    if sampling == "reverse_log":
        return 1.0 - math.log((low + high - value) / low) / math.log(high / low)
    return (value - low) / (high - low)


def _may_be_less(low: float) -> bool:
    """Whether a range could begin lower: most numbers of a network are above 0, and what is counted is at least 1."""
    return low > 1 if isinstance(low, int) else low > 0
