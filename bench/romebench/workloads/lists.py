"""Lists: pages of a large table, and Nova's own lists of servers with what belongs to them."""

from __future__ import annotations

from romebench.cases import HELD, LIST, LISTS, OPEN, PAGE_ROWS, ROWS, nova_page_case, page_case
from romebench.stage import Stage
from romebench.worker import Worker
from romebench.workloads import bulk
from romebench.workloads.nova_lists import NovaLists

_CONNECTIONS = 10


def page_numbers(pages: int) -> list[int]:
    """Which pages are read: the first ones, then in even steps to the last."""
    step = max(1, pages // 10)
    return sorted({1, min(2, pages), *range(step, pages, step), pages})


def run(stage: Stage) -> None:
    """Measure the pages, then Nova's lists."""
    _pages(stage)
    _nova(stage)


def _pages(stage: Stage) -> None:
    tables = bulk.loaded(stage)
    slow: set[str] = set()
    size = min(PAGE_ROWS, max(1, stage.sizes.rows // 10))
    for number in page_numbers(stage.sizes.rows // size):
        print(f"  {page_case(number)}", flush=True)

        def page(key: str, number: int = number) -> float:
            found: float = tables[key].call("page", number, size)
            if found > stage.sizes.budget_s / 50:
                slow.add(key)
            return found

        stage.measure(LISTS, page_case(number), "s", [key for key in tables if key not in slow], page)


def _nova(stage: Stage) -> None:
    contenders = {contender.key: contender for contender in stage.contenders}

    def start(key: str) -> Worker:
        print(f"  Nova's tables: {key}", flush=True)
        worker = Worker(NovaLists, contenders[key].fresh_database("nova"), stage.durable)
        stage.on_exit(worker.close)
        loaded = worker.call("load", stage.sizes.servers, PAGE_ROWS, stage.sizes.budget_s)
        if loaded < stage.sizes.servers:
            stage.fail(LISTS, key, RuntimeError(f"only {loaded:,} servers were loaded in {stage.sizes.budget_s} s"))
        return worker

    workers = stage.attempt(LISTS, contenders, start)
    stage.measure(LISTS, OPEN, "s", workers, lambda key: workers[key].call("open", _CONNECTIONS))
    held = stage.attempt(LISTS, workers, lambda key: workers[key].call("held", _CONNECTIONS))
    for key, found in held.items():
        stage.add(LISTS, HELD, key, "bytes", [found])
    print(f"  {LIST}", flush=True)
    stage.measure(LISTS, LIST, "s", workers, lambda key: workers[key].call("list"))
    stage.measure(LISTS, ROWS, "s", workers, lambda key: workers[key].call("rows"))
    for number in page_numbers(stage.sizes.servers // PAGE_ROWS):
        print(f"  {nova_page_case(number)}", flush=True)

        def page(key: str, number: int = number) -> float:
            found: float = workers[key].call("page", number, PAGE_ROWS)
            return found

        stage.measure(LISTS, nova_page_case(number), "s", workers, page)
