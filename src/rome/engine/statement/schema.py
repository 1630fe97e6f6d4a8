"""A definition with what is derived from it; shared by all connections of the process that are at its version."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from threading import Lock

import apsw
from msgspec import Struct

from rome.catalog.definition import Definition
from rome.catalog.mirror import Mirror
from rome.catalog.objects import decode_objects
from rome.engine.statement.guards import Guards
from rome.engine.statement.prepared import Prepared, prepare
from rome.errors import NotSupportedError
from rome.planner.parse.statement import Statement
from rome.planner.plan import CutPlan
from rome.planner.planning import plan_cut
from rome.sql.tokens import identifier, tokenize
from rome.store.spi import Row, Snapshot
from rome.workingset import idle
from rome.workingset.ddl import statements as working_statements
from rome.workingset.functions import add_regexp
from rome.workingset.lookups import Lookup
from rome.workingset.workingset import WorkingSet

_MAX_PREPARED = 2000
"""The most prepared statements kept of one schema version."""
_TURN_S = 1.0
"""How long a thread waits for another that prepares the same text; in a forked child that other one may not exist."""


class PlanCounts(Struct):
    """Counters of this process: statements that were prepared, and those that had to make room for others."""

    made: int = 0
    discarded: int = 0


PLAN_COUNTS = PlanCounts()
_MAX_SCHEMAS = 64


class SchemaVersion:
    """One version of a database's schema.

    Attributes:
        prepared: statements that were used lately, by text; see `find` for all.
        lookups: by a statement's text, the indexes by which it looks up rows.
        fewest: of the paths that led to a fetch, by their ids, which one found the fewest rows the last time.
    """

    def __init__(self, definition: Definition, temporary: frozenset[str] = frozenset()) -> None:
        self.definition = definition
        self.catalog = replace(definition.catalog, temporary=temporary) if temporary else definition.catalog
        self.fewest: dict[tuple[int, ...], int] = {}
        self.prepared: dict[str, Prepared] = {}
        self._former: dict[str, Prepared] = {}  # what `prepared` was when it was full
        self._turns: dict[str, Lock] = {}  # of the texts that are being prepared
        self.lookups: dict[str, tuple[Lookup, ...]] = {}
        self._cuts: dict[str, CutPlan | None] = {}

    @classmethod
    def empty(cls) -> SchemaVersion:
        """The schema of a new database."""
        return cls(Definition.empty())

    @cached_property
    def guards(self) -> Guards:
        """What guards the rows of its tables."""
        return Guards(self.catalog)

    @cached_property
    def has_deferred_keys(self) -> bool:
        """Whether some foreign key may be INITIALLY DEFERRED."""
        return any(key.deferred for table in self.catalog.tables.values() for key in table.foreign_keys)

    @cached_property
    def with_generated(self) -> frozenset[str]:
        """Lower-case names of the tables with generated columns."""
        return frozenset(name for name, table in self.catalog.tables.items() if table.has_generated)

    @cached_property
    def firing(self) -> frozenset[str]:
        """Lower-case names of the tables whose change may fire a trigger, of theirs or, by foreign keys, of another."""
        found = {item.table.lower() for item in self.definition.master.values() if item.type == "trigger"}
        queue = list(found)
        while queue:
            table = self.catalog.tables.get(queue.pop())
            parents = {key.parent.lower() for key in table.foreign_keys} - found if table is not None else set()
            found |= parents
            queue += parents
        return frozenset(found)

    def behind(self, temporary: frozenset[str]) -> SchemaVersion:
        """The same schema as a connection sees it that has temporary tables and views of these names."""
        return SchemaVersion(self.definition, temporary)

    @cached_property
    def _mirror_statements(self) -> tuple[str, ...]:
        return tuple(self.definition.statements())

    @cached_property
    def working_statements(self) -> tuple[str, ...]:
        """The statements that make an empty working set."""
        return tuple(working_statements(self.definition.master, self.catalog))

    def open_mirror(self) -> Mirror:
        """A new mirror of this schema."""
        mirror = Mirror.of(self._mirror_statements)
        add_regexp(mirror.connection)
        return mirror

    def check_stands_alone(self) -> None:
        """Check that a connection without the application's definitions can open the schema.

        Raises:
            NotSupportedError: it cannot, so that nobody could use the database any more.
        """
        try:
            self.open_mirror().close()
            for item in self.definition.master.values():
                if item.type != "view" and (name := _unknown_collation(item.sql)) is not None:  # SQLite looks later
                    raise apsw.SQLError(f"no such collation sequence: {name}")
        except apsw.Error as error:
            raise NotSupportedError(
                f"a table or index cannot rest on what is defined on one connection only, as no other could use the "
                f"database then ({error}). Call functions and name collations in statements"
            ) from error

    def open_working_set(self) -> WorkingSet:
        """An empty working set of this schema, of which nobody else knows."""
        return idle.take(self.working_statements)

    def prepare(self, statement: Statement, mirror: Mirror) -> Prepared:
        """The prepared statement; if its text was met before, the one that was made then.

        Of threads that meet a text together, as those of a server that starts, one prepares it, and the others wait.

        Raises:
            rome.errors.Error: what SQLite says against it.
        """
        text = statement.text
        found = self.prepared.get(text)
        if found is not None:
            return found
        turn = self._turns.setdefault(text, Lock())
        is_ours = turn.acquire(timeout=_TURN_S)
        try:
            found = self.find(text)
            if found is None:
                found = prepare(statement, self.catalog, mirror, self.firing)
                PLAN_COUNTS.made += 1
            self._keep(text, found)
        finally:
            self._turns.pop(text, None)
            if is_ours:
                turn.release()
        return found

    def find(self, text: str) -> Prepared | None:
        """The prepared statement of a text that was met before, unless it was discarded."""
        return self.prepared.get(text) or self._former.get(text)

    def count_prepared(self) -> int:
        """How many prepared statements are kept."""
        return len(self.prepared.keys() | self._former.keys())

    def _keep(self, text: str, found: Prepared) -> None:
        """Keep a statement. When half of the room is full, what was not used since the last time is discarded.

        So statements that are used all the time outlive any number of texts that are used once.
        """
        if len(self.prepared) >= _MAX_PREPARED // 2:
            PLAN_COUNTS.discarded += len(self._former.keys() - self.prepared.keys())
            self._former, self.prepared = self.prepared, {}
            self.lookups = {text: kept for text, kept in self.lookups.copy().items() if text in self._former}
            self._cuts = {text: kept for text, kept in self._cuts.copy().items() if text in self._former}
        self.prepared[text] = found

    def cut_plan(self, prepared: Prepared) -> CutPlan | None:
        """How a statement can be run part by part; None if it cannot. Made when it is first asked for."""
        text, cuts = prepared.statement.text, self._cuts  # another thread may put another dictionary there
        if text not in cuts:
            tables = self.catalog.tables
            read = frozenset(name for name in prepared.inspection.read if name in tables)
            cuts[text] = None if prepared.writes else plan_cut(text, self.catalog, read)
        return cuts[text]


def _unknown_collation(sql: str) -> str | None:
    """The first collation in a text that SQLite does not have by itself."""
    names = [identifier(name) for word, name in pairwise(tokenize(sql)) if word.word == "COLLATE"]
    return next((name for name in names if name.upper() not in ("BINARY", "NOCASE", "RTRIM")), None)


class _Schemas:
    """The schemas that this process has met lately.

    Databases with the same objects under the same numbers, as those that a test suite makes, share one schema, and so
    its prepared statements.
    """

    def __init__(self) -> None:
        self._by_place: OrderedDict[Snapshot, SchemaVersion] = OrderedDict()
        self.newest: OrderedDict[bytes, SchemaVersion] = OrderedDict()
        self._by_content: OrderedDict[tuple[int, frozenset[tuple[bytes, bytes]]], SchemaVersion] = OrderedDict()
        self._lock = Lock()

    def at(self, place: Snapshot) -> SchemaVersion | None:
        return self._by_place.get(place)

    def add(self, incarnation: bytes, definition: Definition) -> SchemaVersion:
        """The schema of this definition: an equal one that is known already, or a new one."""
        version = definition.catalog.version
        content = version, frozenset(definition.stored())
        with self._lock:
            schema = self._by_content.setdefault(content, SchemaVersion(definition))
            self._by_place[Snapshot(incarnation, version)] = schema
            newest = self.newest.setdefault(incarnation, schema)
            if newest.catalog.version < version:
                self.newest[incarnation] = schema
            for known in (self._by_content, self._by_place, self.newest):
                if len(known) > _MAX_SCHEMAS:
                    known.popitem(last=False)
            return schema

    def count_prepared(self) -> int:
        with self._lock:
            schemas = {id(schema): schema for known in (self._by_place, self.newest) for schema in known.values()}
            return sum(schema.count_prepared() for schema in schemas.values())


_schemas = _Schemas()


def known(incarnation: bytes, version: int) -> SchemaVersion | None:
    """The schema at a catalog version, if this process has seen it; otherwise None."""
    return SchemaVersion.empty() if version == 0 else _schemas.at(Snapshot(incarnation, version))


newest: Callable[[bytes], SchemaVersion | None] = _schemas.newest.get
"""The schema at the greatest catalog version that this process has met of a database, by its incarnation; there may be
a newer one by now. No call of Python's: every transaction asks."""


def cached_plans() -> int:
    """How many prepared statements this process keeps."""
    return _schemas.count_prepared()


def load(incarnation: bytes, version: int, rows: Iterable[Row]) -> SchemaVersion:
    """The schema that the rows of the catalog's table make."""
    return remember(incarnation, Definition.load(version, decode_objects((r.key, r.record) for r in rows)))


def remember(incarnation: bytes, definition: Definition) -> SchemaVersion:
    """The schema of a definition that is in the store, for all connections of the process."""
    return _schemas.add(incarnation, definition)
