"""Hooks of SQLAlchemy's test plugin: how to create and drop databases. SQLAlchemy finds this module by its name."""

from __future__ import annotations

from sqlalchemy.dialects.sqlite import provision as _  # noqa: F401  # registers SQLite's hooks
from sqlalchemy.engine import Engine
from sqlalchemy.testing.provision import create_db, drop_db, follower_url_from_main, temp_table_keyword_args, upsert

from rome import dbapi

BACKEND = "rome"

for _hook in (temp_table_keyword_args, upsert):
    _hook.for_db(BACKEND)(_hook.fns["sqlite"])


@create_db.for_db(BACKEND)  # type: ignore[untyped-decorator]
def _create_db(config: object, engine: Engine, identifier: str) -> None:
    """Do nothing, since the first connection to a database creates it. pytest-xdist asks for one for each worker."""


@drop_db.for_db(BACKEND)  # type: ignore[untyped-decorator]
def _drop_db(config: object, engine: Engine, identifier: str) -> None:
    dbapi.drop_database(follower_url_from_main(engine.url, identifier))
