"""oslo.db on TiDB, as far as MariaDB can show it.

TiDB's numbers and texts come from a real server, through PyMySQL, and end as the exceptions that services act on. TiDB
itself was not run.
"""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from oslo_db import api, exception
from oslo_db.sqlalchemy import engines
from sqlalchemy import Engine

import rome
from tests.oslo.conftest import child, parent

CONFLICTS = [
    (
        9007,
        "Write conflict, txnStartTS=451680377336492013, conflictStartTS=451680377493782006, "
        "conflictCommitTS=451680377506882003, key={tableID=58, handle=2} primary={tableID=58, handle=2} "
        "[try again later]",
    ),
    (8002, "[1] can not retry select for update statement"),
    (8005, "Write Conflict, txnStartTS 412719757964869700 is stale"),
    (8022, "Error: KV error safe to retry Txn(Mvcc(TxnLockNotFound)) [try again later]"),
    (
        8028,
        "Information schema is changed during the execution of the statement(for example, table definition may be "
        "updated by other DDL ran in parallel). If you see this error often, try increasing "
        "`tidb_max_delta_schema_count`. [try again later]",
    ),
    (1205, "Lock wait timeout exceeded; try restarting transaction"),
    (1213, "Deadlock found when trying to get lock; try restarting transaction"),
]


def failing(number: int, text: str, times: int | None = None) -> str:
    """A statement in which the server raises this; the first `times` that it runs."""
    quoted = text.replace("'", "''").replace("%", "%%")
    raising = f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = '{quoted}'"
    return raising if times is None else f"IF NEXTVAL(tries) <= {times} THEN {raising}; END IF"


@pytest.mark.parametrize(("number", "text"), CONFLICTS)
class TestConflict:
    def test_is_a_deadlock(self, tidb: Engine, number: int, text: str) -> None:
        with tidb.connect() as connection, pytest.raises(exception.DBDeadlock) as caught:
            connection.exec_driver_sql(failing(number, text))
        assert caught.value.inner_exception.orig.args == (number, text)

    def test_is_retried_by_oslo(self, tidb: Engine, number: int, text: str) -> None:
        attempts = []

        @api.wrap_db_retry(max_retries=5, retry_on_deadlock=True, retry_interval=0)  # type: ignore[untyped-decorator]
        def work() -> None:
            with tidb.begin() as connection:
                attempts.append(connection)
                connection.execute(parent.insert().values(id=2))
                connection.exec_driver_sql(failing(number, text, times=2))

        work()
        assert len(attempts) == 3

    @pytest.mark.parametrize("with_oslo", [False, True])
    def test_is_run_again_by_rome(self, tidb: Engine, tidb_url: str, number: int, text: str, with_oslo: bool) -> None:
        engine = tidb if with_oslo else sa.create_engine(tidb_url)
        attempts = []

        def work(connection: sa.Connection) -> None:
            attempts.append(connection)
            connection.execute(parent.insert().values(id=2))
            connection.exec_driver_sql(failing(number, text, times=2))

        rome.run_transaction(engine, work)
        engine.dispose()
        assert len(attempts) == 3


class TestConstraints:
    @pytest.mark.parametrize("key", ["uniq_parent0host0node", "parent.uniq_parent0host0node"])
    def test_unique_in_tidbs_words(self, tidb: Engine, key: str) -> None:
        """Newer ones of TiDB write the table before the key."""
        text = f"Duplicate entry 'h-n' for key '{key}'"
        statement = failing(1062, text).replace("HY000", "23000")
        with tidb.connect() as connection, pytest.raises(exception.DBDuplicateEntry) as caught:
            connection.exec_driver_sql(statement)
        assert (caught.value.columns, caught.value.value) == (["host", "node"], "h-n")

    def test_foreign_key(self, tidb: Engine) -> None:
        with tidb.connect() as connection, pytest.raises(exception.DBReferenceError) as caught:
            connection.execute(child.insert().values(id=1, parent_id=99))
        assert (caught.value.key, caught.value.key_table) == ("parent_id", "parent")


class TestLostConnection:
    def test_is_a_connection_error_and_the_next_one_works(self, tidb: Engine) -> None:
        with tidb.connect() as victim, tidb.connect() as other:
            number = victim.scalar(sa.text("SELECT CONNECTION_ID()"))
            other.exec_driver_sql(f"KILL {number}")
            with pytest.raises(exception.DBConnectionError):
                victim.execute(sa.text("SELECT 1"))
        with tidb.connect() as again:
            assert again.scalar(sa.text("SELECT 1")) == 1

    def test_nobody_listens(self, tidb_url: str) -> None:
        with pytest.raises(exception.DBConnectionError):
            engines.create_engine(sa.make_url(tidb_url).set(port=1), max_retries=1, retry_interval=0)


def test_other_errors_pass_as_they_do_without_the_filter(tidb: Engine) -> None:
    with tidb.connect() as connection, pytest.raises(exception.DBNonExistentTable):
        connection.execute(sa.text("DROP TABLE nowhere"))
    with tidb.connect() as connection, pytest.raises(exception.DBDataError):
        connection.exec_driver_sql(failing(1292, "Incorrect datetime value: ''x''"))
