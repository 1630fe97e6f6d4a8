"""The head of a database: the few values that every read and every commit looks at."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from rome.store.commit_queue import QueueEntry
from rome.store.ordered.driver import RangeResult, Revision
from rome.store.ordered.layout import Layout, decode_description, decode_pins, decode_queue, decode_retention
from rome.store.pins import StoredPin
from rome.store.spi import CATALOG_TABLE, Retention, Version


class Head(Struct, frozen=True):
    """The head at one revision.

    Attributes:
        base: the revision that is version 0.
        stored: the description's bytes, which are compared with what is stored.
        queue_modified: the revision that wrote the queue; 0 if there is none.
        retention_modified: the revision that wrote the retention.
        pins_modified: the revision that wrote the pins; 0 if there are none.
    """

    format: int
    incarnation: bytes
    base: Revision
    stored: bytes
    version: Version
    catalog_version: Version
    floor: Version
    queue: Sequence[QueueEntry]
    queue_modified: Revision
    retention: Retention
    retention_modified: Revision
    pins: Sequence[StoredPin]
    pins_modified: Revision


def read_head(layout: Layout, found: RangeResult) -> Head | None:
    """Decode the result of reading `layout.head`; None if there is no such database.

    Raises:
        ValueError: something other than Rome wrote into its keys.
    """
    pairs = {pair.key: pair for pair in found.pairs}
    about = pairs.get(layout.description)
    if about is None:
        return None
    description = decode_description(about.value)
    base = about.created
    version = pairs.get(layout.version)
    catalog = pairs.get(layout.mark(CATALOG_TABLE))
    queue = pairs.get(layout.queue)
    pins = pairs.get(layout.pins)
    floor, retention = pairs.get(layout.floor), pairs.get(layout.retention)
    if floor is None or retention is None:
        raise ValueError("its floor or its retention is not there")
    return Head(
        description.format,
        description.incarnation,
        base,
        about.value,
        0 if version is None else version.modified - base,
        0 if catalog is None else catalog.modified - base,
        int.from_bytes(floor.value, "big"),
        () if queue is None else decode_queue(queue.value),
        0 if queue is None else queue.modified,
        decode_retention(retention.value),
        retention.modified,
        () if pins is None else decode_pins(pins.value),
        0 if pins is None else pins.modified,
    )
