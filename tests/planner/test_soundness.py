"""Plans are never too small: a statement gives the same on the plan's rows as on all rows.

This is the invariant of the planner, and of Rome. Two sources of statements: traps.sql, each on many small random
databases, and random statements (generator.py). Neither needs a store or the engine.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.planner.generator import SCHEMA, Generator
from tests.planner.oracle import Oracle, Rows

ORACLE = Oracle([*SCHEMA, "create table single (s)"])
DATABASES = 12


def read_traps() -> list[str]:
    lines = (Path(__file__).parent / "traps.sql").read_text().splitlines()
    return [line.rstrip(";") for line in lines if line and not line.startswith("--")]


def random_rows(seed: int) -> Rows:
    """A few rows in every table, of few values, so that joins find partners."""
    db = ORACLE.load({})
    for inserts in Generator(Random(seed)).rows().values():
        for insert, values in inserts:
            db.execute(insert, values)
    db.execute("insert into single values (1), (null), ('a')")
    rows = ORACLE.rows(db)
    db.close()
    return rows


DATA = [random_rows(seed) for seed in range(DATABASES)]


@pytest.mark.parametrize("sql", read_traps())
def test_trap(sql: str) -> None:
    tried = 0
    for rows in DATA:
        try:
            ORACLE.run(sql, (), rows)
        except apsw.ConstraintError:
            continue
        ORACLE.check(sql, (), rows)
        tried += 1
    assert tried > 0


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.integers(0, 2**32), st.sampled_from(DATA))
def test_random_statement(seed: int, rows: Rows) -> None:
    generator = Generator(Random(seed))
    sql = generator.statement()
    try:
        ORACLE.run(sql, generator.parameters, rows)
    except apsw.Error:
        return  # ambiguous, a constraint, and so on: SQLite says so on any rows
    ORACLE.check(sql, generator.parameters, rows)
