"""Numbers as persons read them."""

from __future__ import annotations

_GAP = "\N{NO-BREAK SPACE}"
"""Between a number and its unit, so that no line ends there."""


def duration(seconds: float) -> str:
    """Three digits and a unit: "0.42 ms", "12.3 ms", "1.24 s", "3.5 min"."""
    if seconds < 0.0000005:
        return f"0{_GAP}ms"
    if seconds < 0.9995:
        return f"{_digits(seconds * 1000)}{_GAP}ms"
    if seconds < 119.5:
        return f"{_digits(seconds)}{_GAP}s"
    return f"{_digits(seconds / 60)}{_GAP}min"


def number(value: float) -> str:
    """With separators; small ones that are not whole with one digit behind the point, and those below 1 with two."""
    if value >= 100 or value == int(value):
        return f"{round(value):,}"
    return f"{value:.1f}".removesuffix(".0") if value >= 0.95 else f"{value:.2g}"


def share(part: float, whole: float) -> str:
    """A part in per cent."""
    if not whole or not part:
        return "0 %"
    percent = 100 * part / whole
    return f"{percent:.0f} %" if percent >= 1 else "< 1 %"


def count(value: float, one: str, many: str | None = None) -> str:
    """A number and what it counts: "1 row", "12 rows"."""
    return f"{number(value)} {one if value == 1 else many or one + 's'}"


def _digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}" if value >= 0.01 else f"{value:.3f}"
