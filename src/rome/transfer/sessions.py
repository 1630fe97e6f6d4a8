"""Sessions in which values come and go as they are, and rows arrive in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from rome.transfer.errors import TransferError
from rome.transfer.family import is_mysqls, is_sqlites

_UTF8 = "utf8mb4"


@contextmanager
def exact_sessions(source: Engine, target: Engine) -> Iterator[None]:
    """For the time of the block, set what changes values on their way, or refuses rows whose parents come later.

    New connections are made, and made again afterwards: no setting is left in the engines' pools.
    """
    with ExitStack() as stack:
        if is_mysqls(source):
            stack.enter_context(_connected(source, _read_mysql))
        if is_mysqls(target):
            stack.enter_context(_connected(target, _write_mysql))
        elif is_sqlites(target):  # whose foreign keys are made with the tables
            stack.enter_context(_connected(target, _without_foreign_keys))
        yield


@contextmanager
def _connected(engine: Engine, prepare: Callable[[Any], None]) -> Iterator[None]:
    def on_connect(connection: Any, *_: object) -> None:
        prepare(connection)

    engine.dispose()
    event.listen(engine, "connect", on_connect)
    try:
        yield
    finally:
        event.remove(engine, "connect", on_connect)
        engine.dispose()


def _without_foreign_keys(connection: Any) -> None:
    connection.execute("PRAGMA foreign_keys = OFF")


def _read_mysql(connection: Any) -> None:
    """TIMESTAMP is read as UTC, since an hour of local time may stand for two; texts come with all characters.

    Raises:
        TransferError: the connection has a character set that does not have all characters.
    """
    cursor = connection.cursor()
    cursor.execute("SET time_zone = '+00:00'")
    cursor.execute("SELECT @@character_set_client, @@character_set_results")
    if {*cursor.fetchone()} != {_UTF8}:
        # With another one the server sends '?' for a character that it lacks, and says nothing.
        choose = getattr(connection, "set_character_set", None)  # PyMySQL's and mysqlclient's
        if choose is None:
            raise TransferError(f"the connection to MySQL does not know all characters: add charset={_UTF8} to its URL")
        choose(_UTF8)
    cursor.close()


def _write_mysql(connection: Any) -> None:
    """What does not fit is refused, and 0 is an id as any other."""
    _read_mysql(connection)
    cursor = connection.cursor()
    cursor.execute("SET sql_mode = CONCAT_WS(',', @@sql_mode, 'STRICT_ALL_TABLES', 'NO_AUTO_VALUE_ON_ZERO')")
    cursor.execute("SET foreign_key_checks = 0")
    cursor.close()
