"""Rome does what stock SQLite does: random transactions on both, over schemas with every kind of key and constraint.

Without ROME_DIFFERENTIAL_EXAMPLES every run tries the same histories; with it, so many new ones for each schema.
10,000 take some minutes.
"""

from __future__ import annotations

import os
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.differential import MiscountedError, Operation, Pair
from tests.support.random_transactions import SCHEMAS, SchemaUnderTest, histories

EXAMPLES = os.environ.get("ROME_DIFFERENTIAL_EXAMPLES")
LENGTH = 15


@pytest.mark.parametrize("schema", SCHEMAS, ids=repr)
def test_rome_does_what_sqlite_does(schema: SchemaUnderTest) -> None:
    @settings(
        max_examples=int(EXAMPLES or 150),
        derandomize=EXAMPLES is None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(histories(schema, LENGTH))
    def try_history(history: list[Operation]) -> None:
        tables = {table.name: table.everything() for table in schema.tables}
        with Pair(schema.statements, ids=schema.ids, tables=tables) as pair, suppress(MiscountedError):
            for operation in history:
                pair.run(operation)
            pair.check_tables()

    try_history()
