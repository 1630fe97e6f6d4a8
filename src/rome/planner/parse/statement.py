"""What kind of statement a text is. Tokens alone tell, which is far cheaper than a parse.

Invariant: a text is never cut inside a string, a quoted name or a comment. A text that SQLite would refuse is passed on
unchanged, so that SQLite says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from itertools import pairwise

from rome.sql.tokens import Token, identifier, tokenize


class StatementKind(Enum):
    """What a statement does. WITH has the kind of its main verb; VALUES is a SELECT, REPLACE an INSERT."""

    SELECT = "SELECT"
    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    DDL = "DDL"
    CREATE_TRIGGER = "CREATE TRIGGER"
    BEGIN = "BEGIN"
    COMMIT = "COMMIT"
    ROLLBACK = "ROLLBACK"
    SAVEPOINT = "SAVEPOINT"
    RELEASE = "RELEASE"
    ROLLBACK_TO = "ROLLBACK TO"
    PRAGMA = "PRAGMA"
    EXPLAIN = "EXPLAIN"
    EXPLAIN_ROME = "EXPLAIN ROME"
    EXPLAIN_ROME_ANALYZE = "EXPLAIN ROME ANALYZE"
    ATTACH = "ATTACH"
    DETACH = "DETACH"
    VACUUM = "VACUUM"
    ANALYZE = "ANALYZE"
    REINDEX = "REINDEX"
    OTHER = "OTHER"
    EMPTY = "EMPTY"


@dataclass(frozen=True, slots=True)
class Statement:
    """One text, classified.

    Attributes:
        text: what SQLite is to run, without FOR UPDATE clauses; for EXPLAIN ROME, the statement that it explains.
        multiple: whether the text holds more than one statement (all other attributes describe the first).
        for_update: whether it had FOR UPDATE, FOR NO KEY UPDATE, FOR SHARE or FOR KEY SHARE.
        skip_locked, nowait: whether that clause had these words.
        returning: whether it is INSERT, UPDATE or DELETE with RETURNING.
        name: of a savepoint, unquoted; of a pragma, in lower case and without its schema.
        argument: of a pragma, unquoted; None without one.
        reads_or_writes_rows: whether it is SELECT, INSERT, UPDATE or DELETE. Asked once per execution, in place of a
            dozen comparisons with members of Kind, each of which takes 0.1 us with Python 3.11.
        is_refused: it is never run, whatever else it says: it is several statements, or says SKIP LOCKED.
    """

    kind: StatementKind
    text: str
    multiple: bool = False
    for_update: bool = False
    skip_locked: bool = False
    nowait: bool = False
    returning: bool = False
    name: str | None = None
    argument: str | None = None

    reads_or_writes_rows: bool = field(init=False)
    is_refused: bool = field(init=False)

    def __post_init__(self) -> None:
        # Not cached properties: Python finds these in fixed places (`slots`), and a cached property's value in none.
        object.__setattr__(self, "reads_or_writes_rows", self.kind in _ROW_KINDS)
        object.__setattr__(self, "is_refused", self.multiple or self.skip_locked)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The names of its parameters, each once, without their first character. Needed if a mapping is given."""
        return _parameter_names(self.text)


_ROW_KINDS = frozenset({StatementKind.SELECT, StatementKind.INSERT, StatementKind.UPDATE, StatementKind.DELETE})
_VERBS = {
    "SELECT": StatementKind.SELECT,
    "VALUES": StatementKind.SELECT,
    "INSERT": StatementKind.INSERT,
    "REPLACE": StatementKind.INSERT,
    "UPDATE": StatementKind.UPDATE,
    "DELETE": StatementKind.DELETE,
}
_FIRST_WORDS = _VERBS | {
    "CREATE": StatementKind.DDL,
    "DROP": StatementKind.DDL,
    "ALTER": StatementKind.DDL,
    "BEGIN": StatementKind.BEGIN,
    "COMMIT": StatementKind.COMMIT,
    "END": StatementKind.COMMIT,
    "ROLLBACK": StatementKind.ROLLBACK,
    "SAVEPOINT": StatementKind.SAVEPOINT,
    "RELEASE": StatementKind.RELEASE,
    "PRAGMA": StatementKind.PRAGMA,
    "EXPLAIN": StatementKind.EXPLAIN,
    "ATTACH": StatementKind.ATTACH,
    "DETACH": StatementKind.DETACH,
    "VACUUM": StatementKind.VACUUM,
    "ANALYZE": StatementKind.ANALYZE,
    "REINDEX": StatementKind.REINDEX,
}
_LOCKS = (("UPDATE",), ("SHARE",), ("NO", "KEY", "UPDATE"), ("KEY", "SHARE"))


