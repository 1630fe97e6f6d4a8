"""What the mirror says of statements."""

from __future__ import annotations

import pytest

from rome.catalog.mirror import Inspection, Mirror


@pytest.fixture
def mirror() -> Mirror:
    return Mirror.of(["CREATE TABLE T (a)", "CREATE INDEX i ON T (a)", "CREATE VIEW v AS SELECT a FROM T"])


@pytest.mark.parametrize("sql", ["REINDEX i", "EXPLAIN CREATE INDEX j ON t (a)", "EXPLAIN DROP INDEX i"])
def test_statement_that_names_an_index_is_inspected(mirror: Mirror, sql: str) -> None:
    assert isinstance(mirror.inspect(sql), Inspection)


def test_inspection_tells_the_tables_behind_views_and_what_is_written(mirror: Mirror) -> None:
    inspection = mirror.inspect("INSERT INTO t SELECT a + :n FROM v")
    assert inspection.read == {"t", "v"}
    assert inspection.written == inspection.inserted == {"t"}
    assert (inspection.parameter_count, inspection.parameter_names, inspection.columns) == (1, ("n",), ())
    assert mirror.inspect("DELETE FROM t").written == {"t"}
