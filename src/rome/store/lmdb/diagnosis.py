"""What `rome doctor` says of an LMDB file. Nothing is created; opening frees what killed processes held, as always."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rome.errors import DatabaseError
from rome.store.diagnosis import Diagnosis, Finding, Level, Loss, size_text
from rome.store.lmdb import files
from rome.store.lmdb.commit import read_pins
from rome.store.lmdb.environment import MAX_READERS, Environment
from rome.store.lmdb.state import FORMAT
from rome.store.pins import pins_finding

MOUNTS: Final = "/proc/self/mountinfo"
NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "virtiofs"}
)
VOLATILE: Final = frozenset({"tmpfs", "ramfs"})
FEW_READERS_LEFT: Final = MAX_READERS // 10
TRANSACTIONS_BEHIND: Final = 10_000
"""How many transactions an open snapshot may be behind before it looks forgotten."""


def diagnose(path: str, *, max_size: int, sync: bool, mode: int) -> Diagnosis:
    """Examine a file."""
    path = os.path.realpath(path)
    kind = file_system(path)
    findings = [_file_system(kind), _sync(sync)]
    if os.path.exists(path):
        findings.append(_permissions(path, mode))
        try:
            findings += _look_inside(path, max_size=max_size, sync=sync)
        except DatabaseError as error:
            findings.append(Finding("file", Level.PROBLEM, str(error), "see the error"))
    else:
        findings.append(Finding("file", Level.OK, "there is none yet"))
    return Diagnosis(path, _losses(kind, sync=sync), findings)


def file_system(path: str) -> str | None:
    """The type of a path's file system, as Linux names it; None if unknown."""
    if not os.path.exists(MOUNTS):
        return None
    # The path belongs to the longest mount point above it; if several are equal, to the last of them.
    best, kind = -1, None
    for line in Path(MOUNTS).read_text("utf-8", "surrogateescape").splitlines():
        fields, _, more = line.partition(" - ")
        point = fields.split()[4].encode("latin-1", "replace").decode("unicode_escape")  # \040 is a space
        if (path + "/").startswith(point.rstrip("/") + "/") and len(point) >= best:
            best, kind = len(point), more.split()[0]
    return kind


def _losses(kind: str | None, *, sync: bool) -> list[Loss]:
    if kind in VOLATILE:
        crash = "everything: the file is in memory"
    elif sync:
        crash = "nothing"
    else:
        crash = "what the operating system had not written yet; the file may be damaged"
    return [
        Loss("a process ends or is killed", "nothing"),
        Loss("the machine crashes, or a power cut", crash),
        Loss("the disk is lost", "everything since the last backup"),
        Loss("the disk or the file is full", "nothing: commits are refused"),
    ]


def _file_system(kind: str | None) -> Finding:
    check = "file system"
    if kind is None:
        return Finding(check, Level.UNKNOWN, f"{MOUNTS} does not tell", "see that it is a local disk")
    if kind in NETWORK or kind.startswith("fuse."):
        reason = f"{kind}: LMDB's locks and shared memory do not work over a network"
        return Finding(check, Level.PROBLEM, reason, "a local disk, or rome+redis:// for several machines")
    if kind in VOLATILE:
        return Finding(check, Level.PROBLEM, f"{kind}: in memory, gone when the machine stops", "a path on a disk")
    if kind == "overlay":
        reason = "overlay: if that is a container's, the file is gone with the container"
        return Finding(check, Level.WARNING, reason, "a path on a volume")
    return Finding(check, Level.OK, kind)


def _sync(sync: bool) -> Finding:
    if sync:
        return Finding("sync", Level.OK, "on: a commit is on the disk when it returns")
    reason = "off: a power cut takes the last commits, and may damage the file"
    return Finding("sync", Level.WARNING, reason, "leave sync=off out of the URL")


def _permissions(path: str, mode: int) -> Finding:
    """Whether users who are not meant to can read or write the file, or the lock file beside it."""
    names = [name for name in (path, path + "-lock") if os.path.exists(name)]
    found = {name: stat.S_IMODE(os.stat(name).st_mode) for name in names}
    told = ", ".join(f"{os.path.basename(name)} {bits:04o}" for name, bits in found.items())
    open_ones = [name for name, bits in found.items() if bits & 0o077 & ~mode]
    if not open_ones:
        return Finding("permissions", Level.OK, told)
    remedy = f"chmod {mode:o} {' '.join(open_ones)}; or say in the URL whom you mean: file_mode=0640"
    return Finding("permissions", Level.WARNING, f"{told}: other users of the machine can open it", remedy)


def _look_inside(path: str, *, max_size: int, sync: bool) -> list[Finding]:
    pin = files.new_pin()
    try:
        opened = files.acquire(path, pin, max_size=max_size, sync=sync)
        with pin.lock:
            return [*_contents(opened), *_readers(opened)]
    finally:
        files.release(pin)


def _contents(opened: Environment) -> Iterator[Finding]:
    state, usage = opened.state(), opened.usage()
    yield Finding("database", Level.OK, f"format {FORMAT}, version {state.version}")
    filled = (
        f"{size_text(usage.used_bytes)} of {size_text(opened.room)} used; the file has {size_text(usage.file_bytes)}"
    )
    remedy = "raise max_size in every client's URL, or delete rows"
    if usage.used_bytes >= 0.95 * opened.room:
        yield Finding("max_size", Level.PROBLEM, f"{filled}: commits are refused, or soon will be", remedy)
    elif usage.used_bytes >= 0.8 * opened.room:
        yield Finding("max_size", Level.WARNING, filled, remedy)
    else:
        yield Finding("max_size", Level.OK, filled)
    disk = os.statvfs(opened.path)
    free, total = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    room = f"{size_text(free)} of {size_text(total)} free"
    level = Level.WARNING if free < total / 20 else Level.OK
    yield Finding("disk", level, room, "make room: a full disk refuses commits" if level else "")
    kept = (
        f"{size_text(state.kept_bytes)} of {size_text(state.retention.max_bytes)} for what commits are checked against"
    )
    if state.kept_bytes >= 0.9 * state.retention.max_bytes:
        reason = f"{kept}: snapshots end before the retention of {state.retention.seconds:g} s"
        yield Finding("history", Level.WARNING, reason, "give it more bytes with rome.set_retention")
    else:
        yield Finding("history", Level.OK, f"{kept}; retention {state.retention.seconds:g} s")
    txn = opened.read()
    try:
        yield pins_finding(read_pins(txn).shown())
    finally:
        txn.abort()


def _readers(opened: Environment) -> Iterator[Finding]:
    opened.check_readers()
    if opened.stale_readers:
        reason = f"{opened.stale_readers} snapshots of killed processes were found, and ended"
        yield Finding("stale readers", Level.WARNING, reason, "see why processes were killed; the file grew meanwhile")
    usage = opened.usage()
    behind = usage.last_transaction - min(usage.snapshots, default=usage.last_transaction)
    reason = f"{len(usage.snapshots)} of {MAX_READERS} snapshots; the oldest is {behind} transactions behind"
    if len(usage.snapshots) > MAX_READERS - FEW_READERS_LEFT:
        yield Finding("readers", Level.WARNING, reason, "close connections that nobody uses, or end their transactions")
    elif behind > TRANSACTIONS_BEHIND:
        remedy = "find the process: stopped by a signal or a debugger, it cannot end its snapshot, and the file grows"
        yield Finding("readers", Level.WARNING, reason, remedy)
    else:
        yield Finding("readers", Level.OK, reason)
