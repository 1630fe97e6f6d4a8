"""Keys and collections in a database with SQL tables: neither sees the other."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

import rome
from rome.errors import ConflictError
from rome.kv import KvDatabase


class Port(msgspec.Struct):
    id: int
    text: str = ""


@pytest.fixture
def connection(url: str) -> Any:
    connection = rome.connect(url)
    yield connection
    connection.close()


def filled(db: KvDatabase) -> Any:
    ports = db.collection("ports", Port, key="id", indexes=["text"])
    with db.transaction() as tr:
        tr.put(("a", 1), "one")
        for number in range(3):
            ports.put(tr, Port(number, f"t{number}"))
    return ports


def whole(db: KvDatabase, ports: Any) -> Any:
    with db.transaction() as tr:
        return tr.range(), ports.find(tr), ports.find(tr, text="t1"), ports.count(tr)


def test_sql_sees_nothing_of_it(db: KvDatabase, connection: rome.dbapi.Connection, url: str, tmp_path: Path) -> None:
    ports = filled(db)
    before = whole(db, ports)
    assert connection.execute("SELECT * FROM sqlite_master").fetchall() == []
    for pragma in ("table_list", "database_list"):
        names = [row[1] for row in connection.execute(f"PRAGMA {pragma}")]
        assert not {"ports", "kv"} & {*names}
    connection.execute("CREATE TABLE ports (id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
    connection.execute("INSERT INTO ports (name) VALUES ('x'), ('y')")
    connection.commit()
    assert connection.execute("SELECT * FROM ports").fetchall() == [(1, "x"), (2, "y")]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    engine = sa.create_engine(url)
    assert sa.inspect(engine).get_table_names() == ["ports"]
    engine.dispose()
    connection.execute("VACUUM")
    copy = tmp_path / "copy.db"
    connection.execute(f"VACUUM INTO '{copy}'")
    with sqlite3.connect(copy) as plain:
        assert plain.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("ports",)]
    plain.close()
    assert whole(db, ports) == before
    connection.execute("DELETE FROM ports")
    connection.execute("DROP TABLE ports")
    connection.commit()
    rome.trim(url)
    assert whole(db, ports) == before
    assert [each.name for each in rome.kv.list_collections(url)] == ["ports"]


def test_it_sees_nothing_of_sql(db: KvDatabase, connection: rome.dbapi.Connection) -> None:
    connection.execute("CREATE TABLE a (id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
    connection.execute("INSERT INTO a (name) VALUES ('x'), ('y')")
    connection.commit()
    with db.watch() as watch, db.transaction() as tr:
        assert tr.range() == []
        assert tr.count() == 0
        assert db.collections() == []
        connection.execute("INSERT INTO a (name) VALUES ('z')")
        connection.commit()
        assert watch.poll() == []
    ports = filled(db)
    db.drop_collection("ports")
    with db.transaction() as tr:
        for key, _ in tr.range():
            tr.delete(key)
    assert ports.definition.table_id > 1 << 31
    assert connection.execute("SELECT id, name FROM a").fetchall() == [(1, "x"), (2, "y"), (3, "z")]
    connection.execute("CREATE INDEX by_name ON a (name)")
    connection.execute("INSERT INTO a (name) VALUES ('u')")
    connection.commit()
    assert connection.execute("SELECT id FROM a WHERE name = 'u'").fetchall() == [(4,)]


def test_dropping_a_collection_is_only_a_conflict_to_sql(db: KvDatabase, connection: rome.dbapi.Connection) -> None:
    filled(db)
    connection.execute("CREATE TABLE a (id INTEGER PRIMARY KEY)")
    connection.execute("INSERT INTO a VALUES (1)")
    connection.commit()
    connection.execute("BEGIN")
    assert connection.execute("SELECT * FROM a").fetchall() == [(1,)]
    connection.execute("INSERT INTO a VALUES (2)")
    db.drop_collection("ports")
    connection.commit()  # replayed
    assert connection.execute("SELECT * FROM a").fetchall() == [(1,), (2,)]


def test_ddl_is_only_a_conflict_to_it(db: KvDatabase, connection: rome.dbapi.Connection) -> None:
    filled(db)
    with pytest.raises(ConflictError) as caught, db.transaction() as tr:
        tr.range()
        connection.execute("CREATE TABLE a (id INTEGER PRIMARY KEY)")
        connection.commit()
        tr.put(("b",), 1)
    assert caught.value.retryable
    with db.transaction() as tr:
        tr.put(("b",), 1)


def test_a_blind_write_after_ddl_goes_through(db: KvDatabase, connection: rome.dbapi.Connection) -> None:
    filled(db)
    connection.execute("CREATE TABLE a (id INTEGER PRIMARY KEY)")
    connection.commit()
    with db.transaction() as tr:
        tr.put(("b",), 1)
    assert tr.version is not None
