"""Rome for asyncio: the driver's connections and cursors, with `await`.

    async with await rome.aio.connect("rome+lmdb:///data.rome") as connection:
        cursor = await connection.execute("SELECT name FROM server WHERE state = ?", ["ACTIVE"])
        print(await cursor.fetchall())

Each connection has its own thread, which does everything that may wait or compute. SQLAlchemy's create_async_engine
uses these connections (rome.dialect.aio). docs/asyncio.md describes what cancellation does.
"""

from rome.aio.connection import AsyncConnection, connect
from rome.aio.cursor import AsyncCursor

__all__ = ["AsyncConnection", "AsyncCursor", "connect"]
