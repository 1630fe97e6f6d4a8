"""Calls to a cluster, answered by any of its members.

Every call that Rome makes may be sent again if no answer has come: reads change nothing, and every write is conditional
on something that its first arrival changes. So a request that a dying leader has dropped silently is soon sent again,
to another member, and the caller is told that an earlier sending may still arrive.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct

from rome.errors import Error, StoreConfigError, StoreUnavailableError
from rome.store.etcd.failures import Remedy, remedy, translate
from rome.store.etcd.link import Call, EtcdLink, LinkLostError
from rome.store.etcd.messages import AUTHENTICATE, STATUS, AuthenticateRequest, Method, StatusRequest
from rome.store.etcd.settings import Settings
from rome.store.etcd.versions import fault_of
from rome.store.near import NearServer, near_server
from rome.store.option_values import Address

FIRST_ATTEMPT_S = 0.5, 3.0
"""After 10 times the usual duration of calls, within these bounds, a request is sent again, to the next member."""

ELECTION_S = 3.0
"""Only after this time does each attempt take twice as long as the one before. Until members miss a leader that is
gone, for 1 to 2 s, they forward requests to it, and nobody does them: such a request should not be waited for long."""

USUAL_S = 0.05
"""The assumed duration of a call before the first one."""

NEWEST_SHARE = 1 / 8
"""The share of the latest call in the usual duration, in which no call counts for more than the shortest first attempt:
one that waited for an election must not make the next ones wait as long for a member that is gone."""

LOGINS = 3
"""How often a call may find that its token is not valid any more, each time on a connection that has just got one."""

LOGIN_S = 2.0
"""How long to wait at least for a login. Each takes a tenth of a second of a member's core, so many at once take long
together, and longer still if they are given up and sent again."""

SECONDS_PER_BYTE = 1 / 500_000
"""How much longer an attempt may take because of what it sends."""

CONNECT_S = 0.5
"""A member that has not accepted a connection after this time, or after a quarter of what an answer may take, is left
for the next one: a site that is cut off refuses no connection. Waiting for it as long as for an answer took 2.5 of the
4.1 s after which commits went on at another site."""

GONE_S = 10.0
"""For so long such a member is not tried again while there are others."""

HOME_S = 10.0
"""So long after a connection was lost to the URL's first member, which is the nearest, that one is tried again."""

PAUSE_S = 0.05
"""The pause between attempts that were refused at once, as by members without a leader."""


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How HTTP/2 begins: its preface, and empty settings, which a server answers."""

User = tuple[tuple[Address, ...], str, str]
"""Members, name and password."""

_tokens: dict[User, str] = {}
"""The tokens of this process. All members know it, so a connection to another one when a leader is gone need
not log in, which takes a leader, and a good part of a core's time for each."""

_safe: set[Address] = set()
"""Members whose version this process has seen and found good; each is asked once."""


class Answers(Struct, frozen=True, gc=False):
    """The answering messages, in the order of the calls.

    Attributes:
        resent: whether an earlier sending had no answer; it may have been done, or may still be done.
    """

    messages: list[Any]
    resent: bool


class UnansweredError(StoreUnavailableError):
    """No member has answered in time.

    Attributes:
        sent: whether a member may have received the request, and may have done it.
    """

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self.sent = sent


