"""rome.aio: the awaitable connection and cursor, and their state after a cancellation."""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import subprocess
import sys
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

import rome
from rome import aio
from rome.errors import (
    ConflictError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    UniqueViolation,
    URLError,
)
from rome.transaction import commit_turn
from tests.aio.support import Hold, cancel, threads

ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@asynccontextmanager
async def bank(url: str) -> AsyncIterator[aio.AsyncConnection]:
    """A connection to a database with two accounts, with 10 each."""
    async with await aio.connect(url) as connection:
        await connection.executescript(
            "CREATE TABLE account (id INTEGER PRIMARY KEY, amount INT); INSERT INTO account VALUES (1, 10), (2, 10)"
        )
        yield connection


def amounts(url: str) -> list[int]:
    """What others see in the accounts."""
    connection = rome.connect(url)
    try:
        return [amount for (amount,) in connection.execute("SELECT amount FROM account ORDER BY id")]
    finally:
        connection.close()


class TestStatements:
    async def test_rows_by_every_way_of_fetching(self, url: str) -> None:
        async with bank(url) as connection:
            await connection.executemany("INSERT INTO account VALUES (?, ?)", ((n, n) for n in range(3, 253)))
            cursor = await connection.execute("SELECT id FROM account ORDER BY id")
            assert cursor.description is not None
            assert cursor.description[0][0] == "id"
            assert await cursor.fetchone() == (1,)
            assert [row async for row in _first(cursor, 3)] == [(2,), (3,), (4,)]
            assert await cursor.fetchmany() == [(5,)]
            assert await cursor.fetchmany(100) == [(n,) for n in range(6, 106)]
            assert [row async for row in _first(cursor, 1)] == [(106,)]
            assert await cursor.fetchall() == [(n,) for n in range(107, 253)]
            assert await cursor.fetchone() is None
            assert [row async for row in cursor] == []

    async def test_numbers_of_a_change(self, url: str) -> None:
        async with bank(url) as connection:
            cursor = await connection.execute("INSERT INTO account (amount) VALUES (5)")
            assert (cursor.rowcount, cursor.lastrowid, cursor.description) == (1, 3, None)
            await cursor.execute("UPDATE account SET amount = amount + 1")
            assert (cursor.rowcount, connection.total_changes) == (3, 6)

    async def test_errors_are_the_drivers(self, url: str) -> None:
        async with bank(url) as connection:
            with pytest.raises(UniqueViolation, match=r"UNIQUE constraint failed: account\.id"):
                await connection.execute("INSERT INTO account VALUES (1, 1)")
            with pytest.raises(OperationalError, match="no such table: missing"):
                await connection.execute("SELECT * FROM missing")
            with pytest.raises(ValueError, match="fetchmany"):
                await (await connection.execute("SELECT 1")).fetchmany(-1)
            with pytest.raises(TypeError):
                await connection.execute(None)  # type: ignore[arg-type]
            assert await (await connection.execute("SELECT 1")).fetchall() == [(1,)]

    async def test_factories_and_functions(self, url: str) -> None:
        async with bank(url) as connection:
            await connection.run(connection.sync_connection.create_function, "double", 1, lambda x: 2 * x)
            connection.row_factory = sqlite3.Row
            async with await connection.execute("SELECT double(amount) AS twice FROM account") as cursor:
                assert [row["twice"] async for row in cursor] == [20, 20]

    async def test_closed_cursor_can_do_nothing(self, url: str) -> None:
        async with bank(url) as connection:
            cursor = await connection.execute("SELECT * FROM account")
            await cursor.close()
            with pytest.raises(ProgrammingError, match="closed cursor"):
                await cursor.fetchone()


