"""What an application lets SQL call: functions, aggregates, window functions, collations; with sqlite3's names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from rome.codec.values import SqlValue
from rome.engine.session.session import Session
from rome.errors import NotSupportedError


class Callbacks(ABC):
    """A part of Connection.

    A definition is the connection's own: its statements may call it, and no table or index may need it. A function may
    be called more often than stock SQLite would call it. A transaction of a connection that has defined anything is
    never replayed. Passing None removes what has the same name (and as many arguments).

    Attributes:
        trace: called with the text of each statement that the application runs; None if there is no such function.
    """

    trace: Callable[[str], object] | None

    @property
    @abstractmethod
    def session(self) -> Session:
        """The connection's session in the engine."""

    def create_function(
        self, name: str, narg: int, func: Callable[..., SqlValue] | None, *, deterministic: bool = False
    ) -> None:
        """Let SQL call `func` as `name` with `narg` arguments (-1 for any number).

        Raises:
            NotSupportedError: it would replace an aggregate of SQLite's.
        """
        session = self.session
        session.settings.define(session.settings.definitions.function(name, narg, func, deterministic=deterministic))

    def create_aggregate(self, name: str, n_arg: int, aggregate_class: Callable[[], object] | None) -> None:
        """Let SQL aggregate with a class that has `step(*values)` and `finalize()`.

        Raises:
            NotSupportedError: a function of SQLite's has this name.
        """
        session = self.session
        session.settings.define(session.settings.definitions.aggregate(name, n_arg, aggregate_class))

    def create_window_function(self, name: str, num_params: int, aggregate_class: Callable[[], object] | None) -> None:
        """Let SQL aggregate over windows with a class that has `step`, `inverse`, `value` and `finalize`.

        Raises:
            NotSupportedError: a function of SQLite's has this name.
        """
        session = self.session
        session.settings.define(session.settings.definitions.window_function(name, num_params, aggregate_class))

    def create_collation(self, name: str, callback: Callable[[str, str], int] | None) -> None:
        """Let SQL compare texts with `callback`, which returns a number below 0, 0, or above 0.

        A statement may say COLLATE `name`. A stored table or index may not, since other connections lack the collation
        and would have to keep its order. (A temporary one may.) If `callback` raises, the statement fails.

        Raises:
            NotSupportedError: SQLite has a collation of this name.
        """
        session = self.session
        session.settings.define(session.settings.definitions.collation(name, callback))

    def set_trace_callback(self, trace_callback: Callable[[str], object] | None) -> None:
        """Call a function with the text of each statement before it runs; None stops that.

        The text is the application's, with placeholders, not values. For executemany() it is called once, for a script
        with each statement, and for commit() and rollback() with COMMIT and ROLLBACK if a transaction is open. If it
        raises, the exception reaches the application and the statement does not run.
        """
        self.session  # noqa: B018  # raises when closed
        self.trace = trace_callback

    def set_progress_handler(self, progress_handler: Callable[[], object] | None, n: int) -> None:
        """Call a function after every `n` steps of SQLite (or more often) while a statement runs; None stops that.

        If it returns something true, or raises, the statement ends as after interrupt().
        """
        self.session.settings.set_progress_handler(progress_handler, n)

    def set_authorizer(self, authorizer_callback: object) -> None:
        """Refused, except for None.

        Raises:
            NotSupportedError: statements are analysed once for all connections of the process, not each time one is
                prepared.
        """
        if authorizer_callback is not None:
            raise NotSupportedError(
                "set_authorizer() is not supported: statements are analysed once for all connections, so a callback of "
                "one of them cannot be asked. Give the application a user of the store with fewer permissions, or use "
                "PRAGMA query_only=ON"
            )
