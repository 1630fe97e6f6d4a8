"""Parse the text of a CREATE TABLE into columns and clauses, and edit it.

Invariant: an edit leaves everything that it does not name as it is, letter for letter. The text comes from
sqlite_master, so SQLite has accepted it and nothing here checks it. SQLite also checks the result of an edit.

A new constraint gets a line of its own, since SQLAlchemy's reflection reads CHECK constraints line by line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from rome.errors import NotSupportedError, OperationalError
from rome.sql.tokens import Token, identifier, tokenize

_TABLE_HEADS = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"})
_COLUMN_HEADS = frozenset(
    {"CONSTRAINT", "PRIMARY", "NOT", "NULL", "UNIQUE", "CHECK", "DEFAULT", "COLLATE", "REFERENCES", "DEFERRABLE", "AS"}
)
_KINDS = {"PRIMARY": "PRIMARY KEY", "FOREIGN": "FOREIGN KEY", "NOT": "NOT NULL"}


class Clause(Struct, frozen=True):
    """A constraint of the table, or any clause that follows a column's type.

    Attributes:
        kind: PRIMARY KEY, FOREIGN KEY, NOT NULL, or its first word; empty for a CONSTRAINT name that nothing follows.
        name: the name after CONSTRAINT, unquoted; None if there is none.
        start, stop: positions of its tokens, CONSTRAINT and the name included.
        columns: the columns in its parentheses, in lower case; of a CHECK, every word that may be a column.
    """

    kind: str
    name: str | None
    start: int
    stop: int
    columns: frozenset[str]


class ColumnText(Struct, frozen=True):
    """A column. The token at `start` is its name; its type follows, if any, up to `type_stop`, then its clauses."""

    name: str
    start: int
    type_stop: int
    stop: int
    clauses: tuple[Clause, ...]

    def clause(self, kind: str) -> Clause | None:
        """The first clause of this kind, if there is one."""
        return next((clause for clause in self.clauses if clause.kind == kind), None)


@dataclass
class CreateTable:
    """One CREATE TABLE. Each edit returns a new text and leaves this one unchanged.

    Cost: 2 µs per token of the text.
    """

    sql: str
    columns: list[ColumnText] = field(init=False, default_factory=list)
    constraints: list[Clause] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._tokens = tokenize(self.sql)
        opened = next(at for at, token in enumerate(self._tokens) if token.word == "(")
        self._close = closing(self._tokens, opened)
        for start, stop in _split(self._tokens, opened + 1, self._close):
            if self.constraints or self._tokens[start].word in _TABLE_HEADS:
                self.constraints += clauses(self._tokens, start, stop)
            else:
                type_stop = next((at for at in range(start + 1, stop) if begins_clause(self._tokens, at)), stop)
                name = identifier(self._tokens[start])
                found = tuple(clauses(self._tokens, type_stop, stop))
                self.columns.append(ColumnText(name, start, type_stop, stop, found))

    def column(self, name: str) -> ColumnText:
        """The column of this name, in any case.

        Raises:
            OperationalError: there is no such column.
        """
        for column in self.columns:
            if column.name.lower() == name.lower():
                return column
        raise OperationalError(f"no such column: {name}")

    def constraint(self, name: str) -> Clause | None:
        """The constraint of this name, in any case, of the table or of a column; None if there is none."""
        every = [*self.constraints, *(clause for column in self.columns for clause in column.clauses)]
        return next(
            (clause for clause in every if clause.name is not None and clause.name.lower() == name.lower()), None
        )

    # ------------------------------------------------------------ edits
    def with_constraint(self, text: str, not_null: Collection[str]) -> str:
        """The text with a table constraint at the end, and NOT NULL for these columns (lower-case names)."""
        named = [column for column in self.columns if column.name.lower() in not_null]
        edits = [self._after(column.stop, " NOT NULL") for column in named if column.clause("NOT NULL") is None]
        return self._edited([*edits, self._after(self._close, f", \n\t{text}")])

    def without(self, dropped: Iterable[Clause]) -> str:
        """The text without these constraints."""
        return self._edited(self._cut(clause.start, clause.stop) for clause in dropped)

    def with_type(self, name: str, type_: str, collation: str) -> str:
        """The text with another type for a column; `collation` replaces its COLLATE clause unless it is empty."""
        column = self.column(name)
        old = column.clause("COLLATE")
        text = f" {type_}"
        edits = []
        if collation:
            text += f" {collation}"
            if old is not None:
                edits.append(self._cut(old.start, old.stop))
        name_stop = self._tokens[column.start].stop
        return self._edited([(name_stop, self._tokens[column.type_stop - 1].stop, text), *edits])

    def with_clause(self, name: str, kind: str, text: str) -> str:
        """The text with this clause in place of the column's clause of that kind; with none if `text` is empty."""
        column = self.column(name)
        edits = [self._cut(clause.start, clause.stop) for clause in column.clauses if clause.kind == kind]
        if text:
            at = column.type_stop if kind == "DEFAULT" else column.stop
            edits.append(self._after(at, f" {text}"))
        return self._edited(edits)

    def with_autoincrement(self) -> str:
        """The text with AUTOINCREMENT after the PRIMARY KEY, which must be of one column.

        Raises:
            NotSupportedError: there is no PRIMARY KEY where SQLite's grammar puts it.
        """
        for clause in (clause for column in self.columns for clause in column.clauses):
            if clause.kind == "PRIMARY KEY":
                had = self._tokens[clause.stop - 1].word == "AUTOINCREMENT"
                return self.sql if had else self._edited([self._after(clause.stop, " AUTOINCREMENT")])
        for clause in self.constraints:
            if clause.kind == "PRIMARY KEY":
                words = [token.word for token in self._tokens[clause.start : clause.stop]]
                end = closing(self._tokens, clause.start + words.index("("))
                had = self._tokens[end - 1].word == "AUTOINCREMENT"
                return self.sql if had else self._edited([self._after(end, " AUTOINCREMENT")])
        raise NotSupportedError(f"cannot find the PRIMARY KEY in: {self.sql}")

    # ------------------------------------------------------------ generated columns
    def virtual_columns(self) -> dict[str, frozenset[str]]:
        """{VIRTUAL column that may be NULL: names that its expression mentions}, all in lower case."""
        return {
            column.name.lower(): self._names(clause)
            for column, clause in self._generated(stored=False)
            if column.clause("NOT NULL") is None
        }

    def needed_by_stored(self) -> frozenset[str]:
        """The lower-case names on which a STORED column, a key, or a VIRTUAL column that is NOT NULL depends."""
        names = [self._names(clause) for _, clause in self._generated(stored=True)]
        for column in self.columns:
            if any(clause.kind in ("PRIMARY KEY", "UNIQUE") for clause in column.clauses):
                names.append(frozenset([column.name.lower()]))
        names += [clause.columns for clause in self.constraints if clause.kind in ("PRIMARY KEY", "UNIQUE")]
        names += [self._names(clause) for column, clause in self._generated(stored=False) if column.clause("NOT NULL")]
        return frozenset().union(*names)

    def with_blank(self, names: Collection[str]) -> str:
        """The text with NULL as the expression of these generated columns (lower-case names)."""
        edits = []
        for column, clause in (*self._generated(stored=False), *self._generated(stored=True)):
            if column.name.lower() in names:
                opened = self._opened(clause)
                begin, end = self._tokens[opened].stop, self._tokens[closing(self._tokens, opened)].start
                edits.append((begin, end, "NULL"))
        return self._edited(edits)

    def _generated(self, *, stored: bool) -> Iterator[tuple[ColumnText, Clause]]:
        for column in self.columns:
            for clause in column.clauses:
                if clause.kind in ("GENERATED", "AS") and (self._tokens[clause.stop - 1].word == "STORED") is stored:
                    yield column, clause

    def _names(self, clause: Clause) -> frozenset[str]:
        """Every word in a clause's parentheses that may be the name of a column, in lower case."""
        opened = self._opened(clause)
        found = self._tokens[opened : closing(self._tokens, opened)]
        return frozenset(identifier(token).lower() for token in found if token.kind in ("word", "quoted"))

    def _opened(self, clause: Clause) -> int:
        return next(at for at in range(clause.start, clause.stop) if self._tokens[at].word == "(")

    def _cut(self, start: int, stop: int) -> tuple[int, int, str]:
        """The edit that removes these tokens, and the comma before them if nothing else needs it."""
        last = self._tokens[stop - 1].stop
        if self._tokens[start - 1].word == "," and self._tokens[stop].word in (",", ")"):
            start -= 1
        return self._tokens[start - 1].stop, last, ""

    def _after(self, stop: int, text: str) -> tuple[int, int, str]:
        at = self._tokens[stop - 1].stop
        return at, at, text

    def _edited(self, edits: Iterable[tuple[int, int, str]]) -> str:
        """The text after edits (begin, end, new text), which must not overlap; those at one place keep their order."""
        parts, copied = [], 0
        for begin, end, new in sorted(edits, key=lambda edit: edit[:2]):
            parts += [self.sql[copied:begin], new]
            copied = end
        return "".join([*parts, self.sql[copied:]])


