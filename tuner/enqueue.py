"""Configurations that a person wants to be tried: read from a file, and checked against the space.

The file is JSON, a list of objects such as `[{"width": 16, "se_ratio": 4}]`. The hyperparameters object is handed in,
so nothing here imports Keras Tuner.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tuner.errors import UsageError, did_you_mean
from tuner.quantities import is_number, native, on_grid

__all__ = ["as_declared", "completed", "listed", "read_queue", "still_allowed"]

# Values on a grid of floating-point steps differ from what a person writes by so much at most, relatively.
TOLERANCE = 1e-9

# So many values of a grid are named in an error; of more, the ends and the step.
MOST_NAMED = 12


def read_queue(path: str) -> tuple[dict[str, Any], ...]:
    """Returns the configurations of a file.

    Raises:
        UsageError: If there is no such file, it is no JSON, or something else than a list of objects.
    """
    try:
        queue = json.loads(Path(path).read_text(encoding="utf-8-sig"), object_pairs_hook=_object)
    except OSError as error:
        raise UsageError(f"--enqueue cannot read {path or repr(path)}: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--enqueue is {path}, which is no JSON: {error}.") from error
    if not isinstance(queue, list):
        raise UsageError(f"--enqueue is {path}, which holds {_kind(queue)}; {_FORM}")
    wrong = next((number for number, values in enumerate(queue, 1) if not isinstance(values, dict)), None)
    if wrong is not None:
        raise UsageError(f"Configuration {wrong} of --enqueue {path} is {_kind(queue[wrong - 1])}; {_FORM}")
    return tuple(queue)


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Returns a JSON object; of two values of a name, Python would drop the first without a word."""
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"A configuration of --enqueue has {twice!r} twice; allowed is each name once.")
    return dict(pairs)


def completed(queue: Sequence[Mapping[str, Any]], space: Any) -> list[dict[str, Any]]:
    """Returns the configurations with defaults for what they leave out.

    Args:
        queue: Values by name.
        space: The declared `keras_tuner.HyperParameters`; a parent stands before what depends on it.

    Raises:
        UsageError: If one has a name that the space does not declare, a value that it does not allow, or a value that
            has no effect because of another one.
    """
    return [_completed(values, list(space.space), number) for number, values in enumerate(queue, 1)]


def as_declared(queue: Sequence[Mapping[str, Any]], space: Any) -> list[dict[str, Any]]:
    """Returns the configurations with values of the kind that the space declares.

    Names that it does not declare stay as they are: a hypermodel may declare them when it is built.

    Args:
        queue: Values by name.
        space: The `keras_tuner.HyperParameters` that are declared so far.

    Raises:
        UsageError: If the space does not allow a value.
    """
    entries = _by_name(space)
    return [_as_declared(values, entries, number) for number, values in enumerate(queue, 1)]


