"""What SQLAlchemy's test plugin asks of a dialect beside requirements.py; SQLAlchemy finds it by its name."""

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
    """Nothing: a database is created by the first connection to it. For pytest-xdist, one for each of its workers."""


@drop_db.for_db(BACKEND)  # type: ignore[untyped-decorator]
def _drop_db(config: object, engine: Engine, identifier: str) -> None:
    dbapi.drop_database(follower_url_from_main(engine.url, identifier))
