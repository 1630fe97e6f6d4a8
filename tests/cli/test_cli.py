"""The `rome` command, on LMDB files."""

from __future__ import annotations

from pathlib import Path

import pytest

import rome
from rome.cli import main


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"rome+lmdb:///{tmp_path}/servers.rome"
    connection = rome.connect(url)
    connection.executescript("CREATE TABLE server (id INTEGER PRIMARY KEY, host TEXT); CREATE INDEX h ON server (host)")
    connection.close()
    return url


def test_list_prints_the_databases(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", url]) == 0
    assert capsys.readouterr().out.endswith("servers.rome\n")


def test_gc_trims(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    rome.set_retention(url, seconds=0)
    assert main(["trim", url]) == 0
    assert capsys.readouterr().out == "superseded row versions of 1 commits discarded\n"


def test_drop_deletes_the_database(url: str) -> None:
    assert main(["drop", url]) == 0
    assert rome.list_databases(url) == []


def test_a_wrong_statement_ends_with_status_1(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", url, "SELECT * FROM nowhere"]) == 1
    assert capsys.readouterr().err == "rome explain: no such table: nowhere\n"


def test_a_wrong_url_ends_with_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "mysql://localhost/x"]) == 1
    assert "rome+lmdb:///" in capsys.readouterr().err
