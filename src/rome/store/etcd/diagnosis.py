"""What `rome doctor` reports about an etcd cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from rome.errors import Error, TransactionTooLargeError
from rome.store.diagnosis import Diagnosis, Finding, Level, Loss, size_text
from rome.store.etcd.client import EtcdClient
from rome.store.etcd.compaction import compaction_finding
from rome.store.etcd.driver import WANTED_BYTES, WANTED_OPERATIONS, EtcdDriver
from rome.store.etcd.messages import (
    ALARM,
    MEMBER_LIST,
    STATUS,
    AlarmRequest,
    MemberListRequest,
    StatusRequest,
)
from rome.store.etcd.metrics import QUOTA, read_metrics
from rome.store.etcd.settings import Settings, addresses_of
from rome.store.etcd.versions import fault_of
from rome.store.option_values import Address, shown
from rome.store.ordered.driver import Condition, DriverCompare, DriverTransaction, Range
from rome.store.ordered.layout import Layout, decode_pins
from rome.store.pins import Pins, pins_finding

TIMEOUT_S = 3.0
"""Timeout for each member; one that is away is a finding, and no reason to wait."""

SPARE_KILOBYTES = 512
"""How far a request that writes nothing may exceed --max-request-bytes."""

DEFAULT_QUOTA_BYTES = 2 * 1024**3

_ALARMS = {1: "NOSPACE", 2: "CORRUPT"}


class _AskedMember(NamedTuple):
    """A member's answer, and how long it took in seconds; `status` is None if it has not answered."""

    name: str
    address: str
    status: Any
    seconds: float
    error: str = ""
    at: Address | None = None


def diagnose(settings: Settings, database: str) -> Diagnosis:
    """Examine the cluster and each of its members, without writing anything."""
    client = EtcdClient(replace(settings, read_timeout_s=TIMEOUT_S, allow_unsafe_version=True))
    try:
        status, members, alarms = client.call(
            [(STATUS, StatusRequest()), (MEMBER_LIST, MemberListRequest()), (ALARM, AlarmRequest())]
        ).messages
        asked = [_ask(settings, member) for member in members.members]
        findings = [
            _version(asked),
            _quorum(asked),
            _alarms(alarms),
            _space(settings, asked),
            *_limits(EtcdDriver(client), Layout(database)),
            compaction_finding(client, Layout(database), status.header.revision),
            _pins(EtcdDriver(client), Layout(database)),
            *_latency(asked),
        ]
        losses = _losses(len(members.members))
        return Diagnosis(f"etcd {status.version} at {settings.servers}, {len(asked)} member(s)", losses, findings)
    except Error as error:
        return Diagnosis(f"etcd at {settings.servers}", [], [Finding("connection", Level.PROBLEM, str(error))])
    finally:
        client.close()


def _ask(settings: Settings, member: Any) -> _AskedMember:
    name = member.name or f"{member.id:x}"
    addresses = addresses_of(member.client_urls)
    if not addresses:
        return _AskedMember(name, "nowhere", None, 0.0, "it tells no address for clients")
    own = replace(
        settings,
        addresses=addresses[:1],
        read_timeout_s=TIMEOUT_S,
        connect_timeout_s=TIMEOUT_S,
        allow_unsafe_version=True,
    )
    client = EtcdClient(own)
    try:
        client.call([(STATUS, StatusRequest())])
        begun = time.monotonic()
        [status] = client.call([(STATUS, StatusRequest())]).messages
        return _AskedMember(name, shown(addresses[0]), status, time.monotonic() - begun, at=addresses[0])
    except Error as error:
        return _AskedMember(name, shown(addresses[0]), None, 0.0, str(error))
    finally:
        client.close()


def _losses(size: int) -> list[Loss]:
    if size == 1:
        return [
            Loss("the member is killed, or its power fails", "nothing: it has written each commit to its disk"),
            Loss("the disk is lost", "everything since the last backup"),
        ]
    spare = (size - 1) // 2
    return [
        Loss(f"any {spare} of {size} members are lost, with their disks", "nothing"),
        Loss("all members lose their power at once", "nothing: most of them have written each commit to their disks"),
        Loss(f"{spare + 1} disks are lost", "nothing that is left can be used without a restore from a backup"),
    ]


def _version(asked: Sequence[_AskedMember]) -> Finding:
    versions = sorted({each.status.version for each in asked if each.status is not None})
    faults = [fault for version in versions if (fault := fault_of(version))]
    if faults:
        reason, _, remedy = faults[0].rpartition(": ")
        return Finding("version", Level.PROBLEM, reason, remedy)
    return Finding("version", Level.OK, ", ".join(versions) or "no member has told its version")


