"""`rome explain`: the tree that it prints, and how it reads parameters."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

import rome
from rome.cli import main
from rome.cli.explain import value_of

JOIN = "SELECT * FROM host JOIN server ON server.host = host.name WHERE host.id = ?"


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"rome+lmdb:///{tmp_path}/servers.rome"
    connection = rome.connect(url)
    connection.executescript(
        "CREATE TABLE host (id INTEGER PRIMARY KEY, name TEXT);"
        "CREATE TABLE server (id INTEGER PRIMARY KEY, host TEXT);"
        "CREATE INDEX server_host ON server (host);"
        "INSERT INTO host VALUES (1, 'a'), (2, 'b');"
        "INSERT INTO server VALUES (1, 'a'), (2, 'a'), (3, 'b')"
    )
    connection.close()
    return url


def shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was printed, with every time as 1 ms."""
    return re.sub(r"[0-9.]+ ms", "1 ms", capsys.readouterr().out).splitlines()


def test_prints_a_tree(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", url, JOIN]) == 0
    assert shown(capsys) == [
        "├─ wave 1: 1 trip expected",
        "│  └─ host: key, id = ?1, at most 1 row",
        "├─ wave 2: 1 trip expected",
        "│  └─ server: index server_host, host = host.name, keyed by host, row count unknown",
        "└─ in all: 2 trips expected; fewer when the transaction has read some of it before",
    ]


@pytest.mark.parametrize("order", [["--analyze", "{}", "1"], ["{}", "--analyze", "1"], ["{}", "1", "--analyze"]])
def test_analyze_prints_what_it_cost(url: str, order: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", url, *(word.format(JOIN) for word in order)]) == 0
    tree = shown(capsys)
    assert [re.sub(r"[0-9]+ bytes", "9 bytes", line) for line in tree] == [
        "├─ wave 1: 1 trip, 1 row, 9 bytes, 1 ms (1 trip expected)",
        "│  └─ host: key, id = 1, at most 1 row",
        "├─ wave 2: 1 trip, 2 rows, 9 bytes, 1 ms (1 trip expected)",
        "│  └─ server: index server_host, host = host.name, keyed by host, row count unknown",
        "├─ run in SQLite: 1 ms",
        "└─ in all: 2 trips, 3 rows, 9 bytes, 1 ms (2 trips expected); rows of the result: 2",
    ]


def test_analyze_of_a_wave_that_is_not_reached(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", url, JOIN, "--analyze", "-7"]) == 0
    assert "├─ wave 2: nothing was left to read" in shown(capsys)


def test_analyze_changes_nothing(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", url, "--analyze", "DELETE FROM server"]) == 0
    assert "rows changed, and undone: 3" in shown(capsys)[-1]
    connection = rome.connect(url)
    assert connection.execute("SELECT count(*) FROM server").fetchall() == [(3,)]
    connection.close()


@pytest.mark.parametrize("arguments", [["--foo"], ["-x"], ["--analyze", "--foo"]])
def test_unknown_options_are_refused(url: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["explain", url, "SELECT 1", *arguments])
    assert "unrecognized arguments" in capsys.readouterr().err


def test_behind_two_dashes_everything_is_a_parameter(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "SELECT 1 FROM server WHERE host IN (?, ?)"
    assert main(["explain", url, sql, "--analyze", "a", "--", "--foo"]) == 0
    assert "host IN ('a', '--foo')" in capsys.readouterr().out


def test_other_commands_take_no_more_words(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["list", url, "x"])
    assert "unrecognized arguments: x" in capsys.readouterr().err


def test_a_terminal_that_knows_no_lines_gets_ascii(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1", write_through=True))
    assert main(["explain", url, "SELECT * FROM host"]) == 0
    assert written.getvalue().decode("ascii").splitlines()[:2] == [
        "|- wave 1: 1 trip expected",
        "|  `- host: whole table, no condition on it, row count unknown",
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("NULL", None),
        ("'5'", "5"),
        ("'it''s'", "it's"),
        ("ann", "ann"),
        ("", ""),
        ("'", "'"),
        ("1_0", "1_0"),
        ("inf", "inf"),
    ],
)
def test_parameters_are_read_as_sql_would(text: str, value: object) -> None:
    found = value_of(text)
    assert (found, type(found)) == (value, type(value))
