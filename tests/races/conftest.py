"""Fixtures: a database that several processes share, and the processes."""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

import rome

_serial = itertools.count(1)
Start = Callable[..., BaseProcess]

TIMEOUT_S = 240.0
"""Generous: it is only ever used up by a process that hangs."""


@pytest.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("lmdb", "redis")])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "lmdb":
        text = f"rome+lmdb:///{tmp_path}/races.lmdb"
    else:
        server = request.getfixturevalue("redis_server")
        text = f"rome+redis://{server.host}:{server.port}/races{next(_serial)}"
    yield text
    rome.drop_database(text)


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
