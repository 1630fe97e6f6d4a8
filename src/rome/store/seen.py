"""The newest version of each database that this process has seen or committed.

Near reads go below none of them (rome.store.near), and `rome.last_version` hands them on. Versions compare only within
an incarnation, so that is what they are kept by. A *place* is a database as URLs name it; it leads to the incarnation
that was seen there last.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock

from rome.store.location import Location
from rome.store.spi import Snapshot, Version

MAX_DATABASES = 10_000
"""Beyond so many, the one whose version has not risen for the longest time is forgotten."""

_NAMING = ("db", "sentinel", "host", "slot", "unix_socket")
"""The options that say which server or which of its databases a URL means."""

VERSIONS: OrderedDict[bytes, Version] = OrderedDict()
"""By incarnation. Others only look: every transaction asks, for whom a call would be too much."""

_incarnations: OrderedDict[Hashable, bytes] = OrderedDict()
_lock = Lock()


def place_of(location: Location) -> Hashable:
    """What tells a location's database apart from others, among the locations that this process uses."""
    named = tuple((name, location.options[name]) for name in _NAMING if name in location.options)
    return location.scheme, location.host, location.port, location.database, named


def saw(place: Hashable, snapshot: Snapshot) -> None:
    """Note a version that was read or committed. Cost: two look-ups, if it is not a newer one."""
    incarnation, version = snapshot.incarnation, snapshot.version
    if VERSIONS.get(incarnation, -1) >= version and (place is None or _incarnations.get(place) == incarnation):
        return
    # Others look without the lock: a key must not be away for a moment. Nothing is called here that is not C's, since
    # every commit comes by.
    with _lock:
        VERSIONS[incarnation] = max(version, VERSIONS.get(incarnation, 0))
        VERSIONS.move_to_end(incarnation)
        if len(VERSIONS) > MAX_DATABASES:
            VERSIONS.popitem(last=False)
        if place is not None:
            _incarnations[place] = incarnation
            _incarnations.move_to_end(place)
            if len(_incarnations) > MAX_DATABASES:
                _incarnations.popitem(last=False)


def newest_version(incarnation: bytes) -> Version:
    """The newest version seen of an incarnation; 0 if none was."""
    return VERSIONS.get(incarnation, 0)


def newest_snapshot(place: Hashable) -> Snapshot | None:
    """The newest version seen at a place; None if the process has seen none there."""
    incarnation = _incarnations.get(place)
    return None if incarnation is None else Snapshot(incarnation, newest_version(incarnation))
