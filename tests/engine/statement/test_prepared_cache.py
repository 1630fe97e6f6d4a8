"""Prepared statements are made once, kept while they are used, and no more than so many."""

from __future__ import annotations

import os
import signal
import warnings
from threading import Barrier, Event, Thread
from time import sleep

import pytest

from rome.engine.statement import schema as schemas
from rome.engine.statement.prepared import Prepared
from rome.engine.statement.prepared import prepare as really_prepare
from rome.engine.statement.schema import SchemaVersion
from rome.engine.statement.syntax import statement_of
from rome.errors import OperationalError

THREADS = 3


def prepare(schema: SchemaVersion, sql: str) -> Prepared:
    mirror = schema.open_mirror()
    try:
        return schema.prepare(statement_of(sql, "operation"), mirror)
    finally:
        mirror.close()


def test_threads_that_meet_a_text_together_prepare_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    schema, made, prepared = SchemaVersion.empty(), [], []
    together = Barrier(THREADS)

    def slowly(*arguments: object) -> Prepared:
        made.append(arguments)
        sleep(0.1)  # so that the others would come here, too
        return really_prepare(*arguments)  # type: ignore[arg-type]

    def meet() -> None:
        together.wait()
        prepared.append(prepare(schema, "SELECT 1"))

    monkeypatch.setattr(schemas, "prepare", slowly)
    threads = [Thread(target=meet) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert len(prepared) == THREADS
    assert len({id(each) for each in prepared}) == 1


def test_forked_child_does_not_wait_for_a_thread_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    schema, begun, forked = SchemaVersion.empty(), Event(), Event()

    def slowly(*arguments: object) -> Prepared:
        begun.set()
        forked.wait()
        return really_prepare(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(schemas, "prepare", slowly)
    thread = Thread(target=prepare, args=(schema, "SELECT 2"))
    thread.start()
    begun.wait()
    monkeypatch.setattr(schemas, "prepare", really_prepare)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: fork() beside threads
        child = os.fork()
    if child == 0:
        signal.alarm(30)
        prepare(schema, "SELECT 2")
        os._exit(7)
    try:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    finally:
        forked.set()
        thread.join()


def test_text_that_was_refused_is_asked_about_again() -> None:
    schema = SchemaVersion.empty()
    for _ in range(2):
        with pytest.raises(OperationalError, match="no such table: t"):
            prepare(schema, "SELECT * FROM t")
    assert schema.count_prepared() == 0


def test_statement_in_use_outlives_texts_that_are_used_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "_MAX_PREPARED", 8)
    discarded = schemas.PLAN_COUNTS.discarded
    schema = SchemaVersion.empty()
    first = prepare(schema, "SELECT 'in use'")
    for number in range(40):
        prepare(schema, f"SELECT {number}")
        assert prepare(schema, "SELECT 'in use'") is first
        assert schema.count_prepared() <= 8
    assert schema.find("SELECT 39") is not None
    assert schema.find("SELECT 0") is None
    assert schemas.PLAN_COUNTS.discarded - discarded == 41 - schema.count_prepared()
