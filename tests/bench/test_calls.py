"""The way through Rome's code gets no longer: `make calls` counts it, and these are today's figures.

A change that makes one smaller lowers it here; one that has to make one larger says why in its commit. (On Python 3.12
and newer a comprehension is no call, so the counts are lower.)
"""

from __future__ import annotations

import warnings
from contextlib import closing

import pytest
from calls import OPERATIONS, Operation, count, prepare

import rome
from rome.dbapi import Connection
from rome.transaction.commit_turn import TurnClient, of_thread
from tests.support.databases import Store, database, on
from tests.support.strict_memory import make_memory_plain

AT_MOST: dict[Store, list[int]] = {
    "memory": [43, 55, 84, 79, 47, 52, 44],
    "lmdb": [42, 54, 80, 86, 58, 51, 55],
    "redis": [40, 51, 74, 77, 40, 49, 39],
}
"""By store, in the order of OPERATIONS."""


@pytest.mark.parametrize("store", on(*AT_MOST))
def test_no_operation_makes_more_calls(
    store: Store, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A thread that has lost a conflict, as in a test before, asks at each BEGIN whether it was on this database.
    monkeypatch.setattr(of_thread, "client", TurnClient())
    make_memory_plain(monkeypatch)
    with database(store, request) as url, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with closing(rome.connect(url, tracing="off")) as connection:  # another test may have set a tracer provider
            prepare(connection)
            made = [len(count(connection, operation)) for operation in OPERATIONS]
    longer = [
        f"{operation.name}: {calls} calls, and {most} at most"
        for operation, calls, most in zip(OPERATIONS, made, AT_MOST[store], strict=True)
        if calls > most
    ]
    assert not longer


def test_calls_of_rome_are_counted() -> None:
    def select(connection: Connection, _: int) -> None:
        connection.execute("SELECT 1").fetchall()

    with closing(rome.connect("rome+memory://")) as connection:
        prepare(connection)
        made = count(connection, Operation("SELECT", select))
    assert any(call.function == "Cursor.execute" for call in made)
    assert max(call.depth for call in made) > 5
