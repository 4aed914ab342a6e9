"""Configurations as points of the unit cube, for samplers and surrogates.

Keras Tuner's hyperparameters map a probability to a value and back, whatever their kind, step and scale. A point holds
these probabilities; a surrogate sees unordered choices as one coordinate each, so that all are equally far apart.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras_tuner
import numpy as np

from tuner.quantities import on_grid

__all__ = [
    "MOST_COUNTED",
    "Encoding",
    "cleaned",
    "default_values",
    "grid_values",
    "is_active",
    "is_even",
    "is_ordered",
    "probability_of",
    "value_at",
    "values_key",
]

Values = Mapping[str, Any]

# Most grid points of a space that are counted one by one; a larger one counts as endless.
MOST_COUNTED = 100_000

# Values in a grid of a hyperparameter without steps, as in Keras Tuner.
MOST_WITHOUT_STEPS = 10

# Where a coordinate stands whose hyperparameter is not active.
INACTIVE = 0.5


class Encoding:
    """The hyperparameters of a space and the points that stand for their values.

    Args:
        space: Declared hyperparameters; a parent stands before what depends on it.
        first: How many of them; None means all. A tuner may add some to the space later.
    """

    def __init__(self, space: keras_tuner.HyperParameters, first: int | None = None) -> None:
        self._space = space
        self.entries = list(space.space)[:first]
        self._counts = {id(entry): _count(entry) for entry in self.entries}
        self.free = [entry for entry in self.entries if self._counts[id(entry)] != 1]
        self._labels: dict[int, str] = {}
        for place, entry in enumerate(self.entries):
            earlier = sum(other.name == entry.name for other in self.entries[:place])
            self._labels[id(entry)] = f"{entry.name}#{earlier}" if earlier else entry.name

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies by the space alone: what is kept by the identity of its entries is made anew."""
        return Encoding, (self._space, len(self.entries))

    @property
    def dimensions(self) -> int:
        """Number of hyperparameters that have more than one value."""
        return len(self.free)

    def count(self, entry: Any) -> int | None:
        """Returns how many values a hyperparameter has; None where there is no end of them."""
        return self._counts[id(entry)]

    def label(self, entry: Any) -> str:
        """Returns the name of a hyperparameter, with a number where several conditional scopes have one of it."""
        return self._labels[id(entry)]

    def point(self, values: Values) -> np.ndarray:
        """Returns the probability of each free value, `(dimensions,)`; `INACTIVE` where one is not active."""
        return np.array([self._probability(entry, values) for entry in self.free])

    def values(self, point: Sequence[float] | np.ndarray) -> dict[str, Any]:
        """Returns the active values of a point."""
        probabilities = {id(entry): p for entry, p in zip(self.free, point, strict=True)}
        values: dict[str, Any] = {}
        for entry in self.entries:
            if is_active(entry, values):
                values[entry.name] = value_at(entry, float(probabilities.get(id(entry), INACTIVE)))
        return values

    def features(self, points: np.ndarray) -> np.ndarray:
        """Returns what a surrogate sees of points `(n, dimensions)`: `(n, features)`, distances in each up to 1."""
        columns = []
        for entry, column in zip(self.free, points.T, strict=True):
            if is_ordered(entry):
                columns.append(column[:, None])
            else:
                count = self._counts[id(entry)] or 1
                index = np.minimum((column * count).astype(int), count - 1)
                columns.append(np.eye(count)[index] / math.sqrt(2.0))
        return np.concatenate(columns, axis=1) if columns else np.zeros((len(points), 0))

    def groups(self) -> np.ndarray:
        """Returns, for each feature, the number of the free hyperparameter that it belongs to."""
        widths = [1 if is_ordered(entry) else self._counts[id(entry)] or 1 for entry in self.free]
        return np.repeat(np.arange(len(widths)), widths)

    def snapped(self, points: np.ndarray) -> np.ndarray:
        """Returns points `(n, dimensions)` with those of counted values where the value itself stands.

        What is not active is put to `INACTIVE`, so that equal configurations have equal points.
        """
        snapped = np.array(points, dtype=float)
        active: dict[int, np.ndarray] = {}
        column_of = {id(entry): column for entry, column in zip(self.free, snapped.T, strict=True)}
        for entry in self.entries:
            active[id(entry)] = self._active_rows(entry, active, column_of, len(snapped))
            column, count = column_of.get(id(entry)), self._counts[id(entry)]
            if column is None:
                continue
            if count and is_even(entry):
                column[:] = (np.minimum((column * count).astype(int), count - 1) + 0.5) / count
            elif count:
                column[:] = [probability_of(entry, value_at(entry, p)) for p in column.tolist()]
            column[~active[id(entry)]] = INACTIVE
        return snapped

    def _active_rows(
        self, entry: Any, active: Mapping[int, np.ndarray], column_of: Mapping[int, np.ndarray], rows: int
    ) -> np.ndarray:
        """Returns in which rows a hyperparameter is active, `(rows,)`; `active` holds those declared before it."""
        found = np.ones(rows, dtype=bool)
        for condition in entry.conditions:
            holds = np.zeros(rows, dtype=bool)
            for parent in self.entries:
                if parent.name == condition.name and id(parent) in active:
                    holds |= active[id(parent)] & self._has_value(parent, condition.values, column_of)
            found &= holds
        return found

    def _has_value(self, entry: Any, wanted: Sequence[Any], column_of: Mapping[int, np.ndarray]) -> np.ndarray | bool:
        """Returns in which rows a hyperparameter has one of some values."""
        column = column_of.get(id(entry))
        if column is None:
            return any(value in wanted for value in _every_value(entry))
        if self._counts[id(entry)] and is_even(entry):
            grid = list(grid_values(entry))
            allowed = [place for place, value in enumerate(grid) if value in wanted]
            return np.isin(np.minimum((column * len(grid)).astype(int), len(grid) - 1), allowed)
        return np.array([value_at(entry, float(p)) in wanted for p in column])

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Yields the active values of all configurations; of a `Float` without steps, ten values each."""
        choices = [_every_value(entry) for entry in self.entries]
        pending: list[tuple[int, dict[str, Any]]] = [(0, {})]
        while pending:
            number, values = pending.pop()
            while number < len(self.entries) and not is_active(self.entries[number], values):
                number += 1
            if number == len(self.entries):
                yield values
                continue
            name = self.entries[number].name
            pending += [(number + 1, {**values, name: value}) for value in choices[number]]

    def size(self) -> int | None:
        """Returns how many configurations there are; None where there is no end of them or too many to count."""
        if any(count is None or count > MOST_COUNTED for count in self._counts.values()):
            return None
        found = sum(1 for _ in itertools.islice(self.combinations(), MOST_COUNTED + 1))
        return found if found <= MOST_COUNTED else None

    def _probability(self, entry: Any, values: Values) -> float:
        if entry.name not in values or not is_active(entry, values):
            return INACTIVE
        return probability_of(entry, values[entry.name])


def probability_of(entry: Any, value: Any) -> float:
    """Returns the probability that stands for a value of a hyperparameter; of a step, that of its middle.

    Keras Tuner divides by the step and rounds down: 0.5 would be the fourth step of 0.1. What the hyperparameter cannot
    be, as in a configuration of another study, stands at `INACTIVE`.
    """
    is_stepped = getattr(entry, "step", None) is not None and entry.sampling == "linear"
    try:
        probability = float(entry.value_to_prob(value + entry.step / 2 if is_stepped else value))
    except (TypeError, ValueError):
        return INACTIVE
    return min(max(probability, 0.0), 1.0)


def value_at(entry: Any, probability: float) -> Any:
    """Returns the value of a hyperparameter that a probability stands for, from 0 to 1.

    Keras Tuner's may lie beyond the range, as 0.09999999999999998 of 0.1 to 0.9, or 1,000,002 of 1 to 1,000,001.
    """
    value = entry.prob_to_value(min(max(probability, 0.0), 1.0 - 1e-12))
    return cleaned(entry, value) if hasattr(entry, "min_value") else value


def cleaned(entry: Any, value: Any) -> Any:
    """Returns a number as its range and its steps have it, which Keras Tuner misses by rounding.

    Six steps of 0.1 from 0.3 are 0.9000000000000001, beyond a range that ends at 0.9, and three from -0.3 are 5.6e-17.
    """
    within = type(value)(min(max(value, entry.min_value), entry.max_value))
    is_stepped = isinstance(value, float) and entry.step is not None and entry.sampling == "linear"
    return on_grid(within, entry.step) if is_stepped else within


def grid_values(entry: Any) -> Iterator[Any]:
    """Yields the values of a hyperparameter in order; ten spread evenly over its scale where that has no steps.

    They are fewer where some of these are the same, as of integers on a logarithmic scale; of up to ten, all.
    """
    count = _count(entry)
    if hasattr(entry, "value"):
        yield entry.value
    elif is_even(entry) and count is not None:
        yield from (value_at(entry, (index + 0.5) / count) for index in range(count))
    elif count is not None and count <= MOST_WITHOUT_STEPS:
        yield from _every_value(entry)
    else:
        places = (np.arange(MOST_WITHOUT_STEPS) + 0.5) / MOST_WITHOUT_STEPS
        yield from dict.fromkeys(value_at(entry, place) for place in places.tolist())


def _every_value(entry: Any) -> list[Any]:
    """Returns the values of a hyperparameter; ten of one that has no end of them."""
    count = _count(entry)
    if count is None or is_even(entry):
        return list(grid_values(entry))
    return [entry.min_value + index for index in range(count)]  # an `Int` on a logarithmic scale, or one value


def is_active(entry: Any, values: Values) -> bool:
    """Whether the conditions of a hyperparameter hold among values."""
    return all(
        condition.name in values and values[condition.name] in condition.values for condition in entry.conditions
    )


def default_values(space: keras_tuner.HyperParameters, given: Values | None = None) -> dict[str, Any]:
    """Returns given values and defaults for what they leave out, of all hyperparameters that are active among these."""
    values: dict[str, Any] = {}
    for entry in space.space:
        if is_active(entry, values):
            values[entry.name] = (given or {}).get(entry.name, entry.default)
    return values


def values_key(values: Values) -> str:
    """Returns a text that is the same for the same active values, whether 2 is a whole number or a float."""
    own = {name: _plain(value) for name, value in values.items() if not name.startswith("tuner/")}
    return json.dumps(own, sort_keys=True, default=str)


def is_ordered(entry: Any) -> bool:
    """Whether a hyperparameter's values stand in an order, as numbers do and most choices do not."""
    return bool(getattr(entry, "ordered", True))