class TestTransactions:
    async def test_commit_and_rollback(self, url: str) -> None:
        async with bank(url) as connection:
            await connection.execute("UPDATE account SET amount = 0")
            assert connection.in_transaction
            await connection.rollback()
            assert not connection.in_transaction
            assert amounts(url) == [10, 10]
            await connection.execute("UPDATE account SET amount = 1")
            await connection.commit()
            assert amounts(url) == [1, 1]

    async def test_close_rolls_back(self, url: str) -> None:
        async with bank(url) as connection:
            await connection.execute("UPDATE account SET amount = 0")
        assert amounts(url) == [10, 10]

    async def test_no_transaction_needs_no_call_to_end(self, url: str, hold: Hold) -> None:
        async with bank(url) as connection, hold("commit"), hold("rollback"):
            await connection.commit()
            await connection.rollback()

    async def test_level_is_assigned_in_the_thread(self, url: str) -> None:
        async with bank(url) as connection:
            await connection.set_isolation_level("AUTOCOMMIT")
            assert connection.isolation_level == "AUTOCOMMIT"
            await connection.execute("UPDATE account SET amount = 3")
            assert amounts(url) == [3, 3]
            with pytest.raises(ProgrammingError, match="no isolation level"):
                await connection.set_isolation_level("CHAOS")

    async def test_loop_goes_on_while_a_statement_runs(self, url: str, hold: Hold) -> None:
        async with bank(url) as connection, hold("Cursor.execute") as gate:
            running = asyncio.create_task(connection.execute("SELECT 1"))
            await gate.is_reached()
            gate.open()
            assert await (await running).fetchall() == [(1,)]

    async def test_tasks_take_turns_on_one_connection(self, url: str) -> None:
        async with bank(url) as connection:

            async def add() -> None:
                await connection.execute("UPDATE account SET amount = amount + 1 WHERE id = 1")

            await asyncio.gather(*(add() for _ in range(20)))
            await connection.commit()
            assert amounts(url) == [30, 10]


