"""SQL text and catalog -> fetch plan.

Invariant: see plan.py. If a statement is not understood, every table that SQLite found in it or that its text names is
read whole. (SQLite does not report columns in USING to its authorizer, which so misses a table of which no other column
is read.) For any other statement, every table that SQLite found and the analysis did not is read whole.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Container, Generator, Hashable, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace
from sqlglot import exp

from rome.catalog.schema import ROWID, Catalog, Table
from rome.codec.values import SqlValue
from rome.planner.access.bounds import MAX_WAVE_KEYS, Inputs, fetches, whole
from rome.planner.access.order import Step, order
from rome.planner.access.step_read import StepRead
from rome.planner.algebra.predicates import FixedValue, Leaf, Operand, SlotValue, columns_of
from rome.planner.algebra.query import QueryReader, ViewText
from rome.planner.algebra.tree import set_contexts
from rome.planner.parse.canonical import RUN, Canonical, Constant, NotUnderstood, Slot, canonical, number_parameters
from rome.planner.parse.statement import StatementKind, classify
from rome.planner.parse.tree import parse
from rome.planner.plan import (
    AggregateRequest,
    CutPlan,
    Fetch,
    FetchedRows,
    FetchPlan,
    Many,
    PlanLine,
    PlannedRow,
    Values,
    Wave,
)
from rome.planner.report.candidates import IndexColumns, index_candidates
from rome.planner.report.explain import explain, explain_questions
from rome.planner.report.reasons import why_whole
from rome.planner.shortcuts.aggregate import AggregateRead, read_summary
from rome.planner.shortcuts.assignment import Assignment, ColumnChange, read_changed_rows, read_changes
from rome.planner.shortcuts.cut import BoundCutting, read_cutting
from rome.planner.shortcuts.direct import BoundDirectRead, DirectRead, read_direct
from rome.planner.shortcuts.emptiness import Emptiness, read_emptiness
from rome.planner.shortcuts.insertion import Insertion, read_insertion
from rome.planner.shortcuts.joined import BoundJoinedRead, JoinedRead, read_joined
from rome.planner.shortcuts.page import Paging, read_paging
from rome.planner.shortcuts.page_probe import Probe, probe_of
from rome.sql.tokens import Token, identifier, tokenize
from rome.store.spi import BEYOND

_MAX_TEMPLATES = 2_000
"""The most analysed texts kept per catalog."""

MANY_KEYS = 500
"""So many keys that the rows of one table bring take as long to read, one by one, as several times as many rows in a
range: 2,000 keys in a table of 2,000 rows took 17 ms on LMDB, and all of its rows take 1 ms."""

_USING = re.compile(r"\b(USING|NATURAL)\b")
_PLANNED = (StatementKind.SELECT, StatementKind.INSERT, StatementKind.UPDATE, StatementKind.DELETE)


class Template(Struct, frozen=True):
    """The result of analysing a canonical text: how to read every table in it.

    `steps`: how to read the tables, sorted by wave. `missed`: tables that no step reads. `whole`: tables read whole
    whatever the parameters are. `summary`: the aggregates that answer in their place. `direct`: what it shows, if that
    is stored rows as they are. `joined`: the same of joined rows. `changed`: which rows an UPDATE or DELETE changes, if
    its WHERE tells. `paging`: how LIMIT bounds a step. `emptiness`: when there is no result. `doubt`: why `missed` are
    read.
    """

    tables: tuple[Table, ...]
    steps: tuple[Step, ...]
    missed: tuple[Table, ...]
    whole: tuple[Table, ...]
    summary: AggregateRead | None = None
    direct: DirectRead | None = None
    joined: JoinedRead | None = None
    changed: DirectRead | None = None
    paging: Paging | None = None
    emptiness: Emptiness | None = None
    doubt: str = "SQLite reads it, and the analysis does not find where"


def plan_statement(sql: str, catalog: Catalog, base_tables: frozenset[str]) -> FetchPlan:
    """Decide which rows a statement can touch.

    Args:
        sql: one statement; FOR UPDATE clauses are cut out.
        base_tables: names, in lower case, of the base tables that SQLite itself found in the statement when it
            prepared it (views expanded, parents and children of foreign keys not included). One that the analysis
            does not cover is read whole.

    Cost: 0.05 ms for a small statement, 1 to 3 ms for a join of ten tables; texts that differ in the length of their
        IN lists only are analysed once.
    """
    tokens = tokenize(sql)
    kind = classify(sql).kind
    insertion = None
    slots: tuple[Slot, ...] = ()
    if kind in _PLANNED:
        if kind is StatementKind.INSERT:
            insertion = read_insertion(tokens, catalog)
        if insertion is not None and not any(token.word in ("SELECT", "IN") for token in tokens):
            template = _template_of((), base_tables - {insertion.table.name.lower()}, catalog)
        else:
            template, slots = _analysed(tokens, catalog, base_tables)
    elif any(token.word == "SELECT" for token in tokens) and kind is not StatementKind.EXPLAIN:
        template = _whole(tokens, base_tables, catalog, "what this kind of statement reads is not analysed")
    else:
        template = _template_of((), frozenset() if kind is StatementKind.EXPLAIN else base_tables, catalog)
    paging = template.paging
    probe = None if paging is None else probe_of(tokens, paging.place, paging.leaf.table)
    changes = None if template.changed is None else read_changes(tokens, catalog)
    return StatementPlan(template, slots, insertion, probe, changes)


def plan_cut(sql: str, catalog: Catalog, base_tables: frozenset[str]) -> CutPlan | None:
    """How a statement can be run part by part; None if it cannot. The arguments are those of plan_statement.

    Cost: no I/O; as plan_statement, for it analyses the text anew. Its result can be kept for the text.
    """
    tokens = tokenize(sql)
    if classify(sql).kind is not StatementKind.SELECT:
        return None
    try:
        text = canonical(tokens)
        tree, reader = _read(text, catalog, base_tables)
    except (NotUnderstood, RecursionError):
        return None
    if not base_tables <= _mentioned(reader):
        return None
    cutting = read_cutting(tree, reader, {step.leaf: step for step in order(reader.leaves, ())})
    if cutting is None:
        return None
    end, depth = len(tokens), 0
    for at, token in enumerate(tokens):
        depth += (token.word == "(") - (token.word == ")")
        if depth == 0 and token.word == "LIMIT":
            end = at
    if cutting.is_limited is (end == len(tokens)):
        return None
    before = tokens[:end]
    count = 0
    for _, slot in number_parameters(before):
        count = max(count, slot.stop if isinstance(slot, range) else slot + 1 if isinstance(slot, int) else 0)
    return BoundCutting(cutting, text.slots, sql if end == len(tokens) else sql[: tokens[end].start], count)


class StatementPlan(FetchPlan):
    """A template, with what the placeholders of one text stand for."""

    def __init__(
        self,
        template: Template,
        slots: tuple[Slot, ...],
        insertion: Insertion | None,
        probe: Probe | None,
        changes: tuple[ColumnChange, ...] | None = None,
    ) -> None:
        self.tables = template.tables
        self.full_scans = template.whole
        self._missed = template.missed
        self._doubt = template.doubt
        self._paging = None if probe is None else template.paging
        self._probe = probe
        self._steps = template.steps
        self._emptiness = template.emptiness
        self.decides = template.emptiness is not None
        decide = frozenset() if template.emptiness is None else template.emptiness.leaves
        self._reads = [StepRead(step, slots, decides=step.leaf in decide) for step in template.steps]
        needed = frozenset().union(*(read.needs | read.later_needs for read in self._reads))
        for read in self._reads:
            read.keys_others = read.leaf in needed
        self._repeats = len({read.table.id for read in self._reads}) < len(self._reads)
        self._keyed_by_rows = any(read.needs for read in self._reads)
        self._summary = template.summary
        self.asks_aggregates = template.summary is not None
        self._slots = slots
        self._insertion = insertion
        self.inserted_row = None if insertion is None else insertion.whole
        self.inserts_only = insertion is not None and insertion.is_constant and not template.tables
        points = [read.point for read in self._reads if read.point is not None]
        self._points = points
        simple = not (template.missed or probe or any(step.instead or step.later for step in template.steps))
        self.reads_points = bool(simple and template.steps and len(points) == len(template.steps))
        levels = simple and not self.reads_points and not self._repeats  # else two steps may need the same fetch
        self._levels = _levels(self._reads) if levels else ()
        direct = template.direct
        if direct is not None and len(template.steps) == 1 and not template.missed:
            if simple and direct.single and (self.reads_points or direct.is_whole):
                self.direct = BoundDirectRead(direct, self._reads[0].point, slots)
            elif direct.is_ordered:
                self.direct = BoundDirectRead(direct, None, slots, reads_plan=True)
        if template.joined is not None and simple and self.direct is None:
            self.joined = BoundJoinedRead(template.joined, slots)
        if template.changed is not None and changes is not None and self.reads_points and len(template.steps) == 1:
            rows = BoundDirectRead(template.changed, self._reads[0].point, slots)
            self.assignment = Assignment(rows, changes)

    def waves(self, parameters: Sequence[SqlValue]) -> Generator[Wave, FetchedRows, None]:
        if self.reads_points:
            if points := self.points(parameters):
                yield points
            return
        if self._missed and not self._reads:
            yield [whole(table) for table in self._missed]
        inputs, waiting = Inputs(self._slots, parameters), self._reads
        for number, reads in enumerate(self._levels, 1):
            wave: Wave = []
            ends = []
            for read in reads:
                found = read.few(inputs)  # of no more than MANY_KEYS rows
                if found is None:
                    if read.needs and read.supplied(inputs) > MANY_KEYS:
                        break  # `_unfold` may read all rows
                    found = read.fetches(inputs)
                wave += found
                ends.append(len(wave))
            else:
                answers = (yield wave) if wave else []
                if number == len(self._levels):
                    return
                start = 0
                for read, end in zip(reads, ends, strict=True):
                    inputs.rows[read.leaf] = [_rows(answers[n]) for n in range(start, end)] if read.keys_others else []
                    start = end
                continue
            waiting = [read for level in self._levels[number - 1 :] for read in level]
            break
        if waiting:
            yield from self._unfold(inputs, waiting)

    def _unfold(self, inputs: Inputs, reads: Sequence[StepRead]) -> Generator[Wave, FetchedRows, None]:
        """Yield the waves of these steps, where it shows only in the end which are ready when, or share fetches."""
        brought: dict[_FetchKey, Sequence[Values]] = {}
        many: dict[Step, Many] = {}
        waiting, first = list(reads), len(reads) == len(self._reads)
        larger: set[Step] = set()
        while waiting:
            ready = self._ready(waiting, inputs, many) if self._keyed_by_rows or many else list(waiting)
            wanted = [
                (read, self._all_of_few(read, inputs, larger) or self._fetches(read, inputs, many.get(read.step)))
                for read in ready
            ]
            found = [fetch for _, step_fetches in wanted for fetch in step_fetches]
            if first:
                found += [whole(table) for table in self._missed]
            first = False
            wave_by_key = {_key(fetch): fetch for fetch in found}
            missing = {key: fetch for key, fetch in wave_by_key.items() if key not in brought}
            counted: dict[_FetchKey, Many] = {}
            if missing:
                answers = yield list(missing.values())
                unsure = any(fetch.may_wait or fetch.most is not None for fetch in missing.values())
                if len(ready) == len(waiting) and not unsure:
                    return
                for number, key in enumerate(missing):
                    answer = answers[number]
                    if isinstance(answer, Many):
                        counted[key] = answer
                    else:
                        brought[key] = answer
            for read, step_fetches in wanted:
                keys = [_key(fetch) for fetch in step_fetches]
                if len(keys) == 1 and keys[0] in counted:
                    if step_fetches[0].most is None:
                        many[read.step] = counted[keys[0]]
                    else:
                        larger.add(read.step)
                else:
                    inputs.rows[read.leaf] = [brought[key] for key in keys]
                    waiting.remove(read)

    def points(self, parameters: Sequence[SqlValue]) -> Wave:
        wave: Wave = []
        for point in self._points:
            fetch = point.fetch(parameters)
            if fetch is not None:
                wave.append(fetch)
        return list({_key(fetch): fetch for fetch in wave}.values()) if self._repeats else wave

    def _ready(self, waiting: Sequence[StepRead], inputs: Inputs, many: Mapping[Step, Many]) -> list[StepRead]:
        """Return the steps that can be read next, because the rows that they need are there.

        If all steps find many rows and wait for each other, return the one that finds the fewest.
        """
        known = inputs.rows.keys()
        ready = [read for read in waiting if (read.later_needs if read.step in many else read.needs) <= known]
        return ready or [min((read for read in waiting if read.step in many), key=lambda read: many[read.step].rows)]

    def _all_of_few(self, read: StepRead, inputs: Inputs, larger: Container[Step]) -> list[Fetch]:
        """A fetch of all rows of a step's table if it has few beside those that key it; empty where that is pointless.

        It is less work, and nobody decodes the rows that would key it. Beyond MAX_WAVE_KEYS the keys are read as one
        range, which most often holds most of the table: all of it, by its own key, takes a fifth of the time.
        """
        step = read.step
        if not read.needs or step in larger or step.instead or step.later:
            return []
        rows = read.supplied(inputs)
        return [replace(whole(read.table), most=2 * rows)] if rows > MANY_KEYS else []

    def _fetches(self, read: StepRead, inputs: Inputs, many: Many | None = None) -> list[Fetch]:
        """Return what a step reads.

        Args:
            many: what the step was to read first, and its size. The step then reads by the rows of other leaves
                instead, if these are there and fewer.
        """
        step, table = read.step, read.table
        if many is not None:
            keyed = [inputs.rows.get(leaf) for leaf in read.later_needs]
            rows = [len(rows) for supplied in keyed if supplied is not None for rows in supplied]
            if None in keyed or sum(rows) >= min(many.rows, MAX_WAVE_KEYS):
                return [many.fetch]
            assert step.later is not None
            return fetches(table, step.later.accesses, inputs)
        found = read.fetches(inputs)
        if (step.instead or step.later) and len(found) == 1 and not found[0].keys:
            ways = [way for choice in step.instead for way in fetches(table, choice.accesses, inputs)]
            found = [replace(found[0], instead=tuple(ways), may_wait=step.later is not None)]
        if self._probe is not None and self._paging is not None and self._paging.leaf is step.leaf and len(found) == 1:
            page = self._paging.page(inputs, self._probe)
            found = [each if each.keys else replace(each, page=page) for each in found]
        return found

    def may_be_empty(self, parameters: Sequence[SqlValue]) -> bool:
        found = self._emptiness
        return found is not None and (not found.limits or found.holds(self._slots, parameters))

    def questions(self, parameters: Sequence[SqlValue]) -> list[AggregateRequest] | None:
        return None if self._summary is None else self._summary.questions(Inputs(self._slots, parameters))

    def only_fetch(self, parameters: Sequence[SqlValue]) -> Fetch | None:
        if len(self._steps) != 1 or len(self.tables) != 1:
            return None
        found = self._fetches(self._reads[0], Inputs(self._slots, parameters))
        return found[0] if len(found) == 1 and not found[0].keys else None

    def independent(self, parameters: Sequence[SqlValue]) -> list[Fetch]:
        inputs = Inputs(self._slots, parameters)
        found: dict[int, list[Fetch]] = {table.id: [whole(table)] for table in self._missed}
        for read in self._reads:
            table = read.table
            alone = read.step.choice is not None and not read.needs
            for fetch in self._fetches(read, inputs) if alone else [whole(table)]:
                if fetch.keys:  # a key is a range of one row, or of the few that begin with it
                    ranges = [*((key, key + BEYOND) for key in sorted(fetch.keys)), *fetch.ranges]
                    fetch = Fetch(table, table.key, (), tuple(ranges))
                found.setdefault(table.id, []).append(fetch)
        return [fetch for fetches in found.values() for fetch in _without_needless(fetches)]

    def planned_rows(self, parameters: Sequence[SqlValue]) -> list[PlannedRow] | None:
        return None if self._insertion is None else self._insertion.planned(parameters)

    def unindexed_columns(self, table: str) -> list[str]:
        found: dict[str, None] = {}
        for leaf in (step.leaf for step in self._steps if step.leaf.table.name == table):
            indexed = {path.columns[0] for path in leaf.table.paths} | {ROWID}
            origins = [column.origin for predicate in leaf.context for column in columns_of(predicate)]
            positions = [origin[1] for origin in origins if origin is not None and origin[0] is leaf]
            found |= {leaf.table.columns[position].name: None for position in positions if position not in indexed}
        return list(found)

    def index_candidates(self, table: Table) -> list[list[IndexColumns]]:
        return index_candidates(table, self._steps)

    def explain(self, parameters: Sequence[SqlValue] | None) -> list[PlanLine]:
        if self._summary is not None:
            asked = [(each.kind, each.access) for each in self._summary.asked]
            return explain_questions(asked, self._slots, parameters)
        whole = [(table, why_whole(table, self._steps) or self._doubt) for table in self.full_scans]
        return explain(self._steps, whole, self._slots, parameters, self._paging)


def _rows(answer: Sequence[Values] | Many) -> Sequence[Values]:
    assert not isinstance(answer, Many), "all that was asked for is read"
    return answer


def _levels(reads: Sequence[StepRead]) -> tuple[tuple[StepRead, ...], ...]:
    """The steps wave by wave; none if some need each other's rows."""
    levels: list[tuple[StepRead, ...]] = []
    known: set[Leaf] = set()
    waiting = list(reads)
    while waiting:
        level = tuple(read for read in waiting if read.needs <= known)
        if not level:
            return ()
        levels.append(level)
        known |= {read.leaf for read in level}
        waiting = [read for read in waiting if read.leaf not in known]
    return tuple(levels)


