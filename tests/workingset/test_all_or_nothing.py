"""A block of the working set stands, or nothing of it is left."""

from __future__ import annotations

import pytest

from rome.workingset.all_or_nothing import AllOrNothing
from rome.workingset.contents import Stored
from rome.workingset.workingset import WorkingSet


@pytest.fixture
def working_set() -> WorkingSet:
    working_set = WorkingSet(["CREATE TABLE t (id INTEGER PRIMARY KEY)"])
    working_set.begin()
    working_set.connection.execute("INSERT INTO t VALUES (1)")
    return working_set


def ids(working_set: WorkingSet) -> list[object]:
    return [row[0] for row in working_set.query("SELECT id FROM t", ())]


def test_it_stands(working_set: WorkingSet) -> None:
    with AllOrNothing(working_set):
        working_set.connection.execute("INSERT INTO t VALUES (2)")
    assert ids(working_set) == [1, 2]
    assert working_set.counters.last_rowid == 2


def write_and_raise(working_set: WorkingSet, error: type[BaseException], *, with_contents: bool) -> None:
    with AllOrNothing(working_set, with_contents=with_contents):
        working_set.connection.execute("INSERT INTO t VALUES (2)")
        working_set.contents.of(1).hydrated[2] = Stored(b"k", 1, 2, [2])
        working_set.changes = 9
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_nothing_is_left_whatever_is_raised(working_set: WorkingSet, error: type[BaseException]) -> None:
    working_set.changes = 5
    with pytest.raises(error):
        write_and_raise(working_set, error, with_contents=True)
    assert ids(working_set) == [1]
    assert (working_set.counters.last_rowid, working_set.changes) == (1, 5)
    assert not working_set.contents.tables


def test_it_can_go_back_and_go_on(working_set: WorkingSet) -> None:
    with AllOrNothing(working_set) as block:
        working_set.connection.execute("INSERT INTO t VALUES (2)")
        block.back()
        working_set.connection.execute("INSERT INTO t VALUES (3)")
    assert ids(working_set) == [1, 3]


def test_one_inside_of_another(working_set: WorkingSet) -> None:
    with AllOrNothing(working_set):
        with pytest.raises(KeyError):
            write_and_raise(working_set, KeyError, with_contents=False)
        working_set.connection.execute("INSERT INTO t VALUES (3)")
    assert ids(working_set) == [1, 3]


def test_sqlite_may_end_the_transaction_inside(working_set: WorkingSet) -> None:
    with AllOrNothing(working_set):
        working_set.connection.execute("ROLLBACK")
    assert working_set.was_ended
