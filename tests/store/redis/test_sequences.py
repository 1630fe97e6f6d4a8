"""What a server keeps of the numbers that were taken: those of committed rows, on its disk and on its replicas."""

from __future__ import annotations

from rome.store.spi import Reserve
from rome.testing.harness import Point, SnapshotClient, put
from tests.store.redis.kit import Open, Start, admin_of
from tests.support.replicas import NearReplica
from tests.support.servers import Server

DURABLE = {"appendonly": "yes", "appendfsync": "always"}


def take(client: SnapshotClient, size: int = 1) -> int:
    return client.store.read(None, (), [Reserve(1, size)]).reserved[0]


def insert(client: SnapshotClient, key: bytes, sequences: dict[int, int]) -> None:
    client.begin()
    assert client.get(key) == [None]
    client.commit(put(key), read=[Point(1, key, 0)], sequences=sequences)


def size_of_file(server: Server) -> int:
    with admin_of(server) as admin:
        return int(admin.info("persistence")["aof_current_size"])


def test_taking_numbers_does_not_wait_for_the_disk(start: Start, connect: Open) -> None:
    server = start(DURABLE)
    client = connect(server.location("nova"))
    before = size_of_file(server)
    assert [take(client, 3), take(client)] == [1, 4]
    assert size_of_file(server) == before
    insert(client, b"a", {1: 4})
    assert size_of_file(server) > before


def test_server_that_was_killed_knows_the_committed_numbers(start: Start, connect: Open) -> None:
    """The second to commit has the lesser numbers; what nobody committed is taken again."""
    server = start(DURABLE)
    one, other = connect(server.location("nova")), connect(server.location("nova"))
    assert (take(one, 5), take(other), take(other, 100)) == (1, 6, 7)
    insert(other, b"b", {1: 6})
    before = take(one, 0)
    insert(one, b"a", {1: 5})
    assert (before, take(one, 0)) == (107, 107)
    server.kill()
    server.start()
    for client in (one, other):
        client.store.close()
    again = connect(server.location("nova"))
    again.begin()
    assert again.record(b"a") == again.record(b"b") == b"record"
    assert take(again) == 107  # the commit wrote how far it was


def test_copy_of_the_file_before_any_commit_begins_at_one(start: Start, connect: Open) -> None:
    server = start(DURABLE)
    client = connect(server.location("nova"))
    client.write(put(b"a"))
    assert take(client, 7) == 1
    server.kill()
    server.start()
    client.store.close()
    assert take(connect(server.location("nova"))) == 1


def test_replica_knows_the_committed_numbers(start: Start, connect: Open) -> None:
    primary = start({"repl-diskless-sync-delay": "0"})
    client = connect(primary.location("nova"))
    pair = NearReplica(primary, start)
    assert (take(client, 2), take(client, 9)) == (1, 3)
    insert(client, b"a", {1: 2})
    take(client, 50)
    pair.await_all()
    pair.link.close()
    primary.kill()
    with pair.client() as replica:
        replica.replicaof("NO", "ONE")
    assert take(connect(pair.server.location("nova"))) == 12
