"""RedisStore: rome.store.spi on one Redis or Valkey server.

Invariant: one script applied each commit that returned, completely and at a version of its own, to data in which its
read set was unchanged; and every read is of one version. docs/commit-protocol.md proves this.

A snapshot takes nothing on the server: it is a version number, and the server keeps what was superseded since. It does
need versions that never ran backwards. That is checked when a connection is made, and holds as long as it lives.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar, cast

from msgspec.structs import replace
from redis import exceptions

from rome.errors import (
    AuthenticationError,
    CatalogChangedError,
    CommitAbortedError,
    CommitUnknownError,
    ConflictError,
    CorruptRecordError,
    FormatError,
    IdsExhaustedError,
    NotReplicatedError,
    SnapshotLostError,
    SnapshotTooOldError,
    StoreBusyError,
    StoreConfigError,
    StoreFullError,
    StoreUnavailableError,
    TurnTakenError,
)
from rome.store.diagnosis import Diagnosis
from rome.store.location import Location
from rome.store.redis import scripts
from rome.store.redis.diagnosis import diagnose
from rome.store.redis.failures import MOVING, SlotMovedError, checked, translate
from rome.store.redis.gets import GetPacker, judge
from rome.store.redis.health import SECTIONS, Health, parse_info
from rome.store.redis.link import RedisLink, Reply, greet_server
from rome.store.redis.messages import (
    claim_argument,
    commit_arguments,
    decode_answers,
    decode_short,
)
from rome.store.redis.names import DatabaseName, meta_key, slot_of, unescape
from rome.store.redis.primary import every_primary, greet
from rome.store.redis.reads import ReadPacker, ReservePacker
from rome.store.redis.scan import databases_at
from rome.store.redis.settings import OPTIONS, RedisSettings, read_settings
from rome.store.redis.usage import decode_usage, pinned
from rome.store.redis.wire import Command, pack
from rome.store.seen import place_of, saw
from rome.store.spi import (
    MAX_TOLD_ROWS,
    Answer,
    Capabilities,
    Claim,
    CommitRequest,
    Get,
    PinnedSnapshot,
    ReadResult,
    Request,
    Reserve,
    Retention,
    Scan,
    Snapshot,
    Store,
    StoreUsage,
    Version,
)

if TYPE_CHECKING:
    from rome.store.redis.near import NearReads

T = TypeVar("T")

FORMAT = 1
"""The format of the stored data. A greater one is refused."""
_FORMAT = b"%d" % FORMAT

SCAN_ROWS, SCAN_BYTES = 2_000, 1024 * 1024
"""How many entries one read scans: about 2 ms, in which the server serves nobody else."""
_SCAN_LIMITS = (SCAN_ROWS, SCAN_BYTES)

TRIM_ELEMENTS, TRIM_MEMBERS = 1_000, 5_000
"""How much one call of trim.lua may discard: about 5 ms of the server."""

_INFO: Command = (b"INFO", *SECTIONS)
_NOT_NOW = (b"dropped", b"moving")
"""What each script may answer instead of running."""

_ELSEWHERE = (exceptions.MovedError, exceptions.ClusterDownError)
"""What a node of a cluster answers that has not got the slot, or has lost the others."""

_UNDECODABLE = (ValueError, TypeError, IndexError, OverflowError)
"""What decoding raises if a reply does not have the form that Rome's own data has."""


