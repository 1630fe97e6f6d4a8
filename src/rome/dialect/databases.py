"""SQLAlchemy-Utils' database_exists(), create_database() and drop_database(), on every store.

They look at the name of a URL's dialect. For "sqlite" they look for a file, and remove it: wrong for a server, and for
an LMDB file that others have open. For a name that they do not know they ask by SQL: SELECT 1 on the database, and
CREATE DATABASE or DROP DATABASE on a connection that names none. So they, and nobody else, are given this dialect, by
SQLAlchemy's hook that chooses the dialect for a URL; nothing of theirs is replaced.
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
_DEPTH = 12  # frames; between them and the hook are create_engine() and what decorates it


def is_asked_by_utils() -> bool:
    """Whether it is SQLAlchemy-Utils who wants a dialect."""
    if _ASKERS not in sys.modules:
        return False
    frame, depth = sys._getframe(1), 0
    while frame.f_back is not None and depth < _DEPTH:
        frame, depth = frame.f_back, depth + 1
        if frame.f_globals.get("__name__") == _ASKERS:
            return True
    return False


class DatabasesDialect(RomeDialect):
    """Connects to databases that are there, and to no database in order to create and drop some."""

    name = "rome"
    supports_statement_cache = True
    _server: URL | None = None

    def create_connect_args(self, url: URL) -> tuple[list[str], dict[str, Any]]:
        """As RomeDialect's; a URL without a database says where databases are to be created."""
        if url.database:
            return super().create_connect_args(url)
        self._server = url
        return [], {"url": "rome+memory://"}

    def connect(self, *args: Any, **options: Any) -> Any:
        """Connect to a database, which is not created by that.

        Raises:
            OperationalError: it is not there.
        """
        url = options["url"]
        if self._server is None and not dbapi.database_exists(url):
            raise OperationalError(f"there is no database {url.database}")
        return super().connect(*args, **options)

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """Run a statement; without a database also CREATE DATABASE and DROP DATABASE."""
        words = tokenize(statement)
        action = _ACTIONS.get(words[0].word) if len(words) == 3 and words[1].word == "DATABASE" else None
        if self._server is None or action is None:
            super().do_execute(cursor, statement, parameters, context)  # type: ignore[no-untyped-call]
        else:
            action(self._server.set(database=identifier(words[2])))


_ACTIONS = {"CREATE": dbapi.create_database, "DROP": dbapi.drop_database}
