"""What `rome doctor` says of servers that are set up, and broken, in every way that it knows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import pytest

from rome.store.diagnosis import Diagnosis, Level
from rome.store.location import Location
from rome.store.redis import RedisStore, facts
from rome.store.redis.diagnosis import diagnose
from rome.store.redis.link import greet_server
from rome.store.redis.names import meta_key
from rome.store.redis.settings import read_settings
from rome.store.spi import Retention
from rome.testing.harness import put
from tests.store.redis.kit import Open, Start, admin_of, dump, keys_of, with_options
from tests.support.redis_command import send
from tests.support.servers import Server

EVENTS = {
    "client": "a client ends or is killed",
    "kill": "the server's process is killed",
    "power": "its machine crashes, or a power cut",
    "failover": "its machine is lost, and a replica promoted",
    "memory": "the server's memory is full",
}


def _diagnose(server: Server, **options: str) -> Diagnosis:
    return RedisStore.diagnose(with_options(server.location("nova"), **options))


def _levels(diagnosis: Diagnosis) -> dict[str, Level]:
    return {finding.check: finding.level for finding in diagnosis.findings}


def _finding(diagnosis: Diagnosis, check: str) -> tuple[Level, str]:
    [found] = [finding for finding in diagnosis.findings if finding.check == check]
    assert (found.level is Level.OK) == (not found.remedy)
    return found.level, found.reason


def _lost(diagnosis: Diagnosis) -> dict[str, str]:
    losses = dict(diagnosis.losses)
    return {short: losses[event] for short, event in EVENTS.items()}


class TestPersistence:
    @pytest.mark.parametrize(
        ("options", "level", "kill", "power"),
        [
            ({"appendonly": "yes", "appendfsync": "always"}, Level.OK, "nothing", "nothing"),
            ({"appendonly": "yes", "appendfsync": "everysec"}, Level.WARNING, "what came while", "the last second"),
            ({"appendonly": "yes", "appendfsync": "no"}, Level.WARNING, "nothing", "what the operating system had"),
            ({"appendonly": "no", "save": "3600 1"}, Level.WARNING, "all commits since the last RDB", "all commits"),
            ({"appendonly": "no", "save": ""}, Level.PROBLEM, "everything", "everything"),
        ],
        ids=["always", "everysec", "no", "rdb", "none"],
    )
    def test_of_each_kind(self, start: Start, options: Mapping[str, str], level: Level, kill: str, power: str) -> None:
        diagnosis = _diagnose(start(options))
        check = "fsync" if options["appendonly"] == "yes" else "persistence"
        assert _finding(diagnosis, check)[0] is level
        lost = _lost(diagnosis)
        assert lost["kill"].startswith(kill)
        assert lost["power"].startswith(power)
        assert lost["client"] == "nothing"

    def test_fsync_that_pauses_while_the_file_is_rewritten(self, start: Start) -> None:
        options = {"appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "yes"}
        assert _finding(_diagnose(start(options)), "fsync")[0] is Level.WARNING

    def test_save_that_failed(self, start: Start) -> None:
        server = start({"save": "3600 1"})
        (server.directory / "dump.rdb" / "x").mkdir(parents=True)  # which fails for root, too, as no permission would
        with admin_of(server) as admin:
            admin.bgsave()
            while admin.info("persistence")["rdb_last_bgsave_status"] == "ok":
                time.sleep(0.01)
        level, reason = _finding(_diagnose(server), "last save")
        assert level is Level.PROBLEM
        assert "rdb_last_bgsave_status" in reason
        server.kill()  # it would not end before it has saved

    def test_save_whose_failure_would_go_unnoticed(self, start: Start) -> None:
        server = start({"save": "3600 1", "stop-writes-on-bgsave-error": "no"})
        assert _finding(_diagnose(server), "last save")[0] is Level.WARNING


class TestMemory:
    @pytest.mark.parametrize("policy", ["noeviction", "volatile-lru", "allkeys-lru"])
    def test_eviction(self, start: Start, policy: str) -> None:
        diagnosis = _diagnose(start({"maxmemory-policy": policy, "maxmemory": "100mb"}))
        evicts = policy == "allkeys-lru"
        assert _finding(diagnosis, "eviction")[0] is (Level.PROBLEM if evicts else Level.OK)
        assert _lost(diagnosis)["memory"].startswith("any rows" if evicts else "nothing: writes are refused")
        assert _finding(diagnosis, "memory")[0] is Level.OK

    def test_without_a_limit(self, start: Start) -> None:
        level, reason = _finding(_diagnose(start()), "memory")
        assert level is Level.WARNING
        assert reason.startswith("no limit")

    @pytest.mark.parametrize(("share", "level"), [(0.85, Level.WARNING), (0.99, Level.PROBLEM)])
    def test_that_is_short(self, start: Start, share: float, level: Level) -> None:
        server = start()
        with admin_of(server) as admin:
            admin.set("big", b"x" * 20_000_000)  # beside which what a connection takes does not matter
            admin.config_set("maxmemory", int(admin.info("memory")["used_memory"] / share))
            assert _finding(_diagnose(server), "memory")[0] is level


class TestReplicas:
    def test_none(self, start: Start) -> None:
        server = start()
        diagnosis = _diagnose(server)
        assert _finding(diagnosis, "replicas")[0] is Level.WARNING
        assert _lost(diagnosis)["failover"].startswith("everything")
        level, reason = _finding(_diagnose(server, wait_replicas="1"), "replicas")
        assert level is Level.PROBLEM
        assert "every commit ends with NotReplicatedError" in reason

    def test_one(self, start: Start) -> None:
        primary = start({"repl-diskless-sync-delay": "0"})
        replica = start({"replicaof": f"{primary.host} {primary.port}"})
        with admin_of(primary) as admin:
            while send(admin, "WAIT", 1, 100) == 0:
                admin.set("try", "again")
            diagnosis = _diagnose(primary)
            assert _finding(diagnosis, "replicas")[0] is Level.WARNING
            assert _finding(diagnosis, "min-replicas")[0] is Level.WARNING
            assert _lost(diagnosis)["failover"] == "what the promoted one had not received yet"
            admin.config_set("min-replicas-to-write", 1)
        diagnosis = _diagnose(primary, wait_replicas="1")
        assert _finding(diagnosis, "replicas")[0] is Level.OK
        assert _finding(diagnosis, "min-replicas")[0] is Level.OK
        assert _lost(diagnosis)["failover"].startswith("nothing, if")
        level, reason = _finding(_diagnose(replica), "role")
        assert level is Level.PROBLEM
        assert reason.startswith("a replica")


class TestDatabase:
    def test_looking_writes_nothing(self, start: Start) -> None:
        server = start()
        assert _finding(_diagnose(server), "database") == (Level.OK, "there is none of this name yet")
        with admin_of(server) as admin:
            assert keys_of(admin, server.location("nova")) == []

    def test_looking_leaves_one_as_it_is(self, start: Start, connect: Open) -> None:
        server = start()
        connect(server.location("nova")).write(put(b"a"))
        with admin_of(server) as admin:
            before = dump(admin, server.location("nova"))
            diagnosis = _diagnose(server)
            assert dump(admin, server.location("nova")) == before
        assert _finding(diagnosis, "database") == (Level.OK, "format 1")
        assert _finding(diagnosis, "history")[0] is Level.OK

    def test_newer_format(self, start: Start, connect: Open) -> None:
        server = start()
        connect(server.location("nova"))
        with admin_of(server) as admin:
            admin.hset(meta_key("nova"), "format", 2)
        level, reason = _finding(_diagnose(server), "database")
        assert level is Level.PROBLEM
        assert "format 2" in reason

    def test_history_that_fills_its_room(self, start: Start, connect: Open) -> None:
        server = start()
        client = connect(server.location("nova"))
        client.write(put(b"a", b"1"))
        client.write(put(b"a", b"2"))
        with admin_of(server) as admin:
            kept = int(admin.hget(meta_key("nova"), "history_bytes") or 0)
        client.store.set_retention(Retention(60.0, kept + 1))
        assert _finding(_diagnose(server), "history")[0] is Level.WARNING

    def test_history_that_nobody_trims(self, start: Start, connect: Open, monkeypatch: pytest.MonkeyPatch) -> None:
        server = start()
        client = connect(server.location("nova"))
        client.store.set_retention(Retention(60.0, 10_000))
        client.write(put(b"a", b"x" * 1000))
        client.write(put(b"a"))
        assert _finding(_diagnose(server), "history")[0] is Level.OK
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 3600)
        with admin_of(server) as admin:
            key = meta_key("nova")[:-1] + b"q"
            head = admin.lindex(key, 0)
            assert isinstance(head, bytes)
            an_hour_ago = round((now - 3600) * 1000).to_bytes(8, "big")
            admin.lset(key, 0, head[:8] + an_hour_ago + head[16:])
        diagnosis = _diagnose(server)
        assert _finding(diagnosis, "history")[0] is Level.WARNING
        assert _finding(diagnosis, "clock")[0] is Level.WARNING  # an hour behind ours, as it seems


class TestWhoMayNotAsk:
    def test_server_that_cannot_be_reached(self, start: Start) -> None:
        server = start()
        server.stop()
        diagnosis = _diagnose(server)
        assert _levels(diagnosis) == {"connection": Level.PROBLEM}
        assert diagnosis.losses == ()

    def test_wrong_password(self, start: Start) -> None:
        server = start({"requirepass": "sesame"})
        diagnosis = RedisStore.diagnose(replace(server.location("nova"), password="open"))
        assert _levels(diagnosis) == {"connection": Level.PROBLEM}
        assert "invalid username-password pair" in diagnosis.findings[0].reason

    def test_config_that_is_forbidden_is_unknown(self, start: Start) -> None:
        server = start({"appendonly": "yes"})
        with admin_of(server) as admin:
            send(admin, "ACL", "SETUSER", "joe", "on", ">pw", "~*", "+@all", "-config")
        diagnosis = RedisStore.diagnose(replace(server.location("nova"), username="joe", password="pw"))
        assert _finding(diagnosis, "permission")[0] is Level.UNKNOWN
        assert _finding(diagnosis, "fsync")[0] is Level.UNKNOWN
        assert _lost(diagnosis)["power"].startswith("unknown")
        assert _finding(diagnosis, "eviction")[0] is Level.OK

    def test_nothing_is_said_to_be_fine_that_is_not_told(self, start: Start) -> None:
        server = start()
        with admin_of(server) as admin:
            send(admin, "ACL", "SETUSER", "joe", "on", ">pw", "resetkeys", "-@all", "+ping")
        diagnosis = RedisStore.diagnose(replace(server.location("nova"), username="joe", password="pw"))
        levels = _levels(diagnosis)
        fine = {check for check, level in levels.items() if level is Level.OK}
        assert fine == {"transport"}
        assert {_lost(diagnosis)[event] for event in ("kill", "power", "failover", "memory")} == {"unknown"}
        assert diagnosis.level is Level.UNKNOWN


class TestTransport:
    """The host is not asked: these look at what the URL says."""

    @pytest.fixture(autouse=True)
    def _redirected(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        here = read_settings(server.location("nova"))
        monkeypatch.setattr(facts, "greet", lambda _settings, _slot, questions: greet_server(here, questions))

    @pytest.mark.parametrize(
        ("host", "options", "level"),
        [
            ("127.0.0.1", {}, Level.OK),
            ("db.example", {}, Level.WARNING),
            ("db.example", {"ssl": "true"}, Level.OK),
            ("db.example", {"ssl": "true", "ssl_cert_reqs": "none"}, Level.WARNING),
        ],
    )
    def test_in_the_clear(self, host: str, options: Mapping[str, str], level: Level) -> None:
        settings = read_settings(Location("redis", "nova", host=host, options=options))
        assert _finding(diagnose(settings, meta_key("nova"), 1), "transport")[0] is level


def test_server_that_is_set_up_well_has_no_complaint(start: Start) -> None:
    primary = start(
        {
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory": "200mb",
            "min-replicas-to-write": "1",
            "repl-diskless-sync-delay": "0",
        }
    )
    start({"replicaof": f"{primary.host} {primary.port}"})
    with admin_of(primary) as admin:
        while admin.info("replication").get("min_slaves_good_slaves") != 1:
            time.sleep(0.01)
    diagnosis = _diagnose(primary, wait_replicas="1")
    assert [finding for finding in diagnosis.findings if finding.level is not Level.OK] == []
    assert diagnosis.level is Level.OK
    assert str(primary.port) in diagnosis.subject