def _quorum(asked: Sequence[_AskedMember]) -> Finding:
    size, answering = len(asked), sum(each.status is not None for each in asked)
    silent = "; ".join(f"{each.name} ({each.address}): {each.error}" for each in asked if each.status is None)
    if size == 1:
        return Finding("members", Level.WARNING, "one member: when it is away, so is the data", "run three or five")
    if answering < size // 2 + 1:
        return Finding("members", Level.PROBLEM, f"{answering} of {size} answer, which is no quorum: {silent}")
    if answering < size:
        return Finding("members", Level.WARNING, f"{answering} of {size} answer: {silent}", "start the others again")
    if size % 2 == 0:
        reason = f"{size} members survive no more failures than {size - 1}"
        return Finding("members", Level.WARNING, reason, "run an odd number of members")
    return Finding("members", Level.OK, f"{size} of {size} answer, so any {(size - 1) // 2} may fail")


def _alarms(alarms: Any) -> Finding:
    raised = sorted({_ALARMS.get(each.alarm, str(each.alarm)) for each in alarms.alarms})
    if not raised:
        return Finding("alarms", Level.OK, "none")
    remedy = {
        "NOSPACE": "compact, `etcdctl defrag`, `etcdctl alarm disarm`; a greater --quota-backend-bytes",
        "CORRUPT": "members have different data: find the one that is wrong, and replace it",
    }
    return Finding("alarms", Level.PROBLEM, ", ".join(raised), "; ".join(remedy.get(each, "") for each in raised))


def _space(settings: Settings, asked: Sequence[_AskedMember]) -> Finding:
    """Compare what the fullest member has on its disk with its quota."""
    answering = [each for each in asked if each.status is not None]
    if not answering:
        return Finding("space", Level.UNKNOWN, "no member answers")
    fullest = max(answering, key=lambda each: each.status.db_size)
    used, size = fullest.status.db_size_in_use or fullest.status.db_size, fullest.status.db_size
    told = 0.0
    if fullest.at is not None:
        told = read_metrics(settings, fullest.at, TIMEOUT_S).get(QUOTA, 0.0)
    quota = told or DEFAULT_QUOTA_BYTES
    of = f"of a quota of {size_text(quota)}" if told else "; the member does not tell its quota (2 GiB unless set)"
    reason = f"{size_text(size)} on disk, {size_text(used)} in use, {of}".replace(", ;", ";")
    if size <= 0.8 * quota:
        return Finding("space", Level.OK if told else Level.UNKNOWN, reason)
    remedy = (
        "run `etcdctl defrag` on each member" if used < 0.6 * quota else "raise --quota-backend-bytes, to 8 GiB at most"
    )
    return Finding("space", Level.WARNING, reason, f"{remedy}; writes stop at the quota")


def _limits(driver: EtcdDriver, layout: Layout) -> Iterator[Finding]:
    """Find the limits with transactions that do nothing: they require a key to exist whose name nobody may use."""
    most = _greatest(lambda count: _takes(driver, layout, count, 0), WANTED_OPERATIONS)
    reason = f"a commit may write {most:,} keys at most" if most < WANTED_OPERATIONS else f"{most:,} keys or more"
    if most < WANTED_OPERATIONS:
        remedy = f"start the members with --max-txn-ops={WANTED_OPERATIONS}"
        yield Finding("max-txn-ops", Level.WARNING, reason, remedy)
    else:
        yield Finding("max-txn-ops", Level.OK, reason)
    kilobytes = WANTED_BYTES // 1024 - 16
    size = _greatest(lambda count: _takes(driver, layout, 1, count * 1024), kilobytes)
    if size < kilobytes:
        remedy = f"start the members with --max-request-bytes={WANTED_BYTES}"
        reason = f"a commit may have {size - SPARE_KILOBYTES:,} KiB, about"
        yield Finding("max-request-bytes", Level.WARNING, reason, remedy)
    else:
        yield Finding("max-request-bytes", Level.OK, "7.5 MiB or more; Rome never sends more than 8")


def _pins(driver: EtcdDriver, layout: Layout) -> Finding:
    [outcome] = driver.run([DriverTransaction(then=[Range(layout.pins)])])
    try:
        stored = [pin for pair in outcome.found[0].pairs for pin in decode_pins(pair.value)]
    except ValueError:
        return Finding("long transactions", Level.PROBLEM, "what is stored of them cannot be decoded")
    return pins_finding(Pins(stored, time.time()).shown())


def _takes(driver: EtcdDriver, layout: Layout, operations: int, size: int) -> bool:
    impossible = DriverCompare(Condition.VALUE_IS, b"x" * max(1, size), layout.prefix + b"\x00nothing")
    try:
        driver.run([DriverTransaction([impossible] * operations)])
    except TransactionTooLargeError:
        return False
    return True


def _greatest(takes: Any, wanted: int) -> int:
    """Return the greatest number up to `wanted` that the server accepts."""
    if takes(wanted):
        return wanted
    low, high = 1, wanted
    while low + 1 < high:
        middle = (low + high) // 2
        if takes(middle):
            low = middle
        else:
            high = middle
    return low


def _latency(asked: Sequence[_AskedMember]) -> Iterator[Finding]:
    for each in asked:
        if each.status is not None:
            role = "leader" if each.status.leader == each.status.header.member_id else "follower"
            yield Finding(f"member {each.name}", Level.OK, f"{each.address}, {role}, {each.seconds * 1000:.1f} ms")
