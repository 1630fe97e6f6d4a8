"""What every commit request keeps, whoever makes it: the tests check the engine's requests, and the suite's own."""

from __future__ import annotations

from rome.store.spi import CommitRequest


def check_request(request: CommitRequest) -> None:
    """Check what the SPI promises to stores about a request, as far as the request itself shows it.

    Raises:
        AssertionError: it breaks a rule; the message says which.
    """
    for drop in request.drops:
        if drop.index_id is None:
            assert not request.rows.get(drop.table_id), f"table {drop.table_id} is dropped and written"
        for (table_id, index_id), entries in request.entries.items():
            is_dropped = table_id == drop.table_id and drop.index_id in (None, index_id)
            assert not (entries and is_dropped), f"index {index_id} of table {table_id} is dropped and written"
