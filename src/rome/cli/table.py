"""Tables as plain text."""

from __future__ import annotations

from collections.abc import Sequence


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """The rows below their heads, each column as wide as its widest cell. A cell that is None stays empty."""
    lines = [[printable(head) for head in heads]]
    lines += (["" if cell is None else printable(str(cell)) for cell in row] for row in rows)
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def printable(text: str) -> str:
    """The text on one line, with its control characters escaped: a name must not move the terminal's cursor."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
