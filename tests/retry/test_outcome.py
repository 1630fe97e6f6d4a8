"""Which errors tell that nothing was written. What real servers raise is in tests/oslo."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from oslo_db import exception
from sqlalchemy.exc import DBAPIError, OperationalError

import rome
from rome import errors
from rome.retry.outcome import RetryOutcome, outcome


class FakeDriverError(Exception):
    """As drivers raise it; `fields` are its attributes."""

    def __init__(self, *args: object, **fields: object) -> None:
        super().__init__(*args)
        self.__dict__.update(fields)


def raised(cause: Exception) -> OperationalError:
    return OperationalError("UPDATE", None, cause)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.ConflictError("changed"), RetryOutcome.NOTHING_WRITTEN),
        (errors.CommitAbortedError("never arrived"), RetryOutcome.NOTHING_WRITTEN),
        (errors.InterruptedTransactionError("timed out"), RetryOutcome.NOTHING_WRITTEN),
        (errors.StoreBusyError("loading"), RetryOutcome.NOTHING_WRITTEN),
        (errors.CommitUnknownError("not answered"), RetryOutcome.UNKNOWN),
        (errors.StoreUnavailableError("refused"), RetryOutcome.FAILED),
        (errors.NotReplicatedError("on one of two"), RetryOutcome.FAILED),
        (errors.StoreFullError("full"), RetryOutcome.FAILED),
        (errors.TransactionTooLargeError("large"), RetryOutcome.FAILED),
    ],
)
def test_rome(error: errors.Error, expected: RetryOutcome) -> None:
    assert outcome(error) is expected
    assert outcome(raised(error)) is expected
    assert outcome(exception.DBError(raised(error))) is expected


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (FakeDriverError("could not serialize", pgcode="40001"), RetryOutcome.NOTHING_WRITTEN),  # psycopg2
        (FakeDriverError("deadlock", sqlstate="40P01"), RetryOutcome.NOTHING_WRITTEN),  # psycopg, asyncpg
        (FakeDriverError({"C": "40001", "M": "restart"}), RetryOutcome.NOTHING_WRITTEN),  # pg8000
        (FakeDriverError("result is ambiguous: (last error: 40001)", pgcode="40003"), RetryOutcome.UNKNOWN),
        (FakeDriverError("lock not available", sqlstate="55P03"), RetryOutcome.FAILED),
        (FakeDriverError(1213, "Deadlock found"), RetryOutcome.NOTHING_WRITTEN),  # PyMySQL, mysqlclient
        (
            FakeDriverError("1213: Deadlock", errno=1213, sqlstate="40001"),
            RetryOutcome.NOTHING_WRITTEN,
        ),  # mysql-connector
        (FakeDriverError(9007, "Write conflict"), RetryOutcome.NOTHING_WRITTEN),
        (FakeDriverError(2013, "Lost connection during query"), RetryOutcome.FAILED),  # at COMMIT nobody knows
        (FakeDriverError(), RetryOutcome.FAILED),
    ],
)
def test_others(cause: Exception, expected: RetryOutcome) -> None:
    assert outcome(raised(cause)) is expected


def test_what_is_no_databases_error() -> None:
    """A number in an application's exception means nothing."""
    assert not rome.is_retryable(FakeDriverError(1213, "mine"))
    assert not rome.is_retryable(KeyError("x"))


def test_sqlite_that_is_busy(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/file.db", connect_args={"timeout": 0})
    with sqlite3.connect(tmp_path / "file.db") as blocker, engine.connect() as connection:
        blocker.execute("CREATE TABLE t (x)")
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(DBAPIError) as busy:
            connection.execute(sa.text("INSERT INTO t VALUES (1)"))
        with pytest.raises(DBAPIError) as missing:
            connection.execute(sa.text("SELECT * FROM nowhere"))
    blocker.close()
    engine.dispose()
    assert rome.is_retryable(busy.value)
    assert not rome.is_retryable(missing.value)
