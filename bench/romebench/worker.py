"""An object that lives in a process of its own, and whose methods this process calls one at a time."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

CALL_TIMEOUT_S = 900.0


class WorkerError(Exception):
    """The object raised an exception, or its process ended or did not answer; the message says which."""


class Worker:
    """An object in a process of its own, so that one peer's garbage, caches and crashes do not affect another's."""

    def __init__(self, factory: Callable[..., object], *arguments: object) -> None:
        """Call `factory(*arguments)` in a new process; both must be picklable.

        Raises:
            WorkerError: the object could not be made.
        """
        context = multiprocessing.get_context("spawn")
        self._pipe, remote = context.Pipe()
        self._process = context.Process(target=_serve, args=(remote, factory, arguments))
        self._process.start()
        remote.close()
        self._answer("start", CALL_TIMEOUT_S)

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process.pid is not None
        return self._process.pid

    def call(self, method: str, *arguments: object, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Call the object's method and return its result.

        Raises:
            WorkerError: the method raised, or the process did not answer in time; in that case it is ended.
        """
        try:
            self._pipe.send((method, arguments))
        except OSError as error:
            raise WorkerError(f"{method}: the worker is gone") from error
        return self._answer(method, timeout_s)

    def _answer(self, method: str, timeout_s: float) -> Any:
        if not self._pipe.poll(timeout_s):
            self.close()
            raise WorkerError(f"{method}: no answer in {timeout_s:.0f} s")
        try:
            fine, answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise WorkerError(f"{method}: the worker's process ended") from error
        if not fine:
            raise WorkerError(f"{method}: {answer}")
        return answer

    def close(self) -> None:
        """End the process. Idempotent."""
        if self._process.is_alive():
            self._pipe.close()  # the process sees it and ends
            self._process.join(5)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()


def _serve(pipe: Connection, factory: Callable[..., object], arguments: tuple[object, ...]) -> None:
    try:
        target = factory(*arguments)
        pipe.send((True, None))
    except Exception:  # noqa: BLE001 (the caller is told)
        pipe.send((False, traceback.format_exc()))
        return
    while True:
        try:
            method, given = pipe.recv()
        except EOFError:
            return
        try:
            answer = True, getattr(target, method)(*given)
        except Exception:  # noqa: BLE001 (the caller is told)
            answer = False, traceback.format_exc()
        pipe.send(answer)
