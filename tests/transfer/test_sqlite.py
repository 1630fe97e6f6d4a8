"""SQLite's databases keep their texts and their values; what is cut off goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

import rome
from rome.bulk import insertion
from rome.cli import main
from rome.transfer import CopyProgress, TransferError, plan
from tests.support.databases import Store, database, on

SCRIPT = """
CREATE TABLE host (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT COLLATE NOCASE, at DATETIME, up BOOLEAN,
    double INTEGER GENERATED ALWAYS AS (id * 2));
CREATE TABLE "odd ""name" (a, b, "c d", PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE plain (x);
CREATE TABLE server (id INTEGER PRIMARY KEY, host INTEGER REFERENCES host (id), parent INTEGER REFERENCES server (id));
CREATE INDEX by_name ON host (name, id DESC);
CREATE VIEW names AS SELECT name FROM host WHERE name <> ':not_a_parameter';
CREATE TRIGGER no_bad BEFORE INSERT ON host WHEN new.name = 'bad' BEGIN SELECT RAISE(ABORT, 'bad'); END;
INSERT INTO host (name, at, up) VALUES ('a', 'not a date', 'not a boolean'), (x'00ff', 5, 1e999), (NULL, NULL, NULL);
INSERT INTO "odd ""name" VALUES (1, 'x', 1), (1, 'y', 2), ('1', 'x', 3), (x'31', 'x', 4);
INSERT INTO plain VALUES (1), (1), (NULL);
INSERT INTO server VALUES (1, 1, 2), (2, 1, NULL);
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "source.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCRIPT)
    return path


@pytest.fixture
def source(file: Path) -> Engine:
    return create_engine(f"sqlite:///{file}")


@pytest.fixture(params=on("memory", "lmdb", "redis"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    store: Store = request.param
    with database(store, request) as url:
        yield url


def script_of(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return sorted(line for line in connection.iterdump() if "sqlite_sequence" not in line)


def test_there_and_back(source: Engine, file: Path, url: str, tmp_path: Path) -> None:
    there = plan(source, create_engine(url))
    assert there.notes == []
    assert there.run() == {"host": 3, 'odd "name': 4, "plain": 3, "server": 2}
    back = tmp_path / "back.db"
    plan(create_engine(url), create_engine(f"sqlite:///{back}")).run()
    assert script_of(back) == script_of(file)
    with closing(rome.connect(url)) as connection:
        with pytest.raises(rome.dbapi.IntegrityError, match="bad"):
            connection.execute("INSERT INTO host (name) VALUES ('bad')")
        with pytest.raises(rome.dbapi.IntegrityError, match="FOREIGN KEY"):
            connection.execute("INSERT INTO server (host) VALUES (99)")
        tables = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'rome%'").fetchall()
        assert tables == []


def test_a_copy_that_was_cut_off_goes_on(tmp_path: Path, url: str) -> None:
    path = tmp_path / "large.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE a (id INTEGER PRIMARY KEY, v)")
        connection.execute("CREATE TABLE b (id INTEGER PRIMARY KEY, v)")
        for table in "ab":
            connection.executemany(f"INSERT INTO {table} VALUES (?, ?)", [(n, f"v{n}") for n in range(2_500)])
        connection.commit()
    source, target = create_engine(f"sqlite:///{path}"), create_engine(url)

    def cut(progress: CopyProgress) -> None:
        if progress.rows == 3_500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan(source, target).run(cut)
    seen: list[CopyProgress] = []
    assert plan(source, target).run(seen.append) == {"a": 2_500, "b": 2_500}
    assert seen == [
        ("a", 2_500, 5_000, True),
        ("b", 4_500, 5_000, False),
        ("b", 5_000, 5_000, False),
        ("b", 5_000, 5_000, True),
    ]
    with target.connect() as reader:
        assert reader.execute(text("SELECT count(*), count(DISTINCT v) FROM b")).one() == (2_500, 2_500)


def test_a_target_that_holds_something_else_is_left_alone(source: Engine, url: str) -> None:
    target = create_engine(url)
    with target.begin() as connection:
        connection.execute(text("CREATE TABLE mine (x)"))
    with pytest.raises(TransferError, match=r"holds 1 table\(s\), mine among them"):
        plan(source, target).run()


def test_what_arrives_differently_is_noticed(source: Engine, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    insert = insertion.insert_tuples

    def lose_one(engine, table, columns, rows, **options):  # type: ignore[no-untyped-def]
        return insert(engine, table, columns, [*rows][1:], **options)

    monkeypatch.setattr("rome.transfer.copying.insert_tuples", lose_one)
    with pytest.raises(TransferError, match=r"table host differs: 3 rows .* 2 rows"):
        plan(source, create_engine(url)).run()


def test_the_commands(file: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if url.startswith("rome+memory"):
        pytest.skip("a database in memory is known to this process only")
    assert main(["import", f"sqlite:///{file}", url]) == 0
    out = capsys.readouterr().out
    assert out.startswith("4 tables; 0 things are not kept as they are\n")
    assert "in all     12\n" in out
    assert main(["export", url, f"sqlite:///{tmp_path}/back.db", "--json"]) == 0
    assert script_of(tmp_path / "back.db") == script_of(file)
    assert main(["import", f"sqlite:///{file}", url]) == 0, "all is there, and equal"
    with closing(rome.connect(url)) as connection:
        connection.execute("UPDATE host SET name = 'other' WHERE id = 1")
        connection.commit()
    assert main(["import", f"sqlite:///{file}", url]) == 1
    assert "table host of the target has rows already, and they are not the source's" in capsys.readouterr().err
    assert main(["import", "nosuch://x/y", url]) == 1
    assert "nosuch" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["sqlite", "rome+lmdb"])
def test_a_mistyped_source_is_an_error_and_creates_nothing(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typo, target = tmp_path / "typo.db", tmp_path / "new.rome"
    assert main(["import", f"{kind}:///{typo}", f"rome+lmdb:///{target}"]) == 1
    assert "rome import: there is no " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_database_is_not_copied_into_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rome.connect(f"rome+lmdb:///{tmp_path}/x.rome").close()
    copy = ["import", f"rome+lmdb:///{tmp_path}/x.rome", f"rome+lmdb:///{tmp_path}/../{tmp_path.name}/x.rome"]
    assert main(copy) == 1
    assert "the source and the target are the same database" in capsys.readouterr().err