class TestClient:
    """A task is one client, whichever connections it uses (rome.transaction.commit_turn)."""

    async def test_does_not_wait_for_its_own_other_transaction(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another task's would wait until the first one's place ends, after five seconds."""
        waited: list[float] = []
        clock = SimpleNamespace(monotonic=time.monotonic, sleep=waited.append)
        async with bank(url) as one, await aio.connect(url) as two:
            monkeypatch.setattr(commit_turn, "time", clock)
            for connection in (one, two):
                await connection.set_isolation_level("READ COMMITTED")
                await connection.execute("UPDATE account SET amount = amount + 1 WHERE id = 1")
            await two.commit()
            assert (one.rome_stats.turns, two.rome_stats.turns, waited) == (1, 1, [])

    async def test_lines_up_after_four_setbacks_on_four_connections(self, url: str) -> None:
        async with bank(url) as other:

            async def lose() -> None:
                async with await aio.connect(url) as connection:
                    await (await connection.execute("SELECT amount FROM account WHERE id = 1")).fetchall()
                    await other.execute("UPDATE account SET amount = amount + 1 WHERE id = 1")
                    await other.commit()
                    await connection.execute("UPDATE account SET amount = amount * 2 WHERE id = 1")
                    assert connection.rome_stats.turns == 0
                    with pytest.raises(ConflictError):
                        await connection.commit()

            for _ in range(4):
                await lose()
            async with await aio.connect(url) as connection:
                await connection.execute("SELECT amount FROM account WHERE id = 1")
                assert connection.rome_stats.turns == 1

            async def somebody_else() -> int:
                async with await aio.connect(url) as connection:
                    await connection.execute("SELECT amount FROM account WHERE id = 1")
                    return connection.rome_stats.turns

            assert await asyncio.create_task(somebody_else()) == 0


class TestCancellation:
    async def test_statement_is_ended_and_its_connection_closed(self, url: str) -> None:
        async with bank(url) as connection:
            await connection.execute("UPDATE account SET amount = 0 WHERE id = 1")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await connection.execute(ENDLESS)
            assert not connection.is_usable()
            for call in (connection.commit, connection.rollback, lambda: connection.execute("SELECT 1")):
                with pytest.raises(ProgrammingError, match="closed database"):
                    await call()
        assert amounts(url) == [10, 10]

    async def test_statement_is_not_waited_for(self, url: str, hold: Hold) -> None:
        async with bank(url) as connection, hold("Cursor.execute") as gate:
            running = asyncio.create_task(connection.execute("UPDATE account SET amount = 0"))
            await gate.is_reached()
            assert isinstance(await cancel(running), asyncio.CancelledError)
            assert gate.passed == 0
            assert not connection.is_usable()

    async def test_statement_that_was_done_unseen_is_rolled_back(self, url: str, hold: Hold) -> None:
        async with bank(url) as connection, hold("Cursor.execute", after=True) as gate:  # type: ignore[call-arg]
            running = asyncio.create_task(connection.execute("UPDATE account SET amount = 0"))
            await gate.is_reached()
            await cancel(running)
            assert not connection.is_usable()
        assert amounts(url) == [10, 10]

    @pytest.mark.parametrize("after", [False, True])
    async def test_commit_has_ended_when_the_task_is_cancelled(self, url: str, hold: Hold, after: bool) -> None:
        async with bank(url) as connection:
            await connection.execute("UPDATE account SET amount = 0")
            async with hold("commit", after=after) as gate:  # type: ignore[call-arg]
                running = asyncio.create_task(connection.commit())
                await gate.is_reached()
                running.cancel()
                await asyncio.sleep(0)
                running.cancel()  # as impatient as anyio, which cancels in each turn of the loop
                await asyncio.sleep(0)
                assert not running.done()
                gate.open()
                assert isinstance(await cancel(running), asyncio.CancelledError)
            assert amounts(url) == [0, 0]
            assert connection.is_usable()
            assert not connection.in_transaction
            assert await (await connection.execute("SELECT amount FROM account")).fetchall() == [(0,), (0,)]

    async def test_commit_that_failed_says_so_in_the_cause(self, url: str, hold: Hold) -> None:
        async with bank(url) as connection, await aio.connect(url) as other:
            await (await connection.execute("SELECT amount FROM account")).fetchall()
            await connection.execute("UPDATE account SET amount = 0")
            await other.execute("UPDATE account SET amount = 1")
            await other.commit()
            causes = []

            async def commit() -> None:
                try:
                    await connection.commit()
                except asyncio.CancelledError as error:
                    causes.append(error.__cause__)
                    raise

            async with hold("commit") as gate:
                running = asyncio.create_task(commit())
                await gate.is_reached()
                running.cancel()
                await asyncio.sleep(0)
                gate.open()
                assert isinstance(await cancel(running), asyncio.CancelledError)
            assert [type(cause) for cause in causes] == [ConflictError]
            assert connection.is_usable()
        assert amounts(url) == [1, 1]

    @pytest.mark.parametrize(
        ("sql", "is_waited_for"),
        [
            ("UPDATE account SET amount = 0", True),
            ("CREATE TABLE other (a)", True),
            ("BEGIN", True),
            ("SELECT * FROM account", False),
            ("EXPLAIN SELECT * FROM account", False),
        ],
    )
    async def test_autocommit(self, url: str, hold: Hold, sql: str, is_waited_for: bool) -> None:
        async with bank(url) as connection:
            await connection.set_isolation_level("AUTOCOMMIT")
            async with hold("Cursor.execute") as gate:
                running = asyncio.create_task(connection.execute(sql))
                await gate.is_reached()
                running.cancel()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert running.done() is not is_waited_for
                gate.open()
                assert isinstance(await cancel(running) if is_waited_for else running.cancelled(), object)
            assert not connection.is_usable(), "the application was not told what the statement gave"

    async def test_call_that_waits_for_its_turn_is_never_made(self, url: str, hold: Hold) -> None:
        async with bank(url) as connection, hold("Cursor.execute") as gate:
            first = asyncio.create_task(connection.execute("UPDATE account SET amount = 5 WHERE id = 1"))
            await gate.is_reached()
            second = asyncio.create_task(connection.execute("UPDATE account SET amount = 5 WHERE id = 2"))
            await asyncio.sleep(0)
            await cancel(second)
            gate.open()
            await first
            assert gate.passed == 1
        assert amounts(url) == [10, 10], "their transaction was one, and is gone"

    async def test_connect(self, url: str, monkeypatch: pytest.MonkeyPatch, hold: Hold) -> None:
        closed: list[rome.dbapi.Connection] = []
        close = rome.dbapi.Connection.close

        def noted_close(connection: rome.dbapi.Connection) -> None:
            close(connection)
            closed.append(connection)

        monkeypatch.setattr(rome.dbapi.Connection, "close", noted_close)
        async with hold("__init__") as gate:
            opening = asyncio.create_task(aio.connect(url))
            await gate.is_reached()
            await cancel(opening)
            assert closed == []
        [thread] = threads()
        await asyncio.to_thread(thread.join)
        assert len(closed) == 1

    @pytest.mark.parametrize("level", ["SERIALIZABLE", "READ COMMITTED"])
    async def test_at_each_call_of_a_transfer(self, url: str, level: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """All or nothing, and then either a connection that can be used or one that is closed."""
        calls: list[int] = []
        begin = aio.worker.Worker._begin

        def counted(worker: aio.worker.Worker, function: Callable[[], object]) -> object:
            calls.append(1)
            if len(calls) == at:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            return begin(worker, function)

        async def transfer() -> None:
            await connection.execute("UPDATE account SET amount = amount - 1 WHERE id = 1")
            cursor = await connection.execute("SELECT amount FROM account WHERE id = 2")
            (amount,) = await cursor.fetchone()
            await connection.execute("UPDATE account SET amount = ? WHERE id = 2", (amount + 1,))
            await connection.commit()

        done = 0
        for at in range(1, 100):
            async with await aio.connect(url) as connection:
                if at == 1:
                    await connection.executescript("CREATE TABLE account (id INTEGER PRIMARY KEY, amount INT)")
                    await connection.executescript("INSERT INTO account VALUES (1, 10), (2, 10)")
                await connection.set_isolation_level(level)
                calls.clear()
                with monkeypatch.context() as patch:
                    patch.setattr(aio.worker.Worker, "_begin", counted)
                    task = asyncio.create_task(transfer())
                    [error] = await asyncio.gather(task, return_exceptions=True)
                found = amounts(url)
                done = 10 - found[0]
                assert found == [10 - done, 10 + done]
                if connection.is_usable():
                    assert not connection.in_transaction
                    rows = await (await connection.execute("SELECT amount FROM account ORDER BY id")).fetchall()
                    assert [amount for (amount,) in rows] == found
                if error is None:
                    break
                assert isinstance(error, asyncio.CancelledError)
        assert (at, done) == (6, 2), "five calls; the cancelled COMMIT went through, and the undisturbed transfer"


class TestThread:
    async def test_starts_with_the_connection_and_ends_with_it(self, url: str) -> None:
        assert threads() == []
        connection = await aio.connect(url)
        [thread] = threads()
        await connection.close()
        await connection.close()
        await asyncio.to_thread(thread.join)
        with pytest.raises(ProgrammingError, match="closed database"):
            await connection.execute("SELECT 1")

    async def test_ends_when_connect_fails(self) -> None:
        with pytest.raises(URLError):
            await aio.connect("rome+nothing:///x")
        for thread in threads():
            await asyncio.to_thread(thread.join)

    async def test_ends_when_the_connection_is_forgotten(self, url: str) -> None:
        connection = await aio.connect(url)
        await connection.execute("CREATE TABLE t (a)")
        [thread] = threads()
        del connection
        gc.collect()
        await asyncio.to_thread(thread.join)

    async def test_belongs_to_one_process(self, url: str) -> None:
        async with bank(url) as connection:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: fork() beside threads
                child = os.fork()
            if child == 0:
                os._exit(0 if await _is_refused(connection) else 1)
            _, status = await asyncio.to_thread(os.waitpid, child, 0)
            assert os.waitstatus_to_exitcode(status) == 0
            assert connection.is_usable()


@pytest.mark.memory
def test_connection_that_is_left_open_does_not_keep_the_process() -> None:
    program = "import asyncio, rome.aio; held = []; held.append(asyncio.run(rome.aio.connect('rome+memory:///x')))"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)


async def _is_refused(connection: aio.AsyncConnection) -> bool:
    refused = not connection.is_usable()
    calls: list[Callable[[], Awaitable[object]]] = [lambda: connection.execute("SELECT 1")]
    for call in calls:
        try:
            await call()
        except InterfaceError as error:
            refused = refused and "forked child" in str(error)
        else:
            refused = False
    await connection.close()
    return refused


async def _first(cursor: aio.AsyncCursor, count: int) -> AsyncIterator[object]:
    for _ in range(count):
        yield await cursor.__anext__()
