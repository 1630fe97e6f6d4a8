"""Who discards a cluster's old revisions, and what a transaction is told that needs one that is gone."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

import rome
from rome.errors import SnapshotTooOldError, StoreFullError
from rome.store.diagnosis import Level
from rome.store.etcd.client import EtcdClient
from rome.store.etcd.driver import EtcdDriver
from rome.store.etcd.settings import read_settings
from rome.store.ordered.driver import DriverTransaction, Put, Range, RevisionGoneError
from tests.support.etcd_servers import Member

pytestmark = pytest.mark.etcd

StartMember = Callable[..., Member]


@pytest.mark.parametrize(
    ("compact", "key", "is_discarded"),
    [
        ("true", b"rome/x", True),
        ("true", b"registry/pods", True),
        ("auto", b"rome/x", True),
        ("auto", b"registry/pods", False),
        ("auto", b"service", False),
        ("auto", b"rome0", False),
        ("false", b"rome/x", False),
    ],
)
def test_the_history_of_others_is_not_discarded_unless_the_url_says_so(
    start_member: StartMember, compact: str, key: bytes, is_discarded: bool
) -> None:
    member = start_member()
    driver = EtcdDriver(EtcdClient(read_settings(member.location("x", compact=compact))))
    [first, second] = [driver.run([DriverTransaction(writes=[Put(key, value)])])[0].revision for value in (b"1", b"2")]
    driver.discard(second)
    asked = [DriverTransaction(then=[Range(key, revision=first)])]
    if is_discarded:
        with pytest.raises(RevisionGoneError):
            driver.run(asked)
    else:
        assert driver.run(asked)[0].found[0].pairs[0].value == b"1"
    driver.close()


def test_server_that_compacts_too_early_is_named(start_member: StartMember) -> None:
    """Whatever the reason; a compaction by time is the one that can be waited for."""
    member = start_member({"auto-compaction-mode": "periodic", "auto-compaction-retention": "1s"})
    reader, writer = (rome.connect(member.url("x", compact="false"), replay="off") for _ in range(2))
    reader.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)")
    reader.executemany("INSERT INTO t VALUES (?, 0)", [(number,) for number in range(600)])
    reader.commit()

    def read_until_it_fails() -> None:
        for number in range(600):
            writer.execute("UPDATE t SET n = 1 WHERE id = ?", (number,))
            writer.commit()
            assert reader.execute("SELECT n FROM t WHERE id = ?", (number,)).fetchall() == [(0,)] or not number
            time.sleep(0.05)

    with pytest.raises(SnapshotTooOldError, match=r"has discarded .* retention of 60 s is not over.*rome doctor"):
        read_until_it_fails()
    reader.rollback()
    told = next(each for each in rome.diagnose(member.url("x")).findings if each.check == "compaction")
    assert told.level is Level.WARNING
    assert "and the retention is 60 s" in told.reason
    assert reader.execute("SELECT sum(n) FROM t").fetchone()[0] > 1
    reader.close()
    writer.close()


def test_full_cluster_says_what_to_do_and_can_be_emptied(start_member: StartMember) -> None:
    """Reads go on, and old versions can be discarded. All else waits for the operator."""
    member = start_member({"quota-backend-bytes": str(4 * 1024 * 1024)})
    connection = rome.connect(member.url("x"))
    rome.set_retention(member.url("x"), seconds=1)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, data)")
    connection.commit()

    def fill() -> None:
        for number in range(100):
            connection.execute("INSERT INTO t VALUES (?, ?)", (number, "x" * 100_000))
            connection.commit()

    with pytest.raises(StoreFullError, match=r"space exceeded.*compact.*docs/etcd.md"):
        fill()
    connection.rollback()
    assert connection.execute("SELECT count(*) FROM t").fetchone()[0] > 10
    connection.rollback()
    connection.execute("DELETE FROM t")
    with pytest.raises(StoreFullError):
        connection.commit()
    connection.close()
    time.sleep(1.1)  # the retention
    assert rome.trim(member.url("x")) > 0
    alarms = rome.diagnose(member.url("x"))
    assert any(each.check == "alarms" and "etcdctl defrag" in each.remedy for each in alarms.findings)