@lru_cache(maxsize=1024)
def _parameter_names(sql: str) -> tuple[str, ...]:
    texts = [token.text for token in tokenize(sql) if token.kind == "variable"]
    return tuple(dict.fromkeys(text[1:] for text in texts if text != "?"))


@lru_cache(maxsize=4096)
def classify(sql: str) -> Statement:
    """Classify a text by its tokens. Never raises: a text that is not understood is StatementKind.OTHER.

    Cost: 0.8 µs per token; the last 4,096 texts are remembered.
    """
    tokens = tokenize(sql)
    first, rest = _first_statement(tokens)
    multiple = bool(rest)
    if not first:
        return Statement(StatementKind.EMPTY, sql, multiple)
    words = [token.word for token in first[:3]]
    if words[:2] == ["EXPLAIN", "ROME"]:
        kind = StatementKind.EXPLAIN_ROME_ANALYZE if words[2:] == ["ANALYZE"] else StatementKind.EXPLAIN_ROME
        return Statement(kind, classify(sql[first[len(kind.value.split()) - 1].stop :]).text, multiple)
    kind = _kind(first)
    if kind in (StatementKind.SELECT, StatementKind.INSERT, StatementKind.UPDATE, StatementKind.DELETE):
        text, clauses = _cut_locks(sql, first)
        return Statement(
            kind,
            text,
            multiple,
            for_update=bool(clauses),
            skip_locked="SKIP" in clauses,
            nowait="NOWAIT" in clauses,
            returning=kind is not StatementKind.SELECT and _has_returning(first),
        )
    if kind in (StatementKind.SAVEPOINT, StatementKind.RELEASE, StatementKind.ROLLBACK_TO):
        return Statement(kind, sql, multiple, name=identifier(first[-1]))
    if kind is StatementKind.PRAGMA:
        name, argument = _pragma(first)
        return Statement(kind, sql, multiple, name=name, argument=argument)
    return Statement(kind, sql, multiple)


def begins_to_write(begin: Statement) -> bool:
    """Whether a BEGIN says IMMEDIATE or EXCLUSIVE."""
    return any(token.word in ("IMMEDIATE", "EXCLUSIVE") for token in tokenize(begin.text)[1:2])


@lru_cache(maxsize=16)
def split_script(sql: str) -> tuple[str, ...]:
    """The statements of a script in order, without their semicolons; the body of a trigger is not split.

    Cost: 1 µs per token; the last scripts are remembered, since test suites run the same one for every database.
    """
    tokens = tokenize(sql)
    words = [token.word for token in tokens]
    statements = []
    after = 0
    while after < len(words):
        begin, end, after = _bounds(words, after)
        if begin < end:
            statements.append(sql[tokens[begin].start : tokens[end - 1].stop])
    return tuple(statements)


def _first_statement(tokens: Sequence[Token]) -> tuple[Sequence[Token], Sequence[Token]]:
    """The tokens of the first statement, and those after its semicolon (without further bare semicolons)."""
    begin, end, after = _bounds([token.word for token in tokens], 0)
    return tokens[begin:end], tokens[after:]


