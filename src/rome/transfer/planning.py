"""Plan a copy of a whole database: what is made, what is lost; then run it."""

from __future__ import annotations

from sqlalchemy import Integer, delete, insert, inspect, select, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.schema import AddConstraint, ForeignKeyConstraint

from rome import bulk
from rome.transfer.census import census
from rome.transfer.copying import CopyProgress, OnCopy, compare, copy_rows
from rome.transfer.errors import TransferError
from rome.transfer.existing import existing_tables
from rome.transfer.family import begin_snapshot
from rome.transfer.note import Note
from rome.transfer.schema import Schema, TableWays, schema_of
from rome.transfer.sessions import exact_sessions

_JOB = "rome import"
_MADE = f"{_JOB}: the tables are made by it"
"""A row of rome_bulk that tells a copy that goes on which of the two kinds it is."""


class TransferPlan:
    """A copy that can be run.

    Attributes:
        notes: what cannot be kept as it is.
        only_rows: whether the target has the tables already, so that only rows are copied.
    """

    def __init__(self, source: Engine, target: Engine, schema: Schema, *, only_rows: bool) -> None:
        self._source, self._target, self._schema = source, target, schema
        self.notes: list[Note] = schema.notes
        self.only_rows = only_rows

    @property
    def tables(self) -> list[str]:
        """The names of the tables that are copied."""
        return [ways.source.name for ways in self._schema.tables]

    def run(self, progress: OnCopy | None = None) -> dict[str, int]:
        """Copy the schema and all rows, compare counts and checksums; returns {table: rows}.

        The source is read as it is at one moment; others may go on writing there. If it is cut off, the same call goes
        on behind the last commit; then the source must not have changed meanwhile.

        Raises:
            TransferError: the source has values that nothing else can hold; the target holds something else; or a table
                has arrived differently.
            DBAPIError: of a database; complete commits stay.
        """
        with exact_sessions(self._source, self._target):
            with self._source.connect() as connection:
                begin_snapshot(connection)
                counts = census(connection, (ways.source for ways in self._schema.tables))
                self._make_tables()
                copied = self._copy(connection, counts, progress)
            self._finish()
        return copied

    def _make_tables(self) -> None:
        present = {*inspect(self._target).get_table_names()}
        if self.only_rows:
            bulk.JOBS.create(self._target, checkfirst=True)
            return
        if {*self.tables} <= present and bulk.JOBS.name in present:
            return  # a copy that was cut off
        if present - {bulk.JOBS.name}:
            raise TransferError(
                f"the target holds {len(present)} table(s), {min(present)} among them: copy into an empty database, or "
                "into one that has all tables of the source, without rows"
            )
        with self._target.begin() as made:
            bulk.JOBS.create(made, checkfirst=True)
            made.execute(delete(bulk.JOBS).where(bulk.JOBS.c.job == _MADE))
            made.execute(insert(bulk.JOBS).values(job=_MADE, position="null", finished=True))
            for statement in self._schema.before:
                made.execute(statement)

    def _copy(self, connection: Connection, counts: dict[str, int], progress: OnCopy | None) -> dict[str, int]:
        total, done = sum(counts.values()), 0
        for ways in self._schema.tables:
            name, before = ways.source.name, done

            def tell(rows: int, name: str = name, before: int = before) -> None:
                if progress is not None:
                    progress(CopyProgress(name, before + rows, total))

            checksum = copy_rows(connection, self._target, ways, tell, job=_job(ways), may_be_there=self.only_rows)
            if checksum.rows != counts[name]:
                raise TransferError(
                    f"table {name} of the source has {counts[name]:,} rows, and {checksum.rows:,} were read: it must "
                    "not change meanwhile"
                )
            done += checksum.rows
            if progress is not None:
                progress(CopyProgress(name, done, total, compares=True))
            compare(self._target, ways, checksum)
        return counts

    def _finish(self) -> None:
        """Make what comes after the rows, in one transaction where the database can; or what is missing of it."""
        with self._target.begin() as made:
            for statement in self._schema.after:
                if not isinstance(statement, ForeignKeyConstraint):
                    made.execute(statement)
                elif not _is_there(made, statement):
                    made.execute(AddConstraint(statement))
            _set_sequences(made, self._schema.tables)
            bulk.JOBS.drop(made, checkfirst=True)


def plan(source: Engine, target: Engine) -> TransferPlan:
    """Plan to copy a database into an empty one. Nothing is changed yet.

    If the target has all tables of the source already, as after a service's own migrations, only rows will be copied.

    Raises:
        SQLAlchemyError: the source cannot be read.
        TransferError: a table of the target lacks a column of the source's.
    """
    schema = schema_of(source, target)
    names = {ways.source.name for ways in schema.tables}
    present = {*inspect(target).get_table_names()}
    only_rows = bool(names) and names <= present and not _were_made(target, present)
    if only_rows:
        tables, notes = existing_tables(source, target, schema)
        schema = Schema(tables, [], [], notes)
    return TransferPlan(source, target, schema, only_rows=only_rows)


def _were_made(target: Engine, present: set[str]) -> bool:
    """Whether the tables come from a copy that was cut off."""
    if bulk.JOBS.name not in present:
        return False
    with target.connect() as connection:
        return connection.execute(select(bulk.JOBS.c.job).where(bulk.JOBS.c.job == _MADE)).first() is not None


def _job(ways: TableWays) -> str:
    return f"{_JOB} {ways.source.name}"[:200]


def _is_there(connection: Connection, key: ForeignKeyConstraint) -> bool:
    """Whether a copy that was cut off has made a foreign key already."""
    table = key.table
    wanted = [*key.column_keys], key.referred_table.name, [element.column.name for element in key.elements]
    return any(
        (found["constrained_columns"], found["referred_table"], found["referred_columns"]) == wanted
        for found in inspect(connection).get_foreign_keys(table.name)
    )


def _set_sequences(connection: Connection, tables: list[TableWays]) -> None:
    """Let PostgreSQL's sequences go on behind the ids that were copied; other databases do so by themselves."""
    if connection.dialect.name != "postgresql":
        return
    quote = connection.dialect.identifier_preparer.quote
    for _, made in tables:
        for column in made.primary_key.columns:
            if not isinstance(column.type, Integer):
                continue
            name, table = column.name, quote(made.name)
            ids = (
                f"SELECT pg_get_serial_sequence(:table, :column)\\:\\:regclass AS found, "
                f"max({quote(name)}) AS greatest FROM {table}"
            )
            query = f"SELECT setval(found, greatest) FROM ({ids}) AS ids WHERE found IS NOT NULL AND greatest > 0"
            connection.execute(text(query).bindparams(table=table, column=name))
