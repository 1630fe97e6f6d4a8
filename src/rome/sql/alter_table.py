"""The forms of ALTER TABLE that other databases have and SQLite does not.

    ALTER TABLE t ADD [CONSTRAINT n] {UNIQUE | PRIMARY KEY | FOREIGN KEY | CHECK} ..
    ALTER TABLE t DROP CONSTRAINT [IF EXISTS] n [RESTRICT | CASCADE]
    ALTER TABLE t ALTER [COLUMN] c {[SET DATA] TYPE .. | SET DEFAULT .. | DROP DEFAULT | SET NOT NULL | DROP NOT NULL}
    ALTER TABLE t DROP [COLUMN] [IF EXISTS] c {RESTRICT | CASCADE}

Each is an edit of the table's CREATE statement. All other forms are left to SQLite.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from msgspec import Struct

from rome.errors import NotSupportedError, OperationalError
from rome.sql.create_table import Clause, CreateTable, begins_clause, clauses, closing
from rome.sql.tokens import Token, identifier, tokenize

AlterKind = Literal["ADD", "DROP CONSTRAINT", "TYPE", "DEFAULT", "NOT NULL", "DROP COLUMN"]
_TABLE_CONSTRAINTS = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"})
_NEEDS_COLUMN = frozenset({"PRIMARY KEY", "UNIQUE", "CHECK", "REFERENCES"})


class Alteration(Struct, frozen=True):
    """One change of one table.

    Attributes:
        change: what is changed.
        name: of the column or constraint; empty for ADD of a constraint without a name.
        text: the new constraint, type, DEFAULT or NOT NULL clause; empty to drop it.
        kind: of the new constraint, as in Clause.
        columns: of the new constraint, in lower case.
        collation: the COLLATE clause that follows a new type; empty if there is none.
        if_exists: dropping a constraint or column that does not exist is no error.
        cascade: DROP COLUMN also drops the indexes and constraints that need the column.
    """

    table: str
    change: AlterKind
    name: str = ""
    text: str = ""
    kind: str = ""
    columns: frozenset[str] = frozenset()
    collation: str = ""
    if_exists: bool = False
    cascade: bool = False


@lru_cache(maxsize=1024)
def parse(sql: str) -> Alteration | None:
    """The alteration that a statement asks for; None if the statement is to be left to SQLite.

    Raises:
        OperationalError: the statement begins like one of these forms and has a syntax error, or names a CHARACTER SET
            as MySQL does.
        NotSupportedError: ALTER COLUMN .. TYPE .. USING.
    """
    tokens = [token for token in tokenize(sql) if token.word != ";"]
    words = [token.word for token in tokens]
    if words[:2] != ["ALTER", "TABLE"] or len(tokens) < 5:
        return None
    at = 3
    if words[3] == ".":
        if identifier(tokens[2]).lower() != "main":
            return None
        at = 5
    return _Parser(sql, tokens, at).parse(identifier(tokens[at - 1]))


class _Parser:
    def __init__(self, sql: str, tokens: list[Token], at: int) -> None:
        self._sql = sql
        self._tokens = tokens
        self._at = at

    def parse(self, table: str) -> Alteration | None:
        match self._word(), self._word(1):
            case "ADD", word if word in _TABLE_CONSTRAINTS:
                self._at += 1
                return self._add(table)
            case "DROP", "CONSTRAINT":
                self._at += 2
                if_exists, name = self._if_exists(), self._name()
                self._take("RESTRICT", "CASCADE")
                self._expect_end()
                return Alteration(table, "DROP CONSTRAINT", name, if_exists=if_exists)
            case "DROP", _:
                self._at += 1
                return self._drop_column(table)
            case "ALTER", _:
                self._at += 1
                self._take("COLUMN")
                return self._alter_column(table)
            case ("CONVERT", "TO") | ("CHARACTER", "SET"):
                raise self._unknown_collation()
        return None

    def _add(self, table: str) -> Alteration:
        start = self._at
        clause: Clause = next(clauses(self._tokens, start, len(self._tokens)))
        self._at = start if clause.name is None else start + 2
        if clause.kind not in ("PRIMARY KEY", "UNIQUE", "CHECK", "FOREIGN KEY"):
            raise self._syntax_error()
        self._at = clause.stop
        self._expect_end()
        return Alteration(table, "ADD", clause.name or "", self._text(start), clause.kind, clause.columns)

    def _drop_column(self, table: str) -> Alteration | None:
        """DROP COLUMN with a word that SQLite does not know; None without one, since SQLite then runs it."""
        self._take("COLUMN")
        if_exists, name = self._if_exists(), self._name()
        how = self._take("RESTRICT", "CASCADE")
        if not how and not if_exists:
            return None
        self._expect_end()
        return Alteration(table, "DROP COLUMN", name, if_exists=if_exists, cascade=how == "CASCADE")

    def _alter_column(self, table: str) -> Alteration:
        name = self._name()
        if self._words(3) == ["SET", "DATA", "TYPE"]:
            self._at += 2
        start = self._at
        match self._word(), self._word(1):
            case "TYPE", _:
                self._at += 1
                return self._type(table, name)
            case "SET", "DEFAULT":
                self._at += 2
                return Alteration(table, "DEFAULT", name, f"DEFAULT {self._default()}")
            case "SET", "NOT" if self._word(2) == "NULL":
                self._at = next(clauses(self._tokens, start + 1, len(self._tokens))).stop
                self._expect_end()
                return Alteration(table, "NOT NULL", name, self._text(start + 1))
            case "DROP", "DEFAULT":
                self._at += 2
                self._expect_end()
                return Alteration(table, "DEFAULT", name)
            case "DROP", "NOT" if self._word(2) == "NULL":
                self._at += 3
                self._expect_end()
                return Alteration(table, "NOT NULL", name)
        raise self._syntax_error()

    def _type(self, table: str, name: str) -> Alteration:
        start = self._at
        while (token := self._token()) is not None and not begins_clause(self._tokens, self._at):
            if token.word == "USING":
                raise NotSupportedError(
                    "ALTER COLUMN .. TYPE .. USING is not supported: leave USING out, and the values are converted as "
                    "if they were stored anew; change them with UPDATE, before or after"
                )
            if token.word != "(" and token.kind == "op":
                raise self._syntax_error()
            self._at = closing(self._tokens, self._at) + 1
        stop, collation = min(self._at, len(self._tokens)), ""
        if self._word() == "COLLATE":
            self._at += 2
            collation = self._text(stop)
        self._expect_end()
        if start == stop:
            raise self._syntax_error()
        return Alteration(table, "TYPE", name, self._text(start, stop), collation=collation)

    def _default(self) -> str:
        """The rest of the statement as a default, in parentheses where SQLite needs them and other databases do not."""
        start, stop = self._at, len(self._tokens)
        if start == stop:
            raise self._syntax_error()
        depth = 0
        for self._at in range(start, stop):
            depth += (self._word() == "(") - (self._word() == ")")
            if depth < 0:
                raise self._syntax_error()
        text = self._text(start)
        literal = start + (self._tokens[start].word in ("+", "-")) + 1 == stop
        wrapped = self._tokens[start].word == "(" and closing(self._tokens, start) == stop - 1
        return text if literal or wrapped else f"({text})"

    def _unknown_collation(self) -> OperationalError:
        """MySQL's error for a missing collation. Migrations recognize it by its text (Neutron's does, and goes on)."""
        return OperationalError(
            f"Unknown collation: '{identifier(self._tokens[-1])}'; text is UTF-8, and collations are the columns': "
            "ALTER TABLE .. ALTER COLUMN .. TYPE .. COLLATE {BINARY | NOCASE | RTRIM}"
        )

    # ------------------------------------------------------------ tokens
    def _token(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _word(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at].word if at < len(self._tokens) else ""

    def _words(self, count: int) -> list[str]:
        return [token.word for token in self._tokens[self._at : self._at + count]]

    def _take(self, *words: str) -> str:
        """The next word, and step past it, if it is one of these; otherwise an empty text."""
        found = self._word() if self._word() in words else ""
        self._at += bool(found)
        return found

    def _if_exists(self) -> bool:
        found = self._words(2) == ["IF", "EXISTS"]
        self._at += 2 * found
        return found

    def _name(self) -> str:
        token = self._token()
        if token is None or token.kind not in ("word", "quoted", "string"):
            raise self._syntax_error()
        self._at += 1
        return identifier(token)

    def _text(self, start: int, stop: int | None = None) -> str:
        return self._sql[self._tokens[start].start : self._tokens[-1 if stop is None else stop - 1].stop]

    def _expect_end(self) -> None:
        if self._token() is not None:
            raise self._syntax_error()

    def _syntax_error(self) -> OperationalError:
        token = self._token()
        return OperationalError("incomplete input" if token is None else f'near "{token.text}": syntax error')


def edited(table: CreateTable, alteration: Alteration) -> str:
    """The table's CREATE statement after the alteration.

    For DROP COLUMN the text lacks only the constraints that need the column: SQLite drops the column itself.

    Raises:
        OperationalError: the column or constraint does not exist, or the constraint to add already does.
    """
    match alteration.change:
        case "ADD":
            if alteration.name and table.constraint(alteration.name) is not None:
                raise OperationalError(f"constraint {alteration.name} already exists")
            not_null = alteration.columns if alteration.kind == "PRIMARY KEY" else ()
            return table.with_constraint(alteration.text, not_null)
        case "DROP CONSTRAINT":
            found = table.constraint(alteration.name)
            if found is None and not alteration.if_exists:
                raise OperationalError(
                    f"no such constraint: {alteration.name} (only a constraint with a name can be dropped; the names "
                    "are in the table's text in sqlite_master)"
                )
            return table.without([] if found is None else [found])
        case "TYPE":
            return table.with_type(alteration.name, alteration.text, alteration.collation)
        case "NOT NULL" | "DEFAULT":
            return table.with_clause(alteration.name, alteration.change, alteration.text)
        case "DROP COLUMN":
            name = alteration.name.lower()
            own = [clause for clause in table.column(name).clauses if clause.kind in _NEEDS_COLUMN]
            return table.without([*own, *(clause for clause in table.constraints if name in clause.columns)])
