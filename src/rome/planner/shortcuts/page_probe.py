"""The probe of a page: a query of rowids with the SELECT's own FROM and WHERE, cut out of the statement's text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from rome.catalog.reflected_table import quote
from rome.catalog.schema import Table
from rome.planner.algebra.scope import ROWID_NAMES
from rome.planner.parse.canonical import number_parameters
from rome.sql.tokens import Token

QueryPlace = Literal["top", "derived", "nested"]
"""Where a SELECT with a LIMIT is: it is the statement, the statement's first FROM item, or anywhere else in it."""


class Probe(NamedTuple):
    """Finds the rowids in the working set that pass a SELECT's WHERE; takes the statement's first parameters."""

    sql: str
    parameters: int


def probe_of(tokens: Sequence[Token], place: QueryPlace, table: Table) -> Probe | None:
    """Return the probe of a statement; None if the parts of its text cannot be told apart.

    Args:
        tokens: the statement's tokens.
        place: where the paged SELECT is.
        table: the table whose rows are paged.
    """
    numbers = {token.start: slot for token, slot in number_parameters(tokens)}
    if place == "nested":
        start = _select_of_limit(tokens)
        if start is None:
            return None
        tokens = tokens[start:]
    elif place == "derived":
        start = _clause(tokens, "FROM", 0)
        if start is None or [token.word for token in tokens[start + 1 : start + 3]] != ["(", "SELECT"]:
            return None
        tokens = tokens[start + 2 :]
    from_ = _clause(tokens, "FROM", 0)
    if from_ is None:
        return None
    end = from_ + 1
    while end < len(tokens) and tokens[end].word not in _AFTER_TABLE:
        end += 1
    source = [token.text for token in tokens[from_ + 1 : end]]
    where = _clause(tokens, "WHERE", end)
    condition = [] if where is None else tokens[where : _end_of_where(tokens, where + 1)]
    texts, count = [], 0
    for token in condition:
        slot = numbers.get(token.start)
        positions = (
            [] if slot is None else [slot] if isinstance(slot, int) else list(slot) if isinstance(slot, range) else []
        )
        texts.append(", ".join(f"?{position + 1}" for position in positions) or token.text)
        count = max([count, *(position + 1 for position in positions)])
    return Probe(f"SELECT {_rowid(table)} FROM {' '.join(source)} {' '.join(texts)}", count)


_AFTER_TABLE = frozenset(["WHERE", "ORDER", "LIMIT", "LEFT", "NATURAL", "JOIN", ",", ")", ";"])
_AFTER_WHERE = frozenset(["ORDER", "LIMIT", ")", ";"])


def _select_of_limit(tokens: Sequence[Token]) -> int | None:
    """Return where the SELECT with the only LIMIT begins."""
    limits = [at for at, token in enumerate(tokens) if token.word == "LIMIT"]
    depth = 0
    for at in range(limits[0], -1, -1) if len(limits) == 1 else ():
        word = tokens[at].word
        depth += (word == ")") - (word == "(")
        if depth < 0:
            return None
        if depth == 0 and word == "SELECT":
            return at
    return None


def _clause(tokens: Sequence[Token], word: str, start: int) -> int | None:
    """Return where a clause of a SELECT begins, ignoring those of its subqueries and IS DISTINCT FROM."""
    depth = 0
    for at in range(start, len(tokens)):
        found = tokens[at].word
        if depth == 0 and found == word and tokens[at - 1].word not in ("DISTINCT", "."):
            return at
        depth += (found == "(") - (found == ")")
        if depth < 0 or (depth == 0 and found == "LIMIT"):
            return None
    return None


def _end_of_where(tokens: Sequence[Token], start: int) -> int:
    depth = 0
    for at in range(start, len(tokens)):
        word = tokens[at].word
        if depth == 0 and word in _AFTER_WHERE:
            return at
        depth += (word == "(") - (word == ")")
    return len(tokens)


def _rowid(table: Table) -> str:
    if table.rowid_alias is not None:
        return quote(table.columns[table.rowid_alias].name)
    return next(name for name in ("rowid", *ROWID_NAMES) if name not in table.positions)
