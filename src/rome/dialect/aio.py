"""RomeAsyncDialect: RomeDialect for create_async_engine.

`create_async_engine("rome+redis://..")` chooses this dialect by itself, so an application's URL is the same for both
engines. The scheme `rome+redis_async` names it, too, for tools that decide by the URL alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.pool import AsyncAdaptedQueuePool

from rome.dialect.adapted import AdaptedRomeConnection, AsyncDriver
from rome.dialect.base import RomeDialect, RomeExecutionContext

if TYPE_CHECKING:
    from sqlalchemy.engine import URL
    from sqlalchemy.pool import Pool


class RomeAsyncExecutionContext(RomeExecutionContext):
    """Uses a streaming cursor if SQLAlchemy asks for one."""

    def create_server_side_cursor(self) -> Any:
        connection: Any = self._dbapi_connection
        return connection.cursor(server_side=True)


class RomeAsyncDialect(RomeDialect):
    """The dialect that `create_async_engine("rome+<store>://...")` uses, with SQLAlchemy's AsyncAdaptedQueuePool."""

    is_async = True
    has_terminate = True
    supports_statement_cache = True
    execution_ctx_cls = RomeAsyncExecutionContext

    @classmethod
    def import_dbapi(cls) -> Any:
        return AsyncDriver()

    @classmethod
    def get_async_dialect_cls(cls, url: URL) -> type[RomeAsyncDialect]:
        return cls

    @classmethod
    def get_pool_class(cls, url: URL) -> type[Pool]:
        return AsyncAdaptedQueuePool  # SQLAlchemy 2.1 would choose it by itself

    def get_driver_connection(self, connection: Any) -> Any:
        return connection.driver_connection if isinstance(connection, AdaptedRomeConnection) else connection

    def do_terminate(self, dbapi_connection: Any) -> None:
        dbapi_connection.terminate()
