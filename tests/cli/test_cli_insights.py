"""`rome insights`: what processes have recorded, as a page, as JSON, as a file."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

import rome
from rome.cli import main


@pytest.fixture
def recorded(tmp_path: Path) -> str:
    """A file that a process has written."""
    file = tmp_path / "app.jsonl"
    try:
        rome.insights.record(file)
        connection = rome.connect("rome+memory:///recorded")
        connection.execute("SELECT 1 AS one")
        connection.close()
    finally:
        rome.insights.stop()
        rome.drop_database("rome+memory:///recorded")
    return str(file)


def test_json_has_times_in_milliseconds_and_texts(recorded: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["insights", recorded, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["databases"] == ["memory: recorded"]
    [statement] = found["statements"]
    assert (statement["text"], statement["calls"]) == ("SELECT ? AS one", 1)
    assert 0 < statement["mean_ms"] == statement["max_ms"] == statement["total_ms"]
    assert found["totals"]["statements"] == 1


def test_the_page_is_written_into_a_file(recorded: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    assert main(["insights", recorded, "--html", str(page)]) == 0
    assert page.read_text().startswith("<!doctype html>")
    assert main(["insights", recorded, "--html", "-"]) == 0
    assert capsys.readouterr().out == page.read_text()
    assert main(["insights", recorded, "--html", str(tmp_path / "no" / "page.html")]) == 1
    assert "page.html: No such file or directory" in capsys.readouterr().err


def test_a_database_is_no_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["insights", "rome+redis://127.0.0.1/shop"]) == 1
    assert "is a database: what its applications ask is known by them" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["insights", str(tmp_path / "nothing")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("rome insights: ")
    assert "ROME_INSIGHTS=" in error


def test_a_port_that_is_taken_is_an_error(recorded: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["insights", recorded, "--port", str(port)]) == 1
    assert capsys.readouterr().err.startswith(
        f"rome insights: port {port}: Address already in use; --port 0 takes a free"
    )


@pytest.mark.parametrize("port", ["65536", "-1"])
def test_a_number_that_is_no_port_is_an_error(port: str, recorded: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["insights", recorded, f"--port={port}"]) == 1
    assert capsys.readouterr().err.startswith(f"rome insights: port {port} is not between 0 and 65535")


@pytest.mark.parametrize("address", ["http://[", "http://127.0.0.1:a/", "http://127.0.0.1:1/"])
def test_an_address_without_a_page_is_an_error(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["insights", address, "--json"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"rome insights: {address}")
    assert "no statement insights are there" in error


def test_the_page_is_served_until_an_interruption(recorded: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "ROME_INSIGHTS"}
    command = [sys.executable, "-m", "rome", "insights", recorded, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as served:
        assert served.stdout is not None
        url = next(word for word in served.stdout.readline().split() if word.startswith("http://"))
        with urlopen(url, timeout=30) as answer:
            assert "SELECT ? AS one" in answer.read().decode()
        served.send_signal(signal.SIGINT)
        try:
            assert served.wait(30) == 130
        finally:
            served.kill()
