"""From sqlglot's syntax tree to the planner's: FROM items become sources, WHERE and ON become predicates.

Invariant: only forms that are listed here are accepted. An unknown argument of a node raises NotUnderstood (the tables
are then read whole). An unknown expression is opaque, but its subqueries are still found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace
from sqlglot import exp

from rome.catalog.schema import Catalog, Table
from rome.planner.algebra.conjuncts import ConjunctReader, is_column, nodes_in, queries_in, resolve
from rome.planner.algebra.predicates import ColumnTerm, EqualColumns, Leaf, Operand, Predicate
from rome.planner.algebra.scope import (
    CommonTable,
    Names,
    Output,
    Scope,
    derived_source,
    lookup,
    table_source,
    written_source,
)
from rome.planner.algebra.tree import Arms, Filter, Item, Join, JoinKind, Node, Query, Root, Subquery, facts
from rome.planner.parse.canonical import FUNCTION, NotUnderstood

MAX_ITEMS = 300
"""A statement with more FROM items than this, views and common table expressions expanded, is not analysed."""

_SCALAR_NAMES = """
    abs cast coalesce concat concat_ws date datetime glob hex ifnull iif instr json json_extract julianday length like
    lower ltrim now nullif printf quote random replace round rtrim strftime substr substring time trim typeof unicode
    unixepoch upper
"""
_SCALAR = frozenset(_SCALAR_NAMES.split())
"""Functions that are known not to be aggregates. Others may be, since an application can define its own."""

_EXTREMES = (FUNCTION + "max", FUNCTION + "min")
_CUTTING = frozenset(["having", "limit", "offset", "windows"])
_SELECT_ARGS = frozenset(["expressions", "from_", "joins", "where", "group", "order", "distinct", "with_"]) | _CUTTING
_COMPOUND_ARGS = frozenset(["this", "expression", "distinct", "order", "limit", "offset", "with_"])
_TABLE_ARGS = frozenset(["this", "db", "alias", "joins"])
_SUBQUERY_ARGS = frozenset(["this", "alias", "joins"])
_JOIN_ARGS = frozenset(["this", "side", "kind", "method", "on", "using"])
_WRITE_ARGS = frozenset(["this", "expressions", "from_", "where", "returning", "with_", "order", "limit"])
_KINDS: Mapping[str, JoinKind] = {"": "inner", "LEFT": "left", "RIGHT": "right", "FULL": "full"}


class ViewText(Struct, frozen=True):
    """A view's query, its literals, and the names that it gives to its columns (empty if it gives none)."""

    query: exp.Expression
    columns: list[str]
    slots: Callable[[str], Operand]


