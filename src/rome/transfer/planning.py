"""Plan a copy of a whole database: what is made, what is lost; then run it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Integer, event, inspect, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.schema import AddConstraint, ForeignKeyConstraint

from rome import bulk
from rome.transfer.copying import CopyProgress, OnCopy, TransferError, compare, copy_rows, count
from rome.transfer.family import begin_snapshot, is_sqlites
from rome.transfer.note import Note
from rome.transfer.schema import Schema, TableWays, schema_of

_JOB = "rome import"


class TransferPlan:
    """A copy that can be run.

    Attributes:
        notes: what cannot be kept as it is.
    """

    def __init__(self, source: Engine, target: Engine, schema: Schema) -> None:
        self._source, self._target, self._schema = source, target, schema
        self.notes: list[Note] = schema.notes

    @property
    def tables(self) -> list[str]:
        """The names of the tables that are copied."""
        return [ways.source.name for ways in self._schema.tables]

    def run(self, progress: OnCopy | None = None) -> dict[str, int]:
        """Copy the schema and all rows, compare counts and checksums; returns {table: rows}.

        The source is read as it is at one moment; others may go on writing there. If it is cut off, the same call goes
        on behind the last commit; then the source must not have changed meanwhile.

        Raises:
            TransferError: the target holds tables of something else; or a table has arrived differently.
            DBAPIError: of a database; complete commits stay.
        """
        with self._source.connect() as connection, _without_foreign_keys(self._target):
            begin_snapshot(connection)
            self._make_tables()
            copied = self._copy(connection, progress)
        with self._target.begin() as made:
            for statement in self._schema.after:
                made.execute(AddConstraint(statement) if isinstance(statement, ForeignKeyConstraint) else statement)
            _set_sequences(made, self._schema.tables)
        for ways in self._schema.tables:
            bulk.forget(self._target, _job(ways))
        with self._target.begin() as made:
            bulk.JOBS.drop(made, checkfirst=True)
        return copied

    def _make_tables(self) -> None:
        present = {*inspect(self._target).get_table_names()}
        wanted = {*self.tables}
        if wanted <= present and bulk.JOBS.name in present:
            return  # a copy that was cut off
        if present - {bulk.JOBS.name}:
            raise TransferError(
                f"the target holds {len(present)} table(s), {min(present)} among them: copy into an empty database"
            )
        with self._target.begin() as made:
            bulk.JOBS.create(made, checkfirst=True)
            for statement in self._schema.before:
                made.execute(statement)

    def _copy(self, connection: Connection, progress: OnCopy | None) -> dict[str, int]:
        counts = {ways.source.name: count(connection, ways) for ways in self._schema.tables}
        total, done = sum(counts.values()), 0
        for ways in self._schema.tables:
            name, before = ways.source.name, done

            def tell(rows: int, name: str = name, before: int = before) -> None:
                if progress is not None:
                    progress(CopyProgress(name, before + rows, total))

            checksum = copy_rows(connection, self._target, ways, tell, job=_job(ways))
            compare(self._target, ways, checksum)
            counts[name] = checksum.rows
            done += checksum.rows
        return counts


def plan(source: Engine, target: Engine) -> TransferPlan:
    """Plan to copy a database into an empty one. Nothing is changed yet.

    Raises:
        SQLAlchemyError: the source cannot be read.
    """
    return TransferPlan(source, target, schema_of(source, target))


def _job(ways: TableWays) -> str:
    return f"{_JOB} {ways.source.name}"[:200]


@contextmanager
def _without_foreign_keys(engine: Engine) -> Iterator[None]:
    """In SQLite and Rome, where keys are made with their tables, do not enforce them while the rows come."""
    if not is_sqlites(engine):
        yield
        return

    def switch_off(connection: object, *_: object) -> None:
        connection.execute("PRAGMA foreign_keys = OFF")  # type: ignore[attr-defined]  # sqlite3's or rome.dbapi's

    engine.dispose()
    event.listen(engine, "connect", switch_off)
    try:
        yield
    finally:
        event.remove(engine, "connect", switch_off)
        engine.dispose()


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
