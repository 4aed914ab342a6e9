"""Which points of a long study a page draws, so that a browser opens it: the best ones, and some of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

__all__ = ["thinned", "thinning_note"]

Item = TypeVar("Item")


def thinned(items: Sequence[Item], most: int, *, goodness: Callable[[Item], Any]) -> list[Item]:
    """Returns some of the items in their order: the best ones, and as many of the others, of good and bad alike.

    Args:
        items: What there is.
        most: How many may be returned, at least 2; that many items or fewer are all returned.
        goodness: Of an item; a better one has the larger.
    """
    if len(items) <= most:
        return list(items)
    places = sorted(range(len(items)), key=lambda place: goodness(items[place]), reverse=True)
    best, others = places[: most // 2], places[most // 2 :]
    wanted = most - len(best)
    kept = {*best, *(others[number * len(others) // wanted] for number in range(wanted))}
    return [item for place, item in enumerate(items) if place in kept]


def thinning_note(number: int, most: int, things: str) -> str:
    """Returns the sentence, behind a blank, that tells a person what `thinned` has left out; nothing if it has not."""
    if number <= most:
        return ""
    return f" Drawn are the best {most // 2:,} of {number:,} {things}, and {most - most // 2:,} of the others."
