"""The memory store as the strictest reader of requests: it wants all that the SPI lets a store want, and checks it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rome.store.memory import MemoryStore
from rome.store.spi import ORDER_INDEX, CommitRequest, Version
from rome.testing.request_rules import check_request

_PLAIN = {name: getattr(MemoryStore, name) for name in ("commit", "capabilities")}


def make_memory_plain(patch: pytest.MonkeyPatch) -> None:
    """Let the memory store be as applications have it, for a test that counts what it does."""
    for name, value in _PLAIN.items():
        patch.setattr(MemoryStore, name, value)


def make_memory_strict(patch: pytest.MonkeyPatch) -> None:
    """Let every commit to the memory store raise AssertionError if its request breaks a rule."""
    plain = MemoryStore.commit

    def commit(self: MemoryStore, request: CommitRequest) -> Version:
        check_request(request)
        if self.capabilities.index_trips > 1:
            with self._database.lock:
                check_range_rows(self, request)
        return plain(self, request)

    patch.setattr(MemoryStore, "commit", commit)
    patch.setattr(MemoryStore, "capabilities", replace(MemoryStore.capabilities, index_trips=2))


def check_range_rows(store: MemoryStore, request: CommitRequest) -> None:
    """Check that the request names every row to which a range of an index led, if it says that rows were read."""
    for (table_id, index_id, rows), ranges in request.ranges.items():
        table = store._database.tables[table_id]
        if not rows or index_id == ORDER_INDEX or table.floor > request.snapshot.version:
            continue
        named = {*request.points.get(table_id, {}), *request.range_rows.get(table_id, {})}
        others = request.ranges.get((table_id, ORDER_INDEX, True), {})
        for bounds, version in ranges.items():
            unnamed = [
                key
                for key in table.row_keys(index_id, *bounds, version)
                if key not in named and not any(start <= key < stop for start, stop in others)
            ]
            assert not unnamed, f"table {table_id}: a range of index {index_id} led to {unnamed}, which nobody names"