def closing(tokens: Sequence[Token], opened: int) -> int:
    """The position of the parenthesis that closes the one at `opened`; the number of tokens if none does."""
    depth = 0
    for at in range(opened, len(tokens)):
        depth += (tokens[at].word == "(") - (tokens[at].word == ")")
        if depth == 0:
            return at
    return len(tokens)


def _split(tokens: Sequence[Token], start: int, stop: int) -> Iterator[tuple[int, int]]:
    """The parts between commas outside of parentheses."""
    at = begin = start
    while at < stop:
        if tokens[at].word == "(":
            at = closing(tokens, at)
        elif tokens[at].word == ",":
            yield begin, at
            begin = at + 1
        at += 1
    yield begin, stop


def begins_clause(tokens: Sequence[Token], at: int) -> bool:
    """Whether the token begins a clause of a column."""
    word = tokens[at].word
    return word in _COLUMN_HEADS or (word == "GENERATED" and _word(tokens, at + 1) == "ALWAYS")


def clauses(tokens: Sequence[Token], start: int, stop: int) -> Iterator[Clause]:
    """The clauses of a column, or the constraints of a table; SQLite needs no commas between these."""
    at = start
    while at < stop:
        begin, name = at, None
        if tokens[at].word == "CONSTRAINT" and at + 1 < stop:
            name = identifier(tokens[at + 1])
            at += 2
        head = _word(tokens, at) if at < stop else "CONSTRAINT"
        if head == "CONSTRAINT" and name is not None:  # SQLite accepts a name that no constraint follows
            yield Clause("", name, begin, at, frozenset())
            continue
        end = min(_end(tokens, at), stop)
        yield Clause(_KINDS.get(head, head), name, begin, end, _columns(tokens, head, at, end))
        at = end


