"""A connection's two SQLite databases of one schema: the mirror, and the working set.

Temporary tables live in the working set, in SQLite's own schema `temp`, and are the only content that outlives a
transaction. The mirror has them without their rows.
"""

from __future__ import annotations

import apsw

from rome.catalog.mirror import Mirror
from rome.engine.statement.definitions import Definitions, Install
from rome.engine.statement.prepared import Prepared
from rome.engine.statement.schema import SchemaVersion
from rome.planner.parse.statement import Statement
from rome.workingset import idle
from rome.workingset.functions import add_regexp, count_for_application
from rome.workingset.overflow import Overflow
from rome.workingset.workingset import WorkingSet


class Workspace:
    """Mirror and working set, opened anew when the schema changes, with what the application has defined.

    Attributes:
        definitions: that; see `define`.
        schema: the one that both were opened for; DDL of the open transaction comes on top.
        interruption: of all working sets that it opens.
        temporary_names: of the temporary tables and views, in lower case; they hide stored ones.
    """

    def __init__(self, schema: SchemaVersion) -> None:
        self.definitions = Definitions()
        self._pragmas: dict[str, str] = {}
        self.schema = schema
        self.mirror: Mirror
        self.working_set: WorkingSet
        self.temporary_names: frozenset[str] = frozenset()
        self._hidden: SchemaVersion | None = None
        self.working_set = schema.open_working_set()
        self.interruption = self.working_set.interruption
        self.interruption.attach(self.working_set.connection)
        self._is_open = True
        self.open_mirror(schema)

    def prepare(self, schema: SchemaVersion, statement: Statement) -> Prepared:
        """A statement under the schema and the temporary objects, which hide stored ones of their names."""
        if self.temporary_names:
            schema = self.as_seen(schema)
        return schema.prepared.get(statement.text) or schema.prepare(statement, self.mirror)

    def as_seen(self, schema: SchemaVersion) -> SchemaVersion:
        """The schema with the names of this connection's temporary objects."""
        if self.temporary_names:
            if self._hidden is None or self._hidden.definition is not schema.definition:
                self._hidden = schema.behind(self.temporary_names)
            schema = self._hidden
        return schema

    def take(self, schema: SchemaVersion) -> None:
        """Go on with another schema, and an empty working set."""
        self.schema = schema
        self.open_mirror(schema)
        self.open_working_set(schema)

    def open_mirror(self, schema: SchemaVersion) -> None:
        """Replace the mirror by one of this schema."""
        mirror = schema.open_mirror()
        self.definitions.give_to(mirror.connection)
        for pragma in self._pragmas.values():
            mirror.connection.execute(pragma)
        mirror.create_temporary(self.working_set.temporary())
        self.mirror = mirror
        self.note_temporary()

    def note_temporary(self) -> None:
        """Take note of the mirror's temporary objects."""
        self.temporary_names = frozenset(i.name.lower() for i in self.mirror.temporary() if i.type != "index")
        self._hidden = None

    def end(self, *, keep_temporary: bool) -> None:
        """End the working set's transaction, and with it what it did to temporary tables, unless that is to be kept."""
        working_set = self.working_set
        if not working_set.temporary_changed:
            working_set.rollback()
        elif not keep_temporary:
            working_set.rollback()
            self.undo_temporary(self.schema)
        elif working_set.counts_violations:
            self.open_working_set(self.schema)
        else:
            tables = self.schema.definition.tables_by_id
            working_set.commit(tables[number] for number in working_set.contents.tables if number in tables)

    def undo_temporary(self, schema: SchemaVersion) -> None:
        """After the working set was rolled back: bring the mirror's temporary objects into line."""
        if self.mirror.temporary() != self.working_set.temporary():
            self.open_mirror(schema)

    def open_working_set(self, schema: SchemaVersion) -> None:
        """Take an empty working set; the one before is closed, and temporary tables are as they are in it now."""
        before, new = self.working_set, schema.open_working_set()
        new.counters = before.counters
        new.adopt_temporary(before)
        self.definitions.give_to(new.connection)
        new.fickle = self.definitions.fickle
        for pragma in self._pragmas.values():
            new.connection.execute(pragma)
        new.interruption = self.interruption
        self.interruption.attach(new.connection)
        self.working_set = new  # not before: interrupted up to here, nothing has changed
        before.close()

    def recover(self, *, keep_temporary: bool) -> None:
        """Go on after an operation that was left in the middle, with a working set and a mirror that are new.

        Args:
            keep_temporary: what the transaction did to temporary tables stands, since it is committed.
        """
        if not keep_temporary:
            self.working_set.rollback()
        self.open_working_set(self.schema)
        self.open_mirror(self.schema)

    def define(self, install: Install) -> None:
        """Give both databases what has just come to `definitions`, or left them."""
        for database in (self.working_set, self.mirror):
            install(database.connection)
        self.working_set.fickle = self.definitions.fickle

    def configure(self, name: str, pragma: str) -> None:
        """Run a PRAGMA on both databases, now and whenever they are opened anew; the last one of a name counts."""
        self._pragmas[name] = pragma
        for connection in (self.mirror.connection, self.working_set.connection):
            connection.execute(pragma)

    def equip(self, connection: apsw.Connection) -> None:
        """Give another database the functions that this schema may call."""
        add_regexp(connection)
        self.definitions.give_to(connection)

    def give_schema(self, overflow: Overflow) -> None:
        """Give an SQLite in a temporary file the schema, without rows, and all that its statements may call."""
        working_set, connection = self.working_set, overflow.connection
        add_regexp(connection)
        count_for_application(connection, lambda: working_set.changes, lambda: working_set.total_changes)
        overflow.create(self.schema.working_statements)
        self.definitions.give_to(connection)
        for pragma in self._pragmas.values():
            connection.execute(pragma)
        working_set.interruption.attach(connection)

    def open_beside(self) -> WorkingSet:
        """Another empty working set of the schema, with all that statements may call, but no temporary tables."""
        made, working_set = self.schema.open_working_set(), self.working_set
        made.counters = working_set.counters
        self.definitions.give_to(made.connection)
        for pragma in self._pragmas.values():
            made.connection.execute(pragma)
        made.interruption = working_set.interruption
        made.interruption.attach(made.connection)
        return made

    def close(self, *, whole: bool) -> None:
        """Close the mirror, and leave the working set to another connection, if it can be one's. Idempotent.

        Args:
            whole: no operation was left in the middle.
        """
        if self._is_open:
            self._is_open = False  # first of all, so that the working set is not given away twice
            if whole and not (self.definitions.changed or self._pragmas):
                idle.give(self.working_set)
            else:
                self.working_set.close()
        self.mirror.close()
