"""Count the calls of Rome's own functions that a statement makes: a figure that does not depend on the machine's load.

Each operation runs warm, through the PEP 249 connection, on a parent table with a unique text key and a child table
with a foreign key to it. Every "call" event of sys.setprofile in one of Rome's files counts, also when a generator
resumes. Calls of other libraries' functions, and calls between C functions, do not count.

    python bench/calls.py 'rome+redis://127.0.0.1:6379/calls'
    python bench/calls.py 'rome+memory://' --list 'SELECT by unique key'     shows each call with its depth

tests/bench/test_calls.py keeps the figures from growing.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import rome
from rome.dbapi import Connection

SCHEMA = (
    "DROP TABLE IF EXISTS child",
    "DROP TABLE IF EXISTS parent",
    "CREATE TABLE parent (id INTEGER PRIMARY KEY, k TEXT NOT NULL UNIQUE, v TEXT, n INTEGER)",
    "CREATE TABLE child (id INTEGER PRIMARY KEY, parent_k TEXT NOT NULL REFERENCES parent (k), v TEXT)",
    "CREATE INDEX child_parent ON child (parent_k)",
)
ROWS = 8
_HOME = str(Path(rome.__file__).parent)


class Call(NamedTuple):
    """One call: its depth (how many of Rome's frames are on the stack below it), its file and its function."""

    depth: int
    file: str
    function: str


class Calls:
    """Collects the calls made inside of `counting()`."""

    def __init__(self) -> None:
        self.made: list[Call] = []
        self._depth = 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count calls inside this context."""
        self._depth = 0
        gc.collect()  # else the finalizers of what others have left might run, and be counted
        gc.disable()
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(None)
            gc.enable()

    def _note(self, frame: FrameType, event: str, _argument: object) -> None:
        file = frame.f_code.co_filename
        if event not in ("call", "return") or not file.startswith(_HOME):
            return
        if event == "call":
            self.made.append(Call(self._depth, file[len(_HOME) + 1 :], frame.f_code.co_qualname))
        self._depth += 1 if event == "call" else -1


Run = Callable[[Connection, int], None]
"""Runs an operation on the parent with this number."""


def _key(number: int) -> str:
    return f"key-{number}"


def _select(sql: str) -> Run:
    def run(connection: Connection, number: int) -> None:
        assert connection.execute(sql, (_key(number),)).fetchall()

    return run


def _insert(connection: Connection, number: int) -> None:
    connection.execute("INSERT INTO child (parent_k, v) VALUES (?, ?)", (_key(number), "v"))


def _update(connection: Connection, number: int) -> None:
    connection.execute("UPDATE parent SET n = n + 1 WHERE k = ?", (_key(number),))


def _commit(connection: Connection, _number: int) -> None:
    connection.commit()


class Operation(NamedTuple):
    """An operation whose calls are counted. `before` runs first in the same transaction, and is not counted."""

    name: str
    run: Run
    before: Run | None = None


OPERATIONS = (
    Operation("SELECT by unique key", _select("SELECT id, k, v FROM parent WHERE k = ?")),
    Operation("SELECT through SQLite", _select("SELECT id, k, upper(v) FROM parent WHERE k = ?")),
    Operation(
        "LEFT JOIN",
        _select("SELECT p.id, p.v, c.id, c.v FROM parent p LEFT JOIN child c ON c.parent_k = p.k WHERE p.k = ?"),
    ),
    Operation("INSERT of a child", _insert),
    Operation("its COMMIT", _commit, _insert),
    Operation("UPDATE by key", _update),
    Operation("its COMMIT", _commit, _update),
)


def prepare(connection: Connection) -> None:
    """Create the two tables with rows in them, and run each operation until all caches are warm."""
    for sql in SCHEMA:
        connection.execute(sql)
    for number in range(1, ROWS + 1):
        connection.execute("INSERT INTO parent VALUES (?, ?, 'v', 0)", (number, _key(number)))
        connection.execute("INSERT INTO child (parent_k, v) VALUES (?, 'v')", (_key(number),))
    connection.commit()
    for _ in range(3):
        for operation in OPERATIONS:
            count(connection, operation, 1)


def count(connection: Connection, operation: Operation, number: int = 2) -> list[Call]:
    """The calls of one operation in a transaction of its own, which is rolled back unless the operation is COMMIT."""
    calls = Calls()
    if operation.before is not None:
        operation.before(connection, number)
    with calls.counting():
        operation.run(connection, number)
    connection.rollback()
    return calls.made


def main() -> None:
    """Print the number of calls of each operation."""
    parser = argparse.ArgumentParser(description="Count the calls of Rome's functions that each operation makes.")
    parser.add_argument("url", help="a database whose tables `parent` and `child` may be dropped")
    parser.add_argument("--list", metavar="OPERATION", help="show each call of this operation")
    arguments = parser.parse_args()
    with closing(rome.connect(arguments.url)) as connection:
        prepare(connection)
        for operation in OPERATIONS:
            made = count(connection, operation)
            files, depth = len({call.file for call in made}), 1 + max(call.depth for call in made)
            print(f"{operation.name:24}{len(made):5} calls in {files:2} files, {depth:2} deep")
            if arguments.list == operation.name:
                for call in made:
                    print(f"    {'  ' * call.depth}{call.file}: {call.function}")


if __name__ == "__main__":
    main()
