"""The kit itself; that Nova boots on Rome is shown by `make boot`, which has to install Nova first."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from romekit import report
from romekit.databases import Databases, shown, url_template
from romekit.recorder import COMMIT, STATEMENT, Recorder, Recording, Request
from romekit.redirect import Redirection

import rome

TEMPLATE = "rome+memory:///{db}"


@pytest.fixture
def databases() -> Iterator[Databases]:
    made = Databases(TEMPLATE)
    yield made
    made.drop_all()


def test_databases_are_new_and_leave_nothing_behind() -> None:
    databases = Databases(TEMPLATE)
    urls = [databases.create("Main!") for _ in range(2)]
    for url in urls:
        engine = sa.create_engine(url)
        sa.Table("t", sa.MetaData(), sa.Column("a", sa.Integer)).create(engine)
        engine.dispose()
    databases.drop_all()
    assert not {url.database for url in urls} & set(rome.list_databases("rome+memory://"))


@pytest.mark.parametrize("text", ["rubbish", "rome+memory:///fixed"])
def test_url_without_a_place_for_the_database_is_refused(text: str) -> None:
    with pytest.raises(ArgumentTypeError):
        url_template(text)


def test_password_is_not_shown() -> None:
    assert shown("rome+redis://me:secret@host/{db}") == "rome+redis://me:***@host/{db}"


def test_recorder_tells_round_trips_and_rows(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = sa.create_engine(databases.create("recorded"))
    for method in ("do_commit", "do_rollback", "do_ping"):  # to be given back after the test
        monkeypatch.setattr(type(engine.dialect), method, getattr(type(engine.dialect), method))
    requests: list[Request] = []
    recorder = Recorder(engine, type(engine.dialect), requests)
    table = sa.Table("t", sa.MetaData(), sa.Column("a", sa.Integer, primary_key=True))
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"a": 1}, {"a": 2}])
    recorder.on = True
    with engine.begin() as connection:
        connection.execute(sa.select(table)).all()
    recorder.on = False
    engine.dispose()
    [read] = [request for request in requests if request.kind == STATEMENT]
    [commit] = [request for request in requests if request.kind == COMMIT]
    assert (read.database, read.round_trips, read.rows) == (engine.url.database, 1, 2)
    assert (commit.round_trips, commit.rows) == (0, 0)

    Recording([0.5], requests).save(tmp_path / "requests.json")
    assert Recording.load(tmp_path / "requests.json") == Recording([0.5], requests)


def test_dearest_request_comes_first() -> None:
    def request(text: str, seconds: float, round_trips: int | None) -> Request:
        return Request(STATEMENT, "db", text, seconds, round_trips, 0)

    dear, cheap = report.costs([request("b", 0.1, 1), request("a", 0.3, 2), request("a", 0.1, 1)])
    assert (dear.text, dear.count, dear.seconds, dear.median_s, dear.round_trips) == ("a", 2, 0.4, 0.2, 1.5)
    assert cheap.text == "b"
    assert report.costs([request("a", 0.1, None)])[0].round_trips is None


def test_report_begins_with_the_totals_and_shows_the_dearest_requests() -> None:
    requests = [Request(STATEMENT, "db", f"DELETE FROM t{n}", n / 100, 1, 0) for n in range(1, 13)]
    lines = report.table(Recording([0.5], requests), 10).splitlines()
    assert lines[0].startswith("A boot took 0.50 s (median), 780.00 ms of them in the database, 12 round trips")
    shown = [line for line in lines if "DELETE" in line]
    assert [line.split()[-1] for line in shown] == [f"t{n}" for n in range(12, 2, -1)]
    assert "2 more requests, 30.00 ms per boot in all; ARGS=--all-requests shows them" in lines
    assert "more requests" not in report.table(Recording([0.5], requests))


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT t.a AS t_a, t.b \nFROM t \nWHERE t.a = ?\n LIMIT ? OFFSET ?", "SELECT .. FROM t WHERE a = ? LIMIT"),
        ("SELECT t.a FROM t LEFT OUTER JOIN u AS u_1 ON u_1.a = t.a WHERE t.a = ?", "SELECT .. FROM t + u WHERE a = ?"),
        ("INSERT INTO t (a, b) VALUES (?, ?)", "INSERT INTO t"),
        ("UPDATE t SET a=?, b=? WHERE t.a = ?", "UPDATE t SET .. WHERE a = ?"),
    ],
)
def test_outline_keeps_tables_and_condition(statement: str, expected: str) -> None:
    assert report.outline(statement) == expected


def test_redirected_engine_loses_its_database_when_it_is_disposed_of() -> None:
    redirection = Redirection(TEMPLATE)
    engine = redirection.create_engine("sqlite://")
    other = redirection.create_engine("sqlite://")
    sa.Table("t", sa.MetaData(), sa.Column("a", sa.Integer)).create(engine)
    assert (sa.inspect(engine).get_table_names(), sa.inspect(other).get_table_names()) == (["t"], [])
    before = engine.url
    redirection.dispose(engine)
    assert sa.inspect(engine).get_table_names() == []
    assert before not in redirection.databases.live
    redirection.dispose(engine)
    redirection.dispose(other)
    redirection.databases.drop_all()


def test_files_of_one_test_are_one_database() -> None:
    redirection = Redirection(TEMPLATE)
    first = redirection.redirect("sqlite:///one.db")
    assert redirection.redirect("sqlite:///one.db") == first
    assert redirection.redirect("sqlite:///two.db") != first
    assert redirection.redirect(first) == first
    assert redirection.redirect("mysql+pymysql://host/one") == sa.make_url("mysql+pymysql://host/one")
    redirection.forget_test()
    assert redirection.redirect("sqlite:///one.db") != first
