"""SQLAlchemy-Utils' database_exists(), create_database() and drop_database(), on every store.

These functions decide by the name of a URL's dialect. For "sqlite" they look for a file or remove it, which is wrong
for a server, and for an LMDB file that other processes have open. For a name that they do not know they use SQL: SELECT
1 in the database, and CREATE DATABASE or DROP DATABASE on a connection without a database. So SQLAlchemy's hook that
chooses the dialect of a URL gives a dialect with another name to them, and to nobody else. Nothing is patched.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rome import dbapi
from rome.dialect.base import RomeDialect
from rome.errors import OperationalError
from rome.sql.tokens import identifier, tokenize

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_ASKERS = "sqlalchemy_utils.functions.database"
_DEPTH = 12  # how many frames to look up; between these functions and the hook are create_engine() and its decorators


def is_asked_by_utils() -> bool:
    """Whether SQLAlchemy-Utils is asking for a dialect, by the modules on the call stack."""
    if _ASKERS not in sys.modules:
        return False
    frame, depth = sys._getframe(1), 0
    while frame.f_back is not None and depth < _DEPTH:
        frame, depth = frame.f_back, depth + 1
        if frame.f_globals.get("__name__") == _ASKERS:
            return True
    return False


class DatabasesDialect(RomeDialect):
    """Connects to databases that exist, without creating them; or to no database, to create and drop some."""

    name = "rome"
    supports_statement_cache = True
    _server: URL | None = None

    def create_connect_args(self, url: URL) -> tuple[list[str], dict[str, Any]]:
        """As RomeDialect does; a URL without a database says where CREATE DATABASE creates one."""
        if url.database:
            return super().create_connect_args(url)
        self._server = url
        return [], {"url": "rome+memory://"}

    def connect(self, *args: Any, **options: Any) -> Any:
        """Connect to a database without creating it.

        Raises:
            OperationalError: there is no such database.
        """
        url = options["url"]
        if self._server is None and not dbapi.database_exists(url):
            raise OperationalError(f"there is no database {url.database}")
        return super().connect(*args, **options)

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """Run a statement; on a connection without a database also CREATE DATABASE and DROP DATABASE."""
        words = tokenize(statement)
        action = _ACTIONS.get(words[0].word) if len(words) == 3 and words[1].word == "DATABASE" else None
        if self._server is None or action is None:
            super().do_execute(cursor, statement, parameters, context)  # type: ignore[no-untyped-call]
        else:
            action(self._server.set(database=identifier(words[2])))


_ACTIONS = {"CREATE": dbapi.create_database, "DROP": dbapi.drop_database}
