"""What every driver of ordered keys must do; add a new driver to the fixture `open_driver`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from secrets import token_bytes

import pytest

from rome.errors import StoreUnavailableError
from rome.store.etcd.client import EtcdClient
from rome.store.etcd.driver import EtcdDriver
from rome.store.ordered.driver import (
    Condition,
    Delete,
    Driver,
    DriverCompare,
    DriverTransaction,
    Put,
    Raise,
    Range,
    RangeResult,
    RevisionAheadError,
    RevisionGoneError,
    TransactionOutcome,
    Write,
)
from rome.store.ordered.memory import MemoryDriver, MemoryEngine
from tests.support.etcd_servers import Member, settings

OpenDriver = Callable[[], Driver]


@pytest.fixture(params=["ordered", pytest.param("etcd", marks=pytest.mark.etcd)])
def open_driver(request: pytest.FixtureRequest) -> Iterator[OpenDriver]:
    """Opens one more connection to the same engine."""
    if request.param == "etcd":
        member: Member = request.getfixturevalue("etcd_member")

        def opened() -> Driver:
            return EtcdDriver(EtcdClient(settings(member, compact="true")))
    else:
        engine = MemoryEngine()

        def opened() -> Driver:
            return MemoryDriver(engine)

    with ExitStack() as cleanup:

        def open_one() -> Driver:
            driver = opened()
            cleanup.callback(driver.close)
            return driver

        yield open_one


class Keys:
    """A driver, and keys of its own that begin with something random."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.prefix = token_bytes(8)
        self.stop = self.prefix + b"\xff"

    def key(self, name: bytes) -> bytes:
        return self.prefix + name

    def write(self, *writes: Write, conditions: Sequence[DriverCompare] = ()) -> TransactionOutcome:
        [outcome] = self.driver.run([DriverTransaction(conditions, writes)])
        return outcome

    def put(self, **pairs: bytes) -> int:
        return self.write(*(Put(self.key(name.encode()), value) for name, value in pairs.items())).revision

    def delete(self, name: bytes) -> None:
        self.write(Delete(self.key(name)))

    def find(self, asked: Range) -> RangeResult:
        [outcome] = self.driver.run([DriverTransaction(then=[asked])])
        return outcome.found[0]

    def names(self, asked: Range) -> list[bytes]:
        return [pair.key[8:] for pair in self.find(asked).pairs]

    def all(self, revision: int = 0, *, modified_after: int = 0, created_after: int = 0, limit: int = 0) -> list[bytes]:
        asked = Range(
            self.prefix, self.stop, revision, limit, modified_after=modified_after, created_after=created_after
        )
        return [pair.key[8:] + b"=" + pair.value for pair in self.find(asked).pairs]

    def holds(self, condition: Condition, operand: int | bytes, start: bytes, stop: bytes | None = None) -> bool:
        compare = DriverCompare(condition, operand, self.key(start), None if stop is None else self.key(stop))
        [outcome] = self.driver.run([DriverTransaction([compare])])
        return outcome.held


@pytest.fixture
def keys(open_driver: OpenDriver) -> Keys:
    return Keys(open_driver())


