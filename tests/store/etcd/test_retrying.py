"""What the client does about members that refuse, are silent or cannot be reached; they follow a script."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Sequence

import pytest

from rome.errors import AuthenticationError, Error, StoreBusyError, StoreFullError, StoreUnavailableError
from rome.store.etcd import client as client_module
from rome.store.etcd.client import EtcdClient
from rome.store.etcd.failures import Remedy, remedy
from rome.store.etcd.link import Call, EtcdReply, LinkLostError
from rome.store.etcd.messages import AUTHENTICATE, TXN, TxnRequest, TxnResponse
from rome.store.etcd.settings import read_settings
from rome.store.keeper import KEEPER
from rome.store.location import Location
from rome.store.option_values import Address

DONE = EtcdReply(0, "", TxnResponse(succeeded=True).SerializeToString())
SLOW = EtcdReply(0, "", DONE.body)
TOKEN = EtcdReply(0, "", AUTHENTICATE.response(token="new").SerializeToString())
SILENT = LinkLostError("no answer in time", sent=True)
GONE = LinkLostError("no answer in time", sent=False)
BROKEN = LinkLostError("reset", sent=True)
REFUSED = LinkLostError("refused", sent=False)
OLD_TOKEN = EtcdReply(16, "etcdserver: invalid auth token")

Event = EtcdReply | LinkLostError


class Members:
    """What each connection and each call meets, in order; time passes only where somebody waits.

    Attributes:
        log: addresses that were connected to, and calls, with the seconds that they might have taken.
    """

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = list(events)
        self.log: list[tuple[str, float]] = []
        self.now = 0.0

    def next(self, what: str, timeout_s: float) -> EtcdReply:
        self.log.append((what, round(timeout_s, 3)))
        event = self.events.pop(0)
        if event is SILENT or event is GONE:
            self.now += timeout_s
        if event is SLOW:
            self.now += 0.9 * timeout_s
        if isinstance(event, LinkLostError):
            raise LinkLostError(str(event), sent=event.sent)
        return event


CONNECTED = EtcdReply(0)


def scripted(
    monkeypatch: pytest.MonkeyPatch, *events: Event, size: int = 3, **options: str
) -> tuple[EtcdClient, Members]:
    """A client of members m1, m2, ..; with the option `user` it logs in."""
    members = Members(events)
    KEEPER.stop()  # what earlier tests have left open is not to be renewed by this script

    class ScriptedLink:
        def __init__(self, address: Address, tls: ssl.SSLContext | None, timeout_s: float) -> None:
            self.server, self.token, self.is_open = address[0], None, True
            members.next(f"connect {address[0]}", timeout_s)

        def call(self, calls: Sequence[Call], timeout_s: float) -> list[EtcdReply]:
            try:
                return [members.next(calls[0].path.rpartition("/")[2], timeout_s)]
            except LinkLostError:
                self.is_open = False
                raise

        def close(self) -> None:
            self.is_open = False

    def sleep(seconds: float) -> None:
        members.now += seconds

    monkeypatch.setattr(client_module, "EtcdLink", ScriptedLink)
    monkeypatch.setattr(client_module, "_tokens", {})
    monkeypatch.setattr(time, "monotonic", lambda: members.now)
    monkeypatch.setattr(time, "sleep", sleep)
    user = options.pop("user", None)
    hosts = ",".join(f"m{number}" for number in range(1, size + 1))
    location = Location(
        "etcd",
        "x",
        username=user,
        password=user and "secret",
        options={"host": hosts, "allow_unsafe_version": "true", **options},
    )
    return EtcdClient(read_settings(location)), members


def call(client: EtcdClient) -> bool:
    """Whether the answer may be of a second sending."""
    return client.call([(TXN, TxnRequest())]).resent


@pytest.fixture
def members(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[EtcdClient, Members]]:
    return lambda *events, **options: scripted(monkeypatch, *events, **options)


Script = Callable[..., tuple[EtcdClient, Members]]


@pytest.mark.parametrize(
    "reply",
    [
        EtcdReply(2, "context deadline exceeded"),
        EtcdReply(2, "raft proposal dropped"),
        EtcdReply(2, "the server reset the stream (8)"),
        EtcdReply(13, "transport: write failed"),
        EtcdReply(14, "etcdserver: leader changed"),
        EtcdReply(4, "context deadline exceeded"),
    ],
)
def test_failure_without_a_name_may_have_been_done_and_is_sent_to_the_next_member(
    members: Script, reply: EtcdReply
) -> None:
    client, script = members(CONNECTED, reply, CONNECTED, DONE)
    assert call(client)
    assert [what for what, _ in script.log] == ["connect m1", "Txn", "connect m2", "Txn"]


def test_refusal_with_a_name_is_raised_at_once(members: Script) -> None:
    client, _ = members(CONNECTED, EtcdReply(8, "etcdserver: mvcc: database space exceeded"))
    with pytest.raises(StoreFullError):
        call(client)
    assert not client.resent
    assert remedy(EtcdReply(2, "etcdserver: corrupt cluster")) is Remedy.NONE


def test_silent_members_are_tried_one_after_the_other_and_longer_when_no_election_explains_it(members: Script) -> None:
    client, script = members(*[CONNECTED, SILENT] * 8, CONNECTED, DONE)
    assert call(client)
    assert [seconds for what, seconds in script.log if what == "Txn"] == [0.5] * 6 + [1, 2, 4]


def test_one_slow_answer_hardly_prolongs_the_next_attempt(members: Script) -> None:
    client, script = members(CONNECTED, *[DONE] * 100, SLOW, DONE)
    while script.events:
        call(client)
    assert 0.5 <= script.log[-1][1] < 0.6


def test_slow_cluster_is_waited_for(members: Script) -> None:
    client, script = members(CONNECTED, *[SLOW] * 100)
    while script.events:
        call(client)
    assert script.log[-1][1] == 3


def test_machine_that_is_gone_is_not_waited_for_where_there_are_others(members: Script) -> None:
    """Connecting to it gets no answer, not even a refusal."""
    client, script = members(GONE, CONNECTED, DONE, size=2)
    call(client)
    assert script.log[:2] == [("connect m1", 0.5), ("connect m2", 0.5)]


def test_member_that_cannot_be_reached_is_waited_for_once(members: Script) -> None:
    """The leader's site is cut off, and the others have no leader for a while."""
    no_leader = EtcdReply(14, "etcdserver: no leader")
    client, script = members(
        CONNECTED, SILENT, GONE, CONNECTED, no_leader, CONNECTED, no_leader, CONNECTED, no_leader, CONNECTED, DONE
    )
    assert call(client)
    connected = [what for what, _ in script.log if what.startswith("connect")]
    assert connected == [f"connect m{number}" for number in (1, 2, 3, 1, 3, 1)]
    assert script.now < 2