_MANY_RANGES = 100


def _without_needless(fetches: Sequence[Fetch]) -> Sequence[Fetch]:
    """The fetches of one table; one of all rows, if one is that, or if there are very many ranges."""
    everything = whole(fetches[0].table)
    is_whole = any(fetch.ranges == everything.ranges for fetch in fetches)
    return [everything] if is_whole or sum(len(fetch.ranges) for fetch in fetches) > _MANY_RANGES else fetches


_FetchKey = tuple[Hashable, ...]


def _key(fetch: Fetch) -> _FetchKey:
    if fetch.page is None and not fetch.instead and not fetch.may_wait:  # as most are
        return fetch.table.id, fetch.path.id, fetch.keys, fetch.ranges
    others = tuple([(way.path.id, way.ranges) for way in fetch.instead])
    return fetch.table.id, fetch.path.id, fetch.keys, fetch.ranges, fetch.page is not None, fetch.may_wait, others


_templates: dict[int, dict[tuple[str, frozenset[str]], Template]] = {}
"""Keyed by the catalog's id(), since a catalog is compared by identity and not hashable; it goes with its catalog."""


def _templates_of(catalog: Catalog) -> dict[tuple[str, frozenset[str]], Template]:
    templates = _templates.get(id(catalog))
    if templates is None:
        templates = _templates[id(catalog)] = {}
        weakref.finalize(catalog, _templates.pop, id(catalog), None).atexit = False
    return templates


