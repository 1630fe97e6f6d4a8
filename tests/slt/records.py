"""The records of a sqllogictest file.

Invariant: every line of a file is understood or an error, so that no record is passed over in silence.
Source: "about.wiki" of https://www.sqlite.org/sqllogictest/.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple

_HASHED = re.compile(r"(\d+) values hashing to ([0-9a-f]{32})")


class RecordError(ValueError):
    """A file is not of the format; the message names its line."""


class Kind(Enum):
    STATEMENT = "statement"
    QUERY = "query"
    HALT = "halt"


class Hashed(NamedTuple):
    """A long result: how many values it has, and the MD5 of all of them, each with a newline behind it."""

    values: int
    md5: str


class Record(NamedTuple):
    """One thing to do.

    Attributes:
        line: of the file, from 1, where it begins, its conditions included.
        databases: those that it is for; None: all that are not `but_not`.
        fails: a statement which must be an error.
        types: of a query's columns, a letter each: I, R or T.
        order: of a query's result: nosort, rowsort or valuesort.
        label: queries of one label have the same result.
        result: the values, row by row; or what identifies them.
    """

    line: int
    kind: Kind
    databases: frozenset[str] | None = None
    but_not: frozenset[str] = frozenset()
    sql: str = ""
    fails: bool = False
    types: str = ""
    order: str = "nosort"
    label: str | None = None
    result: list[str] | Hashed = []  # noqa: RUF012  (never changed)

    def is_for(self, database: str) -> bool:
        return database not in self.but_not and (self.databases is None or database in self.databases)


def parse(path: Path) -> Iterator[Record]:
    """The records of a file, in order, those for other databases included.

    Raises:
        RecordError: a line is not understood.
    """
    for number, block in _blocks(path):
        databases, but_not = None, frozenset[str]()
        for at, text in enumerate(block):
            words = text.partition("#")[0].split()
            match words:
                case ["onlyif", name]:
                    databases = (databases or frozenset()) | {name}
                case ["skipif", name]:
                    but_not |= {name}
                case ["hash-threshold", _]:  # tells programs which write such files what to hash
                    pass
                case ["halt"]:
                    yield Record(number, Kind.HALT, databases, but_not)
                case ["statement", "ok" | "error" as outcome]:
                    sql = "\n".join(block[at + 1 :])
                    yield Record(number, Kind.STATEMENT, databases, but_not, sql, outcome == "error")
                    break
                case ["query", types, *rest] if not types.strip("IRT") and len(rest) <= 2:
                    order = rest[0] if rest else "nosort"
                    label = rest[1] if len(rest) > 1 else None
                    sql, result = _query(block[at + 1 :])
                    yield Record(number, Kind.QUERY, databases, but_not, sql, False, types, order, label, result)
                    break
                case _:
                    raise RecordError(f"{path}:{number + at}: not understood: {text}")


def _blocks(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Lines between empty ones, without the comments in front, and the number of the first."""
    block: list[str] = []
    for number, line in enumerate([*path.read_text("utf-8").split("\n"), ""], 1):
        text = line.rstrip()
        if text and (block or not text.startswith("#")):
            block.append(text)
        elif not text and block:
            yield number - len(block), block
            block = []


def _query(lines: list[str]) -> tuple[str, list[str] | Hashed]:
    split = lines.index("----") if "----" in lines else len(lines)
    result = lines[split + 1 :]
    hashed = _HASHED.fullmatch(result[0]) if len(result) == 1 else None
    return "\n".join(lines[:split]), Hashed(int(hashed[1]), hashed[2]) if hashed else result
