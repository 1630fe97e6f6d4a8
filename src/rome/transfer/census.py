"""Count the rows of a table, and find values that only their own database can hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import BigInteger, ColumnElement, Date, DateTime, Table, Time, case, func, literal_column, select
from sqlalchemy.engine import Connection

from rome.transfer.errors import TransferError
from rome.transfer.family import is_mysqls

_SHOWN = 5


def census(connection: Connection, tables: Iterable[Table]) -> dict[str, int]:
    """The number of rows of each table.

    Raises:
        TransferError: there are values that no other database can hold, such as MySQL's 0000-00-00; it names them.

    Cost: one query for each table, which reads all rows of those of MySQL's that have dates or times.
    """
    counts: dict[str, int] = {}
    found: list[str] = []
    for table in tables:
        foreign = dict(_foreign(table)) if is_mysqls(connection.engine) else {}
        sums = [func.sum(case((condition, 1), else_=0)) for condition, _ in foreign.values()]
        count, *numbers = connection.execute(select(func.count(), *sums).select_from(table)).one()
        counts[table.name] = int(count)
        for (name, (condition, what)), number in zip(foreign.items(), numbers, strict=True):
            if number:
                written = condition.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
                found.append(f"{table.name}.{name}: {int(number):,} {what} (WHERE {written})")
    if found:
        more = f"; and {len(found) - _SHOWN} more columns" if len(found) > _SHOWN else ""
        raise TransferError(
            f"values that no other database can hold: {'; '.join(found[:_SHOWN])}{more}. Give them other values in the "
            "source, such as NULL"
        )
    return counts


def _foreign(table: Table) -> Iterator[tuple[str, tuple[ColumnElement[bool], str]]]:
    """(column, (a condition that is true for such values, what they are)). Drivers give texts for them, or NULL."""
    for column in table.columns:
        if isinstance(column.type, Date | DateTime):
            no_day = (func.month(column) == 0) | (func.dayofmonth(column) == 0)
            yield column.name, (no_day, "dates whose month or day is 0")
        elif isinstance(column.type, Time):
            seconds = func.time_to_sec(column)
            outside = (seconds < 0) | (seconds >= 86_400)
            yield column.name, (outside, "times that are not of one day")
        elif isinstance(column.type, BigInteger) and getattr(column.type, "unsigned", False):
            yield column.name, (column > literal_column(str(2**63 - 1)), f"integers above {2**63 - 1}")
