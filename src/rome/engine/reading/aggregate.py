"""Answers counts, least and greatest values by asking the store, which reads at most one row for each.

This works only for tables that this transaction has not changed, since the store does not know its changes, and is not
done if the transaction has the rows anyway.
"""

from __future__ import annotations

from collections.abc import Sequence

from rome.catalog.rows import decode_row, index_key
from rome.catalog.schema import ROWID, Table
from rome.codec.values import SqlValue
from rome.engine.reading.reader import Reader
from rome.planner.plan import AggregateRequest
from rome.store.spi import ORDER_INDEX, Count, Row, Scan
from rome.transaction.read_set import Validation

_LEAST_INTEGER = -(1 << 63)


def answer(reader: Reader, questions: Sequence[AggregateRequest], check: Validation) -> tuple[SqlValue, ...] | None:
    """The answers, in order; None if rows must be read.

    The read set gets the ranges that were counted, and those up to the value that was found: the answer holds as long
    as no entry is added to them or removed.

    Cost: one round trip.
    """
    if not all(reader.is_unchanged(question.table) for question in questions) or _are_read(reader, questions):
        return None
    asked = [_requests(question) for question in questions]
    found = reader.ask([request for requests in asked for request in requests])
    values: list[SqlValue] = []
    ranges = []
    for question, requests in zip(questions, asked, strict=True):
        answers, found = found[: len(requests)], found[len(requests) :]
        checked = list(question.ranges)
        if question.kind == "count":
            values.append(sum(count for count in answers if isinstance(count, int)))
        else:
            rows = [row for each in answers if isinstance(each, list) for row in each]
            value, entry = _value(question, rows[0]) if rows else (None, None)
            if not _is_certain(question, value):
                return None
            values.append(value)
            if entry is not None:
                ((start, stop),) = question.ranges
                checked = [(start, entry + b"\x00") if question.kind == "least" else (entry, stop)]
        ranges += [(question, bounds) for bounds in checked]
    for question, (start, stop) in ranges:
        reader.transaction.check_range(question.table.id, question.path.id, start, stop, check)
    return tuple(values)


def _are_read(reader: Reader, questions: Sequence[AggregateRequest]) -> bool:
    covered = reader.transaction.cache.covered
    return all(
        covered(question.table.id, question.path.id, start, stop) is not None
        for question in questions
        for start, stop in question.ranges
    )


def _requests(question: AggregateRequest) -> list[Count | Scan]:
    place = question.table.id, question.path.id
    if question.kind == "count":
        return [Count(*place, *bounds) for bounds in question.ranges]
    return [Scan(*place, *bounds, limit=1, reverse=question.kind == "greatest") for bounds in question.ranges]


def _value(question: AggregateRequest, row: Row) -> tuple[SqlValue, bytes]:
    """The value in a row, and the row's entry in the path."""
    table, path = question.table, question.path
    rowid, values = decode_row(table, row.key, row.record)
    entry = row.key if path.id == ORDER_INDEX else index_key(path, rowid, values) + row.key
    return rowid if question.position == ROWID else values[question.position], entry


def _is_certain(question: AggregateRequest, value: SqlValue) -> bool:
    """Whether all rows with an equal value have the same value. If not, SQLite decides which of them it shows."""
    table: Table = question.table
    if value is None or isinstance(value, bytes | str) or question.position == ROWID:
        return True
    column = table.columns[question.position]
    if column.affinity == "BLOB" or value == _LEAST_INTEGER:  # 1 and 1.0
        return False
    return column.affinity != "REAL" or value != 0  # 0.0 and -0.0