class TestRanges:
    def test_pairs_come_in_order_with_their_revisions(self, keys: Keys) -> None:
        first = keys.put(b=b"1", a=b"1")
        second = keys.put(b=b"2", c=b"")
        found = keys.find(Range(keys.prefix, keys.stop))
        assert [(pair.key[8:], pair.value, pair.created, pair.modified) for pair in found.pairs] == [
            (b"a", b"1", first, first),
            (b"b", b"2", first, second),
            (b"c", b"", second, second),
        ]
        assert not found.more

    def test_each_transaction_that_writes_takes_the_next_revision(self, keys: Keys) -> None:
        first = keys.put(a=b"1")
        [outcome] = keys.driver.run([DriverTransaction(then=[Range(keys.key(b"a"))])])
        assert outcome.revision == first
        assert [keys.put(a=b"1"), keys.put(b=b"1")] == [first + 1, first + 2]

    def test_range_is_half_open_and_one_key_is_one_key(self, keys: Keys) -> None:
        keys.put(a=b"", aa=b"", b=b"", c=b"")
        assert keys.names(Range(keys.key(b"aa"), keys.key(b"c"))) == [b"aa", b"b"]
        assert keys.names(Range(keys.key(b"a"))) == [b"a"]
        assert keys.names(Range(keys.key(b"ab"))) == []

    @pytest.mark.parametrize("reverse", [False, True])
    def test_limit_takes_from_either_end(self, keys: Keys, reverse: bool) -> None:
        keys.put(a=b"", b=b"", c=b"")
        asked = Range(keys.prefix, keys.stop, limit=2, reverse=reverse)
        assert keys.names(asked) == ([b"c", b"b"] if reverse else [b"a", b"b"])
        assert keys.find(asked).more
        assert not keys.find(Range(keys.prefix, keys.stop, limit=3, reverse=reverse)).more

    def test_keys_without_values_and_counts_without_keys(self, keys: Keys) -> None:
        keys.put(a=b"x", b=b"y")
        assert [pair.value for pair in keys.find(Range(keys.prefix, keys.stop, keys_only=True)).pairs] == [b"", b""]
        found = keys.find(Range(keys.prefix, keys.stop, count_only=True))
        assert (list(found.pairs), found.count) == ([], 2)

    def test_older_revision_is_as_it_was(self, keys: Keys) -> None:
        seen = keys.put(a=b"1", b=b"1")
        keys.put(a=b"2", c=b"2")
        keys.delete(b"b")
        assert keys.all(seen) == [b"a=1", b"b=1"]
        assert keys.all(seen + 1) == [b"a=2", b"b=1", b"c=2"]
        assert keys.all() == [b"a=2", b"c=2"]

    def test_pairs_later_than_a_revision(self, keys: Keys) -> None:
        seen = keys.put(a=b"1", b=b"1")
        keys.put(a=b"2", c=b"2")
        assert keys.all(modified_after=seen) == [b"a=2", b"c=2"]
        assert keys.all(created_after=seen) == [b"c=2"]
        assert keys.all(modified_after=seen, limit=1) == [b"a=2"]

    def test_revision_that_is_not_there_yet(self, keys: Keys) -> None:
        seen = keys.put(a=b"1")
        with pytest.raises(RevisionAheadError):
            keys.all(seen + 1000)

    def test_discarded_revision_is_gone_and_the_one_discarded_up_to_is_not(self, keys: Keys) -> None:
        first = keys.put(a=b"1", b=b"1")
        second = keys.put(a=b"2")
        keys.delete(b"b")
        keys.driver.discard(second)
        keys.driver.discard(second)
        assert keys.all(second) == [b"a=2", b"b=1"]
        with pytest.raises(RevisionGoneError):
            keys.all(first)

    @pytest.mark.parametrize("fresh", [False, True])
    def test_connection_sees_what_it_has_committed(self, open_driver: OpenDriver, keys: Keys, fresh: bool) -> None:
        other = open_driver()
        for number in range(20):
            keys.put(a=b"%d" % number)
            for driver in (keys.driver, other) if fresh else (keys.driver,):
                [outcome] = driver.run([DriverTransaction(then=[Range(keys.key(b"a"))])], fresh=fresh)
                assert outcome.found[0].pairs[0].value == b"%d" % number


