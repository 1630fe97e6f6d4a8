"""Rome does what stock SQLite does, on histories of a wide grammar; and the grammar makes what it claims to make.

`make fuzz` compares for as long as it is told.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing, suppress
from random import Random

import apsw

from fuzz.choices import Choices
from fuzz.constructs import CONSTRUCTS, constructs_in
from fuzz.histories import History, random_history
from fuzz.search import Search
from rome.workingset.functions import add_regexp

HISTORIES = 40
HISTORIES_FOR_COVERAGE = 600


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