class RedisStore(Store):
    """A connection to one database of a Redis or Valkey server.

    After a failure it has no socket. The first read of the next transaction connects again.
    """

    capabilities = Capabilities(durable=True, shared=True, network=True, pins=True)
    options = OPTIONS
    only_reads = False
    """Whether it never writes: neither creates a database nor renews the incarnation."""

    def __init__(self, location: Location) -> None:
        self.round_trips = 0
        self.near_trips = 0
        self.place = place_of(location)
        self._location = location
        self._retention = Retention()
        self._settings = read_settings(location)
        self._server = self._settings.server
        self._database = location.database
        self._meta = meta_key(location.database, self._settings.slot)
        self._gets = GetPacker(self._meta)
        self._on_cluster = self._settings.cluster
        self._make_packers()
        wait = self._settings.wait_replicas
        self._wait = [(b"WAIT", b"%d" % wait, b"%d" % self._settings.wait_timeout_ms)] if wait else []
        self._link: RedisLink | None = None
        self._closed = False
        self._snapshot: Snapshot | None = None
        self._last_snapshot = Snapshot(b"", 0)
        self._told: tuple[list[bytes], Snapshot, Version] = ([], self._last_snapshot, 0)
        """The incarnation, version and catalog version of the last read, as they came (most often they come again), and
        what they say."""
        self._near = _near_reads(location, self._settings) if self._settings.near_reads else None
        self._after_conflict = False
        """With near reads: whether the next snapshot must be the primary's newest, to be newer than what conflicted."""
        self._at_replica = False
        """Whether the server was a replica when we connected: if it is promoted, the incarnation must be renewed."""

    @classmethod
    def open(cls, location: Location) -> Self:
        store = cls(location)
        try:
            store._connect(create=True)
        except (StoreUnavailableError, StoreBusyError):
            if store._near is None or not store._open_near(store._near):
                raise
        return store

    @classmethod
    def list_databases(cls, location: Location) -> list[str]:
        # In a cluster, a name that is there twice is two databases, in two slots.
        return sorted(found.name for found in _scan(read_settings(location)))

    @classmethod
    def database_exists(cls, location: Location) -> bool:
        with closing(cls(location)) as store:
            link, _, (format_,) = store._greet([(b"HGET", store._meta, b"format")])
            link.close()
            return format_ is not None

    @classmethod
    def drop_database(cls, location: Location) -> None:
        with closing(cls(location)) as store:
            store._link, _, _ = store._greet([(b"HGET", store._meta, b"format")])
            store._run(scripts.DROP)

    @classmethod
    def diagnose(cls, location: Location) -> Diagnosis:
        settings = read_settings(location)
        return diagnose(settings, meta_key(location.database, settings.slot), FORMAT)

    def read(
        self, snapshot: Snapshot | None, requests: Sequence[Request], reserves: Sequence[Reserve] = ()
    ) -> ReadResult:
        if self._near is not None:
            return self._read_near(self._near, snapshot, requests, reserves)
        ask = self._ask_by_key
        for request in requests:
            if not isinstance(request, Get):
                ask = self._ask_script
                break
        if snapshot is not None:
            if snapshot != self._snapshot:
                raise SnapshotLostError.of_another(snapshot.version)
            try:
                return ask(snapshot, requests, reserves)
            except SlotMovedError as moved:
                self._lose_snapshot(snapshot, moved)
        self._snapshot = None
        incarnation = self._last_snapshot.incarnation
        had_link = self._link is not None and not self._closed
        if not had_link:
            self._connect(create=False)
            self._check_numbers(incarnation, reserves)
        try:
            return ask(None, requests, reserves)
        except SlotMovedError as moved:

            def ask_there() -> ReadResult:
                self._check_numbers(incarnation, reserves)
                return ask(None, requests, reserves)

            return self._once_more(moved, ask_there)
        except StoreUnavailableError as error:
            self._connect_again(error, had_link=had_link)
        self._check_numbers(incarnation, reserves)
        return ask(None, requests, reserves)

    def _connect_again(self, error: StoreUnavailableError, *, had_link: bool) -> None:
        """Connect if an old connection has turned out to be lost, and nothing depends on it yet; else raise the error.

        After a timeout the server is up and slow: asking again would only make the caller wait twice as long.
        """
        if not had_link or self._link is not None or isinstance(error.__cause__, exceptions.TimeoutError):
            raise error
        self._connect(create=False)

    def _read_near(
        self, near: NearReads, snapshot: Snapshot | None, requests: Sequence[Request], reserves: Sequence[Reserve]
    ) -> ReadResult:
        """Read at the replica, or else at the primary. Numbers are the primary's: what wants some reads there, too."""
        if self._closed:
            raise StoreUnavailableError.closed()
        if snapshot is None:
            self._snapshot = None
        elif snapshot != self._snapshot:
            raise SnapshotLostError.of_another(snapshot.version)
        result = None
        if not reserves and not (snapshot is None and self._after_conflict):
            before = near.round_trips
            try:
                if snapshot is None:
                    result = near.new_snapshot(requests, self.at_least, self._last_snapshot.version)
                else:
                    result = near.at(snapshot, requests)
            finally:
                self.near_trips += near.round_trips - before
                self.round_trips += near.round_trips - before
        if result is None:
            began = time.perf_counter()
            try:
                result = self._read_as_of(snapshot, requests, reserves)
            except ConflictError:
                self._after_conflict = True
                raise
            self._after_conflict = False
            near.primary_took(time.perf_counter() - began)
            near.primary_is(result.snapshot.incarnation)
        self._snapshot = result.snapshot
        self._heard_of(result.snapshot)
        saw(self.place, result.snapshot)
        return result

    def _read_as_of(
        self, snapshot: Snapshot | None, requests: Sequence[Request], reserves: Sequence[Reserve]
    ) -> ReadResult:
        """Read here, also as of a version that another connection has found.

        A new connection renews the incarnation if it must, which then says that this version is lost.
        """
        only_gets = all(isinstance(request, Get) for request in requests)
        ask = self._ask_by_key if only_gets else self._ask_script
        incarnation = self._last_snapshot.incarnation
        had_link = self._link is not None
        if not had_link:
            self._connect(create=False)
            self._check_numbers(incarnation, reserves)
        try:
            return ask(snapshot, requests, reserves)
        except StoreUnavailableError as error:
            self._connect_again(error, had_link=had_link)
        self._check_numbers(incarnation, reserves)
        return ask(snapshot, requests, reserves)

    def _check_numbers(self, incarnation: bytes, reserves: Sequence[Reserve]) -> None:
        """Whether numbers that are wanted again are of this history: a server that restarts may give them to others.

        Args:
            incarnation: what was the present one when they were asked for.

        Raises:
            SnapshotLostError: they are not.
        """
        if incarnation not in (b"", self._last_snapshot.incarnation) and any(each.again for each in reserves):
            raise SnapshotLostError.of_numbers()

    def _open_near(self, near: NearReads) -> bool:
        """While the primary is away: whether the replica can be read."""
        try:
            result = near.new_snapshot((), None, 0)
        finally:
            self.near_trips = self.round_trips = near.round_trips
        if result is not None:
            self._last_snapshot = result.snapshot
        return result is not None

    def release(self) -> None:
        self._snapshot = self.held = None

    def last_snapshot(self) -> Snapshot:
        return self._last_snapshot

    def commit(self, request: CommitRequest) -> Version:
        self._snapshot = None
        if self._at_replica or self._near is not None:
            self._ready_to_write()
        arguments, only_deletes = commit_arguments(request)
        script = self._fit(scripts.COMMIT_DELETES if only_deletes else scripts.COMMIT)
        incarnation, version = request.snapshot.incarnation, b"%d" % request.snapshot.version
        head = (request.transaction_id, incarnation, version, _FORMAT, request.ticket)
        command: Command = (b"EVALSHA", script.digest, b"1", self._meta, *head, *arguments)
        try:
            try:
                reply = self._send(script, command, request)
            except StoreFullError:
                if not self.trim():
                    raise
                reply = self._send(script, command, request)
        except SlotMovedError as moved:  # before the script began
            self._lose_snapshot(request.snapshot, moved)
        if reply[0] != b"done":
            self._refuse_commit(request, reply)
        newest: Version = reply[1]
        known = self._last_snapshot
        if newest > known.version or incarnation != known.incarnation:
            self._last_snapshot = Snapshot(incarnation, newest)
        if self._near is not None:
            saw(self.place, self._last_snapshot)
        return newest

    def _refuse_commit(self, request: CommitRequest, reply: Reply) -> NoReturn:
        """Raise what commit.lua answered instead of applying it."""
        self._after_conflict = True
        match reply[0]:
            case b"conflict":
                _, table_id, index_id, escaped_key, newest = reply
                self._heard_of(Snapshot(request.snapshot.incarnation, newest))
                key = unescape(escaped_key)
                if index_id < 0:
                    raise ConflictError.of_row(table_id, key)
                raise ConflictError.of_range(table_id, index_id, key)
            case b"turn":
                raise TurnTakenError.of_row(reply[1], unescape(reply[2]))
            case b"aborted":
                raise CommitAbortedError.of(request.transaction_id)
            case b"forbidden":
                raise AuthenticationError(
                    f"{self._server}: this user may not run {reply[1].decode()}; docs/security.md has the ACL"
                )
            case _:
                self._refuse(reply, request.snapshot.version)

    def resolve(self, transaction_id: bytes, snapshot: Version) -> Version | None:
        if self._link is None or not self._link.is_usable():
            self._connect(create=False)
        self._ready_to_write()
        arguments = (transaction_id, b"%d" % snapshot, b"%d" % bool(self._settings.wait_replicas))
        script = self._fit(scripts.RESOLVE)
        try:
            reply = self._send(script, self._command(script, *arguments))
        except SlotMovedError as moved:
            reply = self._once_more(moved, lambda: self._send(script, self._command(script, *arguments)))
        match reply[0]:
            case b"old":
                raise CommitUnknownError.trimmed(transaction_id, snapshot)
            case b"dropped" | b"moving":
                self._refuse(reply, 0)
        return int(reply[1]) if reply[0] == b"done" else None

    def join_queue(self, ticket: bytes, claims: Sequence[Claim], lease_s: float) -> int:
        self._ready_to_write()
        return int(
            self._run(scripts.LINE, ticket, b"%d" % max(1, round(lease_s * 1000)), *map(claim_argument, claims))[1]
        )

    def leave_queue(self, ticket: bytes) -> None:
        self._run(scripts.LINE, ticket, b"0")

    def trim(self) -> int:
        trimmed: int = 0
        while True:
            _, count, more = self._run(scripts.TRIM, b"%d" % TRIM_ELEMENTS, b"%d" % TRIM_MEMBERS)
            trimmed += count
            if not more:
                return trimmed

    def retention(self) -> Retention:
        command = (b"HMGET", self._meta, b"retention_ms", b"max_bytes")
        try:
            reply = self._checked(self._call([command])[0])
        except SlotMovedError as moved:
            reply = self._once_more(moved, lambda: self._checked(self._call([command])[0]))
        milliseconds, max_bytes = reply
        if milliseconds is None:
            self._refuse([b"dropped"], 0)
        return self._heard_of_retention(milliseconds, max_bytes)

    def set_retention(self, retention: Retention) -> None:
        self._run(scripts.RETAIN, *_retention_arguments(retention))
        self._retention = retention

    def known_retention(self) -> Retention:
        return self._retention

    def _heard_of_retention(self, milliseconds: bytes | int, max_bytes: bytes | int) -> Retention:
        try:
            self._retention = Retention(int(milliseconds) / 1000, int(max_bytes))
        except _UNDECODABLE as error:
            raise self._damaged("its retention", error) from error
        return self._retention

    def pin(self, ticket: bytes, snapshot: Snapshot, lease_s: float, *, owner: str, age_s: float) -> Version:
        self._ready_to_pin()
        reply = self._run(
            scripts.PIN,
            ticket,
            b"%d" % max(1, round(lease_s * 1000)),
            snapshot.incarnation,
            b"%d" % snapshot.version,
            owner,
            b"%d" % round(age_s * 1000),
        )
        if reply[0] != b"done":
            self._refuse(reply, snapshot.version)
        _, floor, milliseconds, max_bytes = reply
        self._heard_of_retention(milliseconds, max_bytes)
        return int(floor)

    def unpin(self, ticket: bytes) -> None:
        self._ready_to_pin()
        self._run(scripts.PIN, ticket, b"0", b"", b"0", b"", b"0")

    def pins(self) -> list[PinnedSnapshot]:
        self._ready_to_pin()
        try:
            return pinned(self._run(scripts.PINS)[1:])
        except _UNDECODABLE as error:
            raise self._damaged("a pin", error) from error

    def another(self) -> Self:
        return type(self)(self._location)

    def _ready_to_pin(self) -> None:
        """Connect if there is no usable connection: what is pinned depends on none."""
        if not self._closed and (self._link is None or not self._link.is_usable()):
            self._connect(create=False)
        self._ready_to_write()

    def usage(self, recent: int = 0) -> StoreUsage:
        def ask() -> list[Reply]:
            if self._link is None and not self._closed:
                self._connect(create=False)
            command = self._command(scripts.USAGE, b"%d" % recent, b"%d" % MAX_TOLD_ROWS)
            told, memory = self._call([command, (b"INFO", b"memory")])
            return [self._finish(scripts.USAGE, command, told), self._checked(memory)]

        try:
            told, memory = ask()
        except SlotMovedError as moved:
            told, memory = self._once_more(moved, ask)
        try:
            return decode_usage(told, parse_info(memory))
        except _UNDECODABLE as error:
            raise self._damaged("its state, its commit queue or its history", error) from error

    def is_usable(self) -> bool:
        if self._near is not None and self._near.is_usable():
            return True
        return self._link is not None and self._link.is_usable()

    def close(self) -> None:
        self._closed = True
        self.held = None
        self._disconnect()
        if self._near is not None:
            self._near.close()

    def _ready_to_write(self) -> None:
        """Connect again where the present connection must not write, or, with near reads, has been lost meanwhile.

        No snapshot depends on it then, and nothing was sent.
        """
        if self._closed:
            return
        if self._at_replica or (self._near is not None and (self._link is None or not self._link.is_usable())):
            self._connect(create=False)

    def _connect(self, *, create: bool) -> None:
        """Connect, check the server, and make sure that the data is of its present incarnation.

        Cost: one round trip, after those that find the primary; two if the server is another one than before, or the
        database is new, which in a cluster also costs that of list_databases.
        """
        if self._closed:
            raise StoreUnavailableError.closed()
        self._disconnect()
        fields = (b"format", b"incarnation", b"version", b"retention_ms", b"max_bytes", b"run_id", b"replication_id")
        link, health, (meta,) = self._greet([(b"HMGET", self._meta, *fields)])
        self.round_trips += 1
        self._link, self._server = link, link.server
        self._at_replica = health.is_replica
        try:
            if meta[0] is None and not create:
                self._refuse([b"dropped"], 0)
            if meta[0] is None and health.is_in_cluster:
                self._refuse_a_second_one()
            # A replica's data names its primary's run: it never serves older data than it has served before.
            if meta[0] is None or not (
                self.only_reads
                or health.is_replica
                or meta[5:] == [health.run_id.encode(), health.replication_id.encode()]
            ):
                meta = self._run_here(
                    scripts.OPEN,
                    _FORMAT,
                    secrets.token_bytes(16),
                    health.run_id,
                    health.replication_id,
                    *_retention_arguments(Retention()),
                )
            try:
                stored, newest = int(meta[0]), Snapshot(bytes(meta[1]), int(meta[2]))
            except _UNDECODABLE as error:
                raise self._damaged("its format, incarnation or version", error) from error
            with suppress(CorruptRecordError):  # whoever needs it asks for it, and is told
                self._heard_of_retention(*meta[3:5])
            if stored > FORMAT:
                self._refuse([b"format", stored], 0)
            if not self.only_reads:
                health.warn()
        except SlotMovedError as moved:  # since the greeting
            self._disconnect()
            if not self._settings.cluster:
                raise
            raise StoreBusyError(f"{self._server}: {MOVING}") from moved
        except BaseException:
            self._disconnect()
            raise
        self._last_snapshot = newest
        if self._near is not None:
            self._near.primary_is(newest.incarnation, health)

    def _refuse_a_second_one(self) -> None:
        """Before a database is created in a cluster: see that it is not in another slot, where a URL has put it.

        Raises:
            StoreConfigError: it is, or it cannot be seen from here.
        """
        settings, database = self._settings, repr(self._database)
        if not settings.cluster:
            raise StoreConfigError(
                f"{self._server}: the server is a node of a cluster, and has no database {database}; add cluster=on to "
                "the URL to create it"
            )
        for name, slot in _scan(settings):
            if name == self._database and slot != settings.slot:
                option = "without the option slot" if slot is None else f"with slot={slot}"
                raise StoreConfigError(
                    f"database {database} is in another slot of the cluster: name it in all URLs {option}, as it was "
                    "created"
                )

    def _greet(self, more: Sequence[Command]) -> tuple[RedisLink, Health, list[Reply]]:
        """Connect to the primary, which `more` commands may ask something."""
        settings = self._settings
        link, health, replies = _examined(settings, *greet(settings, slot_of(self._meta), [_INFO, *more]))
        if health.is_in_cluster != self._on_cluster:
            self._on_cluster = health.is_in_cluster
            self._make_packers()
        return link, health, replies

    def _make_packers(self) -> None:
        """Of commands that run a script, which is another one on a node of a cluster."""
        self._reads = ReadPacker(self._command(scripts.READ), _SCAN_LIMITS)
        self._reserves = ReservePacker(self._command(scripts.RESERVE))

    def _fit(self, script: scripts.Script) -> scripts.Script:
        """The script for the kind of server that this is."""
        return script.on_cluster if self._on_cluster and script.on_cluster else script

    def _once_more(self, moved: SlotMovedError, act: Callable[[], T]) -> T:
        """Connect to the node that has the database now, and do there what was refused here before it began."""
        if not self._settings.cluster:
            raise moved
        self._connect(create=False)
        try:
            return act()
        except SlotMovedError as again:
            raise StoreBusyError(f"{self._server}: {MOVING}") from again

    def _lose_snapshot(self, snapshot: Snapshot, moved: SlotMovedError) -> NoReturn:
        """Raise what a transaction is told that has read at a node which no longer has the database."""
        if not self._settings.cluster:
            raise moved
        raise SnapshotLostError.moved(snapshot.version) from moved

    def _disconnect(self) -> None:
        self._snapshot = None
        if self._link is not None:
            self._link.close()
            self._link = None

    def _ask_by_key(
        self, snapshot: Snapshot | None, requests: Sequence[Request], reserves: Sequence[Reserve] = ()
    ) -> ReadResult:
        """Rows by key without a script: see rome.store.redis.gets."""
        gets = cast(Sequence[Get], requests)
        request, how_many = self._gets.pack(gets, snapshot)
        if reserves:
            request += self._reserves.pack(reserves)
            how_many += 1
        replies = self._exchange(request, how_many)
        reserved = self._reserved(reserves, replies.pop()) if reserves else []
        for reply in replies:
            if not isinstance(reply, list):
                self._checked(reply)
        try:
            found = judge(gets, snapshot, replies)
        except _UNDECODABLE as error:
            raise self._damaged("its version, or that of a table", error) from error
        if found.refusal and snapshot is None and found.refusal[0] != b"dropped":
            # The catalog changed between our commands; a new snapshot must not begin with a conflict.
            return replace(self._ask_script(None, gets), reserved=reserved)
        if found.refusal:
            self._refuse(found.refusal, found.snapshot.version)
        if found.doubts:
            again = [
                Get(get.table_id, tuple(get.keys[position] for position in doubts))
                for get, doubts in zip(gets, found.doubts, strict=True)
            ]
            asked = self._ask_script(found.snapshot, again)
            for rows, doubts, answer in zip(found.rows, found.doubts, asked.answers, strict=True):
                assert isinstance(answer, list)
                for position, row in zip(doubts, answer, strict=True):
                    rows[position] = row
        if snapshot is None:
            self._snapshot = found.snapshot
            if found.snapshot != self._last_snapshot:
                self._heard_of(found.snapshot)
        return ReadResult(found.snapshot, found.catalog_version, cast(list[Answer], found.rows), reserved)

    def _ask_script(
        self, snapshot: Snapshot | None, requests: Sequence[Request], reserves: Sequence[Reserve] = ()
    ) -> ReadResult:
        """Rows, ranges and counts by read.lua."""
        request, how_many = self._reads.pack(snapshot, requests), 1
        if reserves:
            request += self._reserves.pack(reserves)
            how_many = 2
        replies = self._exchange(request, how_many)
        reserved = self._reserved(reserves, replies.pop()) if reserves else []
        reply = replies[0]
        if not isinstance(reply, list):
            reply = self._finish(scripts.READ, self._reads.command(snapshot, requests), reply)
        try:
            if isinstance(reply[0], int):
                words, found, catalog_version = self._told
                if words != reply[1:4]:
                    words = reply[1:4]
                    incarnation, version, catalog = words
                    found, catalog_version = Snapshot(incarnation, int(version or 0)), int(catalog or 0)
                    self._told = words, found, catalog_version
                decoded = decode_short(cast(Sequence[Scan], requests), reply)
            elif reply[0] == b"done":
                _, incarnation, version, catalog_version, answers, entries, rows, _ = reply
                found = Snapshot(incarnation, version)
                decoded = decode_answers(requests, answers, entries, rows)
            else:
                self._refuse(reply, 0 if snapshot is None else snapshot.version)
        except _UNDECODABLE as error:
            raise self._damaged("a row or an index entry", error) from error
        if snapshot is None:
            snapshot = self._snapshot = found
            if found is not self._last_snapshot:
                self._heard_of(found)
        return ReadResult(snapshot, catalog_version, decoded, reserved)

    def _reserved(self, reserves: Sequence[Reserve], reply: Reply) -> list[int]:
        if not isinstance(reply, list):
            reply = self._finish(scripts.RESERVE, self._reserves.command(reserves), reply)
        if reply[0] in _NOT_NOW:
            self._refuse(reply, 0)
        if reply[0] == b"exhausted":
            raise IdsExhaustedError.of(f"sequence {reply[1].decode()}")
        try:
            _, *taken = reply
            return [
                reserve.again[0]
                if reserve.again is not None and taken[n] == b"again"
                else int(taken[n]) - reserve.size + 1
                for n, reserve in enumerate(reserves)
            ]
        except _UNDECODABLE as error:
            raise self._damaged("a sequence", error) from error

    def _damaged(self, what: str, error: Exception) -> CorruptRecordError:
        """The error for stored data that Rome did not write."""
        return CorruptRecordError(
            f"database {self._database!r}: {what} cannot be decoded ({error}): something other than Rome wrote "
            "into its keys; restore a copy"
        )

    def _send(self, script: scripts.Script, command: Command, request: CommitRequest | None = None) -> Reply:
        """Run a script that writes, and wait for the replicas that the URL asks for.

        Args:
            script: which one it is on this kind of server.
            request: the commit that it is; only for one does a lost answer mean that the outcome is unknown.

        Raises:
            NotReplicatedError: a commit stands, but on too few of them.
        """
        link = self._link
        if link is None or self._closed:
            raise self._no_link()
        self.round_trips += 1
        try:
            replies = link.call([command, *self._wait])
        except StoreUnavailableError as error:
            self._disconnect()
            # A command does not run before its last byte was sent. If WAIT follows it, it may have run.
            if request is None or not (link.has_sent or self._wait):
                raise
            raise CommitUnknownError.lost(
                error, transaction_id=request.transaction_id, snapshot=request.snapshot.version
            ) from error
        except BaseException:
            self._disconnect()
            raise
        reply = replies[0]
        if not isinstance(reply, list):
            if isinstance(reply, exceptions.NoScriptError):
                return self._send(script, (b"EVAL", script.text, *command[2:]), request)
            self._checked(reply)
        if self._wait and reply[0] == b"done":
            self._check_replicas(reply[1], replies[1])
        return reply

    def _check_replicas(self, version: Version, replicas: Reply) -> None:
        wanted = self._settings.wait_replicas
        if isinstance(replicas, exceptions.RedisError):
            # It became a replica itself, or the user may not ask. Either way the commit stands here.
            raise NotReplicatedError(
                f"committed at version {version}, but the server did not wait for replicas: {replicas}",
                version=version,
                replicas=0,
            ) from replicas
        if replicas < wanted:
            raise NotReplicatedError(
                f"committed at version {version}, but {replicas} replicas acknowledged it in time and not {wanted}",
                version=version,
                replicas=replicas,
            )

    def _run(self, script: scripts.Script, *arguments: bytes | str) -> Reply:
        try:
            return self._run_here(script, *arguments)
        except SlotMovedError as moved:
            return self._once_more(moved, lambda: self._run_here(script, *arguments))

    def _run_here(self, script: scripts.Script, *arguments: bytes | str) -> Reply:
        command = self._command(script, *arguments)
        return self._finish(script, command, self._call([command])[0])

    def _finish(self, script: scripts.Script, command: Command, reply: Reply) -> Reply:
        """A script's reply. If the server does not have the script, its text is sent."""
        if isinstance(reply, exceptions.NoScriptError):
            reply = self._call([(b"EVAL", self._fit(script).text, *command[2:])])[0]
        reply = self._checked(reply)
        if reply[0] in _NOT_NOW:
            self._refuse(reply, 0)
        return reply

    def _checked(self, reply: Reply) -> Reply:
        """A reply that is not an error. After one that says that another node is the primary, there is no link."""
        if not isinstance(reply, exceptions.RedisError):
            return reply
        if isinstance(reply, _ELSEWHERE):
            self._disconnect()
        raise translate(reply, self._server) from reply

    def _command(self, script: scripts.Script, *arguments: bytes | str) -> Command:
        return (b"EVALSHA", self._fit(script).digest, b"1", self._meta, *arguments)

    def _call(self, commands: Sequence[Command]) -> list[Reply]:
        return self._exchange(b"".join(map(pack, commands)), len(commands))

    def _exchange(self, request: bytes, how_many: int) -> list[Reply]:
        link = self._link
        if link is None or self._closed:
            raise self._no_link()
        self.round_trips += 1
        try:
            return link.exchange(request, how_many)
        except BaseException:
            self._disconnect()
            raise

    def _no_link(self) -> StoreUnavailableError:
        """Why nothing can be sent."""
        if self._closed:
            return StoreUnavailableError.closed()
        return StoreUnavailableError(f"{self._server}: the connection is lost")

    def _heard_of(self, snapshot: Snapshot) -> None:
        if snapshot.incarnation != self._last_snapshot.incarnation or snapshot.version >= self._last_snapshot.version:
            self._last_snapshot = snapshot

    def _refuse(self, reply: Sequence[Any], version: Version) -> NoReturn:
        """Raise the error for a script's refusal. `version` is the snapshot's."""
        database = repr(self._database)
        match reply:
            case [b"dropped"]:
                self._disconnect()
                raise StoreUnavailableError.dropped(f"database {database}")
            case [b"moving"]:
                raise StoreBusyError(f"{self._server}: {MOVING}")
            case [b"lost"]:
                raise SnapshotLostError.of(version)
            case [b"catalog", changed]:
                raise CatalogChangedError.since(version, changed)
            case [b"old", _, table_id]:
                raise SnapshotTooOldError.of(None if table_id < 0 else table_id)
            case [b"format", stored]:
                raise FormatError(
                    f"database {database} has format {stored}; this version of Rome knows {FORMAT}: upgrade"
                )
            case _:
                raise AssertionError(f"unknown answer {reply!r}")


