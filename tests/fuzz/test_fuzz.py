"""Rome does what stock SQLite does, on histories of a wide grammar; and the grammar makes what it claims to make.

`make fuzz` compares for as long as it is told.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing, suppress
from random import Random

import apsw

from rome.workingset.functions import add_regexp
from tests.fuzz.choices import Choices
from tests.fuzz.constructs import CONSTRUCTS, constructs_in
from tests.fuzz.histories import History, random_history
from tests.fuzz.pairs import all_pairs, measure
from tests.fuzz.queries import Queries
from tests.fuzz.schemas import random_schema
from tests.fuzz.search import Search
from tests.planner.oracle import Oracle

HISTORIES = 40
HISTORIES_FOR_COVERAGE = 600
HISTORIES_FOR_PAIRS = 300


def test_search_finds_no_difference() -> None:
    search = Search()
    search.round(1, HISTORIES)
    assert search.statements > 10 * HISTORIES
    assert search.failed < search.statements / 4


def test_every_construct_is_made_in_statements_that_succeed() -> None:
    choices = Choices(Random(1).randrange)
    made: Counter[str] = Counter()
    for _ in range(HISTORIES_FOR_COVERAGE):
        for statement in _succeeding(random_history(choices)):
            made.update(constructs_in(statement))
    assert CONSTRUCTS.keys() - made.keys() == set()


def test_constructs_are_put_side_by_side() -> None:
    """`make fuzz PAIRS=2000` finds all of them; of so few histories a handful of the rarest is missing."""
    choices = Choices(Random(1).randrange)
    matrix = measure(random_history(choices) for _ in range(HISTORIES_FOR_PAIRS))
    missing = matrix.missing()
    assert len(missing) < len(all_pairs()) / 25, missing
    for of_table in ("index WHERE x IS NOT NULL", "index WHERE x IS NULL"):
        for of_statement in ("(SELECT) = x", "(SELECT) IS NULL", "row value of (SELECT)", "UPDATE", "DELETE"):
            assert matrix.counts[of_table, of_statement] > 10


def test_many_plans_rest_on_a_partial_index() -> None:
    """Of tables that are read whole nothing can be missing, so the search would find nothing in them."""
    choices = Choices(Random(1).randrange)
    plans = partial = 0
    for _ in range(HISTORIES_FOR_PAIRS // 2):
        schema = random_schema(choices)
        oracle = Oracle(schema.statements)
        names = {text.split(" ON ")[0].split()[-1] for text in schema.indexes if " WHERE " in text}
        queries = Queries(choices, schema)
        sql = queries.of_values()
        if "REGEXP" not in sql:
            plans += 1
            partial += any(line.access.removeprefix("index ") in names for line in oracle.plan(sql).explain(None))
    assert partial > plans / 30


def _succeeding(history: History) -> list[str]:
    """The statements that stock SQLite accepts, DDL included."""
    found = list(history.schema.statements)
    with closing(apsw.Connection(":memory:")) as stock:
        add_regexp(stock)
        for statement in found:
            stock.execute(statement)
        for operation in history.operations:
            with suppress(apsw.Error):
                if not stock.in_transaction:
                    stock.execute("BEGIN")
                for parameters in [operation.parameters] if operation.batch is None else operation.batch:
                    stock.execute(operation.sql, parameters).fetchall()
                found.append(str(operation))
    return found
