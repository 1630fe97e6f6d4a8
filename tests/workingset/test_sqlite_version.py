"""The SQLite that Rome runs on: a wrong one is named when a connection is opened, with the way out."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import rome
from rome.errors import InterfaceError
from rome.workingset import sqlite_version

HOOK = SimpleNamespace(preupdate_hook=None)


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    sqlite_version.check_sqlite.cache_clear()
    yield
    sqlite_version.check_sqlite.cache_clear()


@pytest.mark.parametrize(
    ("version", "connection", "said"),
    [
        ("3.50.2", HOOK, r"has SQLite 3\.50\.2 with it"),
        ("3.54.1", SimpleNamespace(), r"has SQLite 3\.54\.1 without it"),
    ],
)
def test_wrong_sqlite_is_named(
    monkeypatch: pytest.MonkeyPatch, version: str, connection: SimpleNamespace, said: str
) -> None:
    apsw = SimpleNamespace(sqlite_lib_version=lambda: version, apsw_version=lambda: "3.0", Connection=connection)
    monkeypatch.setattr(sqlite_version, "apsw", apsw)
    with pytest.raises(InterfaceError, match=rf"needs SQLite 3\.50\.3 .*{said}: pip install"):
        rome.connect("rome+memory://")


def test_pip_asks_for_the_same_version() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    lowest = ".".join(map(str, sqlite_version.LOWEST))
    assert f"apsw>={lowest}" in project["dependencies"]
