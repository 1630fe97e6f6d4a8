"""docs/etcd.md: its options, its flags, and its unit file."""

from __future__ import annotations

import re
from pathlib import Path

from rome.store.etcd.driver import MAX_BYTES, WANTED_BYTES, WANTED_OPERATIONS
from rome.store.etcd.settings import OPTIONS

PAGE = (Path(__file__).parents[2] / "docs" / "etcd.md").read_text()


def test_every_option_is_explained() -> None:
    assert sorted(name for name in OPTIONS if f"`{name}`" not in PAGE) == []


def test_flags_are_those_that_errors_and_doctor_name() -> None:
    assert f"--max-txn-ops={WANTED_OPERATIONS} --max-request-bytes={WANTED_BYTES}" in PAGE
    assert f"{MAX_BYTES:,} bytes" in PAGE


def test_unit_file_has_one_command() -> None:
    [unit] = re.findall(r"^```ini\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    [command] = re.findall(r"^ExecStart=(.*?[^\\])$", unit, re.MULTILINE | re.DOTALL)
    flags = re.findall(r"--([a-z-]+)=(\S+)", command)
    assert len(flags) == len(dict(flags)) == command.count("--")
    assert "\\" not in command.replace("\\\n", "")
