"""Applies oslo.db's options for SQLite to Rome's connections.

oslo.db decides by the first word of a URL, so its own listeners for `sqlite` skip Rome. Most of what they do is not
needed: Rome knows REGEXP, begins transactions by itself, and uses SQLAlchemy's default pool.
"""

from __future__ import annotations

from typing import Any

from oslo_db.sqlalchemy import engines
from sqlalchemy import event
from sqlalchemy.engine import Engine


@engines._init_events.dispatch_for("rome")  # type: ignore[untyped-decorator]
def _set_on_connect(engine: Engine, sqlite_synchronous: bool = True, sqlite_fk: bool = False, **_others: Any) -> None:
    """Apply these options to each new connection; settings that they leave alone follow the URL.

    Foreign keys stay enforced with sqlite_fk=False, which is oslo.db's default, unless the URL has foreign_keys=off.
    `synchronous` has no effect, and only reads back as set: the store decides how durable a commit is
    (docs/pragmas.md).
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