class QueryReader:
    """Reads one statement. Afterwards `roots` and `leaves` hold its parts, in the order of mention.

    Args:
        slots: gives what the placeholders of the statement's text stand for.
        view: gives the text of a view, by its name in lower case.
    """

    def __init__(self, catalog: Catalog, slots: Callable[[str], Operand], view: Callable[[str], ViewText]) -> None:
        self.roots: list[Root] = []
        self.leaves: list[Leaf] = []
        self.inserted: Table | None = None  # the stored table that INSERT adds to, which by itself reads nothing of it
        self.changed: Table | None = None  # the stored table that UPDATE or DELETE changes
        self._catalog = catalog
        self._slots = slots
        self._view = view
        self._items = 0
        self._views: dict[str, ViewText] = {}
        self._subqueries: dict[tuple[int, int], Subquery] = {}
        self._selects: dict[int, tuple[Scope, Filter]] = {}  # and the UPDATE or DELETE
        self._say_all: dict[int, bool] = {}  # the same
        self._has_windows = False  # somewhere in the statement, or in a view that was expanded

    def statement(self, tree: exp.Expression) -> None:
        """Read a whole statement; afterwards every leaf's context can be set."""
        names = Names(self._slots)
        self._has_windows = _has_windows(tree)
        if isinstance(tree, exp.Update | exp.Delete):
            self._write(tree, names)
        elif isinstance(tree, exp.Insert):
            self._insert(tree, names)
        else:
            self.roots.append(Root(self._query(tree, names, None, outputs=False).node, None))

    # -- afterwards, about a SELECT that was read once, or about UPDATE

    def has_read(self, tree: exp.Select) -> bool:
        """Whether the SELECT was understood as a part of the statement."""
        return id(tree) in self._selects

    def scope_of(self, tree: exp.Select | exp.Update | exp.Delete) -> Scope:
        """The scope of the statement's names."""
        return self._selects[id(tree)][0]

    def from_of(self, tree: exp.Select) -> Node | None:
        """The joins of the SELECT's FROM clause."""
        return self._selects[id(tree)][1].tree

    def filter_of(self, tree: exp.Select) -> Filter:
        """The SELECT's joins and its WHERE."""
        return self._selects[id(tree)][1]

    def is_simple(self, tree: exp.Select) -> bool:
        """Whether the result has exactly one row for each row of FROM that passes WHERE. See Filter."""
        return self._selects[id(tree)][1].simple and tree.args.get("distinct") is None

    def says_all(self, tree: exp.Select | exp.Update | exp.Delete) -> bool:
        """Whether the predicates of its WHERE are all that it says."""
        return self._say_all[id(tree)]

    # -- queries

    def _query(self, tree: exp.Expression, names: Names, outer: Scope | None, *, outputs: bool = True) -> Query:
        """Read a SELECT, a compound or VALUES; nobody asks for the result columns of the statement itself."""
        if isinstance(tree, exp.Select):
            return self._select(tree, names, outer, outputs=outputs)
        if isinstance(tree, exp.SetOperation):
            return self._compound(tree, names, outer, outputs=outputs)
        if isinstance(tree, exp.Values):
            self._scan(tree, Scope(names, outer))
            return Query(Filter(None, [], simple=False, from_rows=False), None)
        raise NotUnderstood(type(tree).__name__)

    def _select(self, tree: exp.Select, names: Names, outer: Scope | None, *, outputs: bool) -> Query:
        _check(tree, _SELECT_ARGS)
        names = self._with(tree, names)
        scope = Scope(names, outer)
        from_ = tree.args.get("from_")
        source = self._from(from_.this, tree.args.get("joins") or [], scope) if from_ else None
        scope.aliases = {part.alias.lower() for part in tree.expressions if isinstance(part, exp.Alias)}
        semi: list[Predicate] = []
        plain = self._where(tree, scope, semi)
        scope.facts = facts(source) + plain
        computed = [part for part in tree.expressions if not is_column(part)]
        rest = _parts(tree, "group", "having", "order", "limit", "offset", "distinct", "windows")
        for part in [*computed, *rest]:
            self._scan(part, scope)
        grouped = tree.args.get("group") is not None
        aggregates = any(map(may_aggregate, [*computed, *_parts(tree, "having", "order")]))
        cut = any(tree.args.get(name) for name in _CUTTING) or (self._has_windows and _has_windows(tree))
        distinct = tree.args.get("distinct") is not None
        shown = self._outputs(tree, scope) if outputs or distinct else None
        merges = distinct and not _all_binary(shown)
        simple = not (grouped or aggregates or cut or merges)
        node = Filter(source, plain + semi, simple, from_rows=grouped or not aggregates)
        self._selects[id(tree)] = scope, node
        return Query(node, shown)

    def _compound(self, tree: exp.SetOperation, names: Names, outer: Scope | None, *, outputs: bool) -> Query:
        _check(tree, _COMPOUND_ARGS)
        names = self._with(tree, names)
        arms = []
        arm: exp.Expression = tree
        while isinstance(arm, exp.SetOperation):
            if arm is not tree:
                _check(arm, _COMPOUND_ARGS - {"with_"})
            arms.append(arm.expression)
            arm = arm.this
        arms.append(arm)
        queries = [self._query(arm, names, outer, outputs=outputs) for arm in reversed(arms)]
        for part in _parts(tree, "order", "limit", "offset"):
            self._scan(part, Scope(names, outer))
        return Query(Arms([query.node for query in queries]), _common_outputs(queries) if outputs else None)

    def _with(self, tree: exp.Expression, names: Names) -> Names:
        with_ = tree.args.get("with_")
        if with_ is None:
            return names
        inner = Names(names.slots, names)
        for cte in with_.expressions:
            columns = [column.name.lower() for column in cte.args["alias"].args.get("columns") or []]
            name = cte.alias.removeprefix(FUNCTION) if columns else cte.alias
            inner.tables[name.lower()] = CommonTable(cte.this, columns, inner)
        return inner

    def _where(self, tree: exp.Expression, scope: Scope, semi: list[Predicate]) -> list[Predicate]:
        where = tree.args.get("where")
        if where is None:
            self._say_all[id(tree)] = True
            return []
        reader = ConjunctReader(scope, self._subquery, semi)
        predicates = reader.read(where.this)
        self._say_all[id(tree)] = reader.says_all
        self._scan(where, scope)
        return predicates

    def _subquery(self, tree: exp.Expression, scope: Scope) -> Subquery:
        key = id(tree), id(scope)  # a common table expression is read for each mention, in a new scope
        known = self._subqueries.get(key)
        if known is None:
            query = self._query(tree, scope.names, scope)
            root = Root(query.node, scope)
            self.roots.append(root)
            known = self._subqueries[key] = Subquery(root, query.outputs)
        return known

    def _scan(self, expression: exp.Expression, scope: Scope) -> None:
        """Read every subquery in an expression."""
        for query in queries_in(expression):
            self._subquery(query, scope)

    # -- FROM

    def _from(self, first: exp.Expression, joins: Sequence[exp.Expression], scope: Scope) -> Node:
        """A FROM clause, or a parenthesised part of one: first its operands, then ON, which sees them all."""
        conditions: list[tuple[Join, exp.Expression]] = []
        node = self._item(first, scope)
        kinds = {"inner"}
        for join in [*(first.args.get("joins") or []), *joins]:
            _check(join, _JOIN_ARGS)
            if join.kind not in ("", "INNER", "OUTER", "CROSS") or join.method not in ("", "NATURAL"):
                raise NotUnderstood(f"{join.method} {join.side} {join.kind} JOIN")
            if join.this.args.get("joins"):
                raise NotUnderstood("a join inside of a join")
            kind = _KINDS[join.side]
            kinds.add(kind)
            before = list(scope.sources)
            right = self._item(join.this, scope)
            node = Join(node, right, kind)
            if join.args.get("on") is not None:
                conditions.append((node, join.args["on"]))
            using = [column.name.lower() for column in join.args.get("using") or []]
            if using or join.method == "NATURAL":
                node.on += _merge(scope, before, None if join.method else using)
                node.says_all = False
        if kinds & {"right", "full"} and scope.merged:
            scope.merged = dict.fromkeys(scope.merged)
            if len(scope.sources) > 2:
                raise NotUnderstood("USING with RIGHT or FULL JOIN of more than two tables")
        bare = scope.without_facts()
        for join_node, on in conditions:
            reader = ConjunctReader(bare, self._subquery)
            join_node.on += reader.read(on)
            join_node.says_all = join_node.says_all and reader.says_all
            self._scan(on, bare)
        return node

    def _item(self, tree: exp.Expression, scope: Scope) -> Node:
        self._items += 1
        if self._items > MAX_ITEMS:
            raise NotUnderstood(f"more than {MAX_ITEMS} FROM items")
        if isinstance(tree, exp.Table):
            return self._table(tree, scope)
        if isinstance(tree, exp.Values):
            self._scan(tree, scope)
            return self._derived(tree.alias, None, None, scope)
        if not isinstance(tree, exp.Subquery):
            raise NotUnderstood(type(tree).__name__)
        _check(tree, _SUBQUERY_ARGS)
        if not isinstance(tree.this, exp.Table | exp.Subquery):
            query = self._query(tree.this, scope.names, scope.outer)
            return self._derived(tree.alias, query.outputs, query.node, scope)
        if tree.alias:
            raise NotUnderstood("an alias of a parenthesised join")
        group = Scope(scope.names, scope.outer)
        node = self._from(tree.this, [], group)
        scope.sources += group.sources
        if group.merged:
            raise NotUnderstood("USING inside of a parenthesised join")
        return node

    def _table(self, tree: exp.Table, scope: Scope) -> Node:
        _check(tree, _TABLE_ARGS)
        if not isinstance(tree.this, exp.Identifier):
            self._scan(tree.this, scope)
            return self._derived(tree.alias or tree.name.removeprefix(FUNCTION), None, None, scope)
        name, schema, alias = tree.name.lower(), tree.db.lower(), tree.alias or tree.name
        if tree.args.get("alias") and tree.args["alias"].args.get("columns"):
            raise NotUnderstood("column names of a table alias")
        if not schema:
            common = scope.names.find(name)
            if common is not None:
                return self._common(common, alias, scope)
        if self._catalog.is_stored(schema, name):
            table = self._catalog.tables.get(name)
            if table is not None:
                return self._base(table, alias, scope)
            if name in self._catalog.views:
                return self._expand_view(name, alias, scope)
        return self._derived(alias, None, None, scope)

    def _base(self, table: Table, alias: str, scope: Scope) -> Item:
        leaf = Leaf(table)
        self.leaves.append(leaf)
        source = table_source(alias, leaf)
        scope.sources.append(source)
        return Item(source)

    def _derived(self, alias: str, outputs: list[Output] | None, node: Node | None, scope: Scope) -> Item:
        source = derived_source(alias, outputs)
        scope.sources.append(source)
        return Item(source, node)

    def _common(self, common: CommonTable, alias: str, scope: Scope) -> Item:
        if common.expanding:  # a recursion may yield any rows
            return self._derived(alias, None, None, scope)
        common.expanding = True
        query = self._query(common.query, common.names, scope.outer)
        common.expanding = False
        return self._derived(alias, _renamed(query.outputs, common.columns), query.node, scope)

    def _expand_view(self, name: str, alias: str, scope: Scope) -> Item:
        view = self._views.get(name) or self._views.setdefault(name, self._view(name))
        self._has_windows = self._has_windows or _has_windows(view.query)
        query = self._query(view.query, Names(view.slots), None)
        return self._derived(alias, _renamed(query.outputs, view.columns), query.node, scope)

    # -- result columns

    def _outputs(self, tree: exp.Select, scope: Scope) -> list[Output] | None:
        outputs: list[Output] = []
        for part in tree.expressions:
            if isinstance(part, exp.Star) or (isinstance(part, exp.Column) and isinstance(part.this, exp.Star)):
                expanded = _star(part, scope)
                if expanded is None:
                    return None
                outputs += expanded
                continue
            name = part.alias.lower() if isinstance(part, exp.Alias) else None
            value = part.this if isinstance(part, exp.Alias) else part
            column = None
            if isinstance(value, exp.Column) and isinstance(value.this, exp.Identifier):
                column = _shown(value, scope)
                name = name or value.name.lower()
            elif isinstance(value, exp.Anonymous) and value.name in _EXTREMES:
                column = _extreme(value, scope)
            outputs.append((name, column or ColumnTerm(())))
        return outputs

    # -- statements that write

    def _write(self, tree: exp.Update | exp.Delete, names: Names) -> None:
        _check(tree, _WRITE_ARGS)
        names = self._with(tree, names)
        target = tree.this
        self.changed = table = self._target(target)
        scope = Scope(names, None)
        alias = target.alias or target.name
        node: Node = self._derived(alias, None, None, scope) if table is None else self._base(table, alias, scope)
        from_ = tree.args.get("from_")
        if from_ is not None:
            others = Scope(names, None)
            node = Join(node, self._from(from_.this, from_.this.args.get("joins") or [], others), "inner")
            scope.sources += others.sources
            scope.merged = others.merged
        semi: list[Predicate] = []
        plain = self._where(tree, scope, semi)
        scope.facts = facts(node) + plain
        for part in _parts(tree, "expressions", "order", "limit"):
            self._scan(part, scope)
        self._scan_written(tree, table, target, names)
        whole = Filter(node, plain + semi, simple=True, from_rows=True)
        self._selects[id(tree)] = scope, whole
        self.roots.insert(0, Root(whole, None))

    def _insert(self, tree: exp.Insert, names: Names) -> None:
        names = self._with(tree, names)
        target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
        self.inserted = table = self._target(target)
        if tree.expression is not None:
            self.roots.append(Root(self._query(tree.expression, names, None, outputs=False).node, None))
        self._scan_written(tree, table, target, names)

    def _target(self, target: exp.Expression) -> Table | None:
        """The table that the statement writes to; None for a temporary one."""
        if not isinstance(target, exp.Table):
            raise NotUnderstood("the table written to")
        name, schema = target.name.lower(), target.text("db").lower()
        if not self._catalog.is_stored(schema, name):
            return None
        table = self._catalog.tables.get(name)
        if table is None:
            raise NotUnderstood("the table written to")
        return table

    def _scan_written(self, tree: exp.Expression, table: Table | None, target: exp.Expression, names: Names) -> None:
        """Read the subqueries of RETURNING and upsert, which see values that were not read."""
        scope = Scope(names, None)
        scope.sources = [written_source(name, table) for name in (target.alias or target.name, "excluded")]
        for part in _parts(tree, "conflict", "returning"):
            self._scan(part, scope)


