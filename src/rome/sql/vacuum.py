"""Parse VACUUM [schema] [INTO file]."""

from __future__ import annotations

from typing import NamedTuple

from rome.sql.tokens import identifier, tokenize


class Vacuum(NamedTuple):
    """What a VACUUM names.

    Attributes:
        schema: as written, unquoted; None if the statement names none, which means main.
        into: the expression whose value is the file's name; None without INTO.
    """

    schema: str | None
    into: str | None


def parse(sql: str) -> Vacuum:
    """Parse a statement that begins with VACUUM. Its errors are left to SQLite."""
    tokens = [token for token in tokenize(sql) if token.word != ";"]
    rest = tokens[1:]
    schema = None
    if rest and rest[0].word != "INTO":
        schema, rest = identifier(rest[0]), rest[1:]
    if len(rest) < 2 or rest[0].word != "INTO":
        return Vacuum(schema, None)
    return Vacuum(schema, sql[rest[1].start : rest[-1].stop])
