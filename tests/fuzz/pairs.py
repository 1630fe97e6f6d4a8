"""Which constructs the search puts side by side in one statement.

A fault of planning needs two of them, mostly: a partial index and a scalar subquery, DISTINCT and a collation. Rows of
the matrix are what the tables have that a statement mentions, and its constructs; columns are its constructs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from itertools import combinations

import apsw

from rome.workingset.functions import add_regexp
from tests.fuzz.histories import History
from tests.fuzz.schemas import RandomSchema
from tests.support.differential import Operation

_INDEX = r"^CREATE (UNIQUE )?INDEX .* WHERE "
_OF_TABLES = {
    "index WHERE x IS NOT NULL": _INDEX + r"[^()]*IS NOT NULL",
    "index WHERE x IS NULL": _INDEX + r"[^()]*IS NULL",
    "index WHERE x = ..": _INDEX + r"\w+ (=|>|<>|IS) (1|'a'|\w)",
    "index WHERE x IN ..": _INDEX + r".* IN \(",
    "index WHERE .. OR ..": _INDEX + r".* OR ",
    "index WHERE (x, y) > ..": _INDEX + r"\(",
    "unique partial index": r"^CREATE UNIQUE INDEX .* WHERE ",
    "expression index": r"^CREATE (UNIQUE )?INDEX .*(lower|coalesce|typeof|substr|length|CASE| IS NULL[,)])",
    "index under another collation": r"^CREATE (UNIQUE )?INDEX .* COLLATE",
    "descending index": r"^CREATE (UNIQUE )?INDEX .* DESC",
    "generated column": r"^CREATE TABLE .* AS \(.*\) (VIRTUAL|STORED)",
    "WITHOUT ROWID": r"^CREATE TABLE .*WITHOUT ROWID",
    "foreign key": r"^CREATE TABLE .*REFERENCES",
    "column under NOCASE": r"^CREATE TABLE .*COLLATE NOCASE",
    "column without type": r"^CREATE TABLE .*\w\d[,)]",
}
_Q = r"\((WITH|SELECT) "
_COMPARED = r"\) (=|==|<|>|<=|>=|<>|!=|IS|IS NOT) (\?|\d|'|N|-|x'|\w+\.)"
_OF_STATEMENTS = {
    "(SELECT) = x": rf"(WHERE|AND|OR|ON|HAVING|WHEN|NOT|,) \(*{_Q}.*{_COMPARED}",
    "x = (SELECT)": rf" (=|==|<|>|<=|>=|<>|!=|IS|IS NOT) {_Q}",
    "(SELECT) = (SELECT)": rf"\) (=|==|<|>|<=|>=|<>|!=|IS|IS NOT) {_Q}",
    "(SELECT) BETWEEN": r"\) (NOT )?BETWEEN ",
    "BETWEEN (SELECT)": rf"BETWEEN {_Q}",
    "(SELECT) IN ..": r"\) (NOT )?IN \(",
    "IN (x, (SELECT))": rf"IN \([^()]*, {_Q}",
    "(SELECT) IS NULL": r"\) (IS NULL|ISNULL|IS NOT NULL|NOTNULL)",
    "row value of (SELECT)": rf"\({_Q}",
    "(SELECT) in ON": rf" ON [^()]*{_Q}",
    "(SELECT) in HAVING": rf" HAVING [^()]*{_Q}",
    "(SELECT) in ORDER BY": rf"ORDER BY {_Q}",
    "(SELECT) in CASE": rf"CASE WHEN \(*{_Q}",
    "(SELECT) in a result column": rf"(SELECT|DISTINCT|,) {_Q}",
    "(SELECT) COLLATE": r"\) COLLATE",
    "ORDER BY .. LIMIT inside": r"\([^()]*ORDER BY [^()]*LIMIT \d[^()]*\)",
    "aggregate inside": r"\(SELECT (DISTINCT )?(max|min|count|total|avg|group_concat)\(",
    "column of the query around": r"FROM \w+ AS e\b|LEFT JOIN \(SELECT [^()]* AS m0\)",
    "EXISTS": r"(?<!NOT )EXISTS \((SELECT|WITH)",
    "NOT EXISTS": r"NOT EXISTS \((SELECT|WITH)",
    "IN (SELECT)": r"(?<!NOT )IN \((SELECT|WITH)",
    "NOT IN (SELECT)": r"NOT IN \((SELECT|WITH)",
    "OR": r" OR (?!REPLACE|IGNORE|FAIL|ABORT|ROLLBACK)",
    "NOT": r" NOT (?!NULL|IN|EXISTS|BETWEEN|MATERIALIZED|LIKE|GLOB|REGEXP)",
    "COLLATE": r" COLLATE ",
    "inner join": r"(?<!LEFT|IGHT|FULL|ROSS|URAL) JOIN ",
    "LEFT JOIN": r"LEFT JOIN",
    "RIGHT JOIN": r"RIGHT JOIN",
    "FULL JOIN": r"FULL JOIN",
    "USING, NATURAL": r" USING \(|NATURAL ",
    "derived table": r"(FROM|JOIN|,) \((SELECT|WITH) ",
    "view": r"\b(FROM|JOIN|,) vv? ",
    "UNION, EXCEPT, ..": r" (UNION|INTERSECT|EXCEPT) ",
    "WITH": r"WITH ",
    "MATERIALIZED": r"AS MATERIALIZED",
    "DISTINCT": r"SELECT DISTINCT",
    "GROUP BY": r"GROUP BY",
    "window": r" OVER ",
    "LIMIT": r"LIMIT ",
    "UPDATE": r"^(WITH .*)?UPDATE",
    "UPDATE FROM": r"^(WITH .*)?UPDATE .* FROM \w+ (AS f|AS x|JOIN|LEFT)",
    "DELETE": r"^(WITH .*)?DELETE",
    "INSERT SELECT": r"^(WITH .*)?(INSERT|REPLACE)[^()]* INTO \w+ \([^()]*\) (SELECT|WITH)",
    "upsert": r"ON CONFLICT",
    "RETURNING": r" RETURNING ",
    "parameter": r"\?\d",
}
_TABLE_PATTERNS = {name: re.compile(pattern) for name, pattern in _OF_TABLES.items()}
_PATTERNS = {name: re.compile(pattern) for name, pattern in _OF_STATEMENTS.items()}
_TABLE_OF = re.compile(r"^CREATE (?:TABLE (\w+)|(?:UNIQUE )?INDEX \w+ ON (\w+))")

Pair = tuple[str, str]
_CHANGES = ("UPDATE", "DELETE", "INSERT SELECT")
_NOT_TOGETHER: tuple[tuple[Sequence[str], Sequence[str]], ...] = (
    *((_CHANGES[:at], (change,)) for at, change in enumerate(_CHANGES)),
    (("UPDATE FROM",), ("DELETE", "INSERT SELECT")),
    (("upsert",), ("UPDATE", "UPDATE FROM", "DELETE")),
)


def impossible() -> set[Pair]:
    """What SQL does not let one statement have."""
    return {_pair(one, other) for these, those in _NOT_TOGETHER for one in these for other in those}


def all_pairs() -> set[Pair]:
    of_tables = {(one, other) for one in _OF_TABLES for other in _OF_STATEMENTS}
    return of_tables | {_pair(*both) for both in combinations(_OF_STATEMENTS, 2)} - impossible()


def _pair(one: str, other: str) -> Pair:
    return (one, other) if one < other else (other, one)


class Matrix:
    """Counts the statements that have both of a pair, of those that stock SQLite accepts."""

    def __init__(self) -> None:
        self.statements = 0
        self.counts: Counter[Pair] = Counter()

    def add(self, history: History) -> None:
        features = _features(history.schema)
        for statement in _succeeding(history):
            self.statements += 1
            has = [name for name, pattern in _PATTERNS.items() if pattern.search(statement)]
            words = set(re.findall(r"\w+", statement))
            tables = {name for table, names in features.items() if table in words for name in names}
            self.counts.update((one, other) for one in tables for other in has)
            self.counts.update(_pair(*both) for both in combinations(has, 2))

    def missing(self) -> list[Pair]:
        return sorted(all_pairs() - self.counts.keys())

    def rarest(self, how_many: int) -> list[tuple[Pair, int]]:
        return sorted(((pair, self.counts[pair]) for pair in all_pairs()), key=lambda each: each[1])[:how_many]


def measure(histories: Iterable[History]) -> Matrix:
    matrix = Matrix()
    for history in histories:
        matrix.add(history)
    return matrix


def _features(schema: RandomSchema) -> dict[str, set[str]]:
    """What each table has."""
    features: dict[str, set[str]] = {}
    for statement in schema.statements:
        found = _TABLE_OF.match(statement)
        if found is not None:
            names = {name for name, pattern in _TABLE_PATTERNS.items() if pattern.search(statement)}
            features.setdefault(found[1] or found[2], set()).update(names)
    return features


def _succeeding(history: History) -> Iterator[str]:
    with closing(apsw.Connection(":memory:")) as stock:
        add_regexp(stock)
        for statement in history.schema.statements:
            stock.execute(statement)
        for operation in history.operations:
            if _succeeds(stock, operation):
                yield operation.sql


def _succeeds(stock: apsw.Connection, operation: Operation) -> bool:
    with suppress(apsw.Error):
        if not stock.in_transaction:
            stock.execute("BEGIN")
        for parameters in [operation.parameters] if operation.batch is None else operation.batch:
            stock.execute(operation.sql, parameters).fetchall()
        return True
    return False


def print_matrix(histories: Iterable[History], write: Callable[[str], None] = print) -> None:
    """For `python -m fuzz --pairs N`."""
    matrix = measure(histories)
    missing = matrix.missing()
    write(f"{matrix.statements:,} statements; {len(all_pairs()) - len(missing):,} of {len(all_pairs()):,} pairs made")
    for one, other in missing:
        write(f"never: {one} beside {other}")
    for (one, other), count in matrix.rarest(len(missing) + 20)[len(missing) :]:
        write(f"{count}: {one} beside {other}")
