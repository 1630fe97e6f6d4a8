"""The position of a bulk change that can be resumed, kept in the database that it changes."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Boolean, Column, MetaData, String, Table, Text, delete, insert, select, update
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import InvalidRequestError

from rome.retry import run_transaction

JOBS = Table(
    "rome_bulk",
    MetaData(),
    Column("job", String(200), primary_key=True),
    Column("position", Text, nullable=False),
    Column("finished", Boolean, nullable=False),
)
"""One row for each job. `position` is JSON: the number of rows inserted, or the key of the last row changed."""


class BulkJobError(InvalidRequestError):
    """A job cannot go on: it is finished, or another process has moved it. Nothing was written."""


class BulkJobFinishedError(BulkJobError):
    """The job has nothing left to do."""


class Job:
    """A named position, or none. A commit moves it together with the rows that it stands for."""

    def __init__(self, engine: Engine, name: str | None) -> None:
        self._engine, self._name = engine, name
        self.position: Any = None
        if name is None:
            return
        if not name or len(name) > 200:
            raise ValueError(f"a job's name has 1 to 200 characters: {name!r}")
        JOBS.create(engine, checkfirst=True)
        found = run_transaction(engine, self._read)
        if found is None:
            return
        text, finished = found
        if finished:
            raise BulkJobFinishedError(
                f"the job {name!r} is finished; rome.bulk.forget(engine, {name!r}) lets it run again"
            )
        self.position = json.loads(text)

    def is_at(self, connection: Connection, position: object) -> bool:
        """Whether the database has this position."""
        found = self._read(connection)
        return found is not None and found[0] == json.dumps(position)

    def move(self, connection: Connection, position: object) -> None:
        """Move from the position that this process knows to the next, in the transaction of the rows between them.

        Raises:
            BulkJobError: another process has moved it meanwhile.
        """
        if self._name is None:
            return
        if self.position is None:
            if self._read(connection) is not None:
                raise self._moved()
            connection.execute(insert(JOBS).values(job=self._name, position=json.dumps(position), finished=False))
            return
        known = (JOBS.c.job == self._name) & (JOBS.c.position == json.dumps(self.position))
        moved = connection.execute(update(JOBS).where(known).values(position=json.dumps(position)))
        if moved.rowcount != 1:
            raise self._moved()

    def finish(self) -> None:
        """Note that nothing is left to do."""
        if self._name is None:
            return
        name, values = self._name, {"position": json.dumps(self.position), "finished": True}

        def note(connection: Connection) -> None:
            if self._read(connection) is None:
                connection.execute(insert(JOBS).values(job=name, **values))
            else:
                connection.execute(update(JOBS).where(JOBS.c.job == name).values(**values))

        run_transaction(self._engine, note)

    @property
    def is_named(self) -> bool:
        """Whether there is a position in the database."""
        return self._name is not None

    def _read(self, connection: Connection) -> tuple[str, bool] | None:
        found = connection.execute(select(JOBS.c.position, JOBS.c.finished).where(JOBS.c.job == self._name)).first()
        return None if found is None else (found[0], found[1])

    def _moved(self) -> BulkJobError:
        return BulkJobError(f"another process runs the job {self._name!r}: it has moved on meanwhile")


def forget(engine: Engine, job: str) -> None:
    """Forget a job's position, so that the same job begins from the start. If there is none, nothing happens."""
    JOBS.create(engine, checkfirst=True)
    run_transaction(engine, lambda connection: connection.execute(delete(JOBS).where(JOBS.c.job == job)))
