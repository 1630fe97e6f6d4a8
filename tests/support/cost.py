"""What a statement costs in a transaction of its own, which is rolled back."""

from __future__ import annotations

from rome.dbapi import Connection


def cost(connection: Connection, sql: str, *parameters: object) -> tuple[int, int]:
    """Round trips, and rows."""
    before = connection.rome_stats
    connection.execute(sql, parameters)
    after = connection.rome_stats
    connection.rollback()
    return after.round_trips - before.round_trips, after.rows - before.rows
