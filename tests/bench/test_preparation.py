"""Preparing a statement gets no longer: `make preparation` counts it, and this is today's figure."""

from __future__ import annotations

from preparation import PreparedSchema

from tests.planner.corpus.projects import FOLDER, PROJECTS

AT_MOST = 26_500
"""Calls of Rome's functions, 25,756 with a margin for what other tests have left in caches.

On Python 3.12 and newer a comprehension is no call, so they are fewer."""


def test_preparing_makes_no_more_calls() -> None:
    (nova,) = (project for project in PROJECTS if project.name == "nova")
    lines = (FOLDER / "nova.sql").read_text().splitlines()
    schema = PreparedSchema(line for line in lines if line.startswith("CREATE "))
    texts = [sql for sql, _ in nova.expected if sql.startswith("SELECT instances.") and "REGEXP" not in sql][:20]
    made = [schema.calls(sql) for sql in texts]
    assert len(made) == 20
    assert sum(made) <= AT_MOST
