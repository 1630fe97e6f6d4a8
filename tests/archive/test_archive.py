"""Archives: any store into any store, equal to the last detail; a damaged file is refused."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise

import msgspec
import pytest

import rome
from rome.archive import ArchiveError, Tally, dump, load
from rome.archive.format import frames
from rome.errors import OperationalError, TransactionTooLargeError, UniqueViolation
from tests.support.databases import Store, database, on

SCRIPT = """
CREATE TABLE server (
    id INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT COLLATE NOCASE, image BLOB, load REAL,
    label TEXT GENERATED ALWAYS AS (host || '!'), parent INTEGER REFERENCES server (id)
);
CREATE INDEX by_host ON server (host, id DESC);
CREATE UNIQUE INDEX by_lower ON server (lower(host)) WHERE load > 0;
CREATE TABLE "odd name" (rowid TEXT, "a ""b" INTEGER CHECK ("a ""b" > 0));
CREATE TABLE pair (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE empty (a);
CREATE VIEW busy AS SELECT host FROM server WHERE load > 1;
CREATE TRIGGER no_bad BEFORE INSERT ON server WHEN new.host = 'bad' BEGIN SELECT RAISE(ABORT, 'bad'); END;
INSERT INTO server (host, image, load, parent)
    VALUES ('a', x'00ff', 1e999, 3), (NULL, NULL, -0.0, NULL), ('ü', '', 3, 1);
INSERT INTO server (id, host) VALUES (9223372036854775806, 'last'), (-5, 'first'), (70, 'gone');
DELETE FROM server WHERE id = 70;
INSERT INTO "odd name" VALUES ('x', 1), ('y', 2), ('z', 3);
DELETE FROM "odd name" WHERE rowid = 'y';
INSERT INTO pair VALUES (NULL IS NULL, 2), ('1', 2), (x'31', 2), (1.5, 2);
PRAGMA user_version = 7;
PRAGMA application_id = -3;
"""

MakeUrl = Callable[[Store], str]


@pytest.fixture
def make_url(request: pytest.FixtureRequest) -> Iterator[MakeUrl]:
    with contextmanager(_databases)(request) as make:
        yield make


def _databases(request: pytest.FixtureRequest) -> Iterator[MakeUrl]:
    opened = []

    def make(store: Store) -> str:
        context = database(store, request)
        opened.append(context)
        return context.__enter__()

    yield make
    for context in opened:
        context.__exit__(None, None, None)


def filled(url: str, script: str = SCRIPT) -> str:
    with closing(rome.connect(url)) as connection:
        connection.executescript(script)
    return url


def archived(url: str) -> bytes:
    file = io.BytesIO()
    dump(url, file)
    return file.getvalue()


def contents(url: str) -> tuple[list[str], list[object]]:
    """Everything that SQL shows of a database: its script without the order of indexes and views, and hidden rowids."""
    with closing(rome.connect(url)) as connection:
        rowids = connection.execute('SELECT _rowid_, * FROM "odd name"').fetchall()
        header = [connection.execute(f"PRAGMA {name}").fetchone() for name in ("user_version", "application_id")]
        return sorted(connection.iterdump()), [rowids, header]


@pytest.mark.parametrize("target", on("memory", "lmdb", "redis"))
@pytest.mark.parametrize("source", on("memory", "lmdb", "redis"))
def test_any_store_into_any_store(source: Store, target: Store, make_url: MakeUrl) -> None:
    before, after = filled(make_url(source)), make_url(target)
    counts = {"server": 5, "odd name": 2, "pair": 4, "empty": 0}
    file = io.BytesIO()
    dumped = dump(before, file)
    assert (dumped.rows, dumped.tables) == (11, counts)
    file.seek(0)
    assert load(after, file).tables == counts
    assert contents(after) == contents(before)
    with closing(rome.connect(after)) as connection:
        with pytest.raises(rome.dbapi.IntegrityError, match="bad"):
            connection.execute("INSERT INTO server (host) VALUES ('bad')")
        assert connection.execute("SELECT id FROM server WHERE host = 'A'").fetchall() == [(1,)]
        with pytest.raises(rome.dbapi.IntegrityError, match="UNIQUE"):
            connection.execute("INSERT INTO server (id, host, load) VALUES (5, 'Ü', 1), (6, 'A', 1)")


def test_equal_databases_make_archives_that_differ_in_their_time_only(make_url: MakeUrl) -> None:
    one, two = (frames(io.BytesIO(archived(filled(make_url("memory"))))) for _ in range(2))
    assert next(one)[:2] == next(two)[:2] == ["rome dump", 1]
    assert [*one] == [*two]


def test_an_archive_is_of_one_moment(make_url: MakeUrl) -> None:
    """While it is made, others delete what was not reached yet."""
    url = filled(make_url("memory"), "CREATE TABLE a (x); CREATE TABLE b (x)")
    with closing(rome.connect(url)) as writer:
        for table in "ab":
            writer.executemany(f"INSERT INTO {table} VALUES (?)", [(n,) for n in range(3_000)])
        writer.commit()

        def delete(tally: Tally) -> None:
            if tally.rows == 1_000:
                writer.execute("DELETE FROM a WHERE x > 10")
                writer.execute("DELETE FROM b")
                writer.commit()

        assert dump(url, io.BytesIO(), delete).tables == {"a": 3_000, "b": 3_000}


def test_rows_too_large_for_one_commit_come_in_several(make_url: MakeUrl) -> None:
    url = filled(make_url("memory"), "CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)")
    with closing(rome.connect(url)) as connection:
        for start in range(0, 40, 10):
            connection.executemany("INSERT INTO t VALUES (?, zeroblob(1000000))", [(start + n,) for n in range(10)])
            connection.commit()
    seen: list[int] = []
    load(make_url("memory"), io.BytesIO(archived(url)), lambda tally: seen.append(tally.rows))
    assert seen[-1] == 40
    assert len(seen) > 2
    assert all(before < after for before, after in pairwise(seen))


def test_a_row_larger_than_a_commit_is_an_error(make_url: MakeUrl) -> None:
    url = make_url("memory")
    with closing(rome.connect(url, max_commit_bytes="40MB")) as connection:
        connection.executescript("CREATE TABLE t (data); INSERT INTO t VALUES (zeroblob(20000000))")
    with pytest.raises(TransactionTooLargeError):
        load(make_url("memory"), io.BytesIO(archived(url)))


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def without_end(data: bytes) -> bytes:
    raw = gzip.decompress(data)
    return gzip.compress(raw[: raw.rindex(b"\x93\xa3end") - 4])


def changed_inside(data: bytes) -> bytes:
    raw = bytearray(gzip.decompress(data))
    at = raw.index(b"first")
    raw[at : at + 5] = b"other"
    return gzip.compress(bytes(raw))


@pytest.mark.parametrize("damage", [cut, without_end, changed_inside])
def test_a_damaged_archive_is_refused_before_anything_is_written(
    damage: Callable[[bytes], bytes], make_url: MakeUrl
) -> None:
    url = make_url("memory")
    with pytest.raises(ArchiveError, match="the archive is damaged"):
        load(url, io.BytesIO(damage(archived(filled(make_url("memory"))))))
    assert not rome.database_exists(url)


@pytest.mark.parametrize(
    "data",
    [b"", b"hello", gzip.compress(b"hello, world"), gzip.compress(b"\x00\x00\x00\x01\x80")],
    ids=["empty", "text", "compressed text", "compressed bytes"],
)
def test_another_file_is_no_archive(data: bytes, make_url: MakeUrl) -> None:
    with pytest.raises(ArchiveError, match="not an archive"):
        load(make_url("memory"), io.BytesIO(data))


def test_a_newer_format_is_refused(make_url: MakeUrl) -> None:
    body = msgspec.msgpack.encode(["rome dump", 2, {}])
    with pytest.raises(ArchiveError, match="format 2, and this Rome reads up to 1"):
        load(make_url("memory"), io.BytesIO(gzip.compress(len(body).to_bytes(4, "big") + body)))


def test_only_an_empty_database_is_filled(make_url: MakeUrl) -> None:
    url = filled(make_url("memory"))
    before = contents(url)
    with pytest.raises(ArchiveError, match="not empty"):
        load(url, io.BytesIO(archived(url)))
    assert contents(url) == before


def test_dump_creates_no_database(make_url: MakeUrl) -> None:
    url = make_url("memory")
    with pytest.raises(OperationalError, match="there is no database"):
        dump(url, io.BytesIO())
    assert not rome.database_exists(url)


def test_the_format_is_what_the_docs_say(make_url: MakeUrl) -> None:
    """Golden frames: a reader that somebody else has written goes on working."""
    url = filled(make_url("memory"), "CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (5, x'00')")
    raw = gzip.decompress(archived(url))
    found, at, digest = [], 0, hashlib.sha256()
    while at < len(raw):
        length = int.from_bytes(raw[at : at + 4], "big")
        frame = msgspec.msgpack.decode(raw[at + 4 : at + 4 + length])
        if frame[0] != "end":
            digest.update(raw[at : at + 4 + length])
        found.append(frame)
        at += 4 + length
    assert found[0][:2] == ["rome dump", 1]
    assert found[1:] == [
        ["header", {"application_id": 0, "user_version": 0}],
        ["table", "t", "CREATE TABLE t (id INTEGER PRIMARY KEY, a)", ["id", "a"], False],
        ["rows", "t", [[5, b"\x00"]]],
        ["sequences", None],
        ["end", {"t": 1}, digest.digest()],
    ]


class Port(msgspec.Struct):
    id: str
    network: str
    mac: str | None = None


@pytest.mark.parametrize("target", on("memory", "lmdb", "redis"))
def test_keys_and_collections_come_along(target: Store, make_url: MakeUrl) -> None:
    before, after = filled(make_url("lmdb")), make_url(target)
    with closing(rome.kv.open(before)) as db:
        ports = db.collection("ports", Port, key="id", indexes=["network"], unique=["mac"])
        with db.transaction() as tr:
            for number in range(1_200):
                ports.put(tr, Port(f"p{number:04}", f"n{number % 3}", mac=f"m{number}"))
            tr.put(("quota", 1), {"a": [1, None]})
    counts = dump(before, file := io.BytesIO()).tables
    assert {name: rows for name, rows in counts.items() if "kv" in name} == {
        "rome.kv keys": 1,
        "rome.kv collection ports": 1_200,
    }
    file.seek(0)
    assert load(after, file).tables == counts
    with closing(rome.kv.open(after)) as db:
        ports = db.collection("ports", Port, key="id", indexes=["network"], unique=["mac"])
        with db.transaction() as tr:
            assert tr.get(("quota", 1)) == {"a": [1, None]}
            assert ports.get(tr, "p0007") == Port("p0007", "n1", mac="m7")
            assert ports.count(tr, network="n2") == 400
            with pytest.raises(UniqueViolation):
                ports.insert(tr, Port("new", "n0", mac="m7"))
    assert rome.kv.verify_collections(after) == []
    file.seek(0)
    with closing(rome.connect(after)) as connection:
        connection.execute("DROP TABLE server")
    with pytest.raises(ArchiveError, match="not empty"):
        load(after, file)