def _analysed(
    tokens: Sequence[Token], catalog: Catalog, base_tables: frozenset[str]
) -> tuple[Template, tuple[Slot, ...]]:
    try:
        text = canonical(tokens)
    except NotUnderstood as error:
        return _whole(tokens, base_tables, catalog, _not_analysed(error)), ()
    templates = _templates_of(catalog)
    key = text.text, base_tables
    template = templates.get(key)
    if template is None:
        if len(templates) >= _MAX_TEMPLATES:
            templates.clear()
        try:
            template = _analyse(text, catalog, base_tables)
        except (NotUnderstood, RecursionError) as error:
            template = _whole(tokens, base_tables, catalog, _not_analysed(error))
        templates[key] = template
    return template, text.slots


def _not_analysed(error: NotUnderstood | RecursionError) -> str:
    reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return f"the statement is not analysed: {reason}"


def _read(text: Canonical, catalog: Catalog, base_tables: frozenset[str]) -> tuple[exp.Expression, QueryReader]:
    reader = QueryReader(catalog, _operand, lambda name: _view(catalog.views[name].sql))
    tree = parse(text)
    reader.statement(tree)
    for root in reader.roots:
        set_contexts(root.node, root.pushed, root.scope.all_facts() if root.scope else [])
    if not _mentioned(reader) - _written(reader) <= base_tables and not _USING.search(text.text):
        raise NotUnderstood("SQLite took a name for something else than we did")
    return tree, reader


