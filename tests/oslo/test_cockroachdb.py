"""oslo.db on CockroachDB, as far as PostgreSQL can show it.

Its codes and texts come from a real server, through psycopg2 and psycopg, and end as the exceptions that services act
on. CockroachDB itself was not run.
"""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from oslo_db import api, exception
from oslo_db.sqlalchemy import engines
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

import rome
from tests.oslo.conftest import child, parent

RESTARTS = [
    "restart transaction: TransactionRetryWithProtoRefreshError: TransactionRetryError: retry txn "
    "(RETRY_SERIALIZABLE - failed preemptive refresh due to a conflict: committed value on key /Table/106/1/9/0): "
    '"sql txn" meta={id=023d2226}',
    "restart transaction: TransactionRetryWithProtoRefreshError: TransactionAbortedError(ABORT_REASON_CLIENT_REJECT): "
    '"sql txn" meta={id=4bd52e44 key=/Table/95/3/9743 pri=0.04830100 epo=0 ts=1600839484.354878000,0} lock=true',
    "restart transaction: TransactionRetryWithProtoRefreshError: ReadWithinUncertaintyIntervalError: read at time "
    "1786795457.264390508,0 encountered previous write with future timestamp 1786795457.264390508,1 within uncertainty "
    "interval",
]
AMBIGUOUS = [
    "result is ambiguous: error=ba: Put [/Table/106/1/400/0], EndTxn(parallel commit) RPC error: grpc: error reading "
    "from server: connection reset by peer [code 14/Unavailable] [exhausted]",
    "result is ambiguous: error=boom [propagate] (last error: TransactionRetryError: retry txn (RETRY_SERIALIZABLE))",
    "result is ambiguous: server closed the connection unexpectedly",  # which psycopg2's dialect takes for a lost one
]


def failing(code: str, text: str, times: int | None = None) -> str:
    """A statement in which the server raises this; the first `times` that it runs."""
    quoted = text.replace("'", "''").replace("%", "%%")
    raising = f"RAISE EXCEPTION USING ERRCODE = '{code}', MESSAGE = '{quoted}';"
    if times is not None:
        raising = f"IF nextval('tries') <= {times} THEN {raising} END IF;"
    return f"DO $$ BEGIN {raising} END $$"


def fail_at_commit(connection: Connection, code: str, text: str, times: int) -> None:
    """From now on, COMMIT of a transaction that inserts a parent fails, `times` times."""
    body = failing(code, text, times).removeprefix("DO $$ BEGIN ").removesuffix(" END $$")
    for statement in (
        f"CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$",
        "CREATE CONSTRAINT TRIGGER fails AFTER INSERT ON parent DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
        "EXECUTE FUNCTION fail()",
    ):
        connection.exec_driver_sql(statement)


class TestConflict:
    @pytest.mark.parametrize("text", RESTARTS)
    def test_is_a_deadlock(self, cockroachdb: Engine, text: str) -> None:
        with cockroachdb.connect() as connection, pytest.raises(exception.DBDeadlock) as caught:
            connection.exec_driver_sql(failing("40001", text))
        assert text in str(caught.value.inner_exception.orig)

    def test_is_retried_by_oslo(self, cockroachdb: Engine) -> None:
        attempts = []

        @api.wrap_db_retry(max_retries=5, retry_on_deadlock=True, retry_interval=0)  # type: ignore[untyped-decorator]
        def work() -> None:
            with cockroachdb.begin() as connection:
                attempts.append(connection)
                connection.exec_driver_sql(failing("40001", RESTARTS[0], times=2))

        work()
        assert len(attempts) == 3

    def test_at_commit(self, cockroachdb: Engine) -> None:
        with cockroachdb.begin() as connection:
            fail_at_commit(connection, "40001", RESTARTS[1], times=1)

        @api.wrap_db_retry(max_retries=5, retry_on_deadlock=True, retry_interval=0)  # type: ignore[untyped-decorator]
        def work() -> None:
            with cockroachdb.begin() as connection:
                connection.execute(parent.insert().values(id=2))

        work()
        with cockroachdb.connect() as connection:
            assert connection.scalar(sa.text("SELECT last_value FROM tries")) == 2
            assert connection.scalars(sa.select(parent.c.id).order_by(parent.c.id)).all() == [1, 2]

    @pytest.mark.parametrize("with_oslo", [False, True])
    def test_is_run_again_by_rome(self, cockroachdb: Engine, cockroachdb_url: str, with_oslo: bool) -> None:
        with cockroachdb.begin() as connection:
            fail_at_commit(connection, "40001", RESTARTS[2], times=3)
        engine = cockroachdb if with_oslo else sa.create_engine(cockroachdb_url)
        rome.run_transaction(engine, lambda connection: connection.execute(parent.insert().values(id=3)))
        engine.dispose()
        with cockroachdb.connect() as connection:
            assert connection.scalar(sa.text("SELECT last_value FROM tries")) == 4


class TestAmbiguousResult:
    @pytest.mark.parametrize("text", AMBIGUOUS)
    def test_is_never_retried(self, cockroachdb: Engine, text: str) -> None:
        with cockroachdb.begin() as connection:
            fail_at_commit(connection, "40003", text, times=9)

        @api.wrap_db_retry(max_retries=5, retry_on_deadlock=True, retry_on_disconnect=True, retry_interval=0)  # type: ignore[untyped-decorator]
        def work() -> None:
            with cockroachdb.begin() as connection:
                connection.execute(parent.insert().values(id=2))

        with pytest.raises(OperationalError) as caught:
            work()
        assert text in str(caught.value.orig)
        with cockroachdb.connect() as connection:
            assert connection.scalar(sa.text("SELECT last_value FROM tries")) == 1

    def test_is_never_run_again_by_rome(self, cockroachdb: Engine) -> None:
        with cockroachdb.begin() as connection:
            fail_at_commit(connection, "40003", AMBIGUOUS[1], times=9)
        with pytest.raises(OperationalError) as caught:
            rome.run_transaction(cockroachdb, lambda connection: connection.execute(parent.insert().values(id=2)))
        assert "it may have been committed" in caught.value.__notes__[0]


