"""Does a plan hold all that a statement needs? Stock SQLite with all rows against stock SQLite with the plan's rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import apsw
from msgspec.structs import replace

from rome.catalog.schema import ROWID, Index, Table
from rome.codec.keys import encode_key
from rome.codec.values import SqlValue
from rome.planner.plan import Fetch, FetchPlan, Many, PlanLine, Values
from rome.planner.planning import plan_statement
from rome.workingset.computed import ComputedKeys
from tests.planner.schema_from_sqlite import base_tables, make_catalog

Rows = Mapping[str, Mapping[int, tuple[SqlValue, ...]]]
"""Table name in lower case -> rowid -> values, in the order of Table.columns (of the stored columns)."""


@dataclass(frozen=True)
class Outcome:
    """What a statement gave, and what the tables held afterwards."""

    results: list[tuple[SqlValue, ...]]
    rows: Rows


class Oracle:
    """A schema, on which statements are run with some rows or others."""

    def __init__(self, schema: Sequence[str]) -> None:
        self.mirror, self.catalog = make_catalog(schema)
        self._image = self.mirror.image()
        self._random = Random(1)

    def plan(self, sql: str) -> FetchPlan:
        return plan_statement(sql, self.catalog, base_tables(self.mirror, self.catalog, sql))

    def rows(self, db: apsw.Connection) -> Rows:
        """All stored rows."""
        return {
            name: {row[0]: row[1:] for row in db.execute(f'select rowid, {_names(table)} from "{name}"')}
            for name, table in self.catalog.tables.items()
        }

    def load(self, rows: Rows) -> apsw.Connection:
        """A database that holds these rows."""
        db = apsw.Connection(":memory:")
        db.deserialize("main", self._image)
        for name, table_rows in rows.items():
            table = self.catalog.tables[name]
            marks = ", ".join("?" * (1 + _names(table).count(",") + 1))
            insert = f'insert into "{name}" (rowid, {_names(table)}) values ({marks})'
            db.executemany(insert, [(rowid, *values) for rowid, values in table_rows.items()])
        return db

    def run(self, sql: str, parameters: Sequence[SqlValue], rows: Rows) -> Outcome:
        """Run a statement on these rows."""
        db = self.load(rows)
        results = list(db.execute(sql, parameters))
        after = self.rows(db)
        db.close()
        return Outcome(results, after)

    def fetched(self, plan: FetchPlan, parameters: Sequence[SqlValue], rows: Rows) -> Rows:
        """The rows that a plan reads, wave by wave."""
        found: dict[str, dict[int, tuple[SqlValue, ...]]] = {name: {} for name in rows}
        waves = plan.waves(parameters)
        answer: list[list[Values] | Many] | None = None
        while True:
            try:
                wave = next(waves) if answer is None else waves.send(answer)
            except StopIteration:
                return found
            brought: list[list[Values] | Many] = []
            for fetch in map(self._one_way, wave):
                if isinstance(fetch, Many):
                    brought.append(fetch)
                    continue
                _check_form(fetch)
                name = fetch.table.name.lower()
                covered = {rowid: row for rowid, row in rows[name].items() if covers(fetch, rowid, row)}
                found[name].update(covered)
                brought.append([_with_generated(fetch.table, row) for row in covered.values()])
            answer = brought

    def _one_way(self, fetch: Fetch) -> Fetch | Many:
        """A store may find the fewest rows by any of the ways of a fetch, and many or few of them."""
        way = replace(self._random.choice([fetch, *fetch.instead]), instead=(), may_wait=False)
        return Many(self._random.choice([1, 3, 1000]), way) if fetch.may_wait and self._random.random() < 0.6 else way

    def check(self, sql: str, parameters: Sequence[SqlValue], rows: Rows) -> Rows:
        """Assert that the plan's rows give the result of all rows; returns them."""
        whole = self.run(sql, parameters, rows)
        plan = self.plan(sql)
        fetched = self.fetched(plan, parameters, rows)
        part = self.run(sql, parameters, fetched)
        explained = plan.explain(parameters)
        _check_explained(explained, fetched)
        lines = "\n".join(map(str, explained))
        assert repr(part.results) == repr(whole.results), f"{sql}\n{parameters}\n{lines}"
        for name, before in rows.items():
            rest = {rowid: row for rowid, row in before.items() if rowid not in fetched[name]}
            if "into n " in sql:  # new rowids are not the planner's
                same = Counter([*rest.values(), *part.rows[name].values()]) == Counter(whole.rows[name].values())
            else:
                same = {**rest, **part.rows[name]} == whole.rows[name]
            assert same, f"{sql}\n{parameters}\n{lines}"
        return fetched


def _check_explained(lines: Sequence[PlanLine], fetched: Rows) -> None:
    """Assert that no more rows are read than are announced, and that a table is read whole for a reason."""
    answered = any(line.remark in ("reads no rows", "reads one row") for line in lines)
    for name, rows in fetched.items():
        most_rows = [line.most_rows for line in lines if line.table.lower() == name]
        known = [most for most in most_rows if most is not None]
        assert len(known) < len(most_rows) or len(rows) <= sum(known) or answered, lines
    assert all(line.remark for line in lines if line.access == "whole table"), lines


def _names(table: Table) -> str:
    return ", ".join(f'"{column.name}"' for column in table.columns if not column.generated)


def _with_generated(table: Table, row: Sequence[SqlValue]) -> list[SqlValue]:
    stored = iter(row)
    return [None if column.generated else next(stored) for column in table.columns]


def covers(fetch: Fetch, rowid: int, row: Sequence[SqlValue]) -> bool:
    """Does a fetch read a row?"""
    values = _with_generated(fetch.table, row)
    row_key = _key(fetch.table.key, rowid, values)
    if None in [_value(position, rowid, values) for position in fetch.table.key.columns]:
        row_key += encode_key([rowid], ["BINARY"])
    if row_key in fetch.keys:
        return True
    if fetch.path.computed is not None and fetch.path not in dict(ComputedKeys(fetch.table).of_row(rowid, values)):
        return False
    entry = row_key if fetch.path is fetch.table.key else _key(fetch.path, rowid, values) + row_key
    return any(start <= entry < stop for start, stop in fetch.ranges)


def _key(path: Index, rowid: int, values: Sequence[SqlValue]) -> bytes:
    return encode_key([_value(position, rowid, values) for position in path.columns], path.collations)


def _value(position: int, rowid: int, values: Sequence[SqlValue]) -> SqlValue:
    return rowid if position == ROWID else values[position]


def _check_form(fetch: Fetch) -> None:
    """What plan.py promises of every fetch."""
    assert fetch.path in (*fetch.table.paths, *fetch.table.computed)
    assert len(set(fetch.keys)) == len(fetch.keys)
    assert not fetch.keys or fetch.path is fetch.table.key
    assert all(start < stop for start, stop in fetch.ranges)
    assert all(one[1] <= other[0] for one, other in zip(fetch.ranges, fetch.ranges[1:], strict=False))
