"""Random configurations that were not tried and are allowed, and what to say where there are none.

What is allowed is a predicate that the search hands in; nothing here knows of a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

import numpy as np

from tuner.oracles.encoding import Encoding, values_key

__all__ = ["MOST_COLLISIONS", "MOST_REJECTIONS", "Drawing", "Predicate", "not_found"]

# Says of active values whether the search may try them. It may have a method `quickly` that measures nothing.
Predicate = Callable[[Mapping[str, Any]], bool]

# Draws that gave nothing new before a space counts as exhausted.
MOST_COLLISIONS = 1000

# Draws that were not allowed before a search gives up: where 1 in 1,000 is, all miss it in 2 of 10^9 searches.
MOST_REJECTIONS = 20_000


class Drawing:
    """Draws from a space.

    Args:
        encoding: The space.
        is_allowed: Whether a configuration may be tried; None means that all may.
    """

    def __init__(self, encoding: Encoding, is_allowed: Predicate | None = None) -> None:
        self.encoding = encoding
        self.is_allowed = is_allowed
        self._size: int | None = None
        self._is_counted = False
        self._nothing: tuple[int, str] | None = None  # was found when so many were tried, and why

    def allows(self, values: Mapping[str, Any]) -> bool:
        """Whether a configuration may be tried."""
        return self.is_allowed is None or self.is_allowed(values)

    def may_allow(self, values: Mapping[str, Any]) -> bool:
        """Whether a configuration may be tried as far as that is known without a measurement, of seconds each."""
        quickly: Predicate | None = getattr(self.is_allowed, "quickly", self.is_allowed)
        return quickly is None or quickly(values)

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Yields the allowed ones of all configurations; of a `Float` without steps, ten values each."""
        return (values for values in self.encoding.combinations() if self.allows(values))

    def size(self) -> int | None:
        """Returns how many configurations `may_allow` allows; None where they are endless or too many to count."""
        if not self._is_counted:
            size = self.encoding.size()
            if size is not None and self.is_allowed is not None:
                size = sum(map(self.may_allow, self.encoding.combinations()))
            self._size, self._is_counted = size, True
        return self._size

    def new_values(self, rng: np.random.Generator, tried: Set[str]) -> tuple[dict[str, Any] | None, str]:
        """Returns allowed values that were not tried, or None and the reason why there are none.

        Args:
            rng: Source of the draws.
            tried: Keys of the configurations that are not drawn again; of those that were not to be drawn before, none
                is missing.
        """
        if self._nothing and self._nothing[0] == len(tried):
            return None, self._nothing[1]
        values, reason = self._drawn(rng, tried)
        self._nothing = None if values is not None else (len(tried), reason)
        return values, reason

    def _drawn(self, rng: np.random.Generator, tried: Set[str]) -> tuple[dict[str, Any] | None, str]:
        collisions = rejections = 0
        # A space that can be counted is looked through below.
        most_rejections = MOST_REJECTIONS if self.is_allowed is None or self.size() is None else MOST_COLLISIONS
        while collisions < MOST_COLLISIONS and rejections < most_rejections:
            values = self.encoding.values(rng.random(self.encoding.dimensions))
            if not self.allows(values):
                rejections += 1
            elif values_key(values) in tried:
                collisions += 1
            else:
                return values, ""
        if self.size() is None:
            return None, self.exhausted(len(tried)) if collisions == MOST_COLLISIONS else not_found(rejections)
        left = next((each for each in self.combinations() if values_key(each) not in tried), None)
        return left, "" if left is not None else self.exhausted(len(tried))

    def exhausted(self, tried: int) -> str:
        """Returns what to say when all configurations were tried, so many of them."""
        size = self.size()
        # An enqueued or default configuration may lie between the steps.
        most = max(size, tried) if size is not None else f"about {tried}"
        within = "" if self.is_allowed is None else " within the constraints"
        return f"the space is exhausted{within}, {tried} of {most} tried"


def not_found(tries: int) -> str:
    """Returns what to say when so many draws gave nothing allowed."""
    return f"no new configuration within the constraints was found in {tries:,} tries"
