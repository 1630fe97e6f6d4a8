"""Rome does what stock SQLite does: random transactions on both, over schemas with every kind of key and constraint.

ROME_DIFFERENTIAL_EXAMPLES sets how many histories are tried per schema; 10,000 take some minutes.
"""

from __future__ import annotations

import os
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings

from engine.differential import MiscountedError, Operation, Pair
from engine.generator import SCHEMAS, SchemaUnderTest, histories

EXAMPLES = int(os.environ.get("ROME_DIFFERENTIAL_EXAMPLES", "100"))
LENGTH = 15


@pytest.mark.parametrize("schema", SCHEMAS, ids=repr)
def test_rome_does_what_sqlite_does(schema: SchemaUnderTest) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(histories(schema, LENGTH))
    def try_history(history: list[Operation]) -> None:
        with Pair(schema.statements, ids=schema.ids) as pair, suppress(MiscountedError):
            for operation in history:
                pair.run(operation)
            pair.check_tables()

    try_history()