def _check(tree: exp.Expression, known: frozenset[str]) -> None:
    for name, value in tree.args.items():
        if value and name not in known:
            raise NotUnderstood(f"{type(tree).__name__}.{name}")


def _parts(tree: exp.Expression, *names: str) -> Iterable[exp.Expression]:
    for name in names:
        value = tree.args.get(name)
        if isinstance(value, list):
            yield from value
        elif isinstance(value, exp.Expression):
            yield value


def _has_windows(tree: exp.Expression) -> bool:
    return any(isinstance(node, exp.Window) for node in nodes_in(tree))


def may_aggregate(expression: exp.Expression) -> bool:
    """Whether the expression may call an aggregate function of this query, or, in a subquery, of the outer one."""
    for function in expression.find_all(exp.Anonymous):
        name = function.name.removeprefix(FUNCTION)
        if name not in _SCALAR and not (name in ("min", "max") and len(function.expressions) > 1):
            return True
    return False


def _shown(value: exp.Column, scope: Scope) -> ColumnTerm | None:
    """What a result column shows.

    A column of an outer query counts only as a value: NULL replaces it where this query has no row or is the missing
    side of a join.
    """
    column = resolve(scope, value)
    return column if column is None or column.sources[0] in scope.sources else column.detached()


def _extreme(function: exp.Anonymous, scope: Scope) -> ColumnTerm | None:
    """The column that max(x) or min(x) shows: some row's value, or NULL; without affinity, compared as bytes."""
    argument = function.expressions[0] if len(function.expressions) == 1 else None
    if not isinstance(argument, exp.Column) or not isinstance(argument.this, exp.Identifier):
        return None
    column = _shown(argument, scope)
    return column and replace(column, affinity=None, collation="BINARY", in_row=False)