class TestConditions:
    def test_of_revisions(self, keys: Keys) -> None:
        first = keys.put(a=b"1", b=b"1")
        second = keys.put(b=b"2")
        assert keys.holds(Condition.MODIFIED_AT, first, b"a")
        assert not keys.holds(Condition.MODIFIED_AT, first, b"b")
        assert keys.holds(Condition.MODIFIED_AT, 0, b"c")
        assert not keys.holds(Condition.MODIFIED_AT, 0, b"a")
        assert keys.holds(Condition.MODIFIED_SINCE, first, b"a")
        assert keys.holds(Condition.MODIFIED_SINCE, first - 1, b"a")
        assert not keys.holds(Condition.MODIFIED_SINCE, first + 1, b"a")
        assert not keys.holds(Condition.MODIFIED_SINCE, 1, b"c")
        assert keys.holds(Condition.MODIFIED_UP_TO, first, b"a")
        assert keys.holds(Condition.MODIFIED_UP_TO, first, b"c")
        assert not keys.holds(Condition.MODIFIED_UP_TO, first, b"a", b"z")
        assert keys.holds(Condition.MODIFIED_UP_TO, second, b"a", b"z")
        assert keys.holds(Condition.MODIFIED_UP_TO, first, b"c", b"z")
        assert keys.holds(Condition.CREATED_UP_TO, first, b"a", b"z")
        keys.delete(b"b")
        third = keys.put(b=b"3")
        assert not keys.holds(Condition.CREATED_UP_TO, second, b"a", b"z")
        assert keys.holds(Condition.CREATED_UP_TO, third, b"a", b"z")

    def test_deleted_key_leaves_a_range_that_holds(self, keys: Keys) -> None:
        """This is what OrderedStore's marks are for."""
        seen = keys.put(a=b"1", b=b"1")
        keys.delete(b"b")
        assert keys.holds(Condition.MODIFIED_UP_TO, seen, b"a", b"z")

    def test_of_values(self, keys: Keys) -> None:
        keys.put(a=b"m")
        assert keys.holds(Condition.VALUE_IS, b"m", b"a")
        assert not keys.holds(Condition.VALUE_IS, b"n", b"a")
        assert not keys.holds(Condition.VALUE_IS, b"", b"absent")
        assert keys.holds(Condition.VALUE_BELOW, b"n", b"a")
        assert not keys.holds(Condition.VALUE_BELOW, b"m", b"a")
        assert not keys.holds(Condition.VALUE_BELOW, b"n", b"absent")

    def test_all_must_hold_and_otherwise_nothing_is_written(self, keys: Keys) -> None:
        revision = keys.put(a=b"1")
        good = DriverCompare(Condition.MODIFIED_AT, revision, keys.key(b"a"))
        bad = DriverCompare(Condition.MODIFIED_AT, 0, keys.key(b"a"))
        asked = [Range(keys.key(b"a")), Range(keys.key(b"b"))]
        [outcome] = keys.driver.run([DriverTransaction([good, bad], [Put(keys.key(b"b"), b"")], otherwise=asked)])
        assert (outcome.held, outcome.revision) == (False, revision)
        assert [len(found.pairs) for found in outcome.found] == [1, 0]
        assert keys.write(Put(keys.key(b"b"), b""), conditions=[good]).held
        assert keys.all() == [b"a=1", b"b="]


