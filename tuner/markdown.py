"""Tables in Markdown. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["one_line", "table"]


def table(
    heads: Sequence[str], rows: Iterable[Sequence[object]], *, rule: str = "---:", first: str | None = None
) -> str:
    """Returns a table, a line each row.

    Args:
        heads: What stands above the columns.
        rows: Cells, as many as heads.
        rule: Where the columns are aligned: `---:` to the right, `---` to the left.
        first: The same for the first column, where it is another.
    """
    lines = [heads, [first or rule, *[rule] * (len(heads) - 1)], *rows]
    return "".join(f"| {' | '.join(one_line(str(cell)) for cell in line)} |\n" for line in lines)


def one_line(text: str) -> str:
    """Returns a text in which nothing ends a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
