"""SQLAlchemy's tests of dialects, for Rome and for stock SQLite. What is not asked: rome.dialect.requirements.

Two of them ask for a second schema without looking at the requirements; here they do without it.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.testing.config import combinations, fixture
from sqlalchemy.testing.suite import *  # noqa: F403
from sqlalchemy.testing.suite import ComponentReflectionTest as _ComponentReflectionTest
from sqlalchemy.testing.suite import ComponentReflectionTestExtra as _ComponentReflectionTestExtra
from sqlalchemy.testing.suite import ServerSideCursorsTest as _ServerSideCursorsTest

from rome.dbapi import StreamCursor


class ComponentReflectionTest(_ComponentReflectionTest):  # type: ignore[no-redef]
    @combinations(True, False, argnames="views")
    def test_metadata(self, connection: sa.Connection, views: bool) -> None:  # type: ignore[override]
        metadata = sa.MetaData()
        metadata.reflect(connection, views=views, resolve_fks=False)
        inspector = sa.inspect(connection)
        names = inspector.get_table_names() + (inspector.get_view_names() if views else [])
        assert sorted(metadata.tables) == sorted(names)


class ComponentReflectionTestExtra(_ComponentReflectionTestExtra):  # type: ignore[no-redef]
    @fixture
    def use_schema_fixture(self) -> None:
        """No schema."""


class ServerSideCursorsTest(_ServerSideCursorsTest):  # type: ignore[no-redef]
    """Its own way to tell a cursor that streams goes by the names of drivers."""

    def _is_server_side(self, cursor: Any) -> bool:
        return isinstance(cursor, StreamCursor) or getattr(cursor, "server_side", False) is True
