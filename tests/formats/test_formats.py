"""Databases that earlier versions stored, as far back as there are any: read, checked value by value, written to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
import redis

import rome
from rome.dbapi import Connection, IntegrityError
from rome.store.lmdb import state as lmdb_state
from rome.store.redis import store as redis_store
from tests.formats.stored import load_lmdb, load_redis, statements, url_of
from tests.support.servers import Server, StartServer

FOLDERS = sorted(Path(__file__).parent.glob("format-*"))
STORES = ("lmdb", "redis", "valkey")
PERSISTENT = {"appendonly": "yes", "appendfsync": "no"}

BY_INDEX = [
    "SELECT id FROM kinds WHERE value = 1 ORDER BY id",
    "SELECT id FROM kinds WHERE value = '1'",
    "SELECT id FROM kinds WHERE value IS NULL",
    "SELECT id FROM kinds WHERE value = 9007199254740993",
    "SELECT id FROM kinds WHERE value > 1e308 ORDER BY id",
    "SELECT id FROM kinds WHERE value = x'00'",
    "SELECT id FROM kinds WHERE value = 'Größe ☃ 😀'",
    "SELECT id FROM kinds WHERE value = 'a' || char(0) || 'b'",
    "SELECT name FROM people WHERE name = 'GRACE'",
    "SELECT name FROM people WHERE born = 1906",
    "SELECT name FROM people WHERE born < 1912 ORDER BY born",
    "SELECT name FROM people WHERE height > 1.66 AND deleted = 0",
    "SELECT name FROM people WHERE upper(name) = 'ADA'",
    "SELECT a FROM pairs WHERE c = 'end' ORDER BY a",
    "SELECT a FROM pairs WHERE b = 2 AND a = 'x'",
    "SELECT n FROM long_keys WHERE key = printf('%.*c', 600, 'k') || 2",
    "SELECT n FROM long_keys WHERE key > printf('%.*c', 600, 'k') || 1 ORDER BY key",
    "SELECT name, total FROM visitors ORDER BY name",
]
"""What is found through an index, whose stored entries must be right."""

CHANGES = [
    "UPDATE people SET name = 'Ada Lovelace' WHERE name = 'ada'",
    "UPDATE kinds SET value = 'new' WHERE id BETWEEN 1 AND 12",
    "DELETE FROM people WHERE name = 'grace'",
    "INSERT INTO grown (id, renamed) VALUES (4, 'later')",
    "DELETE FROM long_keys WHERE n = 1",
    "DROP INDEX pairs_c",
    "ALTER TABLE grown DROP COLUMN empty",
    "INSERT INTO visits (who, minutes) VALUES ('alan', 60)",
    "INSERT INTO notes VALUES ('fifth')",
]


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in STORES])
def stored(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> Iterator[Connection]:
    """A connection to what is stored in the folder."""
    if request.param == "lmdb":
        path = tmp_path / "stored.rome"
        load_lmdb(json.loads((folder / "lmdb.json").read_text()), path)
        url = f"rome+lmdb:///{path}"
    else:
        start: StartServer = request.getfixturevalue("start_server")
        server: Server = start(request.param, PERSISTENT)
        with redis.Redis(server.host, server.port) as client:
            load_redis(json.loads((folder / "redis.json").read_text()), client)
        url = url_of(server)
    with closing(rome.connect(url)) as connection:
        yield connection


@pytest.fixture
def oracle(folder: Path) -> Iterator[apsw.Connection]:
    """Stock SQLite that ran the same statements."""
    with closing(apsw.Connection(":memory:")) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        for statement in statements(folder):
            connection.execute(statement)
        yield connection


def _exact(rows: object) -> list[list[tuple[type, str]]]:
    """Told apart by type and, for reals, by sign of zero."""
    assert hasattr(rows, "__iter__")
    return [[(type(value), repr(value)) for value in row] for row in rows]


def _everything(execute: Callable[[str], object]) -> dict[str, object]:
    """The schema, and all rows of all tables."""
    objects = execute("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type, name")
    found: dict[str, object] = {"schema": _exact(objects)}
    tables = execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
    assert hasattr(tables, "__iter__")
    for (name,) in list(tables):
        quoted = '"' + str(name).replace('"', '""') + '"'
        found[str(name)] = sorted(_exact(execute(f"SELECT * FROM {quoted}")), key=repr)
    return found


def test_every_table_type_and_value_is_there(stored: Connection, oracle: apsw.Connection) -> None:
    found = _everything(stored.execute)
    assert len(found) > 8
    assert found == _everything(oracle.execute)


def test_indexes_lead_to_the_rows(stored: Connection, oracle: apsw.Connection) -> None:
    expected = {query: _exact(oracle.execute(query)) for query in BY_INDEX}
    assert all(expected.values()), "a query shows nothing"
    assert {query: _exact(stored.execute(query)) for query in BY_INDEX} == expected


def test_constraints_are_enforced(stored: Connection) -> None:
    for statement in (
        "INSERT INTO people (name, born) VALUES ('ADA', 1)",
        "INSERT INTO people (name, born) VALUES ('New', 1912)",
        "INSERT INTO visits (who) VALUES ('nobody')",
        "INSERT INTO visits (minutes) VALUES (-1)",
        "INSERT INTO kinds (id, note) VALUES (100, NULL)",
    ):
        with pytest.raises(IntegrityError):
            stored.execute(statement)


def test_it_can_be_changed(stored: Connection, oracle: apsw.Connection) -> None:
    for statement in CHANGES:
        stored.execute(statement)
        stored.commit()
        oracle.execute(statement)
    assert _everything(stored.execute) == _everything(oracle.execute)


def test_ids_that_were_used_are_not_used_again(stored: Connection) -> None:
    assert (stored.execute("INSERT INTO visits (minutes) VALUES (1)").lastrowid or 0) > 40


def test_the_present_format_is_among_them() -> None:
    """Else a change of the format would go unnoticed: make a folder of the new one as formats/stored.py says."""
    assert lmdb_state.FORMAT == redis_store.FORMAT == len(FOLDERS)
    assert [folder.name for folder in FOLDERS] == [f"format-{number + 1}" for number in range(len(FOLDERS))]