class TestConstraints:
    """PostgreSQL raises these by itself; of its texts CockroachDB changes only the beginning."""

    def test_unique(self, cockroachdb: Engine) -> None:
        with cockroachdb.connect() as connection, pytest.raises(exception.DBDuplicateEntry) as caught:
            connection.execute(parent.insert().values(id=2, host="h", node="n"))
        assert (caught.value.columns, caught.value.value) == (["host", "node"], "h, n")

    def test_primary_key(self, cockroachdb: Engine) -> None:
        with cockroachdb.connect() as connection, pytest.raises(exception.DBDuplicateEntry) as caught:
            connection.execute(parent.insert().values(id=1))
        assert (caught.value.columns, caught.value.value) == (["id"], "1")

    def test_foreign_key_of_a_new_row(self, cockroachdb: Engine) -> None:
        with cockroachdb.connect() as connection, pytest.raises(exception.DBReferenceError) as caught:
            connection.execute(child.insert().values(id=1, parent_id=99))
        error = caught.value
        assert (error.table, error.constraint) == ("child", "child_of_parent")
        assert (error.key, error.key_table) == ("parent_id", "parent")

    def test_foreign_key_to_a_deleted_row(self, cockroachdb: Engine) -> None:
        with cockroachdb.begin() as connection:
            connection.execute(child.insert().values(id=1, parent_id=1))
        with cockroachdb.connect() as connection, pytest.raises(exception.DBReferenceError) as caught:
            connection.execute(parent.delete())
        assert (caught.value.key, caught.value.key_table) == ("id", "child")

    def test_foreign_key_in_cockroachdbs_words(self, cockroachdb: Engine) -> None:
        statement = (
            "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '23503', MESSAGE = 'insert on table \"child\" violates "
            'foreign key constraint "child_of_parent"\', DETAIL = '
            "'Key (parent_id)=(99) is not present in table \"parent\".'; END $$"
        )
        with cockroachdb.connect() as connection, pytest.raises(exception.DBReferenceError) as caught:
            connection.exec_driver_sql(statement)
        error = caught.value
        assert (error.table, error.constraint) == ("child", "child_of_parent")
        assert (error.key, error.key_table) == ("parent_id", "parent")

    def test_check(self, cockroachdb: Engine) -> None:
        with cockroachdb.connect() as connection, pytest.raises(exception.DBConstraintError) as caught:
            connection.execute(parent.insert().values(id=-1))
        assert caught.value.check_name == "id_is_positive"

    def test_check_in_cockroachdbs_words(self, cockroachdb: Engine) -> None:
        statement = (
            "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '23514', CONSTRAINT = 'id_is_positive', "
            "MESSAGE = 'failed to satisfy CHECK constraint (id > 0:::INT8)'; END $$"
        )
        with cockroachdb.connect() as connection, pytest.raises(exception.DBConstraintError) as caught:
            connection.exec_driver_sql(statement)
        assert caught.value.check_name == "id_is_positive"


class TestLostConnection:
    def test_is_a_connection_error_and_the_next_one_works(self, cockroachdb: Engine) -> None:
        with cockroachdb.connect() as victim, cockroachdb.connect() as other:
            pid = victim.scalar(sa.text("SELECT pg_backend_pid()"))
            other.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            with pytest.raises(exception.DBConnectionError):
                victim.execute(sa.text("SELECT 1"))
        with cockroachdb.connect() as again:
            assert again.scalar(sa.text("SELECT 1")) == 1

    def test_nobody_listens(self, cockroachdb_url: str) -> None:
        url = sa.make_url(cockroachdb_url).set(port=1)
        with pytest.raises(exception.DBConnectionError):
            engines.create_engine(url, max_retries=1, retry_interval=0)

    @pytest.mark.parametrize("code", ["57P01", "08006"])
    def test_a_node_that_is_drained(self, cockroachdb: Engine, code: str) -> None:
        with cockroachdb.connect() as connection, pytest.raises(exception.DBConnectionError):
            connection.exec_driver_sql(failing(code, "server is shutting down"))


class TestOtherErrors:
    def test_pass_as_they_do_without_the_filters(self, cockroachdb: Engine) -> None:
        with cockroachdb.connect() as connection, pytest.raises(exception.DBError) as caught:
            connection.execute(sa.text("SELECT * FROM nowhere"))
        assert type(caught.value) is exception.DBError

    def test_of_postgresql_itself_are_left_alone(self, cockroachdb_url: str) -> None:
        """Its 40001 is raised as ever; only its deadlocks are DBDeadlock, to oslo.db."""
        driver = sa.make_url(cockroachdb_url).get_dialect().driver
        engine = engines.create_engine(
            sa.make_url(cockroachdb_url).set(drivername=f"postgresql+{driver}"), max_retries=0
        )
        with engine.connect() as connection, pytest.raises(DBAPIError):
            connection.exec_driver_sql(failing("40001", RESTARTS[0]))
        engine.dispose()
