"""oslo.db's options for SQLite read back as they were set."""

from __future__ import annotations

import pytest
from oslo_db.sqlalchemy import engines


@pytest.mark.parametrize(
    ("options", "in_url", "foreign_keys", "synchronous"),
    [
        ({}, "", 1, 2),
        ({"sqlite_fk": False}, "?foreign_keys=off", 0, 2),
        ({"sqlite_fk": True}, "?foreign_keys=off", 1, 2),
        ({"sqlite_synchronous": False}, "", 1, 0),
        ({"sqlite_synchronous": False, "sqlite_fk": True}, "?foreign_keys=off", 1, 0),
    ],
)
def test_options(options: dict[str, bool], in_url: str, foreign_keys: int, synchronous: int) -> None:
    engine = engines.create_engine(f"rome+memory:///oslo_engines{in_url}", max_retries=0, **options)
    with engine.connect() as first, engine.connect() as second:
        for connection in (first, second):
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == foreign_keys
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == synchronous
    engine.dispose()


def test_regexp_is_there() -> None:
    engine = engines.create_engine("rome+memory://", max_retries=0)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT 'host-17' REGEXP '[0-9]+$'").scalar() == 1
    engine.dispose()
