"""docs/etcd.md: its flags, and its unit file."""

from __future__ import annotations

import re
from pathlib import Path

from rome.store.etcd.driver import MAX_BYTES, WANTED_BYTES, WANTED_OPERATIONS

PAGE = (Path(__file__).parents[2] / "docs" / "etcd.md").read_text()


def test_flags_are_those_that_errors_and_doctor_name() -> None:
    assert f"--max-txn-ops={WANTED_OPERATIONS} --max-request-bytes={WANTED_BYTES}" in PAGE
    assert f"{MAX_BYTES:,} bytes" in PAGE


def test_unit_file_has_one_command() -> None:
    [unit] = re.findall(r"^```ini\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    [command] = re.findall(r"^ExecStart=(.*?[^\\])$", unit, re.MULTILINE | re.DOTALL)
    flags = re.findall(r"--([a-z-]+)=(\S+)", command)
    assert len(flags) == len(dict(flags)) == command.count("--")
    assert "\\" not in command.replace("\\\n", "")
