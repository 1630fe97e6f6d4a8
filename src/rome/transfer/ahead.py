"""Read the next pages of the source in a thread of its own, while the target commits the last one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from queue import Full, Queue
from threading import Event, Thread
from typing import TypeVar

Item = TypeVar("Item")

_AHEAD = 2
"""Pages. The one that is being made is beside them."""
_LOOK_S = 0.1


class _End:
    """The last item: what the reader raised, or None."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


@contextmanager
def read_ahead(items: Iterator[Item]) -> Iterator[Iterator[Item]]:
    """Give the items, in order; another thread makes them, and alone uses what they come from.

    When the block ends, so has the thread. What it raised is raised where the item would have come.
    """
    queue: Queue[Item | _End] = Queue(_AHEAD)
    given_up = Event()

    def put(item: Item | _End) -> None:
        while not given_up.is_set():
            try:
                queue.put(item, timeout=_LOOK_S)
                return
            except Full:
                continue

    def read() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                put(item)
                if given_up.is_set():
                    return
        except BaseException as raised:  # noqa: BLE001  # it is raised in the other thread
            error = raised
        put(_End(error))

    thread = Thread(target=read, name="rome-transfer-reader", daemon=True)
    thread.start()

    def take() -> Iterator[Item]:
        while True:
            item = queue.get()
            if not isinstance(item, _End):
                yield item
                continue
            if item.error is not None:
                raise item.error
            return

    try:
        yield take()
    finally:
        given_up.set()
        thread.join()
