"""Classification by tokens."""

from __future__ import annotations

import pytest

from rome.planner.parse.statement import Statement, StatementKind, classify, split_script


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("select 1", StatementKind.SELECT),
        ("values (1)", StatementKind.SELECT),
        ("/* a */ -- b\n Select 1", StatementKind.SELECT),
        ("with a as (select 1), b(x) as (values (1)) select * from a", StatementKind.SELECT),
        ("with replace as (select 1) delete from t", StatementKind.DELETE),
        ("with recursive a as (select 1) insert into t select * from a", StatementKind.INSERT),
        ("with a as (select 1) update t set a = 1", StatementKind.UPDATE),
        ("insert or ignore into t values (1)", StatementKind.INSERT),
        ("replace into t values (1)", StatementKind.INSERT),
        ("update or fail t set a = 1", StatementKind.UPDATE),
        ("delete from t", StatementKind.DELETE),
        ("create table t (a)", StatementKind.DDL),
        ("drop index i", StatementKind.DDL),
        ("alter table t rename to u", StatementKind.DDL),
        ("create trigger x after insert on t begin select 1; end", StatementKind.CREATE_TRIGGER),
        ("create temp trigger x after insert on t begin select 1; end;", StatementKind.CREATE_TRIGGER),
        ("create table trigger_happy (a)", StatementKind.DDL),
        ("begin immediate", StatementKind.BEGIN),
        ("commit", StatementKind.COMMIT),
        ("end transaction", StatementKind.COMMIT),
        ("rollback transaction", StatementKind.ROLLBACK),
        ("attach 'a' as b", StatementKind.ATTACH),
        ("detach b", StatementKind.DETACH),
        ("vacuum", StatementKind.VACUUM),
        ("analyze", StatementKind.ANALYZE),
        ("reindex t", StatementKind.REINDEX),
        ("explain query plan select 1", StatementKind.EXPLAIN),
        ("selec 1", StatementKind.OTHER),
        ("'", StatementKind.OTHER),
        ("", StatementKind.EMPTY),
        (" -- nothing\n;; /* at all */", StatementKind.EMPTY),
    ],
)
def test_kind(sql: str, kind: StatementKind) -> None:
    statement = classify(sql)
    assert (statement.kind, statement.text, statement.multiple) == (kind, sql, False)


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("select a from t for update", "select a from t "),
        ('select a from t FOR NO KEY UPDATE OF t, "u" limit 1', "select a from t  limit 1"),
        ("select * from (select 1 for share) x, y for key share of main.y", "select * from (select 1 ) x, y "),
        ("with a as (select 1 for update) select * from a", "with a as (select 1 ) select * from a"),
    ],
)
def test_lock_clauses_are_cut_out(sql: str, text: str) -> None:
    assert classify(sql) == Statement(StatementKind.SELECT, text, for_update=True)


def test_lock_clause_words() -> None:
    assert classify("select 1 for update skip locked").skip_locked
    assert classify("select 1 for update of t nowait").nowait
    assert classify("select 1 for update of t nowait").text == "select 1 "


@pytest.mark.parametrize(
    "sql", ["select 'for update'", 'select 1 as "for", [for update] from t', "select 1 -- for update"]
)
def test_quoted_lock_clause_stays(sql: str) -> None:
    assert classify(sql) == Statement(StatementKind.SELECT, sql)


@pytest.mark.parametrize(
    ("sql", "kind", "name"),
    [
        ("savepoint a", StatementKind.SAVEPOINT, "a"),
        ('savepoint "a ""b"', StatementKind.SAVEPOINT, 'a "b'),
        ("savepoint 'a'", StatementKind.SAVEPOINT, "a"),
        ("release a", StatementKind.RELEASE, "a"),
        ("release savepoint [a b]", StatementKind.RELEASE, "a b"),
        ("rollback to a", StatementKind.ROLLBACK_TO, "a"),
        ("rollback transaction to savepoint a;", StatementKind.ROLLBACK_TO, "a"),
    ],
)
def test_savepoint_name(sql: str, kind: StatementKind, name: str) -> None:
    statement = classify(sql)
    assert (statement.kind, statement.name) == (kind, name)


@pytest.mark.parametrize(
    ("sql", "name", "argument"),
    [
        ("pragma foreign_keys", "foreign_keys", None),
        ("PRAGMA main.Foreign_Keys = ON", "foreign_keys", "ON"),
        ("pragma table_info('it''s')", "table_info", "it's"),
        ("pragma cache_size = -2000", "cache_size", "-2000"),
        ("pragma", None, None),
    ],
)
def test_pragma(sql: str, name: str | None, argument: str | None) -> None:
    assert classify(sql) == Statement(StatementKind.PRAGMA, sql, name=name, argument=argument)


def test_explain_rome() -> None:
    assert classify("explain rome select 1 for update") == Statement(StatementKind.EXPLAIN_ROME, " select 1 ")


@pytest.mark.parametrize(
    ("sql", "returning"),
    [
        ("insert into t values (1) returning a", True),
        ("delete from t where a = 'returning'", False),
        ('update t set "returning" = 1', False),
        ("select 1 returning", False),
    ],
)
def test_returning(sql: str, returning: bool) -> None:
    assert classify(sql).returning is returning


@pytest.mark.parametrize(
    ("sql", "multiple"),
    [("select 1; select 2", True), ("select 1;\n-- end\n;", False), ("select ';'", False), (";select 1", False)],
)
def test_multiple(sql: str, multiple: bool) -> None:
    assert classify(sql).multiple is multiple


def test_script_is_split_as_sqlite_would() -> None:
    trigger = "create trigger x after insert on t begin select case when 1 then 2 end; delete from t; end"
    script = f"select ';' -- ;\n; {trigger};; insert into t values (1) /* ; */; select 2"
    assert split_script(script) == (
        "select ';'",
        trigger,
        "insert into t values (1)",
        "select 2",
    )


def test_incomplete_script_keeps_its_rest() -> None:
    assert split_script("select 1; select '") == (
        "select 1",
        "select '",
    )