def _merge(scope: Scope, before: Sequence[object], using: list[str] | None) -> list[Predicate]:
    """The equalities of USING, or of NATURAL (`using` is None). Columns of equal name become one."""
    left = [source for source in scope.sources if source in before]
    right = [source for source in scope.sources if source not in before]
    if len(right) != 1 or not all(source.complete for source in scope.sources):
        raise NotUnderstood("USING or NATURAL with unknown columns")
    names = using
    if names is None:
        names = [name for name in right[0].columns() if any(source.column(name) for source in left)]
    predicates: list[Predicate] = []
    for name in names:
        found = [column for source in left if (column := source.column(name)) is not None]
        column = scope.merged[name] if name in scope.merged else found[0] if len(found) == 1 else None
        other = lookup(right[0], name)
        scope.merged[name] = column
        right[0].hidden.add(name)
        if column is not None and other is not None and column.collation is not None:
            predicates.append(EqualColumns(column, other, column.collation))
    return predicates


def _all_binary(outputs: list[Output] | None) -> bool:
    """Whether every condition says the same of rows of these columns that DISTINCT takes for equal."""
    return outputs is not None and all(column.collation == "BINARY" for _, column in outputs)


def _star(part: exp.Expression, scope: Scope) -> list[Output] | None:
    outputs: list[Output] = []
    wanted = part.text("table").lower()
    for source in scope.sources:
        if wanted and source.name != wanted:
            continue
        if not source.complete or (not wanted and None in scope.merged.values()):
            return None
        names = {id(column): name for name, column in source.columns().items()}
        for column in source.order():
            name = names.get(id(column))
            if wanted or name not in source.hidden:
                outputs.append((name, column))
    return outputs


def _renamed(outputs: list[Output] | None, names: list[str]) -> list[Output] | None:
    if outputs is None or not names:
        return outputs
    if len(outputs) != len(names):
        return None
    return [(name, column) for name, (_, column) in zip(names, outputs, strict=True)]


def _common_outputs(queries: Sequence[Query]) -> list[Output] | None:
    """The columns of a compound, named by its first SELECT; comparable only if all arms have one affinity."""
    first = queries[0].outputs
    if first is None:
        return None
    outputs: list[Output] = []
    for position, (name, column) in enumerate(first):
        columns = []
        for query in queries:
            if query.outputs is None or len(query.outputs) != len(first):
                return None
            columns.append(query.outputs[position][1])
        same = {(other.affinity, other.collation) for other in columns}
        if len(same) > 1 or not all(other.origins for other in columns):
            outputs.append((name, ColumnTerm(())))
        else:
            origins = tuple(origin for other in columns for origin in other.origins)
            in_row = all(other.in_row for other in columns)
            outputs.append((name, replace(column, sources=(), origins=origins, in_row=in_row)))
    return outputs
