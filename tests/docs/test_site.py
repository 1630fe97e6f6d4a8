"""The documentation's site has every page. (`make site` checks its links.)"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_page_is_in_the_navigation() -> None:
    named = re.findall(r"^ +- .*: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(named) == sorted({*named})
    assert {*named, "index.md"} == {path.name for path in (ROOT / "docs").glob("*.md")}