def is_even(entry: Any) -> bool:
    """Whether each of a hyperparameter's values takes the same share of the probability."""
    return getattr(entry, "sampling", "linear") == "linear" or entry.step is not None


def _plain(value: Any) -> Any:
    """Returns a number as JSON shows it once: to twelve digits, since three steps of 0.1 are 0.30000000000000004."""
    if isinstance(value, (bool, int)):
        return int(value)
    if not isinstance(value, float):
        return value
    rounded = float(f"{value:.12g}")
    return int(rounded) if rounded.is_integer() else rounded


def _count(entry: Any) -> int | None:
    """Returns how many values a hyperparameter has; None where it has no steps."""
    if hasattr(entry, "value"):  # Fixed
        return 1
    if isinstance(entry, keras_tuner.engine.hyperparameters.Boolean):
        return 2
    if isinstance(entry, keras_tuner.engine.hyperparameters.Choice):
        return len(entry.values)
    if entry.min_value == entry.max_value:
        return 1
    if entry.step is not None and entry.sampling == "linear":  # not listed: there may be millions
        return int((entry.max_value - entry.min_value) // entry.step) + 1
    if entry.step is not None:
        return len(list(entry.values))
    if isinstance(entry, keras_tuner.engine.hyperparameters.Int):
        return entry.max_value - entry.min_value + 1
    return None
