"""docs/bulk.md's recipe for pandas."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, create_engine, text

pd = pytest.importorskip("pandas")
ROWS = 25_000


@pytest.fixture
def engine() -> Engine:
    return create_engine("rome+memory://")


def test_each_chunk_is_a_commit_with_autocommit(engine: Engine) -> None:
    frame = pd.DataFrame({"id": range(ROWS), "host": "a"})
    frame.to_sql("server", engine.execution_options(isolation_level="AUTOCOMMIT"), chunksize=10_000, index=False)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*), max(id) FROM server")).one() == (ROWS, ROWS - 1)


def test_a_new_table_does_not_take_the_room_of_rows(engine: Engine) -> None:
    frame = pd.DataFrame({"id": range(10_000), "host": "a"})
    frame.to_sql("server", engine, index=False)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM server")).scalar_one() == 10_000