def _bounds(words: list[str], begin: int) -> tuple[int, int, int]:
    """Where the next statement begins and ends, and where the one after its semicolons begins."""
    while begin < len(words) and words[begin] == ";":
        begin += 1
    try:
        end = _trigger_end(words, begin) if "TRIGGER" in words[begin : begin + 6] else words.index(";", begin)
    except ValueError:
        return begin, len(words), len(words)
    after = end
    while after < len(words) and words[after] == ";":
        after += 1
    return begin, end, after


def _trigger_end(words: list[str], begin: int) -> int:
    """The position of the semicolon that ends a trigger: the one after `; END`, as in sqlite3_complete()."""
    head = [word for word in words[begin : begin + 6] if word not in ("EXPLAIN", "QUERY", "PLAN", "TEMP", "TEMPORARY")]
    end = words.index(";", begin)
    if head[:2] == ["CREATE", "TRIGGER"]:
        while words[end - 2 : end] != [";", "END"]:
            end = words.index(";", end + 1)
    return end


def _kind(tokens: Sequence[Token]) -> StatementKind:
    words = [token.word for token in tokens]
    if words[0] == "WITH":
        return _main_verb(words)
    kind = _FIRST_WORDS.get(words[0], StatementKind.OTHER)
    if kind is StatementKind.ROLLBACK and "TO" in words[1:3]:
        return StatementKind.ROLLBACK_TO
    if words[0] == "CREATE" and "TRIGGER" in words[1:3]:
        return StatementKind.CREATE_TRIGGER
    return kind


def _main_verb(words: list[str]) -> StatementKind:
    """The verb of a WITH statement: the first verb outside of parentheses that follows one, where the CTEs end."""
    depth = 0
    for previous, word in pairwise(words):
        if previous == "(":
            depth += 1
        elif previous == ")":
            depth -= 1
            if depth == 0 and word in _VERBS:
                return _VERBS[word]
    return StatementKind.OTHER


def _has_returning(tokens: Sequence[Token]) -> bool:
    depth = 0
    for token in tokens:
        if token.word == "(":
            depth += 1
        elif token.word == ")":
            depth -= 1
        elif depth == 0 and token.word == "RETURNING":
            return True
    return False


def _cut_locks(sql: str, tokens: Sequence[Token]) -> tuple[str, set[str]]:
    """The text without `FOR UPDATE|SHARE|NO KEY UPDATE|KEY SHARE [OF a, b] [NOWAIT|SKIP LOCKED]`, and the words cut.

    No valid SQLite statement has FOR before one of these words, so no alias is taken for a clause.
    """
    clauses: set[str] = set()
    kept, copied = [], 0
    words = [token.word for token in tokens]
    if "FOR" not in words:
        return sql, clauses
    for at, word in enumerate(words):
        if word != "FOR":
            continue
        strength = next((lock for lock in _LOCKS if tuple(words[at + 1 : at + 1 + len(lock)]) == lock), None)
        if strength is None:
            continue
        end = at + 1 + len(strength)
        if words[end : end + 1] == ["OF"]:
            end += 2
            while words[end : end + 1] in ([","], ["."]):
                end += 2
        if words[end : end + 1] == ["NOWAIT"]:
            end += 1
        elif words[end : end + 2] == ["SKIP", "LOCKED"]:
            end += 2
        clauses.update(words[at:end])
        kept.append(sql[copied : tokens[at].start])
        copied = tokens[end - 1].stop
    kept.append(sql[copied:])
    return "".join(kept), clauses


def _pragma(tokens: Sequence[Token]) -> tuple[str | None, str | None]:
    """The name and the argument of `PRAGMA [schema.]name [= value | (value)]`."""
    words = [token.word for token in tokens]
    at = 3 if words[2:3] == ["."] else 1
    if at >= len(tokens):
        return None, None
    name = identifier(tokens[at]).lower()
    value = [token for token in tokens[at + 1 :] if token.word not in ("=", "(", ")")]
    if not value:
        return name, None
    return name, "".join(identifier(token) for token in value)
