"""A cluster: how the primary of a database is found, and followed when its slot moves or a replica is promoted."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from secrets import token_hex
from typing import Any

import pytest
import redis
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

import rome
from rome.errors import (
    CommitUnknownError,
    NotReplicatedError,
    OperationalError,
    SnapshotLostError,
    StoreBusyError,
    StoreConfigError,
    StoreUnavailableError,
)
from rome.store.location import Location
from rome.store.option_values import Address
from rome.store.redis import RedisStore, primary, scripts, store
from rome.store.redis.cluster import SlotRange, ask_slots
from rome.store.redis.failures import SlotMovedError
from rome.store.redis.link import Reply
from rome.store.redis.names import meta_key, slot_of
from rome.store.redis.settings import RedisSettings
from rome.store.redis.wire import Command
from rome.store.spi import BEYOND, Claim, Count, Drop, Get, Reserve, Retention, Scan
from rome.testing.harness import SnapshotClient, enter, leave, put
from tests.store.redis.kit import Open, Start, StartCluster, admin_of, content, dump, keys_of, link_of, with_options
from tests.store.redis.test_tls import AUTHORITY, CERTIFICATES, Front
from tests.support.cluster_servers import (
    SLOTS,
    Cluster,
    SlotMove,
    await_that,
    facts_of,
    move_slot,
    move_slot_at_once,
    send_to,
)
from tests.support.servers import Flavour, Server


@pytest.fixture
def place(cluster: Cluster) -> Iterator[Location]:
    """A database of the test's own, in a slot of its own."""
    location = cluster.location(f"test-{token_hex(8)}")
    yield location
    slot = _slot(location)
    home = cluster.nodes[next(shard for shard in range(3) if slot < SLOTS * (shard + 1) // 3)]
    if cluster.owner(slot) is not home:
        move_slot(cluster, slot, home)
    RedisStore.drop_database(location)


def _slot(location: Location) -> int:
    slot = location.options.get("slot")
    return slot_of(meta_key(location.database, None if slot is None else int(slot)))


def _unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port: int = unused.getsockname()[1]
        return port


def _owner(cluster: Cluster, location: Location) -> Server:
    owner = cluster.owner(_slot(location))
    assert owner is not None
    return owner


class TestPrimaryIsFound:
    @pytest.mark.parametrize("slot", [0, 5460, 5461, 10921, 10922, 16383])
    def test_through_every_node(self, cluster: Cluster, connect: Open, slot: int) -> None:
        name = f"test-{token_hex(8)}"
        for number in range(3):
            client = connect(cluster.location(name, number, slot=str(slot)))
            client.write(put(b"%d" % number))
            client.begin()
            assert len(client.keys()) == number + 1
        with admin_of(cluster.nodes[slot // 5461 if slot < 10922 else 2]) as admin:
            assert admin.exists(meta_key(name, slot))
        RedisStore.drop_database(cluster.location(name, slot=str(slot)))

    def test_when_other_nodes_of_the_url_are_down(self, cluster: Cluster, connect: Open, place: Location) -> None:
        down = f"127.0.0.1:{_unused_port()}"
        up = f"127.0.0.1:{place.port}"
        client = connect(with_options(replace(place, port=_unused_port()), host=f"{down},{up}"))
        client.write(put(b"a"))
        client.begin()
        assert client.keys() == [b"a"]

    def test_node_that_answered_is_asked_first_the_next_time(
        self, connect: Open, place: Location, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        down = _unused_port()
        at = with_options(replace(place, port=down), host=f"127.0.0.1:{place.port}")
        connect(at)
        asked: list[int] = []

        def ask(settings: RedisSettings, node: Address) -> list[SlotRange]:
            asked.append(node[1])
            return ask_slots(settings, node)

        monkeypatch.setattr(primary, "ask_slots", ask)
        connect(at)
        assert asked == [place.port]

    def test_not_when_all_nodes_of_the_url_are_down(self, cluster: Cluster) -> None:
        one, two = _unused_port(), _unused_port()
        at = Location("redis", "nova", "127.0.0.1", one, options={"cluster": "on", "host": f"127.0.0.1:{two}"})
        for act in (RedisStore.open, RedisStore.list_databases, RedisStore.drop_database):
            with pytest.raises(StoreUnavailableError, match=f"127.0.0.1:{two}"):
                act(at)

    def test_although_a_node_names_another_one(
        self, cluster: Cluster, connect: Open, place: Location, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nodes learn of a change one after the other."""
        owner = _owner(cluster, place)
        wrong = next(node for node in cluster.nodes if node is not owner)
        monkeypatch.setattr(primary, "_owner", lambda ranges, slot: (wrong.host, wrong.port))
        client = connect(place)
        assert link_of(client).server == f"{owner.host}:{owner.port}"

    def test_not_when_its_slot_moves_between_the_greeting_and_what_follows(
        self, cluster: Cluster, connect: Open, place: Location, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connect(place).write(put(b"a"))
        move_slot(cluster, _slot(place))  # so that the incarnation must be renewed
        greet = primary.greet

        def greet_and_move(*arguments: Any) -> Any:
            greeted = greet(*arguments)
            move_slot(cluster, _slot(place))
            return greeted

        monkeypatch.setattr(store, "greet", greet_and_move)
        with pytest.raises(StoreBusyError, match="being moved"):
            RedisStore.open(place)
        monkeypatch.undo()
        connect(place)

    def test_not_when_nodes_send_a_client_to_each_other(
        self, cluster: Cluster, place: Location, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        owner = _owner(cluster, place)
        wrong = next(node for node in cluster.nodes if node is not owner)
        monkeypatch.setattr(primary, "MOST_MOVES", 1)
        monkeypatch.setattr(primary, "_owner", lambda ranges, slot: (wrong.host, wrong.port))
        with pytest.raises(StoreBusyError, match="do not agree yet"):
            RedisStore.open(place)

    def test_opening_asks_one_node_and_the_primary(self, cluster: Cluster, connect: Open, place: Location) -> None:
        connect(place)
        before = [facts_of(node, "INFO", "commandstats") for node in cluster.nodes]
        assert connect(place).store.round_trips == 1
        after = [facts_of(node, "INFO", "commandstats") for node in cluster.nodes]
        for command in ("cmdstat_cluster|slots", "cmdstat_hmget"):
            assert sum(map(_calls(command), after)) == sum(map(_calls(command), before)) + 1

    def test_through_the_host_that_was_asked_if_nodes_do_not_tell_theirs(self, start: Start, connect: Open) -> None:
        server = start({"cluster-enabled": "yes", "cluster-preferred-endpoint-type": "unknown-endpoint"})
        _make_whole(server)
        connect(with_options(server.location("nova"), cluster="on")).write(put(b"a"))

    def test_over_tls(self, start: Start, connect: Open) -> None:
        server = start({"cluster-enabled": "yes"})
        _make_whole(server)
        with Front(server.location("nova")) as front:
            send_to(server, "CONFIG", "SET", "cluster-announce-port", front.port)
            at = with_options(replace(server.location("nova"), port=front.port), cluster="on", ssl="true", **AUTHORITY)
            client = connect(at)
            client.write(put(b"a"))
            assert link_of(client).server == f"127.0.0.1:{front.port}"
            assert RedisStore.list_databases(at) == ["nova"]
            with pytest.raises(StoreUnavailableError, match="ssl_ca_certs"):
                RedisStore.open(with_options(at, ssl_ca_certs=str(CERTIFICATES / "other-ca.pem")))
            client.store.close()

    def test_by_the_driver_for_asyncio(self, cluster: Cluster) -> None:
        url = cluster.url(f"test-{token_hex(8)}").replace("rome+redis:", "rome+redis_async:")

        async def use() -> list[int]:
            engine = create_async_engine(url)
            async with engine.begin() as connection:
                await connection.execute(sa.text("CREATE TABLE t (a INTEGER PRIMARY KEY)"))
                await connection.execute(sa.text("INSERT INTO t VALUES (6)"))
            async with engine.connect() as connection:
                found = list((await connection.execute(sa.text("SELECT a FROM t"))).scalars())
            await engine.dispose()
            return found

        assert asyncio.run(use()) == [6]
        rome.drop_database(url)


def _calls(command: str) -> Callable[[Mapping[str, str]], int]:
    return lambda stats: int(stats.get(command, "calls=0").partition("calls=")[2].partition(",")[0])


def _make_whole(server: Server) -> None:
    """Make a server a cluster of one."""
    send_to(server, "CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
    await_that(lambda: facts_of(server, "CLUSTER", "INFO")["cluster_state"] == "ok")


class TestWithoutTheOption:
    def test_server_that_is_no_cluster_is_refused(self, location: Location) -> None:
        for act in (RedisStore.open, RedisStore.list_databases, RedisStore.drop_database):
            with pytest.raises(StoreConfigError, match="is not a node of a cluster: leave out cluster=on"):
                act(with_options(location, cluster="on"))

    def test_node_that_has_the_database_serves_it_and_others_say_what_is_missing(
        self, cluster: Cluster, connect: Open, place: Location
    ) -> None:
        connect(place).write(put(b"a"))
        owner = _owner(cluster, place)
        for node in cluster.nodes:
            at = node.location(place.database)
            if node is owner:
                client = connect(at)
                client.begin()
                assert client.keys() == [b"a"]
                assert place.database in RedisStore.list_databases(at)
            else:
                for act in (RedisStore.open, RedisStore.drop_database, RedisStore.database_exists):
                    with pytest.raises(StoreConfigError, match=r"MOVED .* add cluster=on to the URL"):
                        act(at)

    def test_node_creates_no_database(self, cluster: Cluster, place: Location) -> None:
        """It cannot see whether it is in another slot already."""
        at = _owner(cluster, place).location(place.database)
        with pytest.raises(StoreConfigError, match=r"no database 'test-.*add cluster=on to the URL to create it"):
            RedisStore.open(at)
        assert not RedisStore.database_exists(at)

    def test_connection_whose_slot_moves_says_what_is_missing(
        self, cluster: Cluster, connect: Open, place: Location
    ) -> None:
        connect(place).write(put(b"a"))
        client = connect(_owner(cluster, place).location(place.database))
        client.begin()
        request = client.request(put(b"b", was=0))
        move_slot(cluster, _slot(place))
        for act in (lambda: client.store.commit(request), client.begin, client.begin):
            with pytest.raises(SlotMovedError, match="add cluster=on"):
                act()


class TestSlot:
    def test_database_is_where_the_url_puts_it_and_nowhere_else(
        self, cluster: Cluster, connect: Open, place: Location
    ) -> None:
        """The same name at two places would be two databases, of which the second is empty."""
        slots = [(_slot(place) + distance) % SLOTS for distance in (1, 6000, 12000)]
        chosen = with_options(place, slot=str(slots[0]))
        connect(chosen).write(put(b"a"))
        for other in (place, *(with_options(place, slot=str(slot)) for slot in slots[1:])):
            with pytest.raises(StoreConfigError, match=f"another slot of the cluster: .* with slot={slots[0]},"):
                RedisStore.open(other)
            assert not RedisStore.database_exists(other)
        assert RedisStore.database_exists(chosen)
        assert RedisStore.list_databases(place).count(place.database) == 1
        RedisStore.drop_database(place)
        assert RedisStore.database_exists(chosen)
        RedisStore.drop_database(chosen)
        assert not RedisStore.database_exists(chosen)
        connect(place).write(put(b"a"))
        with pytest.raises(StoreConfigError, match="without the option slot"):
            RedisStore.open(chosen)

    def test_neighbours_in_a_slot_are_apart(self, cluster: Cluster, connect: Open) -> None:
        names = [f"test-{token_hex(8)}" for _ in range(2)]
        one, other = (connect(cluster.location(name, slot="77")) for name in names)
        one.write(put(b"a"))
        other.begin()
        assert other.keys() == []
        RedisStore.drop_database(cluster.location(names[0], slot="77"))
        other.write(put(b"b"))
        RedisStore.drop_database(cluster.location(names[1], slot="77"))

    def test_databases_of_all_primaries_are_listed(self, cluster: Cluster, connect: Open) -> None:
        places = [cluster.location(f"test-{token_hex(8)}", slot=str(slot)) for slot in (1, 6000, 12000)]
        for each in places:
            connect(each)
        listed = RedisStore.list_databases(places[0])
        assert {each.database for each in places} <= {*listed}
        for each in places:
            RedisStore.drop_database(each)
        assert not {each.database for each in places} & {*RedisStore.list_databases(places[0])}


def _fill(client: SnapshotClient) -> None:
    """One row, whose index entry the next change of the row replaces: each of its keys is emptied on the way."""
    client.write(put(b"a", b"1"), enter(b"1", b"a"))
    client.write(put(b"a", b"2"), leave(b"1", b"a"), enter(b"2", b"a"))
    client.store.read(None, (), [Reserve(1, 1)])
    client.begin()


def _dump_imported(target: Server, location: Location) -> dict[bytes, object]:
    """What a move has brought to a node so far, as `dump` shows it: the node shows it only to who says ASKING."""
    found = {}
    with redis.Redis(target.host, target.port, single_connection_client=True) as admin:
        for key in keys_of(admin, location):
            found[key] = content(admin, key, asking=True)
    return found


ACTS: dict[str, Callable[[SnapshotClient], object]] = {
    "commit": lambda client: client.commit(put(b"a", b"3", was=2), leave(b"2", b"a"), enter(b"3", b"a")),
    "commit that drops": lambda client: client.commit(Drop(1), put(b"b", b"3", table=2, was=0)),
    "begin": lambda client: client.store.read(None, [Get(1, (b"a",))]),
    "begin and reserve": lambda client: client.store.read(None, (), [Reserve(1, 1)]),
    "begin with a scan": lambda client: client.store.read(None, [Scan(1, 1, b"", BEYOND), Count(1, 1, b"", BEYOND)]),
    "resolve": lambda client: client.store.resolve(b"x" * 16, client.snapshot.version),
    "join the queue": lambda client: client.store.join_queue(b"t", [Claim(1, b"a")], 1.0),
    "leave the queue": lambda client: client.store.leave_queue(b"t"),
    "trim": lambda client: client.store.trim(),
    "retention": lambda client: client.store.retention(),
    "set the retention": lambda client: client.store.set_retention(Retention(61.0)),
}
"""What a store can be asked."""

OF_A_SNAPSHOT = {"commit", "commit that drops"}
READS = {"begin", "begin with a scan", "retention"}


@pytest.mark.parametrize("act", ACTS)
class TestMovedSlot:
    def test_what_began_before_is_lost_and_all_else_follows(
        self, cluster: Cluster, connect: Open, place: Location, act: str
    ) -> None:
        client = connect(place)
        _fill(client)
        move_slot(cluster, _slot(place))
        with admin_of(_owner(cluster, place)) as admin:
            before = dump(admin, place)
            if act in OF_A_SNAPSHOT:
                with pytest.raises(SnapshotLostError, match="another node of the cluster"):
                    ACTS[act](client)
                assert dump(admin, place) == before
            else:
                ACTS[act](client)
        client.begin()
        assert client.record(b"a") == b"2"

    def test_nothing_is_done_while_it_moves_key_by_key(
        self, cluster: Cluster, connect: Open, place: Location, act: str
    ) -> None:
        """Whichever keys have been moved: a commit is refused before it begins; a read is right, or refused, too."""
        client = connect(place)
        _fill(client)
        source = _owner(cluster, place)
        target = next(node for node in cluster.nodes if node is not source)
        with admin_of(source) as one:
            before = dump(one, place)
            move = SlotMove(cluster, _slot(place), source, target).begin()
            keys = move.keys()
            for moved in range(len(keys) + 1):
                assert len(move.keys()) == len(keys) - moved
                if act in READS:
                    with suppress(StoreBusyError):
                        assert ACTS[act](client)
                else:
                    with pytest.raises(StoreBusyError, match=r"being moved.*nothing was written, run it again later"):
                        ACTS[act](client)
                assert dump(one, place) | _dump_imported(target, place) == before
                move.move(*keys[moved : moved + 1])
            move.finish()
        client.begin()
        ACTS[act](client)


class TestMove:
    def test_database_is_neither_created_nor_dropped_while_it_moves(
        self, cluster: Cluster, connect: Open, place: Location
    ) -> None:
        _fill(connect(place))
        source = _owner(cluster, place)
        target = next(node for node in cluster.nodes if node is not source)
        with admin_of(source) as one:
            before = dump(one, place)
            move = SlotMove(cluster, _slot(place), source, target).begin()
            for key in (None, meta_key(place.database), *before):
                left = move.keys()
                if key in before and key in left:
                    move.move(key)
                with suppress(StoreBusyError):  # as long as its meta hash is there
                    RedisStore.open(place).close()
                with pytest.raises(StoreBusyError, match="being moved"):
                    RedisStore.drop_database(place)
                assert dump(one, place) | _dump_imported(target, place) == before
            move.finish()
        assert RedisStore.list_databases(place).count(place.database) == 1

    def test_application_notices_nothing(self, flavour: Flavour, cluster: Cluster, place: Location) -> None:
        """Checked replay runs the transaction again at the new place."""
        url = cluster.url(place.database)
        moves = [move_slot, move_slot, move_slot_at_once] if flavour == "valkey" else [move_slot, move_slot]
        with closing(rome.connect(url)) as connection:
            connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
            connection.execute("INSERT INTO t VALUES (1, 0)")
            connection.commit()
            for number, move in enumerate(moves):
                assert connection.execute("SELECT n FROM t").fetchall() == [(2 * number,)]
                move(cluster, _slot(place))
                connection.execute("UPDATE t SET n = n + 1")
                connection.commit()
                connection.execute("UPDATE t SET n = n + 1")
                move(cluster, _slot(place))
                connection.commit()
            assert connection.execute("SELECT n FROM t").fetchall() == [(2 * len(moves),)]

    def test_unfinished_move_that_is_undone_leaves_all_as_it_was(
        self, cluster: Cluster, connect: Open, place: Location
    ) -> None:
        client = connect(place)
        _fill(client)
        source = _owner(cluster, place)
        move = SlotMove(cluster, _slot(place), source, next(node for node in cluster.nodes if node is not source))
        move.begin()
        with pytest.raises(StoreBusyError):
            ACTS["commit"](client)
        move.undo()
        ACTS["commit"](client)


class TestFailover:
    @pytest.fixture
    def pair(self, start_cluster: StartCluster) -> Cluster:
        """A shard with one replica."""
        pair: Cluster = start_cluster(shards=1, replicas=1)
        return pair

    def test_new_primary_is_followed(self, pair: Cluster, connect: Open) -> None:
        at = with_options(pair.location("nova"), host=f"127.0.0.1:{pair.nodes[1].port}")
        client, writer = connect(at), connect(with_options(at, wait_replicas="1"))
        client.write(put(b"a"))
        client.begin()
        send_to(pair.nodes[1], "CLUSTER", "FAILOVER")
        await_that(lambda: "master" in facts_of(pair.nodes[1], "INFO", "replication")["role"])
        await_that(pair.is_healthy)
        request = client.request(put(b"b", was=0))
        with pytest.raises((SnapshotLostError, StoreUnavailableError)):
            client.get(b"a")
        with pytest.raises((SnapshotLostError, StoreUnavailableError)):
            client.store.commit(request)
        client.begin()
        assert client.keys() == [b"a"]
        writer.write(put(b"c"))
        assert link_of(writer).server == f"127.0.0.1:{pair.nodes[1].port}"

    def test_commit_whose_primary_is_deposed_while_it_waits_for_replicas_stands(
        self, pair: Cluster, connect: Open
    ) -> None:
        with admin_of(pair.nodes[0]) as admin:
            assert scripts.COMMIT.on_cluster is not None
            admin.script_load(scripts.COMMIT.on_cluster.text)
        at = with_options(pair.location("nova"), host=f"127.0.0.1:{pair.nodes[1].port}")
        client = connect(with_options(at, wait_replicas="2", wait_timeout="3"))
        errors: list[OperationalError] = []

        def commit() -> None:
            try:
                client.commit(put(b"a", was=0))
            except OperationalError as error:
                errors.append(error)

        waiting = threading.Thread(target=commit)
        waiting.start()
        await_that(lambda: facts_of(pair.nodes[0], "INFO", "clients")["blocked_clients"] == "1")
        send_to(pair.nodes[1], "CLUSTER", "FAILOVER")
        waiting.join()
        [error] = errors
        assert isinstance(error, NotReplicatedError | CommitUnknownError), error
        reader = connect(at)
        reader.begin()
        assert reader.keys() == [b"a"]

    def test_server_that_stops_waiting_for_replicas_has_committed(
        self, connect: Open, location: Location, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = connect(with_options(location, wait_replicas="1", wait_timeout="0.05"))
        link = link_of(client)
        call = link.call

        def unblock(commands: Sequence[Command]) -> list[Reply]:
            force = redis.ResponseError("UNBLOCKED force unblock from blocking operation, instance state changed")
            return [*call(commands[:1]), force]

        monkeypatch.setattr(link, "call", unblock)
        with pytest.raises(NotReplicatedError, match="did not wait for replicas: UNBLOCKED") as caught:
            client.commit(put(b"a", was=0))
        monkeypatch.undo()
        assert client.begin().version == caught.value.version


class TestClusterThatIsDown:
    def test_store_is_busy_and_comes_back(self, start: Start, connect: Open) -> None:
        server = start({"cluster-enabled": "yes"})
        _make_whole(server)
        at = with_options(server.location("nova"), cluster="on")
        client = connect(at)
        _fill(client)
        missing = (_slot(at) + 1) % SLOTS
        send_to(server, "CLUSTER", "DELSLOTS", missing)
        await_that(lambda: facts_of(server, "CLUSTER", "INFO")["cluster_state"] == "fail")
        with pytest.raises(StoreBusyError, match="no node of the cluster serves the database now"):
            ACTS["commit"](client)
        assert not client.store.is_usable()  # another node may have it by now
        for act in (client.begin, lambda: RedisStore.open(at), lambda: RedisStore.drop_database(at)):
            with pytest.raises(StoreBusyError, match="none of these leads to the primary"):
                act()
        send_to(server, "CLUSTER", "ADDSLOTS", missing)
        await_that(lambda: facts_of(server, "CLUSTER", "INFO")["cluster_state"] == "ok")
        client.begin()
        assert client.record(b"a") == b"2"

    def test_slot_that_nobody_has(self, start: Start) -> None:
        server = start({"cluster-enabled": "yes", "cluster-require-full-coverage": "no"})
        _make_whole(server)
        at = with_options(server.location("nova"), cluster="on", slot="7")
        send_to(server, "CLUSTER", "DELSLOTS", 7)
        with pytest.raises(StoreBusyError, match="no node has slot 7"):
            RedisStore.open(at)

    def test_listing_does_not_leave_out_a_primary_that_is_down(self, start_cluster: StartCluster) -> None:
        cluster: Cluster = start_cluster(shards=2, node_timeout_ms=600_000)
        at = cluster.location("nova")
        cluster.nodes[1].kill()
        with pytest.raises(StoreUnavailableError, match=f"{cluster.nodes[1].port}"):
            RedisStore.list_databases(at)
