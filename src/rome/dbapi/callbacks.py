"""What an application gives SQL to call: functions, aggregates, window functions, collations; by sqlite3's names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from rome.codec.values import SqlValue
from rome.engine.session.session import Session
from rome.errors import NotSupportedError


class Callbacks(ABC):
    """A part of Connection.

    What is defined is the connection's own, and no other's: statements may call it, and no table or index may need it.
    A function may be called more often than stock SQLite would call it, and a transaction of a connection that has
    defined anything is never replayed. None takes away what has the same name (and as many arguments).

    Attributes:
        trace: called with the text of each statement that the application runs; None: nobody is.
    """

    trace: Callable[[str], object] | None = None

    @property
    @abstractmethod
    def session(self) -> Session:
        """The engine's side."""

    def create_function(
        self, name: str, narg: int, func: Callable[..., SqlValue] | None, *, deterministic: bool = False
    ) -> None:
        """Let SQL call `func` by `name` with `narg` arguments (-1: any number).

        Raises:
            NotSupportedError: it would take the place of an aggregate of SQLite's.
        """
        session = self.session
        session.define(session.definitions.function(name, narg, func, deterministic=deterministic))

    def create_aggregate(self, name: str, n_arg: int, aggregate_class: Callable[[], object] | None) -> None:
        """Let SQL aggregate by a class that has `step(*values)` and `finalize()`.

        Raises:
            NotSupportedError: a function of SQLite's has this name.
        """
        session = self.session
        session.define(session.definitions.aggregate(name, n_arg, aggregate_class))

    def create_window_function(self, name: str, num_params: int, aggregate_class: Callable[[], object] | None) -> None:
        """Let SQL aggregate over windows by a class that has `step`, `inverse`, `value` and `finalize`.

        Raises:
            NotSupportedError: a function of SQLite's has this name.
        """
        session = self.session
        session.define(session.definitions.window_function(name, num_params, aggregate_class))

    def create_collation(self, name: str, callback: Callable[[str, str], int] | None) -> None:
        """Let SQL compare texts by `callback`: below 0, 0 or above as the first sorts before, with or after the second.

        A statement may say COLLATE `name`; a stored table or index may not, since other connections, which lack it,
        would have to keep its order. (A temporary one may.) What `callback` raises is an error of the statement.

        Raises:
            NotSupportedError: SQLite has a collation of this name.
        """
        session = self.session
        session.define(session.definitions.collation(name, callback))

    def set_trace_callback(self, trace_callback: Callable[[str], object] | None) -> None:
        """Call it with the text of each statement that is run, before that; None: no longer.

        The text is the application's, with placeholders and not their values. For executemany() it is called once, for
        a script with each statement, for commit() and rollback() with COMMIT and ROLLBACK if a transaction is open.
        What it raises is raised, and the statement is not run.
        """
        self.session  # noqa: B018  # raises when closed
        self.trace = trace_callback

    def set_progress_handler(self, progress_handler: Callable[[], object] | None, n: int) -> None:
        """Call it after every `n` steps of SQLite's (or more often) while a statement of the application runs; None: no
        longer. What is true, or an exception, ends the statement as interrupt() does."""
        self.session.set_progress_handler(progress_handler, n)

    def set_authorizer(self, authorizer_callback: object) -> None:
        """Refused, but for None.

        Raises:
            NotSupportedError: what a statement touches is found out once for all connections of the process, and not
                each time it is prepared.
        """
        if authorizer_callback is not None:
            raise NotSupportedError(
                "set_authorizer() is not supported: statements are analysed once for all connections, and no callback "
                "of one of them could be asked. Give the application a user of the store's that may do less, or PRAGMA "
                "query_only=ON"
            )
