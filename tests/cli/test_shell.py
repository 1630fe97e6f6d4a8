"""`rome shell`, fed by a file and typed at a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from select import select

import pytest

import rome
from rome.cli.line_editor import LineEditor
from rome.cli.shell import Shell

COMMAND = [sys.executable, "-m", "rome", "shell"]


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"rome+lmdb:///{tmp_path}/servers.rome"
    connection = rome.connect(url)
    connection.executescript("CREATE TABLE server (id INTEGER PRIMARY KEY, hostname TEXT)")
    connection.close()
    return url


def fed(url: str, text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, url], input=text, capture_output=True, text=True, check=False, timeout=60)


class Typed:
    """A shell at a terminal of its own."""

    def __init__(self, url: str, home: Path) -> None:
        self.master, slave = pty.openpty()
        environment = os.environ | {"HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "TERM": "dumb"}
        self.process = subprocess.Popen([*COMMAND, url], stdin=slave, stdout=slave, stderr=slave, env=environment)
        os.close(slave)
        self.seen = ""

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def expect(self, text: str) -> str:
        """Wait until the terminal shows a text; returns everything up to its end."""
        limit = time.monotonic() + 30
        while text not in self.seen:
            assert time.monotonic() < limit, f"{text!r} does not come; the terminal shows:\n{self.seen!r}"
            if select([self.master], [], [], 0.2)[0]:
                self.seen += os.read(self.master, 65536).decode()
        before, _, self.seen = self.seen.partition(text)
        return before + text

    def end(self) -> int:
        self.type("\\q\n")
        status = self.process.wait(30)
        os.close(self.master)
        return status


@pytest.fixture
def shell(url: str, tmp_path: Path) -> Iterator[Typed]:
    shell = Typed(url, tmp_path)
    shell.expect("servers.rome=> ")
    yield shell
    if shell.process.poll() is None:
        shell.process.kill()
        shell.process.wait()


def test_a_file_of_statements_and_commands(url: str) -> None:
    done = fed(
        url,
        "INSERT INTO server (hostname)\n  VALUES ('a;b'), ('c');\n\\x\nSELECT * FROM server\nWHERE id = 2;\n\\d\n"
        "\\d server\n\\form csv\nSELECT hostname FROM server;\n",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "2 rows changed\nresults are shown as records\n-- row 1 --\n      id: 2\nhostname: c\nname    type\n"
        "server  table\nCREATE TABLE server (id INTEGER PRIMARY KEY, hostname TEXT);\nhostname\na;b\nc\n"
    )


def test_each_statement_is_a_transaction_unless_begin_opens_one(url: str) -> None:
    fed(url, "INSERT INTO server VALUES (1, 'a');\nBEGIN;\nINSERT INTO server VALUES (2, 'b');\n")
    assert fed(url, "SELECT count(*) AS n FROM server;").stdout == "n\n1\n(1 row)\n"
    fed(url, "BEGIN;\nINSERT INTO server VALUES (2, 'b');\nCOMMIT;\n")
    assert fed(url, "SELECT count(*) AS n FROM server;").stdout == "n\n2\n(1 row)\n"


def test_a_file_ends_at_its_first_error(url: str) -> None:
    done = fed(url, "SELECT * FROM nowhere;\nINSERT INTO server VALUES (1, 'a');\n")
    assert (done.returncode, done.stderr) == (1, "OperationalError: no such table: nowhere\n")
    assert fed(url, "SELECT count(*) AS n FROM server;").stdout == "n\n0\n(1 row)\n"


def test_an_unknown_command_is_suggested(url: str) -> None:
    assert "there is no command \\tming; did you mean '\\\\timing'?" in fed(url, "\\tming\n").stderr


def test_explain_rome_is_a_tree_and_timing_counts_trips(url: str) -> None:
    out = fed(url, "\\timing on\nEXPLAIN ROME SELECT * FROM server WHERE id = 1;\nSELECT * FROM server;\n").stdout
    assert "wave 1: 1 trip expected" in out
    assert re.search(r"\n[0-9.]+ ms, 2 round trips\nid  hostname\n\(0 rows\)\n[0-9.]+ ms, 1 round trip\n$", out)


def test_at_a_terminal_errors_do_not_end_it(shell: Typed) -> None:
    shell.type("SELECT * FROM nowhere;\n")
    shell.expect("OperationalError: no such table: nowhere")
    shell.type("BEGIN;\n")
    shell.expect("servers.rome*> ")
    shell.type("SELECT 6 *\n")
    shell.expect("servers.rome-> ")
    shell.type("7 AS product;\n")
    assert "42" in shell.expect("(1 row)")
    assert shell.end() == 0


class Script(LineEditor):
    """Types lines, and presses Ctrl-C where the script has an exception."""

    def __init__(self, *lines: str | type[BaseException]) -> None:
        self._lines = iter(lines)

    def line(self, prompt: str) -> str:
        found = next(self._lines, EOFError)
        if isinstance(found, str):
            return found
        raise found


def test_ctrl_c_discards_what_was_typed(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    connection = rome.connect(url, isolation_level="AUTOCOMMIT")
    shell = Shell(connection, "servers", interactive=True)
    shell._editor = Script("SELECT 'not", KeyboardInterrupt, "SELECT 'yes' AS said;")
    assert shell.run() == 0
    connection.close()
    assert capsys.readouterr().out.endswith("said\nyes\n(1 row)\n")


def test_ctrl_c_ends_a_statement_and_not_the_shell(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = rome.connect(url, isolation_level="AUTOCOMMIT")
    shell = Shell(connection, "servers", interactive=True)
    shell._editor = Script("SELECT 1;", "SELECT 'yes' AS said;")
    run = shell.statement
    interrupted = iter([KeyboardInterrupt])

    def statement(text: str) -> None:
        for error in interrupted:
            raise error
        run(text)

    monkeypatch.setattr(shell, "statement", statement)
    assert shell.run() == 0
    connection.close()
    seen = capsys.readouterr()
    assert "interrupted" in seen.err
    assert seen.out.endswith("said\nyes\n(1 row)\n")


def test_tab_completes_names_and_the_history_lasts(shell: Typed, tmp_path: Path) -> None:
    pytest.importorskip("readline")
    shell.type("SELECT hostn\t FROM serv\t;\n")
    shell.expect("(0 rows)")
    assert shell.end() == 0
    history = tmp_path / "state" / "rome" / "history"
    assert "SELECT hostname" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0
