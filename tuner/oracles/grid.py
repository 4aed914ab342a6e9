"""Every configuration of a grid, in order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tuner.oracles.drawing import Drawing, not_found
from tuner.oracles.encoding import MOST_COUNTED, grid_values, is_active, is_even, values_key
from tuner.oracles.history_oracle import HistoryOracle
from tuner.oracles.moves import Move

__all__ = ["Grid"]

# Combinations in a row that are not allowed before it gives up: seconds. A draw at random would not be a grid.
MOST_REJECTED = 1_000_000


class Grid(HistoryOracle):
    """Trials of the full budget over all combinations; the last declared hyperparameter changes fastest.

    Each hyperparameter begins with its default; one without steps has ten values besides it. The seed decides nothing.
    `keras_tuner.oracles.GridSearchOracle` makes the same combinations but waits for running trials, and raises for a
    configuration that is enqueued off the grid, which would leave its lock taken.

    Args:
        options: See `HistoryOracle`.
    """

    _walk: _Walk | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Returns what a copy has: a way cannot be copied, but gone again."""
        return {**self.__dict__, "_walk": None}

    def _move(self, rng: np.random.Generator) -> Move | None:
        if self._walk is None or self._walk.drawing is not self.drawing:
            self._walk = _Walk(self.drawing, self._grid())
        walk, rejections = self._walk, 0
        while walk.values is not None:
            if not self.drawing.allows(walk.values):
                rejections += 1
                if rejections == MOST_REJECTED:
                    self.reason = not_found(rejections)
                    return None
            elif values_key(walk.values) not in self.history.keys:
                return Move(self.max_epochs, values=walk.values)
            else:
                rejections = 0
            walk.go_on()
        self.reason = self._exhausted(len(self.history)) if len(self.history) else not_found(rejections)
        return None

    def _grid(self) -> Iterator[dict[str, Any]]:
        return _combinations(self.encoding.entries, {})

    def _size(self) -> int | None:
        """Returns how many configurations of the grid are allowed; None where they are too many to count."""
        counts = [self.encoding.count(entry) or 0 for entry in self.encoding.entries if is_even(entry)]
        if max(counts, default=0) > MOST_COUNTED:
            return None
        found = list(itertools.islice(self._grid(), MOST_COUNTED + 1))
        return sum(map(self.drawing.may_allow, found)) if len(found) <= MOST_COUNTED else None

    def _exhausted(self, tried: int) -> str:
        most = self.drawing.size()
        if most is None or most <= tried:
            return self.drawing.exhausted(tried)
        return f"the grid is exhausted, {tried} tried of a space of {most}"


class _Walk:
    """A way through the combinations that is gone once, because what was tried or refused remains so.

    Args:
        drawing: What decides on them: with another one the way begins anew.
        combinations: All of them, in order.

    Attributes:
        values: The combination where it stands; None at the end.
    """

    def __init__(self, drawing: Drawing, combinations: Iterator[dict[str, Any]]) -> None:
        self.drawing = drawing
        self._combinations = combinations
        self.go_on()

    def go_on(self) -> None:
        """Steps to the next combination."""
        self.values = next(self._combinations, None)


def _combinations(entries: Sequence[Any], values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the active values of all combinations that continue the values so far."""
    if not entries:
        yield values
        return
    entry, *rest = entries
    if not is_active(entry, values):
        yield from _combinations(rest, values)
        return
    for value in _default_first(entry):
        yield from _combinations(rest, {**values, entry.name: value})


def _default_first(entry: Any) -> Iterator[Any]:
    """Yields the values one by one: there may be millions. Three steps of 0.1 are 0.30000000000000004, and 0.3."""
    yield entry.default
    default = values_key({"": entry.default})
    yield from (value for value in grid_values(entry) if values_key({"": value}) != default)
