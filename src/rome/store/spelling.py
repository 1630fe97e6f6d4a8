"""Suggestions for misspelt names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'redis'?` with the known name that is most similar; empty if none is similar."""
    found = get_close_matches(word.lower(), list(known), n=1, cutoff=0.7)
    return f"; did you mean {found[0]!r}?" if found else ""
