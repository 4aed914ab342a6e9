"""Tables in Markdown. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["one_line", "table"]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, rule: str = "---:") -> str:
    """Returns a table, a line each row.

    Args:
        heads: What stands above the columns.
        rows: Cells, as many as heads.
        rule: Where the columns are aligned: `---:` to the right, `---` to the left.
    """
    lines = [heads, [rule] * len(heads), *rows]
    return "".join(f"| {' | '.join(map(one_line, line))} |\n" for line in lines)


def one_line(text: str) -> str:
    """Returns a text in which nothing ends a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