def _columns(tokens: Sequence[Token], head: str, start: int, stop: int) -> frozenset[str]:
    opened = next((at for at in range(start, stop) if tokens[at].word == "("), None)
    if opened is None or head not in ("PRIMARY", "UNIQUE", "FOREIGN", "CHECK"):
        return frozenset()
    closed = closing(tokens, opened)
    if head == "CHECK":
        named = [token for token in tokens[opened:closed] if token.kind in ("word", "quoted")]
    else:
        named = [tokens[begin] for begin, end in _split(tokens, opened + 1, closed) if begin < end]
    return frozenset(identifier(token).lower() for token in named)


def _word(tokens: Sequence[Token], at: int) -> str:
    return tokens[at].word if at < len(tokens) else ""


def _end(tokens: Sequence[Token], at: int) -> int:
    """The position after the clause that begins at `at`, where CONSTRAINT and its name have been passed."""
    match tokens[at].word:
        case "DEFAULT":
            at += 2 if _word(tokens, at + 1) in ("+", "-") else 1
            return closing(tokens, at) + 1 if _word(tokens, at) == "(" else at + 1
        case "COLLATE":
            return at + 2
        case "REFERENCES":
            return _end_of_reference(tokens, at)
        case "FOREIGN":
            return _end_of_reference(tokens, _behind_parentheses(tokens, at + 2))
        case "GENERATED" | "AS":
            at = _behind_parentheses(tokens, at + (1 if tokens[at].word == "AS" else 3))
            return at + (_word(tokens, at) in ("STORED", "VIRTUAL"))
        case "NOT" if _word(tokens, at + 1) == "NULL":
            at += 2
        case "PRIMARY":
            at = _behind_parentheses(tokens, at + 2)
            at += _word(tokens, at) in ("ASC", "DESC")
        case _:
            at = _behind_parentheses(tokens, at + 1)
    if _word(tokens, at) == "ON":  # CONFLICT
        at += 3
    return at + (_word(tokens, at) == "AUTOINCREMENT")


def _behind_parentheses(tokens: Sequence[Token], at: int) -> int:
    return closing(tokens, at) + 1 if _word(tokens, at) == "(" else at


def _end_of_reference(tokens: Sequence[Token], at: int) -> int:
    """The position after a clause `REFERENCES parent (a, b) ON .. MATCH .. NOT DEFERRABLE INITIALLY ..`."""
    at = _behind_parentheses(tokens, at + 2)
    while True:
        match _word(tokens, at):
            case "ON":
                at += 4 if _word(tokens, at + 2) in ("SET", "NO") else 3
            case "MATCH" | "INITIALLY":
                at += 2
            case "DEFERRABLE":
                at += 1
            case "NOT" if _word(tokens, at + 1) == "DEFERRABLE":
                at += 2
            case _:
                return at
