"""Objects in processes of their own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from romebench.worker import Worker, WorkerError


class Subject:
    """What the worker runs."""

    def __init__(self, number: int) -> None:
        if number < 0:
            raise ValueError("a negative number")
        self.number = number

    def add(self, more: int) -> int:
        self.number += more
        return self.number

    def pid(self) -> int:
        return os.getpid()

    def die(self) -> None:
        os._exit(1)

    def sleep(self) -> None:
        time.sleep(60)


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker(Subject, 1)
    yield worker
    worker.close()


def test_object_keeps_its_state_in_a_process_of_its_own(worker: Worker) -> None:
    assert [worker.call("add", 1), worker.call("add", 2)] == [2, 4]
    assert worker.call("pid") == worker.pid != os.getpid()


def test_error_is_told_and_the_object_goes_on(worker: Worker) -> None:
    with pytest.raises(WorkerError, match="unsupported operand"):
        worker.call("add", "text")
    assert worker.call("add", 1) == 2


def test_object_that_cannot_be_made_is_an_error() -> None:
    with pytest.raises(WorkerError, match="a negative number"):
        Worker(Subject, -1)


def test_end_of_the_process_is_an_error(worker: Worker) -> None:
    with pytest.raises(WorkerError, match="ended"):
        worker.call("die")
    with pytest.raises(WorkerError):
        worker.call("pid")


def test_answer_that_does_not_come_ends_the_process(worker: Worker) -> None:
    with pytest.raises(WorkerError, match="no answer"):
        worker.call("sleep", timeout_s=0.1)
    with pytest.raises(WorkerError):
        worker.call("pid")
