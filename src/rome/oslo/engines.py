"""oslo.db's options for SQLite, on Rome's connections.

oslo.db goes by the first word of a URL, so its own listeners for `sqlite` pass Rome by. Most of what they do is not
needed: Rome knows REGEXP, begins transactions by itself, and its pool is SQLAlchemy's default.
"""

from __future__ import annotations

from typing import Any

from oslo_db.sqlalchemy import engines
from sqlalchemy import event
from sqlalchemy.engine import Engine


@engines._init_events.dispatch_for("rome")  # type: ignore[untyped-decorator]
def _set_on_connect(engine: Engine, sqlite_synchronous: bool = True, sqlite_fk: bool = False, **_others: Any) -> None:
    """Set what these options ask for on each new connection; what they leave alone is as the URL says.

    Foreign keys stay enforced with sqlite_fk=False, which is oslo.db's default, unless the URL has foreign_keys=off.
    `synchronous` is only read back as it was set: how durable a commit is depends on the store (docs/pragmas.md).
    """
    settings = []
    if not sqlite_synchronous:
        settings.append("PRAGMA synchronous = OFF")
    if sqlite_fk:
        settings.append("PRAGMA foreign_keys = ON")

    def apply(dbapi_connection: Any, _record: object) -> None:
        for setting in settings:
            dbapi_connection.execute(setting)

    if settings:
        event.listen(engine, "connect", apply)
