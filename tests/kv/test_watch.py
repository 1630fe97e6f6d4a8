"""Watching: every change at least once, in the order of commits, from any position within the retention."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import msgspec
import pytest

import rome
from rome.errors import InterfaceError, SnapshotLostError, SnapshotTooOldError
from rome.kv import KeyChange, KvDatabase, database, feed
from rome.kv.watch import FeedPosition
from rome.store.spi import Snapshot
from tests.kv.conftest import OpenKv


class Item(msgspec.Struct):
    id: int
    text: str = ""


def put(db: KvDatabase, *names: str) -> int:
    with db.transaction() as tr:
        for name in names:
            tr.put(("k", name), 1)
    assert tr.version is not None
    return tr.version


def shown(changes: list[KeyChange]) -> list[Any]:
    return [(change.key[-1], change.deleted) for change in changes]


def test_changes_come_in_the_order_of_commits(db: KvDatabase, other: KvDatabase) -> None:
    put(db, "before")
    with db.watch() as watch:
        assert watch.poll() == []
        versions = [put(other, "b", "a"), put(db, "c")]
        with other.transaction() as tr:
            tr.delete(("k", "a"))
            tr.put(("elsewhere",), 1)
        found = watch.poll()
        assert shown(found) == [("b", False), ("a", False), ("c", False), ("a", True), ("elsewhere", False)]
        assert [change.version for change in found] == [versions[0], *versions, tr.version, tr.version]
        assert {change.collection for change in found} == {None}
        assert watch.poll() == []
        put(db, "a")
        assert shown(watch.poll()) == [("a", False)]


def test_a_watch_goes_on_from_every_position(db: KvDatabase) -> None:
    start = db.position()
    for name in "abcd":
        put(db, name)
    with db.watch(since=start) as watch:
        found = watch.poll()
        end = watch.position
    assert shown(found) == [(name, False) for name in "abcd"]
    for number, change in enumerate(found):
        with db.watch(since=change.position) as watch:
            assert watch.poll() == found[number + 1 :]
    with db.watch(since=end) as watch:
        assert watch.poll() == []


def test_a_transaction_and_a_watch_leave_no_gap(db: KvDatabase, other: KvDatabase) -> None:
    put(db, "a")
    with db.transaction() as tr:
        assert len(tr.range()) == 1
        put(other, "b")
        position = tr.position
    with db.transaction() as tr:
        later = tr.position
    with db.watch(since=position) as watch:
        assert shown(watch.poll()) == [("b", False)]
    with db.watch(since=later) as watch:
        assert watch.poll() == []


def test_a_prefix_or_a_collection(db: KvDatabase) -> None:
    items = db.collection("items", Item, key="id", indexes=["text"])
    with db.watch(("k", "a")) as keys, db.watch(collection=items) as all_items, db.watch((2,), collection=items) as two:
        with db.transaction() as tr:
            tr.put(("k", "a", 1), 1)
            tr.put(("k", "ab"), 1)
            items.put(tr, Item(1))
            items.put(tr, Item(2))
        with db.transaction() as tr:
            items.delete(tr, 2)
            items.delete(tr, 9)
        assert [change.key for change in keys.poll()] == [("k", "a", 1)]
        found = all_items.poll()
        assert [(change.collection, change.key, change.deleted) for change in found] == [
            ("items", (1,), False),
            ("items", (2,), False),
            ("items", (2,), True),
        ]
        assert shown(two.poll()) == [(2, False), (2, True)]


def test_epochs_and_trimming_lose_nothing(db: KvDatabase, other: KvDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new epoch begins with every third commit, whoever makes it; others meet it at COMMIT, and send again."""
    monkeypatch.setattr(database, "EPOCH_COMMITS", 3)
    start = db.position()
    with db.watch() as watch:
        names = [f"n{number}" for number in range(20)]
        found: list[Any] = []
        for number, name in enumerate(names):
            put(db if number % 3 else other, name)
            if number % 4 == 0:
                found += shown(watch.poll())
        found += shown(watch.poll())
        assert found == [(name, False) for name in names]
        epoch = FeedPosition.parse(watch.position).epoch
        assert epoch >= 4
    with db.watch(since=start) as watch:
        assert shown(watch.poll()) == found


def test_many_writers_lose_nothing(url: str, open_kv: OpenKv, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "EPOCH_COMMITS", 5)
    databases = [open_kv() for _ in range(3)]
    with databases[0].watch() as watch:

        def write(number: int) -> None:
            put(databases[number % 3], f"n{number}")

        found: list[KeyChange] = []
        with ThreadPoolExecutor(3) as threads:
            writes = [threads.submit(write, number) for number in range(45)]
            while not all(each.done() for each in writes):
                found += watch.poll()
        found += watch.poll()
        for each in writes:
            each.result()
    assert sorted(str(change.key[1]) for change in found) == sorted(f"n{number}" for number in range(45))
    assert [change.version for change in found] == sorted(change.version for change in found)


def test_what_the_retention_has_discarded_is_an_error(
    db: KvDatabase, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "EPOCH_COMMITS", 2)
    monkeypatch.setattr(feed, "TRIM_ROWS", 1)
    start = db.position()
    for name in "abcd":
        put(db, name)
    rome.set_retention(url, seconds=0)
    time.sleep(0.01)
    for name in "efgh":
        put(db, name)
    with db.watch(since=start) as watch, pytest.raises(SnapshotTooOldError, match="Read everything again, and watch"):
        watch.poll()
    with db.watch() as watch:
        put(db, "i")
        assert shown(watch.poll()) == [("i", False)]


def test_a_position_of_another_history_is_an_error(db: KvDatabase) -> None:
    put(db, "a")
    here = FeedPosition.parse(db.position())
    for there in (here._replace(incarnation=bytes(16)), here._replace(version=here.version + 1)):
        with (
            db.watch(since=str(there)) as watch,
            pytest.raises(SnapshotLostError, match="from which this watch goes on"),
        ):
            watch.poll()
    for text in ("", "12", f"{here.incarnation.hex()}:x:1"):
        with pytest.raises(InterfaceError, match="is no position: take it from"):
            db.watch(since=text)


def test_iteration_waits_and_ends_with_close(db: KvDatabase) -> None:
    watch = db.watch(poll_s=0.001)
    found: list[Any] = []

    def look() -> None:
        for change in watch:
            found.append(change.key[1])
            if change.key[1] == "b":
                return

    thread = Thread(target=look)
    thread.start()
    put(db, "a")
    put(db, "b")
    thread.join(60)
    assert found == ["a", "b"]
    put(db, "c")
    assert shown(watch.wait(60)) == [("c", False)]
    assert watch.wait(0) == []
    forever = Thread(target=lambda: [None for _ in watch])
    forever.start()
    watch.close()
    forever.join(60)
    assert not forever.is_alive()
    with pytest.raises(InterfaceError, match="this watch is closed"):
        watch.poll()


def test_an_aborted_transaction_tells_nothing(db: KvDatabase) -> None:
    with db.watch() as watch:
        with pytest.raises(ZeroDivisionError), db.transaction() as tr:
            tr.put(("k", "a"), 1)
            raise ZeroDivisionError
        assert watch.poll() == []


def test_a_position_is_the_least_that_a_replica_must_have(db: KvDatabase) -> None:
    """Of another process, perhaps; a replica that lags would look like a store that has lost commits."""
    put(db, "a")
    here = FeedPosition.parse(db.position())
    with db.watch(since=str(here)) as watch:
        assert watch.poll() == []
        assert watch._store.at_least == Snapshot(here.incarnation, here.version)
