"""Fixtures: a database that several processes share, and the processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess

import pytest

from tests.support.databases import database, on

Start = Callable[..., BaseProcess]

TIMEOUT_S = 240.0
"""Generous: it is only ever used up by a process that hangs."""


@pytest.fixture(params=on("lmdb", "redis", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a function of this folder in a new interpreter: start(function, *arguments)."""
    context = multiprocessing.get_context("spawn")
    processes: list[BaseProcess] = []

    def start_one(function: Callable[..., object], *arguments: object) -> BaseProcess:
        process = context.Process(target=function, args=arguments)
        processes.append(process)
        process.start()
        return process

    yield start_one
    for process in processes:
        if process.is_alive():
            process.kill()
        process.join()


def finish(processes: list[BaseProcess]) -> None:
    """Wait for all of them; each must end in good order."""
    for process in processes:
        process.join(TIMEOUT_S)
    assert [process.exitcode for process in processes] == [0] * len(processes)
