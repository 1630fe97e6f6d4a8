"""VACUUM [schema] [INTO file], taken apart by its tokens."""

from __future__ import annotations

from typing import NamedTuple

from rome.sql.tokens import identifier, tokenize


class Vacuum(NamedTuple):
    """What a VACUUM names.

    Attributes:
        schema: as written, unquoted; None: the main one.
        into: the expression whose value is the file's name; None: there is no INTO.
    """

    schema: str | None
    into: str | None


def parse(sql: str) -> Vacuum:
    """Take a statement apart that begins with VACUUM; what is wrong with it is left to SQLite."""
    tokens = [token for token in tokenize(sql) if token.word != ";"]
    rest = tokens[1:]
    schema = None
    if rest and rest[0].word != "INTO":
        schema, rest = identifier(rest[0]), rest[1:]
    if len(rest) < 2 or rest[0].word != "INTO":
        return Vacuum(schema, None)
    return Vacuum(schema, sql[rest[1].start : rest[-1].stop])
