"""The documentation as a site: it has every page, and needs no other host. (`make site` checks its links.)"""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

import rome
from tools.site_index import site_index

ROOT = Path(__file__).parents[2]


def test_every_page_is_in_the_navigation() -> None:
    named = re.findall(r"^ +- .*: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(named) == sorted({*named})
    assert {*named} == {path.name for path in (ROOT / "docs").glob("*.md")} | {"index.md"}


def test_first_page_is_the_readme() -> None:
    page = site_index((ROOT / "README.md").read_text())
    targets = re.findall(r"\]\(([^)]+)\)", page)
    assert {"start.md", "diagrams/rome.svg"} <= {*targets}
    assert [target for target in targets if not (ROOT / "docs" / target).exists()] == []
    assert "CONTRIBUTING.md" in page


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_page_needs_no_other_host(path: Path) -> None:
    """Mermaid's diagrams would: the theme loads the library from a CDN."""
    text = path.read_text()
    assert "```mermaid" not in text
    assert re.findall(r"!\[[^\]]*\]\(https?:", text) == []
    assert "<script" not in text


def test_api_has_every_public_name() -> None:
    """mkdocstrings shows a module's public names, or those that the page lists as members."""
    page = (ROOT / "docs" / "api.md").read_text()
    shown = set()
    for module, options in re.findall(r"^::: ([\w.]+)\n    options:(.*)$", page, re.MULTILINE):
        found = importlib.import_module(module)
        members = re.search(r"members: \[([^\]]*)\]", options)
        shown |= {module, module.rpartition(".")[0], *(members[1].split(", ") if members else dir(found))}
        assert members is None or [name for name in members[1].split(", ") if not hasattr(found, name)] == []
    public = {name if not isinstance(getattr(rome, name), ModuleType) else f"rome.{name}" for name in rome.__all__}
    packages = {f"rome.{name}" for name in ("aio", "archive", "bulk", "transfer", "verify", "errors")}
    assert (public | packages) - shown == set()
