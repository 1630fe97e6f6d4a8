"""The projects of the corpus: their schemas, their statements and the plans expected of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import apsw

from rome.catalog.mirror import Mirror
from rome.catalog.schema import Catalog
from tests.planner.plan_files import Expected, describe, read_plans, write_plans
from tests.planner.schema_from_sqlite import make_catalog

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Project:
    """One service.

    Attributes:
        databases: the schemas that it uses; a statement is planned on the first that has its tables.
    """

    name: str
    databases: tuple[str, ...]

    @cached_property
    def schemas(self) -> list[tuple[Mirror, Catalog]]:
        schemas = [make_catalog((FOLDER / f"{name}.sql").read_text().splitlines()) for name in self.databases]
        for mirror, _ in schemas:  # SQLAlchemy defines it on every connection
            mirror.connection.create_scalar_function("regexp", lambda *_: None, 2)
        return schemas

    @cached_property
    def expected(self) -> Expected:
        return read_plans(FOLDER / f"{self.name}.plans")

    def plan(self, sql: str) -> list[str]:
        """Raises apsw.SQLError when no database has the statement's tables."""
        *others, last = self.schemas
        for schema in others:
            try:
                return describe(sql, *schema)
            except apsw.SQLError:
                continue
        return describe(sql, *last)

    def write(self) -> None:
        plans = [(sql, self.plan(sql)) for sql, _ in self.expected]
        self.__dict__["expected"] = plans
        write_plans(FOLDER / f"{self.name}.plans", self.summary(), plans)

    def summary(self) -> list[str]:
        """How many statements need how many round trips before COMMIT, and how many read a table whole."""
        trips = Counter(max(_wave(line) for line in plan) for _, plan in self.expected)
        whole = sum(any("| whole table" in line for line in plan) for _, plan in self.expected)
        no_condition = sum(any(line.endswith("| no condition on it") for line in plan) for _, plan in self.expected)
        counted = ", ".join(f"{count} in {waves}" for waves, count in sorted(trips.items()))
        return [
            f"{self.name}: {len(self.expected)} statements. Waves of reads: {counted}. {whole} read a table whole, "
            f"{no_condition} of them one on which there is no condition."
        ]


def _wave(line: str) -> int:
    return 0 if line == "nothing" else int(line.partition(" ")[0])


PROJECTS = (
    Project("nova", ("nova", "nova_api")),
    Project("glance", ("glance",)),
    Project("placement", ("placement",)),
)
