"""What the loggers rome.statement and rome.transaction are told."""

from __future__ import annotations

import logging

import pytest

from rome.dbapi import Connection
from rome.errors import ConflictError, UniqueViolation
from tests.support.databases import Connect


@pytest.fixture
def connection(connect: Connect) -> Connection:
    connection = connect()
    connection.executescript("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y')")
    return connection


@pytest.fixture
def debug(connection: Connection, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "rome")
    return caplog


def fields(caplog: pytest.LogCaptureFixture, logger: str = "rome.statement") -> list[dict[str, object]]:
    """The fields of one logger's records, without their times."""
    found = [dict(record.__dict__["rome"]) for record in caplog.records if record.name == logger]
    assert all(each.pop("ms") >= 0 for each in found)
    return found


def test_a_statement_is_told_with_its_cost(connection: Connection, debug: pytest.LogCaptureFixture) -> None:
    before = connection.rome_stats
    connection.execute("SELECT * FROM t WHERE id IN (1, ?)", (2,))
    [told] = fields(debug)
    assert told == {
        "statement": "SELECT * FROM t WHERE id IN (?, ?)",
        "round_trips": 1,
        "waves": 1,
        "rows": 2,
        "bytes": connection.rome_stats.bytes - before.bytes,
        "near_trips": 0,
        "rows_written": 0,
        "conflicts": 0,
        "replays": 0,
        "in_transaction": True,
        "error": None,
    }
    [message] = debug.messages
    assert message.startswith(f"round_trips=1 waves=1 rows=2 bytes={told['bytes']} ms=")
    assert message.endswith(" in_transaction=True | SELECT * FROM t WHERE id IN (?, ?)")


def test_one_record_per_statement(connection: Connection, debug: pytest.LogCaptureFixture) -> None:
    connection.execute("SELECT 1")
    connection.executemany("UPDATE t SET a = ? WHERE id = ?", [("a", 1), ("b", 2)])
    connection.execute("COMMIT")
    connection.executescript("BEGIN; SELECT 2; SELECT 3")
    texts = ["SELECT ?", "UPDATE t SET a = ? WHERE id = ?", "COMMIT", "BEGIN", "SELECT ?", "SELECT ?"]
    assert [told["statement"] for told in fields(debug)] == texts


def test_autocommit_is_told_with_the_statement(connection: Connection, debug: pytest.LogCaptureFixture) -> None:
    connection.isolation_level = "AUTOCOMMIT"
    connection.execute("UPDATE t SET a = 'z'")
    [told] = fields(debug)
    assert (told["round_trips"], told["rows_written"], told["in_transaction"]) == (2, 2, False)
    assert fields(debug, "rome.transaction") == []


def test_no_value_is_told_also_of_failures(connection: Connection, debug: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UniqueViolation):
        connection.execute("INSERT INTO t VALUES (1, 'secret')  -- secret")
    with pytest.raises(UniqueViolation):
        connection.execute("INSERT INTO t VALUES (?, ?)", (1, "secret"))
    assert [told["error"] for told in fields(debug)] == ["UniqueViolation"] * 2
    assert all("error=UniqueViolation" in message for message in debug.messages)
    assert "secret" not in str([vars(record) for record in debug.records])


def test_commits_are_told(connection: Connection, debug: pytest.LogCaptureFixture) -> None:
    connection.commit()  # there is none
    connection.execute("SELECT * FROM t")
    connection.commit()
    connection.execute("DELETE FROM t")
    connection.commit()
    read_only, wrote = fields(debug, "rome.transaction")
    assert (read_only["rows_written"], read_only["round_trips"], read_only["error"]) == (0, 0, None)
    assert (wrote["rows_written"], wrote["round_trips"], wrote["conflicts"], wrote["replays"]) == (2, 1, 0, 0)


def test_conflicts_and_replays_are_told(
    connection: Connection, debug: pytest.LogCaptureFixture, connect: Connect
) -> None:
    other = connect()
    connection.execute("UPDATE t SET a = 'mine' WHERE id = 1")
    other.execute("UPDATE t SET a = 'theirs' WHERE id = 1")
    other.commit()
    debug.clear()
    connection.commit()  # the UPDATE may run again: it showed nothing
    [replayed] = fields(debug, "rome.transaction")
    assert (replayed["conflicts"], replayed["replays"], replayed["error"]) == (1, 1, None)
    connection.execute("SELECT a FROM t WHERE id = 1")
    connection.execute("UPDATE t SET a = 'mine' WHERE id = 2")
    other.execute("UPDATE t SET a = 'theirs' WHERE id = 1")
    other.commit()
    debug.clear()
    with pytest.raises(ConflictError):
        connection.commit()
    [failed] = fields(debug, "rome.transaction")
    assert (failed["rows_written"], failed["error"]) == (0, "ConflictError")


def test_nothing_is_told_above_debug(connection: Connection, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rome")
    connection.execute("DELETE FROM t")
    connection.commit()
    assert caplog.records == []


def test_one_logger_is_enough(connection: Connection, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "rome.transaction")
    connection.execute("DELETE FROM t")
    connection.commit()
    assert [record.name for record in caplog.records] == ["rome.transaction"]
