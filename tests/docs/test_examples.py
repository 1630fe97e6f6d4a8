"""Examples in the documentation run as they stand, page by page, and print what the page says.

- A ```python block is a program; all of a page's run one after the other in one folder.
- A ```text block is what the block before it printed.
- A ```console block is `$ rome ..` and what it printed; a line `..` stands for any lines.
- `<!-- not run: REASON -->` in the line before a block leaves it out.

Pages in OWN_TESTS have a test of their own, since their examples need more than that.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from rome.cli import main

DOCS = Path(__file__).parents[2] / "docs"
OWN_TESTS = {
    "asyncio.md": "test_asyncio.py",
    "kv.md": "test_kv_page.py",
    "observing.md": "test_observing.py",
    "retry.md": "test_retry_page.py",
}
BLOCK = re.compile(r"^(<!-- not run: [^\n]+ -->\n)?```(python|console|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANY_LINES = "(?:.*\n)*?"


class Block(NamedTuple):
    """A block of a page: its kind and its text."""

    kind: str
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(kind, text) for not_run, kind, text in BLOCK.findall(page.read_text()) if not not_run]


PAGES = [page for page in sorted(DOCS.glob("*.md")) if page.name not in OWN_TESTS and blocks(page)]


def fits(printed: str, shown: str) -> bool:
    pattern = "".join(ANY_LINES if line == "..\n" else re.escape(line) for line in shown.splitlines(keepends=True))
    return re.fullmatch(pattern, printed) is not None


def run(block: Block, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What an example prints."""
    if block.kind == "python":
        command = [sys.executable, "-W", "error", "-c", block.text]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout
    [program, *arguments] = shlex.split(block.text.splitlines()[0].removeprefix("$ "))
    assert (program, main(arguments)) == ("rome", 0)
    return capsys.readouterr().out


@pytest.mark.lmdb
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_print_what_the_page_says(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = ""
    for block in blocks(page):
        if block.kind == "text":
            assert fits(printed, block.text), printed
            printed = ""
            continue
        assert printed == "", "the page does not show what the example before this one prints"
        printed = run(block, tmp_path, capsys)
        if block.kind == "console":
            assert fits(printed, block.text.partition("\n")[2]), printed
            printed = ""
    assert printed == "", "the page does not show what its last example prints"


@pytest.mark.parametrize(("page", "test"), OWN_TESTS.items())
def test_pages_with_tests_of_their_own_have_them(page: str, test: str) -> None:
    assert f'"{page}"' in (Path(__file__).parent / test).read_text()


def test_lines_may_stand_for_others() -> None:
    assert fits("a\nb\nc\n", "a\n..\n")
    assert fits("a\nb\nc\n", "..\nc\n")
    assert not fits("a\nb\n", "a\n")
    assert not fits("a\nb\n", "..\na\n")


def test_what_is_not_run_is_one_block(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "<!-- not run: why -->\n```python\n1\n```\n\n```python\n2\n```\n\n<!-- not run: why -->\n```python\n3\n```\n"
    )
    assert blocks(page) == [Block("python", "2\n")]
