"""A thread that makes the calls of one connection, one after the other, while the event loop goes on.

Invariant: a call that nobody waits for any more has ended when the next one begins, since there is one thread and one
queue. The thread starts with the first call, ends with `finish`, and does not keep the process alive.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from rome import insights
from rome.callers import CALLER, place
from rome.errors import InterfaceError
from rome.transaction.commit_turn import CLIENT, TurnClient

Returned = TypeVar("Returned")


class _Call(Generic[Returned]):
    """One call: it runs in the thread, with the context of the requesting task, and is answered in the task's loop.

    Attributes:
        dropped: whether nobody waits for the call, so that it need not begin.
    """

    __slots__ = ("_context", "_function", "_loop", "dropped", "future")

    def __init__(self, function: Callable[[], Returned], context: Context) -> None:
        self._function = function
        self._context = context
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Returned] = self._loop.create_future()
        self.dropped = False

    def __call__(self) -> None:
        """Make the call; this runs in the thread."""
        if self.dropped:
            return
        try:
            answer = self._context.run(self._function)
        except BaseException as error:  # noqa: BLE001  # whatever it is, it belongs to whoever waits
            self._tell(self._fail, error)
        else:
            self._tell(self._succeed, answer)

    def _tell(self, how: Callable[..., None], what: object) -> None:
        with suppress(RuntimeError):  # the loop is closed, so nobody waits
            self._loop.call_soon_threadsafe(how, what)

    def _succeed(self, answer: Returned) -> None:
        if not self.future.done():
            self.future.set_result(answer)

    def _fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Worker:
    """The thread of one connection, and the queue before it. Used by one event loop at a time."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._pid = os.getpid()
        self._running = 0
        self._started = self._finished = False

    @property
    def is_here(self) -> bool:
        """Whether the thread belongs to this process: a forked child has no threads of its parent."""
        return self._pid == os.getpid()

    @property
    def is_idle(self) -> bool:
        """Whether no call is running or waiting, so that the connection may be looked at from outside."""
        return self._running == 0

    async def call(self, function: Callable[[], Returned]) -> Returned:
        """Make a call in the thread and wait for it.

        Raises:
            CancelledError: the task was cancelled. The call may still be running; if it was waiting, it is not made.

        Cost: two thread switches, 30 to 60 µs.
        """
        call = self._begin(function)
        try:
            answer = await call.future
        except (asyncio.CancelledError, GeneratorExit):
            call.dropped = True  # and may be running: the thread is not idle, and must be given up
            raise
        except BaseException:
            self._running -= 1
            raise
        self._running -= 1
        return answer

    async def call_to_its_end(self, function: Callable[[], Returned], when_cancelled: Callable[[], None]) -> Returned:
        """Make a call in the thread and wait until it has ended, even if the task is cancelled meanwhile.

        Args:
            when_cancelled: called at the first cancellation, for example to hurry the call.

        Raises:
            CancelledError: the task was cancelled, and the call has ended; `__cause__` is the call's error, if it
                failed.
        """
        call = self._begin(function)
        cancelled: asyncio.CancelledError | None = None
        try:
            while True:
                try:
                    answer = await asyncio.shield(call.future)
                    break
                except asyncio.CancelledError as error:
                    if call.future.done():
                        raise
                    if cancelled is None:
                        cancelled = error
                        when_cancelled()
        except asyncio.CancelledError:
            if not call.future.cancelled():
                call.future.exception()  # it is known, and need not be reported as never seen
            raise
        except Exception as error:
            if cancelled is not None:
                raise cancelled from error
            raise
        finally:
            self._running -= 1
        if cancelled is not None:
            raise cancelled
        return answer

    def finish(self, last: Callable[[], None]) -> None:
        """Queue one last call behind those that wait, and end the thread. Does not wait, so finalizers may use it.

        The call's exceptions are dropped. Later calls to this method do nothing.
        """
        if self._finished:
            return
        self._finished = True
        if not self.is_here:  # there is no thread to do it
            _quietly(last)
            return
        self._start()
        self._calls.put(lambda: _quietly(last))
        self._calls.put(None)

    def post(self, function: Callable[[], None]) -> None:
        """Make a call without waiting for it; its exceptions are dropped. Does nothing once the thread is ending."""
        if not self._finished and self.is_here:
            self._start()
            self._calls.put(lambda: _quietly(function))

    def _begin(self, function: Callable[[], Returned]) -> _Call[Returned]:
        if not self.is_here:
            raise InterfaceError("the connection is the parent process's: a forked child has to open one of its own")
        if self._finished:
            raise InterfaceError("the connection is closed")
        context = copy_context()  # so that spans find their parent
        context.run(CLIENT.set, _client_of_task())
        if insights.is_recording():
            context.run(CALLER.set, place())  # which the thread cannot see
        call = _Call(function, context)
        self._start()
        self._calls.put(call)
        self._running += 1
        return call

    def _start(self) -> None:
        if not self._started:
            self._started = True
            Thread(target=_work, args=(self._calls,), name="rome.aio", daemon=True).start()


_clients: WeakKeyDictionary[asyncio.Task[Any], TurnClient] = WeakKeyDictionary()


def _client_of_task() -> TurnClient | None:
    """Return the client that runs the transaction: the task, whichever connections it uses, and not their threads.

    So Rome recognizes a task that tries again after a conflict, and it does not wait for its own other transaction.
    """
    task = asyncio.current_task()
    if task is None:
        return None
    client = _clients.get(task)
    if client is None:
        client = _clients[task] = TurnClient()
    return client


def _work(calls: SimpleQueue[Callable[[], None] | None]) -> None:
    """Run the thread. It refers only to the queue, so that an unused connection can be garbage-collected."""
    while (call := calls.get()) is not None:
        call()
        del call  # otherwise what the call refers to would live until the next one


def _quietly(function: Callable[[], None]) -> None:
    with suppress(Exception):
        function()
