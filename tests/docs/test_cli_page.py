"""docs/cli.md: each command has a row, with all of its options."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from rome.cli.commands import main_parser

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


def commands() -> dict[str, argparse.ArgumentParser]:
    [choices] = [action.choices for action in main_parser()._actions if isinstance(action.choices, dict)]
    return choices


def test_every_command_has_a_row() -> None:
    shown = set(re.findall(r"^\| `(\w+) (?:URL|SOURCE|FILE)", PAGE, re.MULTILINE))
    assert shown == commands().keys()


@pytest.mark.parametrize("command", commands())
def test_every_option_is_on_the_page(command: str) -> None:
    options = {name for action in commands()[command]._actions for name in action.option_strings if name[:2] == "--"}
    assert sorted(name for name in options - {"--help"} if name not in PAGE) == []
