"""HTML that is escaped wherever it does not come from here."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


class Safe(str):
    """Markup, as opposed to a text that has to be escaped."""

    __slots__ = ()


Content = str | Safe | None | Iterable["Content"]

_VOID = frozenset(["input", "meta", "link", "rect"])


def tag(name: str, /, *content: Content, **attributes: str | int | float | bool | None) -> Safe:
    """An element.

    Args:
        content: texts are escaped; None is left out, and lists are taken apart.
        attributes: `class_` is class, and `data_sort` is data-sort; True is an attribute without a value; None and
            False leave it out.
    """
    given = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Safe(f"<{name}{given}>" if name in _VOID else f"<{name}{given}>{joined(*content)}</{name}>")


def joined(*content: Content) -> Safe:
    """Contents, one after the other."""
    return Safe("".join(_markup(each) for each in content))


def _markup(content: Content) -> str:
    if content is None:
        return ""
    if isinstance(content, Safe):
        return content
    if isinstance(content, str):
        return escape(content)
    return "".join(_markup(each) for each in content)
