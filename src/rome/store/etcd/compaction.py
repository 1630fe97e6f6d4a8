"""What `rome doctor` reports about who discards a cluster's old revisions, and whether that is too early."""

from __future__ import annotations

import time

from rome.errors import AuthenticationError, Error
from rome.store.diagnosis import Finding, Level
from rome.store.etcd.client import EtcdClient
from rome.store.etcd.driver import EtcdDriver
from rome.store.etcd.ownership import has_keys_of_others
from rome.store.ordered.driver import DriverTransaction, Range, Revision, RevisionGoneError
from rome.store.ordered.layout import Layout, decode_record, decode_retention

MANY_REVISIONS = 50_000
"""That nobody discards fewer is no finding."""

RECORDS = 1_000
"""How many commits of the database are looked at."""

PERIODIC = "--auto-compaction-mode=periodic --auto-compaction-retention=5m on all members"


def compaction_finding(client: EtcdClient, layout: Layout, newest: Revision) -> Finding:
    """Examine which revisions can be read, and who else may want them. Some 25 round trips."""
    driver = EtcdDriver(client)
    try:
        first = _first_readable(driver, layout, newest)
        early = _discarded_early(driver, layout, first)
        shared = _why_shared(client)
    except AuthenticationError:
        return Finding("compaction", Level.UNKNOWN, "this user may not read at old revisions")
    kept = f"revisions from {first:,} to {newest:,} are kept"
    if early:
        return Finding("compaction", Level.WARNING, f"{early}; {kept}", f"keep them for longer: {PERIODIC}, say")
    compacts = client.settings.compact
    if compacts is True or (compacts == "auto" and not shared):
        return Finding("compaction", Level.OK, f"{kept}; Rome discards older ones")
    why = f"{shared}, so Rome discards nothing" if compacts else "the URL says compact=false"
    if first == 1 and newest > MANY_REVISIONS:
        return Finding("compaction", Level.WARNING, f"{why}, and nobody else does: it will be full one day", PERIODIC)
    return Finding("compaction", Level.OK, f"{why}; {kept}")


def _first_readable(driver: EtcdDriver, layout: Layout, newest: Revision) -> Revision:
    """Return the oldest revision that can be read, by bisection."""
    low, high = 0, newest
    while low + 1 < high:
        middle = (low + high) // 2
        try:
            driver.run([DriverTransaction(then=[Range(layout.description, None, middle, keys_only=True)])])
            high = middle
        except RevisionGoneError:
            low = middle
    return high


def _discarded_early(driver: EtcdDriver, layout: Layout, first: Revision) -> str:
    """Say that a revision was discarded before the database's retention was over; empty if none was found."""
    [outcome] = driver.run([DriverTransaction(then=[Range(layout.retention), Range(*layout.commits, limit=RECORDS)])])
    kept, commits = outcome.found
    if not kept.pairs:
        return ""
    now_ms = time.time() * 1000
    try:
        retention_s = decode_retention(kept.pairs[0].value).seconds
        gone = [decode_record(pair.value).time_ms for pair in commits.pairs if pair.modified < first]
    except (ValueError, IndexError):
        return ""
    age_s = (now_ms - max(gone)) / 1000 if gone else retention_s
    if age_s >= 0.9 * retention_s:
        return ""
    return f"revisions are discarded after less than {max(age_s, 1):.0f} s, and the retention is {retention_s:g} s"


def _why_shared(client: EtcdClient) -> str:
    """Why the history is not Rome's to discard; empty if it is."""
    try:
        return "others have keys in this cluster" if has_keys_of_others(client) else ""
    except AuthenticationError:
        return "this user may not see whether others have keys in this cluster"
    except Error:
        return "whether others have keys in this cluster is not known"