def _examined(settings: RedisSettings, link: RedisLink, replies: list[Reply]) -> tuple[RedisLink, Health, list[Reply]]:
    """Check the server that was greeted with _INFO and more; the rest of the replies are those to `more`.

    Raises:
        AuthenticationError, StoreBusyError, StoreConfigError: the server cannot be used.
    """
    try:
        info, *others = [checked(reply, link.server) for reply in replies]
        health = Health(info, link.server)
        health.check(allow_eviction=settings.allow_eviction)
        if settings.sentinel is not None and health.is_replica:
            raise StoreBusyError(f"{link.server}, which the Sentinels name, is a replica now: they are failing over")
    except BaseException:
        link.close()
        raise
    return link, health, others


def _near_reads(location: Location, settings: RedisSettings) -> NearReads:
    from rome.store.redis.near import NearReads  # which makes a store of this class

    return NearReads(location, settings)


def _scan(settings: RedisSettings) -> set[DatabaseName]:
    """The databases on all primaries."""
    found: set[DatabaseName] = set()
    for primary in every_primary(settings):
        link, _, _ = _examined(settings, *greet_server(primary, [_INFO]))
        with closing(link):
            found |= databases_at(link)
    return found


def _retention_arguments(retention: Retention) -> tuple[bytes, bytes]:
    return b"%d" % round(retention.seconds * 1000), b"%d" % retention.max_bytes
