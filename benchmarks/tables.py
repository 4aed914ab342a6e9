"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["markdown"]


def markdown(heads: Sequence[str], table: Iterable[Sequence[str]]) -> str:
    """Returns a table whose first column stands to the left, and whose others stand to the right."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *table]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
