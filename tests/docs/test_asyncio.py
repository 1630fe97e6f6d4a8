"""docs/asyncio.md: its examples run, and print what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "asyncio.md").read_text()
EXAMPLE = re.compile(r"^```python\n(.*?)^```$\n\n^```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.lmdb
def test_examples_print_what_the_page_says(tmp_path: Path) -> None:
    found = EXAMPLE.findall(PAGE)
    assert len(found) == PAGE.count("```python") == 2
    for program, printed in found:
        command = [sys.executable, "-W", "error", "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert (done.stdout, done.stderr) == (printed, "")
