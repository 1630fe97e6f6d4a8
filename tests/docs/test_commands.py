"""Commands in README and docs/: `rome ..` has these commands and options, and `make ..` these targets."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from rome.cli.commands import main_parser, split_parameters

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def lines(page: Path) -> list[str]:
    """The lines of the page's blocks of code, continuations joined."""
    text = page.read_text().replace("\\\n", " ")
    blocks = re.findall(r"^```.*?^```$|^(?:    [^\n]+\n)+", text, re.MULTILINE | re.DOTALL)
    return [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]


def commands(page: Path) -> list[list[str]]:
    """The arguments of each `rome` on the page."""
    found = []
    for line in lines(page):
        if not line.startswith("rome "):
            continue
        words = shlex.shlex(line, posix=True, punctuation_chars=";")
        words.whitespace_split = True
        command: list[str] = []
        for word in [*words, ";"]:
            if word == ";":
                found.append(command[1:])
                command = []
            else:
                command.append(word)
    return found


RUN = [(page, command) for page in PAGES for command in commands(page)]


@pytest.mark.parametrize(("page", "command"), RUN, ids=lambda value: getattr(value, "name", None) or shlex.join(value))
def test_rome_takes_the_command(page: Path, command: list[str]) -> None:
    split_parameters(main_parser(), command)


def test_commands_are_found() -> None:
    assert len(RUN) > 40
    assert {command[0] for _, command in RUN} > {"doctor", "import", "dump", "load", "verify", "restored", "retention"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_has_the_targets(page: Path) -> None:
    named = {name for line in lines(page) for name in re.findall(r"^(?:ROUNDS=\d+ )?make ([a-z-]+)", line)}
    named |= set(re.findall(r"`make ([a-z-]+)", page.read_text()))
    assert named <= TARGETS
