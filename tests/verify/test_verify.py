"""Each kind of damage is found, and named as people know it; nothing is found where nothing is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import make_url

import rome
from rome.codec.keys import encode_key
from rome.dbapi.url import parse_url
from rome.errors import OperationalError
from rome.store.registry import store_class
from rome.store.spi import CommitRequest, Get, Row
from rome.verify import verify
from tests.support.databases import Store, database, on

SCRIPT = """
CREATE TABLE host (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE server (id INTEGER PRIMARY KEY, name TEXT, load REAL CHECK (load >= 0), host INTEGER REFERENCES host (id));
CREATE INDEX by_name ON server (name);
CREATE UNIQUE INDEX by_load ON server (load) WHERE load > 1;
CREATE INDEX by_lower ON server (lower(name));
INSERT INTO host VALUES (1, 'h');
INSERT INTO server VALUES (1, 'a', 0, 1), (2, 'B', 2, 1), (3, 'c', 3, NULL);
"""
SERVER = 2
BY_NAME, BY_LOAD, BY_LOWER = 1, 2, 3


@pytest.fixture(params=on("memory", "lmdb", "redis"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    store: Store = request.param
    with database(store, request) as url:
        with closing(rome.connect(url)) as connection:
            connection.executescript(SCRIPT)
        yield url


def found(url: str) -> list[str]:
    return [str(damage) for damage in verify(url)]


def damage(url: str, make: Callable[[Row], Mapping[str, Any]]) -> None:
    """Commit below SQL what `make` says of the row of server 2."""
    location = parse_url(make_url(url)).location
    with closing(store_class(location.scheme).open(location)) as store:
        key = encode_key([2], ["BINARY"])
        read = store.read(None, [Get(SERVER, (key,))])
        answer = read.answers[0]
        assert isinstance(answer, list)
        assert answer[0] is not None
        changes = {"rows": {}, "entries": {}, "points": {SERVER: {key: answer[0].version}}, **make(answer[0])}
        store.commit(CommitRequest(b"d" * 16, read.snapshot, **changes))


def text_key(value: object) -> bytes:
    return encode_key([value], ["BINARY"])  # type: ignore[list-item]


def test_nothing_is_wrong_with_a_database_that_rome_has_written(url: str) -> None:
    seen: list[tuple[int, str]] = []
    assert [*verify(url, lambda rows, table: seen.append((rows, table)))] == []
    assert seen[-1] == (4, "server")


def test_a_missing_entry(url: str) -> None:
    damage(url, lambda row: {"entries": {(SERVER, BY_NAME): {(text_key("B"), row.key): False}}})
    assert found(url) == [
        "server, index by_name: the row with key 2 has 0 entries instead of 1",
        "server, index by_name: it has 2 entries for 3 rows",
    ]


def test_an_entry_of_another_value(url: str) -> None:
    moved = {text_key("b"): False, text_key("bb"): True}
    damage(url, lambda row: {"entries": {(SERVER, BY_LOWER): {(key, row.key): put for key, put in moved.items()}}})
    assert found(url) == ["server, index by_lower: the row with key 2 has 0 entries instead of 1"]


def test_an_entry_without_a_row(url: str) -> None:
    damage(url, lambda row: {"rows": {SERVER: {row.key: None}}})
    assert sorted(found(url)) == [
        "server, index by_load: it has 2 entries for 1 rows",
        "server, index by_lower: it has 3 entries for 2 rows",
        "server, index by_name: it has 3 entries for 2 rows",
    ]


def test_a_record_under_another_key(url: str) -> None:
    other = encode_key([7], ["BINARY"])
    damage(url, lambda row: {"rows": {SERVER: {other: row.record}}, "points": {SERVER: {other: 0}}})
    assert found(url)[0] == "server, the row with key 7: its record is that of the row with key 2"


def test_a_record_that_does_not_decode(url: str) -> None:
    damage(url, lambda row: {"rows": {SERVER: {row.key: row.record[:-3]}}})
    assert "the row with key 2: the record of table server" in found(url)[0]


def test_a_row_that_refers_to_nothing(url: str) -> None:
    with closing(rome.connect(url, foreign_keys="off")) as connection:
        connection.execute("DELETE FROM host")
        connection.commit()
    assert found(url) == [
        "server, rowid 1: it refers to a row of host that does not exist",
        "server, rowid 2: it refers to a row of host that does not exist",
    ]


def test_a_row_that_fails_a_check(url: str) -> None:
    def negative(row: Row) -> Mapping[str, Any]:
        from rome.catalog.rows import encode_row  # noqa: PLC0415

        with closing(rome.connect(url)) as connection:
            record = next(
                connection.session.stored(
                    lambda stored: iter([encode_row(stored.tables["server"], 2, (2, "B", -1.0, 1))])
                )
            )
        gone = {(SERVER, BY_LOAD): {(text_key(2.0), row.key): False}}
        return {"rows": {SERVER: {row.key: record}}, "entries": gone}

    damage(url, negative)
    assert found(url) == ["(all tables), constraints: CHECK constraint failed in server"]


def test_a_database_that_is_not_there_is_not_created(url: str) -> None:
    missing = url + "x"
    with pytest.raises(OperationalError, match="there is no database"):
        [*verify(missing)]
    assert not rome.database_exists(missing)
