"""Writes the plans of the corpus anew, for review."""

from __future__ import annotations

from tests.planner.corpus.projects import PROJECTS

for project in PROJECTS:
    project.write()
    print(*project.summary(), sep="\n")
