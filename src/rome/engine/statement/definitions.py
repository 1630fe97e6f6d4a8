"""What the application has defined on its connection: functions, aggregates, window functions and collations.

Every SQLite database that the connection opens gets them. No other connection has them; so nothing that is stored may
need them (see `Schema.check_stands_alone`), and plans know nothing of them: a function that SQLite does not have may be
an aggregate, and a comparison or an order under another collation than SQLite's bounds nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import apsw

from rome.codec.values import SqlValue
from rome.errors import NotSupportedError
from rome.workingset import functions

Install = Callable[[apsw.Connection], None]
Function = Callable[..., SqlValue]
Compare = Callable[[str, str], int]


class Definitions:
    """Those of one connection.

    Attributes:
        fickle: lower-case names of functions that may return different results for the same arguments.
        changed: something was defined at some time, even if it was taken away again.
    """

    def __init__(self) -> None:
        self.changed = False
        self._installs: dict[tuple[str, int | None], Install] = {}
        self.fickle: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._installs)

    def give_to(self, connection: apsw.Connection) -> None:
        """Define everything on another SQLite connection."""
        for install in self._installs.values():
            install(connection)

    def function(self, name: str, narg: int, function: Function | None, *, deterministic: bool) -> Install:
        """Define a function; None takes it away.

        Raises:
            NotSupportedError: it would take the place of an aggregate of SQLite's.
        """
        if (name.lower(), narg) in _own_functions()["aggregate"]:
            raise _taken("function", name)
        if function is not None and not deterministic:
            self.fickle.add(name.lower())
        call = None if function is None else functions.guarded(function)
        return self._define(
            (name.lower(), narg),
            call is None,
            lambda connection: connection.create_scalar_function(name, call, narg, deterministic=deterministic),
        )

    def aggregate(self, name: str, narg: int, kind: Callable[[], object] | None) -> Install:
        """Define an aggregate; None takes it away.

        Raises:
            NotSupportedError: a function of SQLite's has its name.
        """
        self._refuse_name("aggregate", name)
        factory = None if kind is None else functions.aggregate(kind)
        return self._define(
            (name.lower(), narg),
            kind is None,
            lambda connection: connection.create_aggregate_function(name, factory, narg),
        )

    def window_function(self, name: str, narg: int, kind: Callable[[], object] | None) -> Install:
        """Define a window function; None takes it away.

        Raises:
            NotSupportedError: a function of SQLite's has its name.
        """
        self._refuse_name("window function", name)
        factory = None if kind is None else functions.window_function(kind)
        return self._define(
            (name.lower(), narg),
            kind is None,
            lambda connection: connection.create_window_function(name, factory, narg),
        )

    def collation(self, name: str, compare: Compare | None) -> Install:
        """Define a collation; None takes it away.

        Raises:
            NotSupportedError: it has the name of one of SQLite's, which keys are ordered by.
        """
        if name.upper() in ("BINARY", "NOCASE", "RTRIM"):
            raise NotSupportedError(
                f"collation {name} cannot be defined anew: the store's keys are ordered by SQLite's. Give yours "
                "another name"
            )
        call = None if compare is None else functions.collation(compare)
        return self._define(
            (name.upper(), None), call is None, lambda connection: connection.create_collation(name, call)
        )

    def _define(self, key: tuple[str, int | None], taken_away: bool, install: Install) -> Install:
        self.changed = True
        if taken_away:
            self._installs.pop(key, None)
        else:
            self._installs[key] = install
        return install

    def _refuse_name(self, what: str, name: str) -> None:
        """Plans rest on it that SQLite's functions are what they are: no aggregates, or what min() and max() say."""
        if name.lower() in _own_functions()["names"]:
            raise _taken(what, name)


def _taken(what: str, name: str) -> NotSupportedError:
    return NotSupportedError(
        f"{what} {name} cannot take the place of SQLite's own: what a statement reads depends on what that one does. "
        "Give yours another name"
    )


def _own_functions() -> dict[str, frozenset[object]]:
    """SQLite's functions: all names, and the aggregates by name and number of arguments."""
    if not _OWN:
        connection = apsw.Connection(":memory:")
        rows = connection.execute("SELECT name, type, narg FROM pragma_function_list").fetchall()
        connection.close()
        _OWN["names"] = frozenset(name for name, _, _ in rows)
        _OWN["aggregate"] = frozenset((name, narg) for name, kind, narg in rows if kind != "s")
    return _OWN


_OWN: dict[str, frozenset[object]] = {}
