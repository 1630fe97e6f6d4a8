"""Plain keys in transactions: what is read, written, counted, and what conflicts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy

import rome
import rome.kv
from rome.errors import (
    ConflictError,
    DataError,
    InterfaceError,
    TransactionTooLargeError,
    URLError,
    WorkingSetFullError,
)
from rome.kv import KvDatabase, KvTransaction
from rome.store.registry import store_class
from tests.kv.conftest import OpenKv


def put(db: KvDatabase, **values: Any) -> None:
    with db.transaction() as tr:
        for name, value in values.items():
            tr.put(("k", name), value)


def everything(db: KvDatabase) -> list[tuple[Any, Any]]:
    with db.transaction() as tr:
        return tr.range()


def test_a_value_comes_back_as_it_was(db: KvDatabase, other: KvDatabase) -> None:
    values = [None, True, 2**63 - 1, -5, 1.0, "é", b"\x00\xff", [], {}, [1, [2.5, None]], {"a": {"b": [b"c"]}, 1: 2}]
    with db.transaction() as tr:
        for number, value in enumerate(values):
            tr.put(("v", number), value)
        assert tr.version is None
    assert tr.version is not None
    with other.transaction() as tr:
        found = tr.get_many([("v", number) for number in range(len(values))])
        assert found == values
        assert [*map(type, found)] == [*map(type, values)]
        assert tr.get(("v", 99)) is None
        assert tr.get(("v", 99), "nothing") == "nothing"
        assert tr.get_many([("v", 0), ("v", 99)], "nothing") == [None, "nothing"]


def test_keys_of_every_kind_come_back_in_order(db: KvDatabase) -> None:
    keys: list[Any] = [
        (None,), (-1.5,), (-1,), (0,), (1,), (1, None), (1, "a"), (1.5,), (2**53 + 1,),
        ("",), ("a",), ("a", 1), ("a\0",), ("b",), (b"",), (b"\xff",), ("x" * 3000,), ("x" * 3000, 1),
    ]  # fmt: skip
    ordered = [*keys[:14], *keys[16:], *keys[14:16]]
    with db.transaction() as tr:
        for key in keys:
            tr.put(key, len(key))
        assert [key for key, _ in tr.range()] == ordered
    assert [key for key, _ in everything(db)] == ordered


def test_ranges(db: KvDatabase) -> None:
    with db.transaction() as tr:
        for letter in "abc":
            tr.put((letter,), 0)
            for number in range(5):
                tr.put((letter, number), number)

    def keys(**how: Any) -> list[Any]:
        with db.transaction() as tr:
            return [key for key, _ in tr.range(**how)]

    assert keys(prefix=("b",)) == [("b",), *(("b", n) for n in range(5))]
    assert keys(prefix=("b", 3)) == [("b", 3)]
    assert keys(prefix=("z",)) == []
    assert keys(start=("b", 3), stop=("c", 1)) == [("b", 3), ("b", 4), ("c",), ("c", 0)]
    assert keys(prefix=("b",), after=("b", 2)) == [("b", 3), ("b", 4)]
    assert keys(after=("b",), limit=1) == [("b", 0)]
    assert keys(stop=("b",), reverse=True, limit=2) == [("a", 4), ("a", 3)]
    assert keys(prefix=("b",), start=("a",), stop=("z",), limit=2) == [("b",), ("b", 0)]
    assert keys(start=("c",), stop=("a",)) == []
    with db.transaction() as tr:
        assert tr.count() == 18
        assert tr.count(("b",)) == 6
        assert tr.count(start=("b", 3), stop=("c", 1)) == 4
        assert tr.count(start=("c",), stop=("a",)) == 0


@pytest.mark.parametrize("reverse", [False, True])
def test_a_transaction_sees_its_own_writes(db: KvDatabase, reverse: bool) -> None:
    put(db, a=1, c=3, e=5, g=7)
    with db.transaction() as tr:
        tr.put(("k", "b"), 2)
        tr.put(("k", "c"), 33)
        tr.delete(("k", "e"))
        tr.delete(("k", "nowhere"))
        tr.put(("k", "z"), 26)
        assert tr.get(("k", "b")) == 2
        assert tr.get(("k", "e")) is None
        expected = [("a", 1), ("b", 2), ("c", 33), ("g", 7), ("z", 26)]
        if reverse:
            expected.reverse()
        for limit in (None, 1, 2, 3, 4, 5, 6):
            found = [(key[1], value) for key, value in tr.range(("k",), limit=limit, reverse=reverse)]
            assert found == expected[:limit]
        assert tr.count(("k",)) == 5
        assert tr.count(start=("k", "b"), stop=("k", "f")) == 2
        tr.delete(("k", "b"))
        tr.put(("k", "e"), 55)
        assert tr.count(("k",)) == 5
    assert [(key[1], value) for key, value in everything(db)] == [("a", 1), ("c", 33), ("e", 55), ("g", 7), ("z", 26)]


def test_a_block_that_an_exception_leaves_writes_nothing(db: KvDatabase) -> None:
    put(db, a=1)
    with pytest.raises(ZeroDivisionError), db.transaction() as tr:
        tr.put(("k", "a"), 2)
        raise ZeroDivisionError
    assert everything(db) == [(("k", "a"), 1)]


def test_a_snapshot_does_not_move(db: KvDatabase, other: KvDatabase) -> None:
    put(db, a=1, b=1)
    with db.transaction() as tr:
        assert tr.get(("k", "a")) == 1
        put(other, b=2, c=2)
        assert [value for _, value in tr.range()] == [1, 1]
    assert [value for _, value in everything(db)] == [1, 2, 2]


def lose(db: KvDatabase, other: KvDatabase, read: Any) -> str:
    """Read, let another one change `a` and insert `b`, write: the message of the conflict."""
    put(db, a=1)
    with pytest.raises(ConflictError) as caught, db.transaction() as tr:
        read(tr)
        put(other, a=2, b=2)
        tr.put(("mine",), 1)
    assert caught.value.retryable
    with db.transaction() as tr:
        assert tr.get(("mine",)) is None
    return str(caught.value)


def test_a_changed_key_conflicts(db: KvDatabase, other: KvDatabase) -> None:
    told = lose(db, other, lambda tr: tr.get(("k", "a")))
    assert told == (
        "key ('k', 'a') was changed by another transaction since this one read it; run the transaction again "
        "(transactional of rome.kv does it)"
    )


def test_an_absent_key_that_came_conflicts(db: KvDatabase, other: KvDatabase) -> None:
    assert "key ('k', 'b')" in lose(db, other, lambda tr: tr.get(("k", "b")))


def test_a_range_into_which_a_key_came_conflicts(db: KvDatabase, other: KvDatabase) -> None:
    told = lose(db, other, lambda tr: tr.range(("k",)))
    assert told.startswith("another transaction has added, changed or deleted keys from ('k') on since this one read")


def test_a_count_conflicts_with_what_came(db: KvDatabase, other: KvDatabase) -> None:
    lose(db, other, lambda tr: tr.count(("k",)))


def test_a_limited_range_conflicts_only_as_far_as_it_was_read(db: KvDatabase, other: KvDatabase) -> None:
    put(db, a=1, b=1, c=1)
    with db.transaction() as tr:
        assert len(tr.range(("k",), limit=1)) == 1
        put(other, c=2)
        tr.put(("mine",), 1)
    with pytest.raises(ConflictError), db.transaction() as tr:
        assert len(tr.range(("k",), limit=2)) == 2
        put(other, b=2)
        tr.put(("mine",), 2)


def test_writes_without_reads_do_not_conflict(db: KvDatabase, other: KvDatabase) -> None:
    put(db, a=1)
    with db.transaction() as tr:
        tr.put(("k", "a"), 3)
        put(other, a=2)
    assert everything(db) == [(("k", "a"), 3)]


def test_a_read_only_block_never_conflicts(db: KvDatabase, other: KvDatabase) -> None:
    put(db, a=1)
    with db.transaction() as tr:
        tr.range()
        put(other, a=2)
    assert tr.version is None


def test_snapshot_isolation_allows_write_skew_and_no_lost_update(open_kv: OpenKv) -> None:
    db, other = open_kv(isolation_level="SNAPSHOT"), open_kv(isolation_level="REPEATABLE READ")
    put(db, a=1, b=1)
    with db.transaction() as tr:
        tr.get(("k", "a"))
        put(other, a=2)
        tr.put(("k", "b"), 2)
    with pytest.raises(ConflictError), db.transaction() as tr:
        tr.put(("k", "a"), tr.get(("k", "a")) + 1)
        put(other, a=7)
    with pytest.raises(ConflictError), db.transaction() as tr:
        assert tr.get(("k", "new")) is None
        tr.put(("k", "new"), 1)
        put(other, new=7)


def test_transactional_runs_again_until_it_wins(db: KvDatabase, other: KvDatabase) -> None:
    put(db, n=0)
    runs: list[int] = []

    @db.transactional
    def add(tr: KvTransaction, much: int) -> int:
        """Add to n."""
        value: int = tr.get(("k", "n")) + much
        if len(runs) < 2:
            runs.append(value)
            put(other, n=value * 10)
        tr.put(("k", "n"), value)
        return value

    assert add(1) == 111
    assert runs == [1, 11]
    assert add.__doc__ == "Add to n."


def test_transactional_is_bounded(db: KvDatabase, other: KvDatabase) -> None:
    put(db, n=0)
    runs = []

    @db.transactional(max_attempts=3, first_wait_s=0)
    def never(tr: KvTransaction) -> None:
        runs.append(tr.get(("k", "n")))
        put(other, n=len(runs))
        tr.put(("k", "m"), 1)

    with pytest.raises(ConflictError) as caught:
        never()
    assert runs == [0, 1, 2]
    assert caught.value.__notes__ == ["transactional of rome.kv gave up after 3 attempts (max_attempts)"]


def test_transactional_leaves_other_exceptions_alone(db: KvDatabase) -> None:
    runs = []

    @db.transactional
    def fail(tr: KvTransaction) -> None:
        runs.append(1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()
    assert runs == [1]


def test_threads_that_add_lose_nothing(db: KvDatabase) -> None:
    @db.transactional(max_attempts=1000)
    def add(tr: KvTransaction) -> None:
        tr.put(("n",), tr.get(("n",), 0) + 1)

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(add) for _ in range(40)]:
            done.result()
    assert everything(db) == [(("n",), 40)]


# ------------------------------------------------------------ wrong use
def test_a_transaction_ends_with_its_block(db: KvDatabase) -> None:
    with db.transaction() as tr:
        pass
    for use in (
        lambda: tr.get(("k",)),
        lambda: tr.put(("k",), 1),
        lambda: tr.delete(("k",)),
        lambda: tr.range(),
        lambda: tr.range(start=("b",), stop=("a",)),
        lambda: tr.count(),
        lambda: tr.position,
    ):
        with pytest.raises(InterfaceError, match=r"has ended: use it inside its `with db.transaction\(\)` block"):
            use()


def test_transactions_do_not_nest(db: KvDatabase, other: KvDatabase) -> None:
    with db.transaction():
        with pytest.raises(InterfaceError, match="in a transaction of this database already"), db.transaction():
            pass
        with other.transaction():
            pass
    with db.transaction():
        pass


def test_a_limit_may_be_larger_than_any_answer(db: KvDatabase) -> None:
    with db.transaction() as tr:
        tr.put(("k",), 1)
    for limit in (2**31, 2**63, 2**70):
        with db.transaction() as tr:
            assert tr.range(limit=limit) == [(("k",), 1)]


def test_values_that_would_come_back_changed_are_refused(db: KvDatabase) -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    with db.transaction() as tr:
        for value, complaint in [
            (deep, "nested too deeply"),
            ((1, 2), "type tuple"),
            ({"a": {1, 2}}, "type set"),
            ([object()], "type object"),
            ({(1,): 2}, "a key of type tuple"),
            (2**64, "beyond 64 bits"),
            ("\ud800", "lone surrogate"),
            ("x" * (1 << 20), r"takes 1,048,\d+ bytes, and at most 1,048,576 are possible: store it in parts"),
        ]:
            with pytest.raises(DataError, match=complaint):
                tr.put(("k",), value)
        with pytest.raises(InterfaceError, match="limit is a number from 1 on, and not 0"):
            tr.range(limit=0)
    assert everything(db) == []


def test_a_transaction_that_is_too_large_is_refused_in_kv_words(open_kv: OpenKv) -> None:
    db = open_kv(max_commit_rows=10)
    with pytest.raises(TransactionTooLargeError, match=r"writes 20 keys, .* at most 10 rows"), db.transaction() as tr:
        for number in range(20):
            tr.put(("k", number), number)
    assert everything(db) == []


def test_a_transaction_beyond_the_limit_of_the_store_is_refused_in_kv_words(
    open_kv: OpenKv, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = open_kv()
    store = store_class(sqlalchemy.make_url(url).drivername.removeprefix("rome+"))
    monkeypatch.setattr(store, "capabilities", replace(store.capabilities, max_commit_bytes=5_000))
    with (
        pytest.raises(TransactionTooLargeError, match=r"writes 2 keys, .*the store takes 5,000 bytes") as caught,
        db.transaction() as tr,
    ):
        tr.put(("k", 1), "x" * 4000)
        tr.put(("k", 2), "x" * 4000)
    assert "URL" not in str(caught.value)
    assert everything(db) == []


def test_a_range_that_memory_does_not_hold_is_refused(open_kv: OpenKv) -> None:
    db = open_kv(max_working_set="16K")
    put(db, **{f"k{n}": "x" * 1000 for n in range(20)})
    with db.transaction() as tr:
        with pytest.raises(WorkingSetFullError, match="read with `limit`"):
            tr.range()
        assert tr.count() == 20


def test_a_closed_database_refuses(db: KvDatabase) -> None:
    db.close()
    with pytest.raises(InterfaceError, match="this database is closed"), db.transaction():
        pass
    with pytest.raises(InterfaceError, match="this database is closed"):
        db.watch()
    db.close()


@pytest.mark.parametrize("level", ["READ COMMITTED", "AUTOCOMMIT"])
def test_levels_without_one_snapshot_are_refused(url: str, level: str) -> None:
    with pytest.raises(URLError, match=f"no isolation level {level}"):
        rome.kv.open(url, isolation_level=level)


def test_private_databases_do_not_share() -> None:
    with rome.kv.open("rome+memory://") as one, rome.kv.open("rome+memory://") as two:
        put(one, a=1)
        assert everything(two) == []


def test_transactional_refuses_what_is_not_done_when_it_returns(db: KvDatabase) -> None:
    async def later(tr: KvTransaction) -> None: ...

    with pytest.raises(TypeError, match=r"asyncio.to_thread"):
        db.transactional(later)
