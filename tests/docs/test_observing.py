"""docs/observing.md: its examples run, and print what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from rome.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "observing.md"
BLOCK = re.compile(r"^```(python|console|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A block of the page: what it is, and its text."""

    kind: str
    text: str


def blocks() -> list[Block]:
    return [Block(*found) for found in BLOCK.findall(PAGE.read_text())]


def without_times(text: str) -> str:
    return re.sub(r"\bms=[0-9.]+|[0-9.]+ ms\b(?!=)", "ms", text)


def run(block: Block, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What an example prints."""
    if block.kind == "python":
        done = subprocess.run(
            [sys.executable, "-c", block.text], capture_output=True, text=True, check=False, cwd=folder
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
    [rome, *arguments] = shlex.split(block.text.splitlines()[0].removeprefix("$ "))
    assert (rome, main(arguments)) == ("rome", 0)
    return capsys.readouterr().out


def test_examples_print_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    printed, compared = "", 0
    for block in blocks():
        if block.kind == "text":
            assert without_times(printed) == without_times(block.text)
        else:
            printed = run(block, tmp_path, capsys)
        if block.kind == "console":
            assert without_times(printed) == without_times(block.text.partition("\n")[2])
        compared += block.kind != "python"
    assert compared == 6
