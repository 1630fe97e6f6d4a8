"""Queries once more, streamed: their rows must be those of the plain cursor, whatever the connection does meanwhile."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import msgspec
import pytest

from rome.codec.values import SqlValue
from rome.dbapi import Connection, StreamCursor
from rome.errors import Error, StreamEndedError
from rome.transaction import chunked_scan

Rows = list[tuple[SqlValue, ...]]


def tiny_chunks(patch: pytest.MonkeyPatch, rows: int = 3) -> None:
    """Let streams read so few rows at a time."""
    patch.setattr(chunked_scan, "FIRST_ROWS", rows)
    patch.setattr(chunked_scan, "MOST_ROWS", rows)


def is_streamed(cursor: StreamCursor) -> bool:
    """Whether a cursor has still to read rows of its statement."""
    return cursor._stream is not None


def same_rows(streamed: Rows, plain: Rows, *, in_order: bool) -> bool:
    """Whether they are the same, with 1 and 1.0 told apart; the order may be open."""
    encode = msgspec.msgpack.encode
    if in_order:
        return encode(streamed) == encode(plain)
    return Counter(map(encode, streamed)) == Counter(map(encode, plain))


class StreamedTwin:
    """Runs queries on a cursor of their own, and fetches most of the rows only after the next statement.

    Attributes:
        streamed: how many of them were cut into parts.
    """

    def __init__(self) -> None:
        self.streamed = 0
        self._open: tuple[str, StreamCursor, Rows, Rows, bool] | None = None

    def begin(
        self,
        connection: Connection,
        sql: str,
        parameters: tuple[SqlValue, ...],
        plain: Rows | None,
        *,
        in_order: bool,
    ) -> None:
        """Run a query.

        Args:
            plain: the result of the plain cursor; None after an error, which must come here, too.
            in_order: whether the rows must come in the same order.
        """
        cursor = connection.cursor(StreamCursor)
        rows: Rows = []
        try:
            cursor.execute(sql, parameters)
            self.streamed += is_streamed(cursor)
            rows = list(islice(cursor, 1))
            if plain is None:
                rows += cursor.fetchall()
        except Error as error:
            failed: Error | None = error
        else:
            failed = None
        assert (failed is None) is (plain is not None), f"streamed: {sql} -- {failed!r}"
        if plain is None:
            return
        self._open = sql, cursor, rows, plain, in_order

    def end(self) -> None:
        """Fetch the rest of the rows, and compare."""
        if self._open is None:
            return
        sql, cursor, rows, plain, in_order = self._open
        self._open = None
        try:
            rows += cursor.fetchall()
        except StreamEndedError:
            return
        finally:
            cursor.close()
        assert same_rows(rows, plain, in_order=in_order), f"streamed: {sql}\n{rows}\nplain:\n{plain}"
