"""Files of figures: written by processes while they run, and read meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rome
from rome.errors import OperationalError
from rome.insights.collected import Collected
from rome.insights.document import document
from rome.insights.entries import StatementEntry
from rome.insights.journal import SLOWER_AFTER_BYTES, Journal
from rome.insights.source import read

PROGRAM = """
import sys, rome
connection = rome.connect("rome+memory://")
connection.execute("CREATE TABLE t (a)")
for number in range(int(sys.argv[1])):
    connection.execute("SELECT a FROM t WHERE a = ?", (number,))
"""


FAILING = """
try:
    rome.insights.report()
except RuntimeError as error:
    print(str(error).partition(":")[0])
"""


def run(file: Path, times: int, program: str = PROGRAM) -> None:
    environment = {**os.environ, "ROME_INSIGHTS": str(file)}
    done = subprocess.run(
        [sys.executable, "-c", program, str(times)], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def calls(file: Path) -> dict[str, int]:
    return {entry.text: entry.times.count for entry in read(str(file)).statements.values()}


def test_processes_write_one_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    file = tmp_path / "app.jsonl"
    run(file, 3)
    run(file, 4)
    assert len(read(str(file)).processes) == 2
    assert calls(file) == {"CREATE TABLE t (a)": 2, "SELECT a FROM t WHERE a = ?": 7}
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_child_process_writes_its_own_lines(tmp_path: Path) -> None:
    program = """
import os, rome
rome.connect("rome+memory://").execute("SELECT 1")
child = os.fork()
rome.connect("rome+memory://").execute("SELECT 2 AS b" if child else "SELECT 3 AS c")
if child:
    os.waitpid(child, 0)
"""
    file = tmp_path / "app.jsonl"
    run(file, 0, f"import warnings; warnings.simplefilter('ignore')\n{program}")
    assert len(read(str(file)).processes) == 2
    assert calls(file) == {"SELECT ?": 1, "SELECT ? AS b": 1, "SELECT ? AS c": 1}


def note(collected: Collected, number: int, text: str = "SELECT 1") -> None:
    with collected.lock:
        entry = collected.statements.get(text) or StatementEntry(text, "memory: x", text, "SELECT")
        if text not in collected.statements:
            collected.keep_statement(entry)
        for _ in range(number):
            entry.times.note(0.001)
        collected.statements.changed.add(text)


def test_the_file_is_read_while_it_is_written(tmp_path: Path) -> None:
    file, collected = tmp_path / "app.jsonl", Collected()
    journal = Journal(str(file), collected)
    note(collected, 2)
    journal.flush()
    assert calls(file) == {"SELECT 1": 2}
    note(collected, 1)
    note(collected, 5, "SELECT 2")
    journal.flush()
    assert calls(file) == {"SELECT 1": 3, "SELECT 2": 5}
    with file.open("ab") as half:
        half.write(b'{"rome_insights": 1, "proc')
    assert calls(file) == {"SELECT 1": 3, "SELECT 2": 5}
    journal.close()


def test_half_a_line_of_a_process_that_was_killed_is_left_out_and_told(tmp_path: Path) -> None:
    file, collected = tmp_path / "app.jsonl", Collected()
    journal = Journal(str(file), collected)
    note(collected, 2)
    journal.flush()
    with file.open("ab") as half:
        half.write(b'{"rome_insights": 1, "proc')
    note(collected, 1)
    journal.flush()  # behind the half line, and so lost with it
    note(collected, 1)
    journal.close()
    assert calls(file) == {"SELECT 1": 4}
    assert read(str(file)).damaged == 1
    assert "1 line of the file left out, damaged" in document(read(str(file)))


def test_only_what_has_changed_is_written(tmp_path: Path) -> None:
    file, collected = tmp_path / "app.jsonl", Collected()
    journal = Journal(str(file), collected)
    note(collected, 1, "SELECT 1")
    note(collected, 1, "SELECT 2")
    journal.flush()
    journal.flush()
    note(collected, 1, "SELECT 2")
    journal.close()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    texts = [sorted(entry["text"] for entry in line["statements"]) for line in lines]
    assert texts == [["SELECT 1", "SELECT 2"], ["SELECT 2"]]


def test_a_file_that_grows_is_written_less_often(tmp_path: Path) -> None:
    collected = Collected()
    journal = Journal(str(tmp_path / "app.jsonl"), collected)
    before = journal.interval_s
    note(collected, 1, "x" * SLOWER_AFTER_BYTES)
    journal.flush()
    assert journal.interval_s == 2 * before
    journal.close()


def test_a_file_that_is_none_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "other"
    file.write_text("hello\n")
    with pytest.raises(
        OperationalError, match=r"other, line 1: this is not a file of statement insights .*ROME_INSIGHTS"
    ):
        read(str(file))
    with pytest.raises(
        OperationalError, match=r"nothing: No such file or directory\. A process writes it that runs with"
    ):
        read(str(tmp_path / "nothing"))
    file.write_text('{"rome_insights": 99}\n')
    with pytest.raises(OperationalError, match="another version of Rome"):
        read(str(file))


def test_a_variable_that_cannot_be_heeded_does_not_stop_the_application(tmp_path: Path) -> None:
    environment = {**os.environ, "ROME_INSIGHTS": str(tmp_path / "no" / "such" / "folder")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + FAILING, "1"], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "this process records nothing\n")
    assert "name a file, and read it with `rome insights`" in done.stderr


def test_recording_into_a_file_from_the_application(tmp_path: Path) -> None:
    file = tmp_path / "app.jsonl"
    try:
        rome.insights.record(file)
        connection = rome.connect("rome+memory://")
        connection.execute("SELECT 7")
        connection.close()
    finally:
        rome.insights.stop()
    assert calls(file) == {"SELECT ?": 1}


def test_the_variable_is_heeded_beside_what_the_application_records(tmp_path: Path) -> None:
    file = tmp_path / "app.jsonl"
    run(file, 3, f"import rome\nrome.insights.record(keys=False)\n{PROGRAM}")
    assert calls(file)["SELECT a FROM t WHERE a = ?"] == 3
    other = tmp_path / "other.jsonl"
    run(file, 3, f"import rome\nrome.insights.record({str(other)!r})\n{PROGRAM}")
    assert calls(other)["SELECT a FROM t WHERE a = ?"] == 3
    assert calls(file)["SELECT a FROM t WHERE a = ?"] == 3


def test_connections_that_are_opened_at_once_are_all_recorded(tmp_path: Path) -> None:
    program = """
import rome
from threading import Barrier, Thread
barrier = Barrier(8)
def work():
    barrier.wait()
    rome.connect("rome+memory:///shared").execute("SELECT 1")
threads = [Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    file = tmp_path / "app.jsonl"
    run(file, 0, program)
    assert calls(file) == {"SELECT ?": 8}
