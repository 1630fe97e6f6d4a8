"""The `rome` command, on LMDB files."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import rome
from rome.cli import main
from rome.compiled import LIBRARY, channels, described


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"rome+lmdb:///{tmp_path}/servers.rome"
    connection = rome.connect(url)
    connection.executescript(
        "CREATE TABLE server (id INTEGER PRIMARY KEY, host TEXT, image BLOB, load REAL);"
        "CREATE INDEX h ON server (host);"
        "CREATE VIEW busy AS SELECT host FROM server WHERE load > 1;"
        "INSERT INTO server (host, image, load) VALUES ('a', x'00ff', 1e999), (NULL, NULL, 0.5), ('two\nlines', '', -1)"
    )
    connection.close()
    return url


def test_list_prints_the_databases(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", url]) == 0
    assert capsys.readouterr().out.endswith("servers.rome\n")


def test_tables_counts_rows_and_bytes(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tables", url, "--counts", "--size", "--json"]) == 0
    server_before, busy = sorted(json.loads(capsys.readouterr().out), key=lambda each: -each["rows"])
    assert (server_before["name"], server_before["type"], server_before["rows"]) == ("server", "table", 3)
    assert busy == {"name": "busy", "type": "view", "rows": 1, "bytes": None}
    assert main(["query", url, "INSERT INTO server (host) VALUES (?)", "x" * 1000]) == 0
    main(["tables", url, "--size", "--json"])
    grown = {each["name"]: each["bytes"] for each in json.loads(capsys.readouterr().out)}["server"]
    assert 1000 <= grown - server_before["bytes"] < 1050


def test_schema_prints_what_makes_the_objects_again(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", url]) == 0
    script = capsys.readouterr().out
    copy = rome.connect(f"rome+lmdb:///{tmp_path}/copy.rome")
    copy.executescript(script)
    copy.close()
    assert main(["schema", f"rome+lmdb:///{tmp_path}/copy.rome"]) == 0
    assert capsys.readouterr().out == script
    assert main(["schema", url, "BUSY"]) == 0
    assert capsys.readouterr().out == "CREATE VIEW busy AS SELECT host FROM server WHERE load > 1;\n"


def test_schema_suggests_the_table_that_was_meant(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", url, "servr"]) == 1
    assert "no table or view servr; did you mean 'server'?" in capsys.readouterr().err


def test_query_prints_a_table(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", url, "SELECT id, host, image FROM server WHERE id <= ?", "2"]) == 0
    assert capsys.readouterr().out == "id  host  image\n1   a     x'00ff'\n2   NULL  NULL\n(2 rows)\n"


def test_query_prints_json_that_keeps_every_value(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", url, "SELECT *, 7 AS id FROM server ORDER BY server.id", "--json"]) == 0
    first, second, third = json.loads(capsys.readouterr().out)
    assert first == {"id": 1, "host": "a", "image": {"$base64": "AP8="}, "load": {"$float": "inf"}, "id:2": 7}
    assert second == {"id": 2, "host": None, "image": None, "load": 0.5, "id:2": 7}
    assert third["host"] == "two\nlines"


def test_query_prints_csv(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", url, "SELECT id, host, image FROM server", "--csv"]) == 0
    rows = [*csv.reader(io.StringIO(capsys.readouterr().out, newline=""))]
    assert rows == [["id", "host", "image"], ["1", "a", "x'00ff'"], ["2", "", ""], ["3", "two\nlines", ""]]


def test_query_commits_all_statements_or_none(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", url, "DELETE FROM server WHERE id = 1; SELECT * FROM nowhere"]) == 1
    assert capsys.readouterr().err == "rome query: no such table: nowhere\n"
    assert main(["query", url, "DELETE FROM server WHERE id = 1; SELECT count(*) AS n FROM server"]) == 0
    assert main(["query", url, "SELECT count(*) AS n FROM server", "--records"]) == 0
    assert capsys.readouterr().out == "n\n2\n(1 row)\n-- row 1 --\nn: 2\n"


def test_query_reads_statements_from_stdin(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("UPDATE server SET host = 'b;c';\nSELECT DISTINCT host FROM server;"))
    assert main(["query", url, "-"]) == 0
    assert capsys.readouterr().out == "host\nb;c\n(1 row)\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["SELECT 1; SELECT 2", "--json"], "a second result does not fit into one json document"),
        (["SELECT ?; SELECT ?", "1"], "parameters are for a single statement"),
    ],
)
def test_query_refuses_what_it_cannot_show(
    url: str, arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["query", url, *arguments]) == 1
    assert error in capsys.readouterr().err


def test_names_cannot_move_the_cursor(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(rome.connect(url)) as connection:
        connection.execute('CREATE TABLE "a\x1b[2J\nb" (id INTEGER PRIMARY KEY)')
        connection.execute('INSERT INTO "a\x1b[2J\nb" VALUES (4611686018427387904)')  # fewest ids left
        connection.commit()
    for command in (["tables", url, "--counts"], ["top", url, "--once"]):
        assert main(command) == 0
        out = capsys.readouterr().out
        assert "a\\x1b[2J\\nb" in out
        assert "\x1b" not in out


@pytest.mark.parametrize(("command", "missing"), [("query", "SQL"), ("explain", "STATEMENT")])
def test_parameters_are_not_asked_for(command: str, missing: str, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, url])
    assert capsys.readouterr().err.rstrip().endswith(f"required: {missing}")


def test_retention_is_shown_and_changed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["retention", url, "90", "--max-bytes", "5000000"]) == 0
    assert capsys.readouterr().out == "superseded versions are kept for 90 s, and up to 5,000,000 bytes of them\n"
    assert main(["retention", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"seconds": 90.0, "max_bytes": 5_000_000, "pins": []}
    capsys.readouterr()
    for seconds, said in (("-1", "cannot be negative"), ("nan", "seconds and"), ("inf", "seconds and")):
        assert main(["retention", url, "--", seconds]) == 1
        assert said in capsys.readouterr().err


def test_trim_tells_of_how_many_commits(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    rome.set_retention(url, seconds=0)
    assert main(["trim", url]) == 0
    assert capsys.readouterr().out == "superseded row versions of 1 commit discarded\n"


def test_drop_without_a_terminal_wants_to_hear_yes(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drop", url]) == 1
    assert "say --yes" in capsys.readouterr().err
    assert rome.database_exists(url)
    assert main(["drop", url, "--yes"]) == 0
    assert rome.list_databases(url) == []


COMMANDS = [
    ["dump", "-"],
    ["tables"],
    ["schema"],
    ["query", "CREATE TABLE t (a)"],
    ["shell"],
    ["explain", "SELECT 1"],
    ["retention", "5"],
    ["verify"],
    ["trim"],
    ["drop", "--yes"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_no_command_creates_a_database(url: str, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    mistyped = url.replace("servers", "server")
    assert main([command[0], mistyped, *command[1:]]) == 1
    error = capsys.readouterr().err
    assert "there is no database" in error
    assert "did you mean" in error
    assert not rome.database_exists(mistyped)


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [(["lst", "URL"], "'list'"), (["tables", "URL", "--coutns"], "'--counts'"), (["drop", "URL", "--yess"], "'--yes'")],
)
def test_a_misspelt_word_is_suggested(
    arguments: list[str], suggestion: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert f"did you mean {suggestion}?" in capsys.readouterr().err


def test_version_names_what_rome_stands_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"rome {rome.__version__} (SQLite 3.")
    assert f"rows of large reads are decoded by: {described()}\n" in out
    assert out.endswith(f"trips to Redis are made by: {channels.described()}\n")


def test_version_says_whether_the_compiled_part_runs(tmp_path: Path) -> None:
    def shown(switch: str) -> str:
        environment = {**os.environ, "ROME_COMPILED": switch}
        command = [sys.executable, "-m", "rome", "--version"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    for work in ("decoded by", "made by"):
        assert f"{work}: Python, since ROME_COMPILED=off" in shown("off")
        assert f"{work}: Python, since no C compiler" in shown(str(tmp_path / "none"))
    (tmp_path / "wrong.so").write_text("this is no library")
    assert f"since SQLite cannot load {tmp_path / 'wrong.so'}" in shown(str(tmp_path / "wrong.so"))
    (tmp_path / "channel.abi3.so").write_text("this is no library")
    assert f"since {tmp_path / 'channel.abi3.so'} cannot be loaded" in shown(str(tmp_path / "none"))


def test_compiled_part_of_another_number_is_not_loaded(tmp_path: Path) -> None:
    """So a checkout whose sources are newer than its library runs the Python until it is installed again."""
    if not LIBRARY.exists():
        pytest.skip(described())
    library = LIBRARY.read_bytes()
    assert library.count(b"rome_rows_init_") >= 1
    (tmp_path / "older.so").write_bytes(library.replace(b"rome_rows_init_1", b"rome_rows_init_0"))
    command = [sys.executable, "-m", "rome", "--version"]
    environment = {**os.environ, "ROME_COMPILED": str(tmp_path / "older.so")}
    out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert "older.so: if it is an older one, install Rome again\n" in out


def test_a_wrong_statement_ends_with_status_1(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", url, "SELECT * FROM nowhere"]) == 1
    assert capsys.readouterr().err == "rome explain: no such table: nowhere\n"


def test_a_wrong_url_ends_with_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "mysql://localhost/x"]) == 1
    assert "rome+lmdb:///" in capsys.readouterr().err


def test_the_shell_can_complete_commands(tmp_path: Path) -> None:
    asked = tmp_path / "completions"
    environment = os.environ | {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(asked),
        "_ARGCOMPLETE_IFS": "\n",
        "COMP_LINE": "rome ret",
        "COMP_POINT": "8",
    }
    subprocess.run([sys.executable, "-m", "rome"], env=environment, check=True, timeout=60)
    assert asked.read_text().split() == ["retention"]


def test_dump_and_load(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive, copy = tmp_path / "servers.rome-dump", f"rome+lmdb:///{tmp_path}/copy.rome"
    assert main(["dump", url, str(archive)]) == 0
    assert capsys.readouterr().out == "table   rows\nserver  3\nin all  3\n"
    assert main(["load", copy, str(archive), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"rows": 3, "tables": {"server": 3}, "created": True}
    assert main(["query", copy, "SELECT host FROM busy"]) == 0
    assert capsys.readouterr().out == "host\na\n(1 row)\n"
    assert main(["load", copy, str(archive)]) == 1
    assert "the database is not empty" in capsys.readouterr().err


def test_dump_replaces_a_file_only_when_told_to_and_leaves_no_part(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "archives"
    folder.mkdir()
    archive = folder / "a"
    archive.write_text("precious")
    assert main(["dump", url, str(archive)]) == 1
    assert "say --force" in capsys.readouterr().err
    assert archive.read_text() == "precious"
    assert main(["dump", url, str(archive), "--force"]) == 0
    assert [each.name for each in folder.iterdir()] == ["a"]
    assert main(["dump", url, str(folder / "none" / "a")]) == 1
    assert main(["load", url, str(folder / "missing")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_dump_and_load_through_a_pipe(url: str, tmp_path: Path) -> None:
    copy = f"rome+lmdb:///{tmp_path}/copy.rome"
    rome_command = [sys.executable, "-m", "rome"]
    dumped = subprocess.run([*rome_command, "dump", url, "-"], capture_output=True, check=True, timeout=60)
    subprocess.run([*rome_command, "load", copy, "-"], input=dumped.stdout, check=True, timeout=60, capture_output=True)
    assert rome.connect(copy).execute("SELECT count(*) FROM server").fetchone() == (3,)


def test_verify_ends_with_status_1_if_something_is_wrong(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", url]) == 0
    assert capsys.readouterr().out == "all rows, index entries and constraints are in order\n"
    connection = rome.connect(url, foreign_keys="off")
    connection.execute("CREATE TABLE child (server INTEGER REFERENCES server (id))")
    connection.execute("INSERT INTO child VALUES (99)")
    connection.commit()
    connection.close()
    assert main(["verify", url, "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == [
        {"table": "child", "where": "rowid 1", "reason": "it refers to a row of server that does not exist"}
    ]
