"""Tables and plain text in Markdown. Standard library only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["one_line", "plain", "table"]

# What begins emphasis, code, links, HTML, entities, strikethrough or formulas anywhere in a line. An underscore between
# two letters or digits begins nothing, nor does a backslash before one of them; names of hyperparameters stay readable.
_MARKS = re.compile(r"\\(?![^\W_]|\s)|[`*\[\]<>&~$]|(?<![^\W_])_|_(?![^\W_])")


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


def plain(text: str) -> str:
    """Returns a text, such as a name that a person gave, in one line in which Markdown finds no markup.

    What ends a cell of a table is left to `one_line`, which comes after.
    """
    return _MARKS.sub(r"\\\g<0>", " ".join(text.split()))
