"""docs/sqlite3.md names every member that Python's sqlite3 has, and says of each what is true."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from types import ModuleType

import pytest

from rome import dbapi
from rome.errors import NotSupportedError

PAGE = Path(__file__).parents[2] / "docs" / "sqlite3.md"
LATER = {  # by a Python that the tests may not run on, or only where extensions are compiled in
    "Connection": {"autocommit", "getconfig", "setconfig", "enable_load_extension", "load_extension"},
    "Cursor": set[str](),
    "The module": {"LEGACY_TRANSACTION_CONTROL", "SQLITE_..", "enable_shared_cache", "version", "version_info"},
    "connect": {"autocommit"},
}
THEIRS: Mapping[str, object] = {
    "Connection": sqlite3.Connection,
    "Cursor": sqlite3.Cursor,
    "The module": sqlite3,
}


def table(heading: str) -> dict[str, str]:
    """Member -> what is said of it, from the table under a heading."""
    _, _, text = PAGE.read_text().partition(f"\n## {heading}\n")
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", text.partition("\n## ")[0], re.MULTILINE)
    return {name: said for names, said in rows for name in re.findall(r"`([^`]+)`", names)}


def members(of: object) -> set[str]:
    return {
        name
        for name in dir(of)
        if not name.startswith(("_", "SQLITE_")) and not isinstance(getattr(of, name), ModuleType)
    }


@pytest.mark.parametrize("heading", THEIRS)
def test_the_table_has_every_member_and_no_other(heading: str) -> None:
    theirs = THEIRS[heading]
    named = set(table(heading))
    assert members(theirs) - named == set()
    assert named - members(theirs) <= LATER[heading]


@pytest.mark.parametrize("heading", THEIRS)
def test_what_is_not_absent_is_there(connection: dbapi.Connection, heading: str) -> None:
    ours = {"Connection": connection, "Cursor": connection.cursor(), "The module": dbapi}[heading]
    for name, said in table(heading).items():
        assert re.match(r"(same|differs|absent)\b", said), name
        if name != "SQLITE_..":
            there = hasattr(ours, name)
            assert there or said.startswith("absent"), name
            assert heading != "Connection" or there, name  # an absent one refuses by name


def test_the_table_of_arguments_has_all_of_connect() -> None:
    text = (sqlite3.connect.__doc__ or "") + str(getattr(sqlite3.connect, "__text_signature__", None) or "")
    named = table("connect")
    try:
        theirs = set(signature(sqlite3.connect).parameters)
    except ValueError:
        theirs = set(re.findall(r"\b(\w+)=", text)) | {"database"}
    assert theirs - {"kwargs"} <= set(named)
    for name, value in (("detect_types", 1), ("uri", True), ("factory", sqlite3.Connection)):
        assert named[name].startswith("absent")
        with pytest.raises(NotSupportedError, match=name):
            dbapi.connect("rome+memory://", **{name: value})
