"""Fetch plans: plans.sql has statements, each with its expected plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from rome.codec.values import SqlValue
from rome.planner.access.bounds import WHOLE
from rome.planner.plan import Fetch, Many, PlanLine
from rome.planner.planning import plan_statement
from rome.store.spi import BEYOND
from tests.planner import plan_files
from tests.planner.schema_from_sqlite import base_tables, make_catalog

SCHEMA = [
    "create table instances (id integer primary key, uuid varchar(36) not null unique, host text, node text,"
    " deleted integer, project text collate nocase, memory integer, launched datetime)",
    "create index ix_host_node on instances (host, node, deleted)",
    "create index ix_project on instances (project)",
    "create index ix_launched on instances (launched)",
    "create table metadata (id integer primary key, instance_uuid text references instances (uuid), key text, value)",
    "create index ix_metadata on metadata (instance_uuid, key)",
    "create table tags (resource_id text, tag text, primary key (resource_id, tag))",
    "create table services (name text, weight numeric, data blob)",
    "create index ix_weight on services (weight)",
    "create table parts (id integer primary key, node text, kind text, size integer)",
    "create index ix_kind on parts (kind)",
    "create index ix_node_kind_size on parts (node, kind, size)",
    "create index ix_data on services (data)",
    "create index ix_partial on services (name) where weight > 0",
    "create table jobs (id integer primary key, host text, kind text, done datetime)",
    "create index ix_open on jobs (host, kind) where done is null",
    "create unique index ix_done on jobs (done) where (host is not null and kind notnull)",
    "create index ix_lower on jobs (lower(kind))",
    "create table wanted (id integer primary key)",
    "create view live as select uuid, host from instances where deleted = 0",
    "create view per_host (h, n) as select host, count(*) from instances group by host",
]
MIRROR, CATALOG = make_catalog(SCHEMA)


def describe(sql: str) -> list[str]:
    return plan_files.describe(sql, MIRROR, CATALOG)


@pytest.mark.parametrize(("sql", "expected"), plan_files.read_plans(Path(__file__).parent / "plans.sql"))
def test_plan(sql: str, expected: list[str]) -> None:
    assert describe(sql) == expected


def first_wave(sql: str, *parameters: object) -> list[Fetch]:
    plan = plan_statement(sql, CATALOG, base_tables(MIRROR, CATALOG, sql))
    return next(plan.waves(parameters), [])  # type: ignore[arg-type]


def is_whole(fetch: Fetch) -> bool:
    return fetch.ranges == ((b"", BEYOND),)


def test_null_parameter_reads_nothing() -> None:
    assert first_wave("select * from instances where uuid = ?", None) == []
    assert first_wave("select * from instances where memory > 1 and uuid in (?, ?)", None, float("nan")) == []


def test_missing_parameter_is_null() -> None:
    assert first_wave("select * from instances where uuid = ?") == []


@pytest.mark.parametrize("value", [0.1 + 0.2, 1e20, "\ud800"])
def test_value_whose_key_is_not_certain_reads_the_whole_table(value: object) -> None:
    assert is_whole(first_wave("select * from instances where uuid = ?", value)[0])


@pytest.mark.parametrize("value", ["0.1234567890123456789", "1e300", "12345678901234567890"])
def test_text_that_sqlite_might_round_otherwise_reads_the_whole_table(value: str) -> None:
    assert is_whole(first_wave("select * from services where weight in (1, ?)", value)[0])


def test_named_and_numbered_parameters_are_numbered_as_sqlite_does() -> None:
    sql = "select * from metadata where id = :b or id = ?5 or id = ? or id = :b or id = @c or id = ?1"
    assert describe(sql) == [f"1 | metadata | key | id = ?{number}" for number in (1, 5, 6, 7)]


def test_long_in_list_is_one_analysis() -> None:
    plans = [
        plan_statement(
            f"select * from instances where id in ({', '.join('?' * count)})", CATALOG, frozenset(["instances"])
        )
        for count in (3, 3000)
    ]
    assert plans[0]._steps is plans[1]._steps  # type: ignore[attr-defined]
    assert len(next(plans[1].waves(range(3000)))[0].keys) == 3000


def test_growing_combinations_use_fewer_columns() -> None:
    hosts, nodes = ", ".join("?" * 50), ", ".join("?" * 50)
    sql = f"select * from instances where host in ({hosts}) and node in ({nodes})"
    (fetch,) = first_wave(sql, *map(str, range(100)))
    assert len(fetch.ranges) == 50


def test_many_keys_from_another_table_become_one_range() -> None:
    sql = "select * from instances join metadata on instance_uuid = uuid where host = 'a'"
    plan = plan_statement(sql, CATALOG, base_tables(MIRROR, CATALOG, sql))
    waves = plan.waves([])
    next(waves)
    rows: list[Sequence[SqlValue]] = [[number, f"uuid-{number:04}", *[None] * 6] for number in range(2001)]
    (everything,) = waves.send([rows])  # if that is not much more than there are keys
    assert (everything.path, everything.ranges, everything.most) == (everything.table.key, (WHOLE,), 4002)
    (fetch,) = waves.send([Many(4002, everything)])
    assert len(fetch.ranges) == 1
    assert fetch.ranges != (WHOLE,)
    with pytest.raises(StopIteration):
        waves.send([[]])


def test_a_table_that_is_small_beside_the_keys_is_read_whole() -> None:
    sql = "select * from instances join metadata on instance_uuid = uuid where host = 'a'"
    waves = plan_statement(sql, CATALOG, base_tables(MIRROR, CATALOG, sql)).waves([])
    next(waves)
    rows: list[Sequence[SqlValue]] = [[number, f"uuid-{number:04}", *[None] * 6] for number in range(2001)]
    waves.send([rows])
    with pytest.raises(StopIteration):
        waves.send([[[1, "uuid-0001", "k", 1]]])


def test_keys_of_the_second_wave_are_distinct() -> None:
    sql = "select * from metadata join instances on instance_uuid = uuid where metadata.id in (1, 2)"
    plan = plan_statement(sql, CATALOG, base_tables(MIRROR, CATALOG, sql))
    waves = plan.waves([])
    next(waves)
    (fetch,) = waves.send([[[1, "a", "k", 1], [2, "a", "k", 2], [3, None, "k", 3]]])
    assert len(fetch.ranges) == 1


def test_nothing_brought_ends_the_plan() -> None:
    sql = "select * from metadata join instances on instance_uuid = uuid where metadata.id = 1"
    waves = plan_statement(sql, CATALOG, base_tables(MIRROR, CATALOG, sql)).waves([])
    next(waves)
    with pytest.raises(StopIteration):
        waves.send([[]])


def test_tables_that_sqlite_names_and_the_analysis_does_not_are_read_whole() -> None:
    plan = plan_statement("select * from instances where id = 1", CATALOG, frozenset(["instances", "tags"]))
    assert [table.name for table in plan.full_scans] == ["tags"]


def test_tables_that_sqlite_does_not_name_make_the_analysis_doubtful() -> None:
    plan = plan_statement("select * from instances, tags where id = 1", CATALOG, frozenset(["instances"]))
    assert sorted(table.name for table in plan.full_scans) == ["instances", "tags"]


@pytest.mark.parametrize(
    "sql",
    [
        "select",
        "select * from instances where",
        "selec * from instances",
        "select * from instances where id = 'x",
        "select * from instances where id = 1 @@",
        "(((",
        "with a as",
        "insert into",
        "update instances",
        "delete from nowhere where a = 1",
        "create table x as select * from instances",
        "",
    ],
)
def test_what_is_not_understood_reads_the_named_tables_whole(sql: str) -> None:
    plan = plan_statement(sql, CATALOG, frozenset(["instances"]))
    assert [table.name for table in plan.full_scans] == ["instances"]


def test_deep_nesting_is_not_analysed() -> None:
    sql = f"select * from instances where {'(' * 5000}id = 1{')' * 5000}"
    assert plan_statement(sql, CATALOG, frozenset(["instances"])).full_scans
    ctes = ", ".join(f"c{number + 1} as (select * from c{number}, c{number} x)" for number in range(40))
    sql = f"with c0 as (select 1), {ctes} select * from c40"
    assert plan_statement(sql, CATALOG, frozenset(["instances"])).full_scans


def test_long_or_is_analysed() -> None:
    sql = "select * from instances where " + " or ".join(f"id = {number}" for number in range(150))
    assert len(first_wave(sql)[0].keys) == 150
    sql = "select * from instances where " + " or ".join(f"id = {number}" for number in range(3000))
    assert plan_statement(sql, CATALOG, frozenset(["instances"])).full_scans


def test_explain_shows_parameters() -> None:
    sql = "select * from instances where uuid = ? and id in (?, ?)"
    plan = plan_statement(sql, CATALOG, frozenset(["instances"]))
    assert plan.explain(["it's", 1, None]) == [
        PlanLine(1, "instances", "index sqlite_autoindex_instances_1", "uuid = 'it''s'", most_rows=1),
    ]
    sql = "select * from instances where id in (?, ?, ?, ?, ?, ?, ?)"
    plan = plan_statement(sql, CATALOG, frozenset(["instances"]))
    assert plan.explain(list(range(7)))[0][3] == "id IN (0, 1, 2, .., 6)"


@pytest.mark.parametrize(
    ("sql", "most_rows"),
    [
        ("select * from instances where uuid = ?", [1]),
        ("select * from instances where uuid in (?, ?, 'c')", [3]),
        ("select * from instances where id = ? or uuid in (?, ?)", [1, 2]),
        ("select * from tags where resource_id in (?, ?) and tag in ('a', 'b', 'c')", [6]),
        ("select * from tags where resource_id = ?", [None]),
        ("select * from tags where resource_id = ? and tag is ?", [None]),
        ("select * from instances where host = ?", [None]),
        ("select * from instances where uuid = 1.2345678901234567e-30", [None]),  # no key: what text is it stored as?
        ("select * from metadata m join instances i on i.uuid = m.instance_uuid where m.id in (1, 2)", [2, 2]),
        (
            "select * from metadata m join instances i on i.uuid = m.instance_uuid where m.key = 'k' and i.id = 1",
            [1, None],
        ),
        (
            "select * from metadata m join instances i on i.uuid = m.instance_uuid where m.instance_uuid > ?",
            [None, None],
        ),
        ("select * from instances", [None]),
        ("select * from instances where id > 3 order by id limit 5", [None]),
        ("select count(*) from instances", [0]),
        ("select max(launched) from instances", [1]),
    ],
)
def test_unique_keys_bound_how_many_rows_are_found(sql: str, most_rows: list[int | None]) -> None:
    plan = plan_statement(sql, CATALOG, base_tables(MIRROR, CATALOG, sql))
    assert [line.most_rows for line in plan.explain(None)] == most_rows


def test_a_parameter_of_which_no_key_is_made_bounds_no_rows() -> None:
    plan = plan_statement("select * from instances where uuid = ?", CATALOG, frozenset(["instances"]))
    assert [plan.explain([value])[0].most_rows for value in ("a", 1.2345678901234567e-30)] == [1, None]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("select * from instances where (", "the statement is not analysed: the parser does not know its syntax"),
        (
            f"select * from instances where {'(' * 5000}id = 1{')' * 5000}",
            "the statement is not analysed: it is nested too deeply",
        ),
        ("create table x as select * from instances", "what this kind of statement reads is not analysed"),
        (
            " or ".join(["select * from instances where id = 0", *["id = 1"] * 300]),
            "an OR of more than 200 parts bounds nothing",
        ),
        (
            "select * from instances where deleted = id",
            "no index begins with deleted; id is compared with a column of its own row",
        ),
        (
            "select * from metadata where instance_uuid = (select id from instances where uuid = 'a')",
            "instance_uuid is compared with values of another type than its own",
        ),
        (
            "select * from instances i where i.host = 'a' or (i.memory = 1 or i.node = 2)",
            "a part of an OR: no index begins with memory",
        ),
    ],
)
def test_why_a_table_is_read_whole(sql: str, reason: str) -> None:
    plan = plan_statement(sql, CATALOG, frozenset(name for name in ("instances", "metadata") if name in sql))
    assert [line.remark for line in plan.explain(None) if line.access == "whole table"] == [reason]
