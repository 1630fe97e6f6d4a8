"""docs/insights.md: its example prints what it says, and its list of functions is complete."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import rome

PAGE = (Path(__file__).parents[2] / "docs" / "insights.md").read_text()


def test_the_example_prints_what_the_page_says(tmp_path: Path) -> None:
    [(code, printed)] = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == printed


def test_every_function_is_listed() -> None:
    assert {*re.findall(r"^\| `rome\.insights\.(\w+)\(", PAGE, re.MULTILINE)} == {*rome.insights.__all__}