def _mentioned(reader: QueryReader) -> set[str]:
    return {leaf.table.name.lower() for leaf in reader.leaves}


def _written(reader: QueryReader) -> set[str]:
    return {table.name.lower() for table in (reader.inserted, reader.changed) if table is not None}


def _analyse(text: Canonical, catalog: Catalog, base_tables: frozenset[str]) -> Template:
    tree, reader = _read(text, catalog, base_tables)
    missed = base_tables - _mentioned(reader) - _written(reader)
    paging = None if missed else read_paging(tree, reader)
    first = paging.leaf if paging is not None and paging.place == "nested" else None
    template = _template_of(order(reader.leaves, _tables(missed, catalog), first), missed, catalog)
    if missed:
        return template
    emptiness = read_emptiness(tree, reader)
    template = replace(
        template,
        summary=read_summary(tree, reader),
        direct=read_direct(tree, reader),
        joined=None if emptiness is None else read_joined(tree, reader),
        changed=read_changed_rows(tree, reader),
        emptiness=emptiness,
    )
    return template if paging is None else _with_paging(template, paging)


def _with_paging(template: Template, paging: Paging) -> Template:
    """Return the template with its page, if reading in the order of some index is better than the step's own access."""
    step = next(step for step in template.steps if step.leaf is paging.leaf)
    others = {other.leaf.table.id for other in template.steps if other is not step and other.choice is None}
    if step.leaf.table.id in others or (step.choice is not None and not paging.is_preferred(step.choice)):
        return template
    whole = template.whole
    if step.choice is None and (paging.is_bounded or not paging.filtered):
        whole = tuple(table for table in whole if table is not step.leaf.table)
    step.instead, step.later = (), None  # a page finds few rows
    return replace(template, paging=paging, whole=whole)


