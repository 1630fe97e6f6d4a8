"""The text of a CREATE TRIGGER: whether Rome supports it, and what a working set runs in its place.

Rome supports triggers that touch no table: their WHEN and the SELECTs of their body consist of OLD, NEW, constants and
functions, and all that they do is RAISE. Such a trigger reads and writes no row except the one that fires it. So no
fetch plan needs to know of it, and it may fire again when a statement runs again. RAISE(IGNORE) skips a row before any
constraint is checked, so that row needs no guard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from rome.sql.create_table import closing
from rome.sql.tokens import identifier, tokenize

_ROWIDS = frozenset({"ROWID", "_ROWID_", "OID"})
_COUNTS = frozenset({"CHANGES", "TOTAL_CHANGES", "LAST_INSERT_ROWID"})
ROLLED_BACK = "\x1drome:rollback\x1d"
"""Begins the message of a RAISE(ROLLBACK, ..), which is an ABORT in a working set (see for_working_set)."""


@dataclass
class CreateTrigger:
    """One CREATE TRIGGER. `table` is the name that follows ON, in lower case; empty if the text creates no trigger."""

    sql: str
    table: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self._tokens = tokenize(self.sql)
        self._words = [token.word for token in self._tokens]
        self._on = next((at for at, word in enumerate(self._words) if word == "ON"), len(self._words))
        begin = (at for at, word in enumerate(self._words) if word == "BEGIN" and at > self._on)
        self._begin = next(begin, len(self._words))
        named = self._on + (3 if self._words[self._on + 2 : self._on + 3] == ["."] else 1)
        if named < len(self._tokens):
            self.table = identifier(self._tokens[named]).lower()

    def refusal(self) -> str | None:
        """Why Rome does not support the trigger, as a clause for an error's message; None if it does."""
        head = self._words[: self._on]
        if "TEMP" in head[:3] or "TEMPORARY" in head[:3]:
            return "it is a temporary trigger"
        if ("INSTEAD", "OF") in pairwise(head):
            return "it is an INSTEAD OF trigger, of a view"
        for start, stop in self._statements():
            if self._words[start] != "SELECT":
                return f"its body has a statement other than SELECT: {self._text(start, stop)}"
        for at in range(self._on, len(self._words)):
            if (reason := self._touches(at)) is not None:
                return reason
        return None

    def names_rowid(self) -> bool:
        """Whether the trigger uses a name (rowid, oid, _rowid_) that means the rowid unless a column has it."""
        return any(token.text.upper() in _ROWIDS for token in self._tokens[self._on :])

    def for_working_set(self) -> str:
        """The text with RAISE(ABORT, ..) in place of each RAISE(ROLLBACK, ..); the message says that it was one.

        A statement may run before all of its rows are in the working set, so that a row which raises may not be the
        right one. The working set's transaction must survive such a run.
        """
        parts, copied = [], 0
        for at, word in enumerate(self._words):
            if word == "RAISE" and self._words[at + 1 : at + 4 : 2] == ["(", ","] and self._words[at + 2] == "ROLLBACK":
                kind, end = self._tokens[at + 2], self._tokens[closing(self._tokens, at + 1)]
                message = self.sql[self._tokens[at + 3].stop : end.start]
                parts += [self.sql[copied : kind.start], f"ABORT, '{ROLLED_BACK}' || ({message})"]
                copied = end.start
        return "".join([*parts, self.sql[copied:]])

    def _statements(self) -> Iterator[tuple[int, int]]:
        """The positions (start, stop) of each statement of the body."""
        start = self._begin + 1
        for at in range(start, len(self._words)):
            if self._words[at] == ";":
                if self._words[start:at] == ["END"]:
                    return
                if start < at:
                    yield start, at
                start = at + 1

    def _touches(self, at: int) -> str | None:
        """Why the construct at `at` needs more than OLD and NEW; None if it does not."""
        words = self._words
        if words[at] == "FROM" and not _is_distinct(words, at):
            place = "its body" if at > self._begin else "its WHEN"
            return f"{place} reads a table: {self._text(at, min(at + 2, len(words)))}"
        if words[at] == "IN" and words[at + 1 : at + 2] != ["("]:
            return f"it reads a table: {self._text(at, min(at + 2, len(words)))}"
        if words[at] in _COUNTS and words[at + 1 : at + 2] == ["("]:
            return f"it calls {self._tokens[at].text}(), whose value depends on the application's statements"
        return None

    def _text(self, start: int, stop: int) -> str:
        return self.sql[self._tokens[start].start : self._tokens[stop - 1].stop]


def _is_distinct(words: Sequence[str], at: int) -> bool:
    """Whether the FROM at `at` is part of IS [NOT] DISTINCT FROM."""
    return words[at - 1] == "DISTINCT" and words[at - 2] in ("IS", "NOT")