class EtcdClient:
    """A connection to one member at a time, and to the next one when that is lost. Used by one thread at a time."""

    def __init__(self, settings: Settings) -> None:
        self.trips = 0
        self.resent = False
        """Whether an earlier sending of the last request had no answer, even if the request has failed since."""
        self.settings = settings
        self._tls = settings.tls_context()
        self._next = 0
        self._link: EtcdLink | None = None
        self._is_closed = False
        self._usual_s = USUAL_S
        name, password = settings.username, settings.password
        self._user: User | None = None if name is None or password is None else (settings.addresses, name, password)
        address = settings.addresses[0]
        self.near = (
            near_server(
                (address, settings.near_max_lag_s), lambda: NearServer(address, PREFACE, settings.near_max_lag_s)
            )
            if settings.reads_near
            else None
        )
        """The first member, if reads are near."""
        self._gone_until: dict[Address, float] = {}
        self._home_at = 0.0
        """When to try the first member again, if the connection is to another one."""

    def call(
        self,
        calls: Sequence[tuple[Method, Any]],
        aside: Sequence[tuple[Method, Any]] = (),
        *,
        timeout_s: float = 0.0,
        needs_leader: bool = True,
    ) -> Answers:
        """Send all calls at once, and wait for all answers: one round trip.

        Args:
            calls: methods, and their messages.
            aside: further calls whose outcome does not matter; they are not sent again.
            timeout_s: in place of read_timeout.
            needs_leader: whether a member may have to ask others before it answers. If it then does not, this does not
                count against a near member, which can still answer reads.

        Raises:
            UnansweredError: no member has answered in time, or the call cannot be sent again.
            Error: a member has refused the call (failures.py chooses the error). This sending has done nothing.
        """
        if self._is_closed:
            raise StoreUnavailableError("the connection is closed")
        self.goes_near()
        requests = _encoded(calls)
        others = _encoded(aside)
        size = sum(len(request.body) for request in requests)
        start = time.monotonic()
        deadline = start + (timeout_s or self.settings.read_timeout_s)
        shortest_s, longest_s = FIRST_ATTEMPT_S
        attempt_s = min(max(shortest_s, 10 * self._usual_s), longest_s) + size * SECONDS_PER_BYTE
        self.resent = False
        failure = "no time left"
        logins = 0
        unreachable = 0
        if self.near is None:
            self._go_home()
        while (left := deadline - time.monotonic()) > 0:
            begun = time.monotonic()
            connect_s = self._connect_limit_s(attempt_s)
            try:
                link = self._connected(min(attempt_s, left), min(connect_s, left))
                self.trips += 1
                begun = time.monotonic()
                replies = link.call([*others, *requests], min(attempt_s, left))[len(others) :]
            except LinkLostError as lost:
                failure = str(lost)
                self.resent |= lost.sent
                waited_s = time.monotonic() - begun
                timed_out = waited_s >= (attempt_s if self._link is not None else connect_s)
                if self._link is not None:
                    unreachable = 0
                else:
                    if timed_out:
                        self._gone_until[self.settings.addresses[self._next]] = time.monotonic() + GONE_S
                    if not timed_out or connect_s == self.settings.connect_timeout_s:
                        unreachable += 1
                if unreachable == len(self.settings.addresses) and not self.resent:
                    break
                if timed_out and time.monotonic() >= start + ELECTION_S:
                    attempt_s *= 2
                blamed = not (needs_leader and self._link is not None and timed_out)
                self._go_to_next_member(lost.sent or waited_s > PAUSE_S, deadline, blamed=blamed)
                continue
            others = []
            refused = next((reply for reply in replies if reply.status), None)
            if refused is None:
                self._usual_s += NEWEST_SHARE * (min(time.monotonic() - begun, shortest_s) - self._usual_s)
                return Answers(
                    [method.response.FromString(reply.body) for (method, _), reply in zip(calls, replies, strict=True)],
                    self.resent,
                )
            what = remedy(refused)
            if what is Remedy.LOG_IN and logins < LOGINS:
                logins += 1
                self._forget_token(link)
                self._disconnect()  # a new connection gets a new token
            elif what is Remedy.AGAIN:
                failure = f"{link.server}: {refused.message}"
                self.resent = True
                self._go_to_next_member(False, deadline, blamed=not needs_leader)
            else:
                raise translate(refused, link.server)
        raise UnansweredError(f"{self.settings.servers}: {failure}", sent=self.resent)

    def listen(self, method: Method, message: Any, timeout_s: float, take: Callable[[Any], bool]) -> bool:
        """Take messages of a long reply of the member that has answered last, until `take` returns True.

        Returns:
            Whether it did. It is not tried again: the member may be lost, or refuse the call.

        Cost: one round trip.
        """
        link = self._link
        if link is None or not link.is_open:
            return False
        self.trips += 1
        [call] = _encoded([(method, message)])
        try:
            return link.listen(call, timeout_s, lambda body: take(method.response.FromString(body)))
        except LinkLostError:
            self._disconnect()
            return False

    @property
    def server(self) -> str:
        """The address of the member that answers now; of all members if none does."""
        return self.settings.servers if self._link is None else self._link.server

    def goes_near(self) -> bool:
        """Whether the next call goes to the near member: if it is up. Otherwise the next call goes to another one."""
        if self.near is None:
            return False
        up = self.near.is_up()
        if up != (self._next == 0) and len(self.settings.addresses) > 1 and (up or self._next == 0):
            self._disconnect()
            self._next = 0 if up else 1
        return up and self._next == 0

    @property
    def is_near(self) -> bool:
        """Whether the near member answers now."""
        return self.near is not None and self._next == 0

    def leave_near(self) -> None:
        """Go to the next member, and come back to the near one later."""
        if self.near is not None and self._next == 0:
            self.near.failed()
            self._disconnect()
            self._next = 1 % len(self.settings.addresses)

    def is_usable(self) -> bool:
        """Return False if the connection is known to be lost. Looks at the socket; no round trip."""
        return self._link is not None and self._link.is_usable()

    def close(self) -> None:
        """Idempotent."""
        self._is_closed = True
        self._disconnect()

    def _connect_limit_s(self, attempt_s: float) -> float:
        """How long to wait for a connection: less where there are other members, since this one's site may be gone."""
        longest_s = self.settings.connect_timeout_s
        return longest_s if len(self.settings.addresses) == 1 else min(longest_s, max(CONNECT_S, attempt_s / 4))

    def _connected(self, attempt_s: float, connect_s: float) -> EtcdLink:
        """Return the present link, or one to the next member.

        Raises:
            LinkLostError: this member cannot be reached, and there is no link; or it does not log us in.
            AuthenticationError, StoreConfigError: it refuses the user, or has a version that may lose data.
        """
        if self._link is not None and self._link.is_open:
            return self._link
        self._link = None
        address: Address = self.settings.addresses[self._next]
        self._link = link = EtcdLink(address, self._tls, connect_s)
        try:
            self._log_in(link, attempt_s)
            if not self.settings.allow_unsafe_version and address not in _safe:
                self._check_version(link, attempt_s)
                _safe.add(address)
        except BaseException:
            link.close()
            raise
        return link

    def _check_version(self, link: EtcdLink, attempt_s: float) -> None:
        """Ask a member for its version: one round trip.

        Raises:
            LinkLostError.
            StoreConfigError: this version may lose data.
        """
        self.trips += 1
        try:
            [reply] = link.call(_encoded([(STATUS, StatusRequest())]), attempt_s)
        except LinkLostError as lost:
            raise LinkLostError(str(lost), sent=False) from lost
        if reply.status:
            link.close()
            raise LinkLostError(f"{link.server}: {reply.message}", sent=False)
        if fault := fault_of(STATUS.response.FromString(reply.body).version):
            raise StoreConfigError(f"{link.server}: {fault} (or accept it: allow_unsafe_version=true in the URL)")

    def _log_in(self, link: EtcdLink, attempt_s: float) -> None:
        """Give a connection a token, where the URL names a user with a password: no trip if this process has one.

        Raises:
            LinkLostError, AuthenticationError.
        """
        if (user := self._user) is None:
            return
        link.token = _tokens.get(user)
        if link.token is None:
            link.token = _tokens[user] = self._new_token(user, link, max(attempt_s, LOGIN_S))

    def _new_token(self, user: User, link: EtcdLink, attempt_s: float) -> str:
        """Log in: one round trip."""
        _, name, password = user
        request = AuthenticateRequest(name=name, password=password)
        self.trips += 1
        try:
            [reply] = link.call(_encoded([(AUTHENTICATE, request)]), attempt_s)
        except LinkLostError as lost:
            raise LinkLostError(str(lost), sent=False) from lost
        if reply.status:
            if remedy(reply) is Remedy.AGAIN:
                link.close()
                raise LinkLostError(f"{link.server}: {reply.message}", sent=False)
            raise translate(reply, link.server)
        token: str = AUTHENTICATE.response.FromString(reply.body).token
        return token

    def _forget_token(self, link: EtcdLink) -> None:
        """Forget a token that was refused, unless another connection has got a new one since."""
        if self._user is not None and _tokens.get(self._user) == link.token:
            _tokens.pop(self._user, None)

    def _go_to_next_member(self, waited: bool, deadline: float, *, blamed: bool = True) -> None:
        """Take the next member that may be there. `blamed`: the present one has failed, and not one behind it."""
        if blamed and self.is_near and self.near is not None:
            self.near.failed()
        self._disconnect()
        if self._next == 0:
            self._home_at = time.monotonic() + HOME_S
        members = len(self.settings.addresses)
        order = [(self._next + step) % members for step in range(1, members + 1)]
        now = time.monotonic()
        there = [number for number in order if self._gone_until.get(self.settings.addresses[number], 0.0) <= now]
        self._next = (there or order)[0]
        if not waited:
            time.sleep(max(0.0, min(PAUSE_S, deadline - time.monotonic())))

    def _go_home(self) -> None:
        """Leave another member for the first one, if it is time to try that one again, and if it can be reached.

        The present link stays open until the first member has accepted a connection.
        """
        if self._next == 0 or time.monotonic() < self._home_at:
            return
        away, link = self._next, self._link
        self._next, self._link = 0, None
        try:
            with suppress(LinkLostError, Error):
                limit_s = min(CONNECT_S, self.settings.connect_timeout_s)  # for a login, too: it may be paused
                self._connected(limit_s, limit_s)
        finally:
            if self._link is None or not self._link.is_open:
                self._next, self._link = away, link
                self._home_at = time.monotonic() + HOME_S
            elif link is not None:
                link.close()

    def _disconnect(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


def _encoded(calls: Sequence[tuple[Method, Any]]) -> list[Call]:
    return [Call(method.path, message.SerializeToString()) for method, message in calls]
