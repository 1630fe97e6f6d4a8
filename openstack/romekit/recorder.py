"""Record an application's requests to its databases, and what each cost."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

STATEMENT, COMMIT, ROLLBACK, PING = "statement", "commit", "rollback", "ping"
_DIALECT_METHODS = {"do_commit": COMMIT, "do_rollback": ROLLBACK, "do_ping": PING}


@dataclass(frozen=True, slots=True)
class Request:
    """One call of the DBAPI.

    Attributes:
        kind: STATEMENT, COMMIT, ROLLBACK or PING (the pool's, when it hands out a connection).
        database: its name for a statement; empty for other kinds.
        seconds: until the DBAPI returned, without fetching the rows.
        round_trips: how often the driver waited for the store; None if the driver does not say.
        rows: how many rows the store sent; None if the driver does not say.
    """

    kind: str
    database: str
    text: str
    seconds: float
    round_trips: int | None
    rows: int | None


@dataclass(frozen=True, slots=True)
class Recording:
    """What several boots took: the seconds of each, and all their requests in the order in which these ended."""

    boots_s: list[float]
    requests: list[Request]

    def save(self, path: Path) -> None:
        """Write the recording as JSON."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> Recording:
        """Read what `save` wrote."""
        fields = json.loads(path.read_text())
        return cls(fields["boots_s"], [Request(**request) for request in fields["requests"]])


class _Mark(NamedTuple):
    """A moment, and a connection's counters at that moment.

    Reading the counters takes time that does not belong to the request: the mark before it reads them before it takes
    the time, and the mark after it does so afterwards.
    """

    seconds: float
    round_trips: int | None
    rows: int | None

    @classmethod
    def begin(cls, dbapi_connection: Any) -> _Mark:
        """The mark before a request."""
        counters = _counters(dbapi_connection)
        return cls(time.perf_counter(), *counters)

    @classmethod
    def end(cls, dbapi_connection: Any) -> _Mark:
        """The mark after a request."""
        return cls(time.perf_counter(), *_counters(dbapi_connection))


def _counters(dbapi_connection: Any) -> tuple[int | None, int | None]:
    stats = getattr(dbapi_connection, "rome_stats", None)
    return (None, None) if stats is None else (stats.round_trips, stats.rows)


class Recorder:
    """Adds every request to a list while `on` is true."""

    def __init__(
        self, engines: sa.Engine | type[sa.Engine], dialect: type[sa.Dialect], requests: list[Request]
    ) -> None:
        """Listen for as long as the process lives.

        Args:
            engines: the engine whose statements are recorded, or sa.Engine for all engines.
            dialect: the class whose commits, rollbacks and pings are recorded; its methods are replaced.
            requests: the list that gets them.
        """
        self.on = False
        self._requests = requests
        sa.event.listen(engines, "before_cursor_execute", self._before)
        sa.event.listen(engines, "after_cursor_execute", self._after)
        sa.event.listen(engines, "handle_error", self._failed)
        for name, kind in _DIALECT_METHODS.items():
            setattr(dialect, name, self._timed(getattr(dialect, name), kind))

    def _add(self, kind: str, database: str, text: str, before: _Mark, dbapi_connection: Any) -> None:
        if not self.on:
            return
        after = _Mark.end(dbapi_connection)
        self._requests.append(
            Request(
                kind,
                database,
                text,
                after.seconds - before.seconds,
                _difference(before.round_trips, after.round_trips),
                _difference(before.rows, after.rows),
            )
        )

    def _before(self, connection: sa.Connection, *_: object) -> None:
        connection.info["kit_mark"] = _Mark.begin(connection.connection.dbapi_connection)

    def _after(self, connection: sa.Connection, cursor: object, statement: str, *_: object) -> None:
        before = connection.info.pop("kit_mark")
        dbapi_connection = connection.connection.dbapi_connection
        self._add(STATEMENT, connection.engine.url.database or "", statement, before, dbapi_connection)

    def _failed(self, context: sa.ExceptionContext) -> None:
        if context.connection is not None and context.statement is not None and "kit_mark" in context.connection.info:
            self._after(context.connection, None, context.statement)

    def _timed(self, method: Callable[..., Any], kind: str) -> Callable[..., Any]:
        @functools.wraps(method)
        def timed(dialect: sa.Dialect, dbapi_connection: Any) -> Any:
            before = _Mark.begin(dbapi_connection)
            try:
                return method(dialect, dbapi_connection)
            finally:
                self._add(kind, "", kind.upper(), before, dbapi_connection)

        return timed


def _difference(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before
