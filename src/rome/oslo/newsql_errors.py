"""oslo.db's filters for CockroachDB and TiDB: which errors services may retry, and which they never may.

oslo.db decides by the dialect's name. It has nothing for `cockroachdb`; TiDB is reached as `mysql`, whose filters know
MySQL's deadlocks and not TiDB's conflicts. These filters decide by error code, before oslo.db looks at texts: those of
TiDB are full of numbers, in which oslo.db finds "lost connection" (2013) by chance, and CockroachDB's error for an
unknown outcome may quote a lost connection or a conflict, which services would retry.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from oslo_db import exception
from oslo_db.sqlalchemy import exc_filters
from sqlalchemy import exc

from rome.retry.outcome import RetryOutcome, mysql_number, outcome, sqlstate

ErrorFilter = Callable[[exc.DBAPIError, "re.Match[str]", str, bool], None]

_ANY = re.compile("", re.DOTALL)

_NO_CONNECTION = re.compile(
    r"could not connect to server|connection to server .* failed|connection failed: ", re.DOTALL
)
_LOST_STATES = ("08000", "08001", "08003", "08006", "57P01", "57P02", "57P03")
_ROW = re.compile(r"Key \((?P<key>.*?)\)=\((?P<value>.*)\)(?P<rest> .*)", re.DOTALL)
_TABLE = re.compile(r'on table "(?P<table>[^"]+)" violates foreign key constraint "(?P<constraint>[^"]+)"')
_OTHER_TABLE = re.compile(r' table "(?P<table>[^"]+)"')
_QUOTED = re.compile(r'constraint "(?P<name>[^"]+)"')


def _cockroachdb(error: exc.DBAPIError, match: object, name: str, is_disconnect: bool) -> None:
    cause = error.orig
    assert cause is not None
    state = sqlstate(cause) or ""
    known = outcome(error)
    if known is RetryOutcome.UNKNOWN:
        raise error  # raised unchanged, even if the connection is lost, too: services retry DBConnectionError
    if known is RetryOutcome.NOTHING_WRITTEN:
        raise exception.DBDeadlock(error)
    if is_disconnect or state in _LOST_STATES or (not state and _NO_CONNECTION.search(str(cause))):
        raise exception.DBConnectionError(error)
    told = _CONSTRAINTS.get(state)
    if told is not None:
        told(error, str(cause))


def _unique(error: exc.DBAPIError, text: str) -> None:
    """Map a unique violation. The columns come from the server's detail; a constraint's name only hints at them."""
    row = _ROW.search(text)
    columns = [part.strip(' "') for part in row["key"].split(",")] if row else []
    raise exception.DBDuplicateEntry(columns, error, row["value"] if row else None)


def _foreign_key(error: exc.DBAPIError, text: str) -> None:
    of, row = _TABLE.search(text), _ROW.search(text)
    other = _OTHER_TABLE.search(row["rest"]) if row else None
    raise exception.DBReferenceError(
        of["table"] if of else None,
        of["constraint"] if of else None,
        row["key"] if row else None,
        other["table"] if other else None,
        error,
    )


def _check(error: exc.DBAPIError, text: str) -> None:
    diagnosis = getattr(error.orig, "diag", None)
    quoted = _QUOTED.search(text)
    named = getattr(diagnosis, "constraint_name", None) or (quoted["name"] if quoted else None)
    raise exception.DBConstraintError(getattr(diagnosis, "table_name", None), named, error)


_CONSTRAINTS = {"23505": _unique, "23503": _foreign_key, "23514": _check}


def _tidb(error: exc.DBAPIError, match: object, name: str, is_disconnect: bool) -> None:
    cause = error.orig
    if cause is not None and (mysql_number(cause) or 0) in _TIDB_CONFLICTS:
        raise exception.DBDeadlock(error)


_TIDB_CONFLICTS = frozenset({8002, 8005, 8022, 8028, 9007})


def _register(dialect: str, kind: type[Exception], function: ErrorFilter) -> None:
    """Register a filter before all others of the dialect and class; oslo.db's decorator only adds behind them."""
    exc_filters._registry[dialect][kind].insert(0, (function, _ANY))


_register("cockroachdb", exc.DBAPIError, _cockroachdb)
for _kind in (exc.OperationalError, exc.InternalError, exc.DatabaseError):  # PyMySQL's, its former ones', others'
    _register("mysql", _kind, _tidb)