class TestWrites:
    def test_reads_of_a_transaction_see_what_was_before_it(self, keys: Keys) -> None:
        keys.put(a=b"1", b=b"1")
        writes: list[Put | Delete | Raise] = [Put(keys.key(b"a"), b"2"), Delete(keys.key(b"b"))]
        [outcome] = keys.driver.run([DriverTransaction(writes=writes, then=[Range(keys.prefix, keys.stop)])])
        assert [pair.value for pair in outcome.found[0].pairs] == [b"1", b"1"]
        assert keys.all() == [b"a=2"]

    def test_delete_says_how_many_keys_went(self, keys: Keys) -> None:
        keys.put(a=b"", b=b"", c=b"", d=b"")
        deletes = [Delete(keys.key(b"a"), keys.key(b"c")), Delete(keys.key(b"d")), Delete(keys.key(b"e"))]
        assert list(keys.write(Put(keys.key(b"z"), b""), *deletes).deleted) == [2, 1, 0]
        assert keys.all() == [b"c=", b"z="]

    def test_raise_never_lowers(self, keys: Keys) -> None:
        for number, expected in [(5, 5), (3, 5), (5, 5), (6, 6), (0, 6)]:
            keys.write(Raise(keys.key(b"n"), number.to_bytes(8, "big")))
            assert keys.all() == [b"n=" + expected.to_bytes(8, "big")]
        keys.write(Raise(keys.key(b"zero"), bytes(8)))
        assert keys.all()[1:] == [b"zero=" + bytes(8)]

    def test_transactions_side_by_side_are_one_trip(self, keys: Keys) -> None:
        keys.put(a=b"1")
        before = keys.driver.trips
        asked = [Range(keys.key(b"a"))]
        transactions = [
            DriverTransaction(writes=[Put(keys.key(b"%d" % number), b"")], then=asked) for number in range(5)
        ]
        outcomes = keys.driver.run(transactions, aside=[DriverTransaction(writes=[Put(keys.key(b"aside"), b"")])])
        assert [outcome.found[0].pairs[0].value for outcome in outcomes] == [b"1"] * 5
        assert len({outcome.revision for outcome in outcomes}) == 5
        assert keys.driver.trips - before == 1
        assert len(keys.all()) == 7

    def test_large_transaction_and_its_large_answer(self, keys: Keys) -> None:
        """Larger than HTTP/2's windows are to begin with."""
        names = [b"%04d" % number for number in range(3000)]
        keys.write(*(Put(keys.key(name), name * 200) for name in names))
        assert keys.all() == [name + b"=" + name * 200 for name in names]


class TestChanges:
    def test_writes_and_deletes_come_in_their_order(self, keys: Keys) -> None:
        keys.put(a=b"0")
        since = keys.put(a=b"1", b=b"1")
        gone = keys.write(Delete(keys.key(b"a")), Put(keys.key(b"c"), b"2" * 100_000)).revision
        until = keys.put(b=b"3")
        keys.put(b=b"later")
        changes = keys.driver.changes(keys.prefix, keys.stop, since, until)
        assert changes is not None
        assert sorted(changes) == sorted(
            [
                *((since, keys.key(b"a")), (since, keys.key(b"b")), (gone, keys.key(b"a"))),
                *((gone, keys.key(b"c")), (until, keys.key(b"b"))),
            ]
        )
        assert [revision for revision, _ in changes] == sorted(revision for revision, _ in changes)

    def test_other_keys_are_left_out(self, keys: Keys) -> None:
        since = keys.put(a=b"1", z=b"1")
        assert keys.driver.changes(keys.key(b"a"), keys.key(b"b"), since, since) == [(since, keys.key(b"a"))]

    def test_many_changes_are_all_told(self, keys: Keys) -> None:
        since = keys.put(a=b"0")
        for number in range(30):
            until = keys.write(*(Put(keys.key(b"%04d" % (number * 100 + n)), b"x" * 500) for n in range(100))).revision
        changes = keys.driver.changes(keys.prefix, keys.stop, since, until)
        assert changes is not None
        assert len({key for _, key in changes}) == 3001

    def test_the_connection_goes_on(self, keys: Keys) -> None:
        since = keys.put(a=b"1")
        for _ in range(3):
            assert keys.driver.changes(keys.prefix, keys.stop, since, since) == [(since, keys.key(b"a"))]
            assert keys.all() == [b"a=1"]

    def test_what_was_discarded_is_not_told(self, keys: Keys) -> None:
        since = keys.put(a=b"1")
        until = keys.put(a=b"2")
        keys.driver.discard(until)
        assert keys.driver.changes(keys.prefix, keys.stop, since, until) is None
        assert keys.all() == [b"a=2"]


class TestConnection:
    def test_closed_connection_does_nothing(self, keys: Keys) -> None:
        keys.put(a=b"1")
        assert keys.driver.is_usable()
        keys.driver.close()
        keys.driver.close()
        assert not keys.driver.is_usable()
        with pytest.raises(StoreUnavailableError):
            keys.all()
