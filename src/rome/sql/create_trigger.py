"""The text of a CREATE TRIGGER: which ones Rome has, and what a working set runs in their place.

Rome has the triggers that touch no table: WHEN and the SELECTs of the body are made of OLD, NEW, constants and
functions, and what they do is RAISE. Such a trigger reads and writes no row but the one that it is about, so no fetch
plan needs to know of it, and it may fire again when a statement is run again. RAISE(IGNORE) leaves a row out before any
constraint looks at it, so that no guard is needed of it.
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
"""What the message of RAISE(ROLLBACK, ..) begins with in a working set, where it is an ABORT (see for_working_set)."""


@dataclass
class CreateTrigger:
    """One CREATE TRIGGER. `table`: the name that follows ON, in lower case; empty when the text is no trigger's."""

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
        """Which part of it Rome does not have; None: it has all of them."""
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
        """Whether it may mean the rowid by a name that the table's columns may not have."""
        return any(token.text.upper() in _ROWIDS for token in self._tokens[self._on :])

    def for_working_set(self) -> str:
        """The text with RAISE(ABORT, ..) in the place of RAISE(ROLLBACK, ..), whose message says what it was.

        A statement may be run before all of its rows are there, and the transaction must outlast that.
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
        """Where each statement of the body begins and ends."""
        start = self._begin + 1
        for at in range(start, len(self._words)):
            if self._words[at] == ";":
                if self._words[start:at] == ["END"]:
                    return
                if start < at:
                    yield start, at
                start = at + 1

    def _touches(self, at: int) -> str | None:
        """Which construct that needs more than OLD and NEW stands here."""
        words = self._words
        if words[at] == "FROM" and not _is_distinct(words, at):
            place = "its body" if at > self._begin else "its WHEN"
            return f"{place} reads a table: {self._text(at, min(at + 2, len(words)))}"
        if words[at] == "IN" and words[at + 1 : at + 2] != ["("]:
            return f"it reads a table: {self._text(at, min(at + 2, len(words)))}"
        if words[at] in _COUNTS and words[at + 1 : at + 2] == ["("]:
            return f"it calls {self._tokens[at].text}(), which counts for the application"
        return None

    def _text(self, start: int, stop: int) -> str:
        return self.sql[self._tokens[start].start : self._tokens[stop - 1].stop]


def _is_distinct(words: Sequence[str], at: int) -> bool:
    """Whether a FROM is that of IS [NOT] DISTINCT FROM."""
    return words[at - 1] == "DISTINCT" and words[at - 2] in ("IS", "NOT")