def still_allowed(queue: Sequence[Mapping[str, Any]], space: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """Returns the configurations that a space allows which has grown, as `as_declared`, and what is wrong with others.

    Args:
        queue: Values by name.
        space: The `keras_tuner.HyperParameters` that are declared so far.
    """
    entries = _by_name(space)
    allowed, wrong = [], []
    for number, values in enumerate(queue, 1):
        try:
            allowed.append(_as_declared(values, entries, number))
        except UsageError as error:
            wrong.append(str(error))
    return allowed, wrong


def _by_name(space: Any) -> dict[str, list[Any]]:
    entries: dict[str, list[Any]] = {}
    for entry in space.space:
        entries.setdefault(entry.name, []).append(entry)  # conditional scopes may share a name
    return entries


def _as_declared(values: Mapping[str, Any], entries: Mapping[str, Sequence[Any]], number: int) -> dict[str, Any]:
    return {
        name: _of_any(entries[name], value, number) if name in entries else native(value)
        for name, value in values.items()
    }


def _of_any(entries: Sequence[Any], received: Any, number: int) -> Any:
    for entry in entries[:-1]:
        with contextlib.suppress(UsageError):
            return _value(entry, received, number)
    return _value(entries[-1], received, number)


_FORM = 'allowed is a list of objects, such as [{"width": 16, "se_ratio": 4}].'


def _completed(given: Mapping[str, Any], entries: Sequence[Any], number: int) -> dict[str, Any]:
    names = [entry.name for entry in entries]
    unknown = next((name for name in given if name not in names), None)
    if unknown is not None:
        raise UsageError(
            f"Configuration {number} of --enqueue has {unknown!r}; the space declares {', '.join(names)}."
            f"{did_you_mean(unknown, names)}"
        )
    values: dict[str, Any] = {}
    refused: dict[str, str] = {}
    for entry in entries:
        unmet = next((c for c in entry.conditions if values.get(c.name, _ABSENT) not in c.values), None)
        if unmet is None:
            values[entry.name] = _value(entry, given[entry.name], number) if entry.name in given else entry.default
        elif entry.name in given:
            refused[entry.name] = _without_effect(entry.name, unmet, values, number)
    for name, message in refused.items():
        if name not in values:  # another scope may declare it, too
            raise UsageError(message)
    return values


_ABSENT = object()


def _without_effect(name: str, condition: Any, values: Mapping[str, Any], number: int) -> str:
    needed = " or ".join(f"{value!r}" for value in condition.values)
    return (
        f"Configuration {number} of --enqueue sets {name!r}, which has no effect there: it depends on {condition.name} "
        f"being {needed}, and that is {values.get(condition.name)!r}; leave it out, or change {condition.name}."
    )


def _value(entry: Any, received: Any, number: int) -> Any:
    """Returns the value of a hyperparameter that is meant by one in JSON, which tells 1 and 1.0 apart and we do not."""
    received = native(received)
    kind = type(entry).__name__
    if _is_range(entry):
        within = is_number(received) and entry.min_value <= received <= entry.max_value
        if within and (kind == "Float" or received == int(received)):
            return float(received) if kind == "Float" else int(received)
    elif _is_grid(entry):
        nearest = _nearest(entry, received) if is_number(received) else None
        if nearest is not None and math.isclose(nearest, received, rel_tol=TOLERANCE, abs_tol=TOLERANCE * entry.step):
            return nearest
    else:
        match = next((value for value in listed(entry) if _is_same(value, received)), _ABSENT)
        if match is not _ABSENT:
            return match
    if _is_same(entry.default, received):  # it may lie between the steps, as 0.5 does: 0.5 // 0.1 is 4
        return entry.default
    raise UsageError(
        f"{entry.name} is {received!r} in configuration {number} of --enqueue; allowed is {_allowed(entry)}."
    )


def _is_range(entry: Any) -> bool:
    """Whether a hyperparameter takes every value between two ends."""
    kind = type(entry).__name__
    return kind in ("Int", "Float") and (entry.step is None or (kind, entry.sampling, entry.step) == _EVERY_INTEGER)


_EVERY_INTEGER = ("Int", "linear", 1)


def _is_grid(entry: Any) -> bool:
    """Whether a hyperparameter takes values at equal steps, of which there may be millions."""
    return type(entry).__name__ in ("Int", "Float") and entry.step is not None and entry.sampling == "linear"


def _nearest(entry: Any, received: float) -> Any:
    """Returns the value of a grid that is the nearest to a number."""
    last = int((entry.max_value - entry.min_value) // entry.step)  # as Keras Tuner counts
    index = min(max(round((received - entry.min_value) / entry.step), 0), last)
    value = min(entry.min_value + index * entry.step, entry.max_value)  # six steps of 0.1 from 0.3 are beyond 0.9
    return on_grid(value, entry.step) if isinstance(value, float) else value


def listed(entry: Any) -> list[Any]:
    """Returns the values of a hyperparameter that has a list of them."""
    kind = type(entry).__name__
    if kind == "Fixed":
        return [entry.value]
    if kind == "Boolean":
        return [False, True]
    if kind == "Choice":
        return list(entry.values)
    whole = int if kind == "Int" else float  # Keras Tuner's powers of integers are floats, and may leave the range
    return [whole(min(max(value, entry.min_value), entry.max_value)) for value in entry.values]


def _is_same(value: Any, received: Any) -> bool:
    if is_number(value) and is_number(received):
        return math.isclose(value, received, rel_tol=TOLERANCE)
    return type(value) is type(received) and bool(value == received)


def _allowed(entry: Any) -> str:
    kind = type(entry).__name__
    if kind in ("Int", "Float"):
        span = f"from {entry.min_value} to {entry.max_value}"
        if _is_range(entry):
            return f"a whole number {span}" if kind == "Int" else f"a number {span}"
        values = list(itertools.islice(entry.values, MOST_NAMED + 1))
        if len(values) > MOST_NAMED:
            return f"a value {span} in steps of {entry.step}"
        shown = [_nearest(entry, value) for value in values] if _is_grid(entry) else values
        return f"one of {', '.join(f'{value:.10g}' for value in shown)}"
    return f"one of {', '.join(json.dumps(value) for value in listed(entry))}"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
