"""rome.kv with reads=near: a replica that lags costs trips, and changes nothing that is promised."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import rome
import rome.kv
from rome.kv import KvTransaction, database
from tests.support.replicas import NearReplica
from tests.support.servers import StartServer

pytestmark = pytest.mark.redis


@pytest.fixture
def replica(start_server: StartServer) -> Iterator[NearReplica]:
    primary = start_server("redis", {"appendonly": "yes", "appendfsync": "no"})
    replica = NearReplica(primary, lambda options: start_server("redis", options))
    yield replica
    replica.link.close()


def test_a_replica_that_is_behind(replica: NearReplica, monkeypatch: pytest.MonkeyPatch) -> None:
    """Own commits are seen, epochs of the feed pass, and a watch misses nothing."""
    monkeypatch.setattr(database, "EPOCH_COMMITS", 2)
    with rome.kv.open(replica.url("kv")) as near, rome.kv.open(replica.url("kv").partition("?")[0]) as far:

        @near.transactional
        def add(tr: KvTransaction) -> int:
            number: int = tr.get(("n",), 0) + 1
            tr.put(("n",), number)
            return number

        assert add() == 1
        with near.watch() as watch:
            with replica.behind():
                assert [add() for _ in range(6)] == [2, 3, 4, 5, 6, 7]
                with far.transaction() as tr:
                    tr.put(("n",), 100)
                assert add() == 101
                position = near.position()
                with near.watch(since=position) as later:
                    assert later.poll() == []
            replica.await_all()
            assert len(watch.poll()) == 8