def test_first_member_is_tried_again_after_a_while(members: Script) -> None:
    client, script = members(CONNECTED, SILENT, CONNECTED, DONE, DONE, GONE, DONE, CONNECTED, DONE, DONE)
    for seconds, expected in (
        (0, ["connect m1", "Txn", "connect m2", "Txn"]),
        (5, ["Txn"]),
        (6, ["connect m1", "Txn"]),
    ):
        script.log.clear()
        script.now += seconds
        call(client)
        assert [what for what, _ in script.log] == expected
    assert client.server == "m2"
    script.now += 11
    call(client)
    assert client.server == "m1"
    script.now += 11
    call(client)
    assert [what for what, _ in script.log[-3:]] == ["connect m1", "Txn", "Txn"], "it is there, and stays"


def test_lone_machine_that_is_gone_is_waited_for_as_long_as_the_url_says(members: Script) -> None:
    client, script = members(GONE, size=1)
    with pytest.raises(StoreUnavailableError):
        call(client)
    assert script.log == [("connect m1", 5)]


def test_all_machines_gone_are_waited_for_in_longer_and_longer_attempts(members: Script) -> None:
    client, script = members(*[GONE] * 20)
    with pytest.raises(StoreUnavailableError):
        call(client)
    assert [seconds for _, seconds in script.log] == [*[0.5] * 8, 1, 2, 4, 5, 5, 5]
    assert not client.resent