def _whole(tokens: Iterable[Token], base_tables: frozenset[str], catalog: Catalog, doubt: str) -> Template:
    return replace(_template_of((), base_tables | _named(tokens, catalog), catalog), doubt=doubt)


def _named(tokens: Iterable[Token], catalog: Catalog) -> set[str]:
    """Return the tables that a name in the text may mean, or a name in the text of a view that it names."""
    names = {identifier(token).lower() for token in tokens if token.kind in ("word", "quoted", "string")}
    found = names & catalog.tables.keys()
    for name in names & catalog.views.keys():
        body = [token for token in tokenize(catalog.views[name].sql) if identifier(token).lower() != name]
        found |= _named(body, catalog)
    return found


def _template_of(steps: Iterable[Step], missed: Iterable[str], catalog: Catalog) -> Template:
    steps, left = tuple(steps), tuple(_tables(missed, catalog))
    scanned = {table.id: table for table in [*(step.leaf.table for step in steps if step.choice is None), *left]}
    tables = {step.leaf.table.id: step.leaf.table for step in steps} | scanned
    return Template(tuple(tables.values()), steps, left, tuple(scanned.values()))


def _tables(names: Iterable[str], catalog: Catalog) -> list[Table]:
    return [catalog.tables[name] for name in sorted(names) if name in catalog.tables]


def _operand(placeholder: str) -> Operand:
    return SlotValue(int(placeholder[1:]), placeholder[0] == RUN)


def _view(sql: str) -> ViewText:
    """Return the query of `CREATE VIEW name [(columns)] AS query`."""
    tokens = tokenize(sql)
    words = [token.word for token in tokens]
    at = words.index("AS")
    columns = []
    if words[at - 1] == ")":
        opening = words.index("(")
        columns = [token for token in tokens[opening + 1 : at - 1] if token.word != ","]
    text = canonical(tokens[at + 1 :], runs=False)

    def operand(placeholder: str) -> Operand:
        value = text.slots[int(placeholder[1:])]
        if not isinstance(value, Constant):
            raise NotUnderstood("a parameter in a view")
        return FixedValue(value.value)

    return ViewText(parse(text), [identifier(token).lower() for token in columns], operand)
