"""Every statement of the OpenStack services has the plan that was reviewed."""

from __future__ import annotations

import pytest

from tests.planner.corpus.projects import PROJECTS, Project


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_plans_are_those_that_were_reviewed(project: Project) -> None:
    assert len(project.expected) > 100
    changed = [(sql, plan, project.plan(sql)) for sql, plan in project.expected if project.plan(sql) != plan]
    assert not changed, f"{len(changed)} plans changed; see planner/corpus/README.md. The first: {changed[0]}"