def test_nobody_there_is_told_at_once(members: Script) -> None:
    client, script = members(REFUSED, REFUSED, REFUSED)
    with pytest.raises(StoreUnavailableError, match="refused"):
        call(client)
    assert script.now < 1


def test_paused_member_is_not_waited_for_when_it_should_log_us_in(members: Script) -> None:
    """Its machine accepts the connection; the whole time for the call was spent on its login once."""
    client, script = members(CONNECTED, SILENT, CONNECTED, TOKEN, DONE, user="nova")
    assert not call(client)
    assert script.now < 3
    assert [what for what, _ in script.log] == ["connect m1", "Authenticate", "connect m2", "Authenticate", "Txn"]


def test_token_is_valid_at_all_members_and_for_all_connections_of_the_process(members: Script) -> None:
    """A login takes a leader, and a tenth of a second of a member's time: not at once for all when a leader is gone."""
    client, script = members(CONNECTED, TOKEN, BROKEN, CONNECTED, DONE, CONNECTED, DONE, user="nova")
    call(client)
    call(EtcdClient(client.settings))
    assert [what for what, _ in script.log] == [
        *("connect m1", "Authenticate", "Txn"),
        *("connect m2", "Txn"),
        *("connect m1", "Txn"),
    ]


def test_token_of_the_process_that_has_expired_is_renewed(members: Script) -> None:
    client, script = members(CONNECTED, TOKEN, OLD_TOKEN, CONNECTED, TOKEN, DONE, user="nova")
    assert not call(client)
    assert [what for what, _ in script.log] == ["connect m1", "Authenticate", "Txn"] * 2


def test_members_without_a_leader_log_nobody_in_and_are_asked_again(members: Script) -> None:
    no_leader = EtcdReply(14, "etcdserver: no leader")
    client, script = members(*[CONNECTED, no_leader] * 6, CONNECTED, TOKEN, DONE, user="nova")
    assert not call(client)
    assert not script.events


def test_connection_lost_while_the_token_is_renewed(members: Script) -> None:
    client, script = members(CONNECTED, TOKEN, OLD_TOKEN, CONNECTED, BROKEN, CONNECTED, TOKEN, DONE, user="nova")
    assert not call(client)
    assert [what for what, _ in script.log][-3:] == ["connect m2", "Authenticate", "Txn"]


@pytest.mark.parametrize(
    ("reply", "error"),
    [(OLD_TOKEN, AuthenticationError), (EtcdReply(3, "etcdserver: revision of auth store is old"), StoreBusyError)],
)
def test_token_that_is_never_valid_is_an_error_in_the_end(
    members: Script, reply: EtcdReply, error: type[Error]
) -> None:
    client, script = members(*[CONNECTED, TOKEN, reply] * 4, user="nova")
    with pytest.raises(error):
        call(client)
    assert not script.events
    assert not client.resent


@pytest.mark.parametrize("needs_leader", [True, False])
def test_commit_that_the_leader_does_not_answer_does_not_end_near_reads(members: Script, needs_leader: bool) -> None:
    lag = "11" if needs_leader else "12"  # what is known of a near member is the process's, for each lag
    client, _ = members(CONNECTED, SILENT, CONNECTED, DONE, CONNECTED, DONE, reads="near", near_max_lag=lag)
    client.call([(TXN, TxnRequest())], needs_leader=needs_leader)
    assert client.server == "m2"
    assert client.near is not None
    assert client.near.is_up() == needs_leader
    client.near = None if not needs_leader else client.near  # its probe would look for a real server
    client.call([(TXN, TxnRequest())], needs_leader=False)
    assert client.server == ("m1" if needs_leader else "m2")
