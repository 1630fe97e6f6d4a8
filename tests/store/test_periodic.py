"""The thread that looks after something now and then."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

import rome
from rome.store import keeper
from rome.store.periodic import PeriodicThread
from tests.support.databases import Connect


class Work:
    """What the thread does: it says when it has done it."""

    def __init__(self) -> None:
        self.done = threading.Semaphore(0)
        self.goes_on = True
        self.period_s = 3600.0
        self.thread = PeriodicThread("work", self.do, lambda: self.period_s)

    def do(self) -> bool:
        self.done.release()
        return self.goes_on


def test_it_can_be_woken() -> None:
    work = Work()
    work.thread.watch()
    for _ in range(2):
        work.thread.wake()
        assert work.done.acquire(timeout=60)
    assert work.thread.is_running
    work.thread.stop()


def test_it_ends_when_there_is_nothing_to_do_and_can_begin_again() -> None:
    work = Work()
    work.goes_on, work.period_s = False, 0.0
    for _ in range(2):
        work.thread.watch()
        running = work.thread._thread
        if running is not None:
            running.join(timeout=60)
        assert not work.thread.is_running
        assert work.done.acquire(timeout=60)


def test_stop_waits_for_it_and_it_can_begin_again() -> None:
    work = Work()
    for _ in range(2):
        work.thread.watch()
        running = work.thread._thread
        assert running is not None
        work.thread.wake()
        assert work.done.acquire(timeout=60)
        work.thread.stop()
        assert not running.is_alive()


def test_it_goes_on_after_a_fork_if_it_ran_and_only_in_the_parent() -> None:
    running, stopped = Work(), Work()
    for work in (running, stopped):
        work.thread.watch()
    stopped.thread.stop()
    pid = os.fork()
    if pid == 0:
        os._exit(int(running.thread.is_running or stopped.thread.is_running or threading.active_count() > 1))
    assert os.waitpid(pid, 0)[1] == 0
    assert running.thread.is_running
    assert not stopped.thread.is_running
    running.thread.wake()
    assert running.done.acquire(timeout=60)
    running.thread.stop()


@pytest.mark.memory
def test_keeper_wakes_for_a_shorter_retention_than_it_waits_for(
    connect: Connect, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[bool] = []
    connect().execute("SELECT 1 FROM sqlite_master").fetchall()
    rome.set_retention(url, seconds=0.6)
    monkeypatch.setattr(type(keeper.KEEPER._thread), "is_running", True)
    monkeypatch.setattr(keeper.KEEPER._thread, "wake", lambda: woken.append(True))
    monkeypatch.setattr(keeper.KEEPER, "_period_s", 1.0)
    connect().execute("SELECT 1 FROM sqlite_master").fetchall()
    assert woken == [True]
    monkeypatch.setattr(keeper.KEEPER, "_period_s", 0.05)
    connect().execute("SELECT 1 FROM sqlite_master").fetchall()
    assert woken == [True]


@pytest.fixture
def url() -> Iterator[str]:
    url = "rome+memory:///keeper-wakes"
    yield url
    rome.drop_database(url)
