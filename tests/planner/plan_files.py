"""Files of statements, each with the plan that is expected of it behind it, as lines that begin with `-->`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rome.catalog.mirror import Mirror
from rome.catalog.schema import Catalog
from rome.planner.planning import plan_statement
from tests.planner.schema_from_sqlite import base_tables

Expected = list[tuple[str, list[str]]]


def read_plans(path: Path) -> Expected:
    """Statements end with a semicolon at the end of a line."""
    plans: Expected = []
    for line in path.read_text().splitlines():
        if line.startswith("--> "):
            plans[-1][1].append(line.removeprefix("--> "))
        elif line.endswith(";"):
            plans.append((line.removesuffix(";"), []))
    return plans


def write_plans(path: Path, comment: Sequence[str], plans: Expected) -> None:
    lines = [f"-- {line}" for line in comment]
    for sql, plan in plans:
        lines += [f"{sql};", *(f"--> {line}" for line in plan)]
    path.write_text("\n".join(lines) + "\n")


def describe(sql: str, mirror: Mirror, catalog: Catalog) -> list[str]:
    """The plan in the form of these files: wave | table | access | bounds | remark."""
    plan = plan_statement(sql, catalog, base_tables(mirror, catalog, sql))
    lines = [(str(line.wave), line.table, line.access, line.bounds, line.remark) for line in plan.explain(None)]
    return [" | ".join(filter(None, line)) for line in lines] or ["nothing"]
