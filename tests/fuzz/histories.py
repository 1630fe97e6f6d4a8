"""Random histories: a schema, rows, and transactions of statements."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.fuzz.changes import Changes
from tests.fuzz.choices import Choices
from tests.fuzz.expressions import Item
from tests.fuzz.queries import Queries
from tests.fuzz.schemas import FAILING, RandomSchema, RandomTable, random_index, random_schema
from tests.support.differential import OTHER_CLIENT, Operation

LENGTH = 16
"""Operations of one history, at most, without those that fill the tables."""

_CONTROL = (
    *("COMMIT", "COMMIT", "COMMIT", "SAVEPOINT s1", "ROLLBACK TO s1", "RELEASE s1", "SAVEPOINT s2", "ROLLBACK TO S2"),
    *("RELEASE SAVEPOINT s2", "ROLLBACK", "PRAGMA defer_foreign_keys=ON"),
)
_QUESTIONS = (  # not foreign_key_check: it shows rowids that Rome may choose otherwise, and tables in any order
    *("PRAGMA table_info({})", "PRAGMA table_xinfo({})", "PRAGMA foreign_key_list({})"),
    "SELECT name FROM pragma_table_info('{}')",
)
_COUNTS = ("SELECT changes()", "SELECT total_changes()")
_OF_COPIED = (
    "SELECT * FROM copied",
    "DROP TABLE IF EXISTS copied",
    "DELETE FROM copied",
    "INSERT INTO copied VALUES (1, 2)",
)
_OTHERS = (1, "a", None, 2, "1", 2.0, "A", b"a")


@dataclass(frozen=True)
class History:
    """A schema, and what is done."""

    schema: RandomSchema
    operations: tuple[Operation, ...]

    def __repr__(self) -> str:
        return "\n".join(["", *(f"{sql};" for sql in self.schema.statements), *map(str, self.operations)])

    def tables(self) -> dict[str, str]:
        """What is compared in the end: by table, the columns to show."""
        return {table.name: ", ".join(table.columns) for table in self.schema.tables}


def random_history(choices: Choices) -> History:
    schema = random_schema(choices)
    operations = []
    for table in schema.tables:
        for _ in range(choices.pick((2, 2, 3, 4))):
            changes = Changes(choices, schema)
            operations.append(changes.operation(changes.insert(table, " OR IGNORE", rows=2 + choices.below(6))))
    operations.append(Operation("COMMIT"))
    clients = choices.pick((1, 1, 1, 2))
    for number in range(4 + choices.below(LENGTH - 3)):
        operations += _step(choices, schema, number, clients)
    return History(schema, tuple(operations))


def _step(choices: Choices, schema: RandomSchema, number: int, clients: int) -> list[Operation]:
    kind = choices.below(39)
    if kind > 33 or (schema.waits and choices.below(3)):
        operations = [Operation("COMMIT")]
        for _ in range(choices.pick((1, 1, 2, 3))):
            operations.append(Changes(choices, schema).change_that_waits())
            if choices.once_in(3):
                operations.append(Changes(choices, schema).look_at_one())
        return operations + ([Operation("COMMIT")] if choices.below(3) else [])
    if kind == 31:
        return [Operation(choices.pick(_QUESTIONS).format(choices.pick(schema.tables).name))]
    if kind == 33:
        change = Changes(choices, schema).change()
        return [Operation("PRAGMA query_only=ON"), change, Operation("PRAGMA query_only=OFF")]
    if kind == 32:
        return _with_failing_column(choices, schema, number, clients)
    if kind < 14:
        queries = Queries(choices, schema)
        first = queries.operation(queries.statement())
        if first.parameters and choices.once_in(4):  # the plan of the text, with other values
            return [first, replace(first, parameters=tuple(choices.pick(_OTHERS) for _ in first.parameters))]
        if choices.once_in(3):  # with what its plan has learnt, on other rows
            commit = Operation("COMMIT")
            return [commit, first, commit, Changes(choices, schema).change(), commit, first]
        return [first]
    if kind < 23:
        return [Changes(choices, schema).change()]
    if kind < 25:
        return [Operation(choices.pick(_CONTROL))]
    if kind < 27:
        changes = [Changes(choices, schema).change() for _ in range(1 + choices.below(2))]
        end = choices.pick(("ROLLBACK TO s1", "RELEASE s1", "ROLLBACK TO SAVEPOINT S1"))
        return [Operation("SAVEPOINT s1"), *changes, Operation(end)]
    if kind == 27:
        if clients == 1:  # what they answer is each client's own
            return [Operation(choices.pick(_COUNTS))]
        return [Operation("COMMIT"), Operation(OTHER_CLIENT)]
    return [Operation(sql) for sql in _ddl(choices, schema, number)]


def _ddl(choices: Choices, schema: RandomSchema, number: int) -> list[str]:
    table = choices.pick(schema.tables)
    columns = list(table.columns)
    kind = choices.below(10)
    if kind in (0, 1, 9):
        return [random_index(choices, f"late{number}", table.name, columns, "IF NOT EXISTS ")[0]]
    if kind == 2:
        return [
            f"CREATE UNIQUE INDEX IF NOT EXISTS wide ON {table.name} ({', '.join(columns)})",
            f"DROP INDEX IF EXISTS i{table.name}{choices.below(3)}",
        ]
    if kind == 3:
        added = choices.pick(("TEXT", "INTEGER DEFAULT 1", "TEXT COLLATE NOCASE DEFAULT 'a'", "NOT NULL DEFAULT ''"))
        return [f"ALTER TABLE {table.name} ADD COLUMN added {added}", *_with_added(choices, schema, table)]
    if kind == 4:
        return [f"ALTER TABLE {table.name} ADD COLUMN added", f"ALTER TABLE {table.name} DROP COLUMN added"]
    if kind == 5:
        query = Queries(choices, schema, parameters=False).query(2, 2)
        return [f"CREATE TABLE IF NOT EXISTS copied AS {query}", choices.pick(_OF_COPIED)]
    if kind == 6:
        return [choices.pick(_OF_COPIED)]
    if kind == 7:
        query = Queries(choices, schema, parameters=False).query(2, 2)
        return [f"CREATE VIEW IF NOT EXISTS late (v0, v1) AS {query}", "SELECT * FROM late WHERE v0 = 1"]
    return ["DROP VIEW IF EXISTS late"]


def _with_failing_column(choices: Choices, schema: RandomSchema, number: int, clients: int) -> list[Operation]:
    """A column that fails for some of the rows that are there already, and what is done beside it."""
    table = choices.pick(schema.tables)
    expression = FAILING.format(a=choices.pick(table.settable))
    shown = choices.pick((f"late{number}", f"count(late{number})", "count(*)", ", ".join(table.columns)))
    return [
        Operation(f"ALTER TABLE {table.name} ADD COLUMN late{number} AS ({expression}) VIRTUAL"),
        *([Operation("COMMIT"), Operation(OTHER_CLIENT)] if clients > 1 else []),  # which has none of the rows
        *(Changes(choices, schema).change() for _ in range(choices.below(3))),
        Operation(f"SELECT {shown} FROM {table.name}"),
        Operation(f"ALTER TABLE {table.name} DROP COLUMN late{number}"),
    ]


def _with_added(choices: Choices, schema: RandomSchema, table: RandomTable) -> list[str]:
    """Statements about a column just added."""
    item = Item(table.name, {**table.columns, "added": ("a", "A", 1, None)}, table)
    queries = Queries(choices, schema, parameters=False)
    name = choices.pick(table.settable)
    return [
        f"UPDATE {table.name} SET added = {queries.scalar([item], 2)} WHERE {queries.condition([item], 1)}",
        f"SELECT added, {name} FROM {table.name} WHERE {queries.condition([item], 2)}",
    ]
