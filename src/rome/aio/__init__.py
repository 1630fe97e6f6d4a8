"""Rome for asyncio: the driver's connections and cursors, with `await`.

    async with await rome.aio.connect("rome+lmdb:///data.rome") as connection:
        cursor = await connection.execute("SELECT name FROM server WHERE state = ?", ["ACTIVE"])
        print(await cursor.fetchall())

Each connection has a thread of its own, in which everything that may wait or compute is done. SQLAlchemy's
create_async_engine uses these connections (rome.dialect.aio). docs/asyncio.md says what happens to what is cancelled.
"""

from rome.aio.connection import AsyncConnection, connect
from rome.aio.cursor import AsyncCursor

__all__ = ["AsyncConnection", "AsyncCursor", "connect"]
