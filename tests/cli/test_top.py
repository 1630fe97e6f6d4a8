"""`rome top` and `rome metrics`: at a terminal and in a pipe; stores and processes that are away; many databases."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from secrets import token_bytes
from select import select

import msgspec
import pytest
from msgspec.structs import replace

import rome
import rome.metrics
from rome.cli import main
from rome.cli.metrics import address
from rome.cli.probe import DatabaseProbe
from rome.cli.shown import to_json
from rome.cli.top.processes import ask_process, metrics_url
from rome.cli.top.sample import TopSample, take_sample
from rome.cli.top.text import duration, number, size, top_lines
from rome.cli.top.view import TopView, top_view
from rome.dbapi import Connection
from rome.errors import ProgrammingError
from rome.metrics.exposition import ExposedValue, read_text
from rome.metrics.server import MetricsServer
from rome.store.spi import Claim, Snapshot
from rome.transaction.totals import DatabaseLabel
from tests.support.databases import database, on
from tests.support.servers import StartServer

COMMAND = [sys.executable, "-m", "rome"]
LONG = "a name as long as they are in the applications of other people, with é and\n"


@pytest.fixture(params=on("memory", "lmdb", "redis", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def file_url(tmp_path: Path) -> Iterator[str]:
    url = f"rome+lmdb:///{tmp_path}/servers.rome"
    filled(url).close()
    yield url
    rome.drop_database(url)


def filled(url: str) -> Connection:
    """A connection to a database with two rows, of which the first was changed four times."""
    connection = rome.connect(url)
    connection.executescript(
        "CREATE TABLE server (id INTEGER PRIMARY KEY, host TEXT); CREATE TABLE port (name TEXT PRIMARY KEY)"
    )
    connection.execute("INSERT INTO server VALUES (7, 'a'), (8, 'b')")
    connection.execute("INSERT INTO port VALUES (?)", (LONG,))
    connection.commit()
    for number_ in range(3):
        connection.execute("UPDATE server SET host = ? WHERE id = 7", (str(number_),))
        connection.commit()
    return connection


def view_of(url: str) -> TopView:
    probe = DatabaseProbe(url)
    try:
        return top_view("test", take_sample(probe, [], 1.0))
    finally:
        probe.close()


# ------------------------------------------------------------ what it says


def test_rows_that_commits_have_changed_have_their_names(url: str) -> None:
    filled(url).close()
    store = view_of(url).store
    assert store is not None
    assert (store.history_commits, store.queue) == (5, 0)
    assert store.commits_per_s == pytest.approx(0.5)
    assert store.ids_left is None or store.ids_left.table == "server"
    assert [(row.row, row.changes) for row in store.hot_rows] == [("server id=7", 4)]
    assert store.rows_per_s is not None
    assert store.rows_per_s > 0.6


def test_a_store_that_does_not_tell_rows_says_so(url: str) -> None:
    filled(url).close()
    probe = DatabaseProbe(url)
    reading = probe.read(100)
    probe.close()
    usage = replace(reading.usage, recent=[replace(commit, rows=None) for commit in reading.usage.recent])
    view = top_view("x", TopSample(0.0, replace(reading, usage=usage), None, []))
    assert view.store is not None
    assert (view.store.rows_per_s, view.store.hot_rows) == (None, [])
    assert "HOT ROWS (the store does not tell which rows)" in shown(view)


def test_rows_that_are_waited_for_come_first(url: str) -> None:
    connection = filled(url)
    port, server = connection.session.stored(
        lambda stored: iter([stored.tables["port"].id, stored.tables["server"].id])
    )
    key = next(connection.session.stored(lambda stored: iter([next(stored.chunks(stored.tables["port"]))[0].key])))
    store = connection.session._context.store
    store.join_queue(token_bytes(16), [Claim(port, key)], 60)
    store.join_queue(token_bytes(16), [Claim(server, None)], 60)
    view = view_of(url).store
    assert view is not None
    assert view.queue == 2
    first, second, *_ = view.hot_rows
    assert (first.row, first.waiting) == ("port name='a name as long as they are in the applic..'", 1)
    assert (second.row, second.waiting) == ("server (all rows)", 1)
    connection.close()


def test_long_transactions_are_shown_with_their_processes(url: str) -> None:
    connection = filled(url)
    store = connection.session._context.store
    store.pin(token_bytes(16), store.read(None, ()).snapshot, 60, owner="77@compute-1", age_s=300)
    view = view_of(url)
    assert view.store is not None
    assert [(pin.owner, round(pin.age_s / 10)) for pin in view.store.pins] == [("77@compute-1", 30)]
    assert "77@compute-1" in shown(view)
    assert "5 min" in shown(view)
    connection.close()


def test_collections_and_keys_have_their_names(url: str) -> None:
    keys = rome.kv.open(url)
    for number_ in range(2):
        with keys.transaction() as transaction:
            transaction.put(("one key", 7), number_)
    view = view_of(url).store
    assert view is not None
    assert any(row.row.startswith("(kv: keys) one key, 7") for row in view.hot_rows), view.hot_rows
    keys.close()


def test_no_store_is_asked_more_than_the_documentation_says(url: str) -> None:
    filled(url).close()
    probe = DatabaseProbe(url)
    probe.read(500)
    assert probe._connection is not None
    before = probe._connection.rome_stats.round_trips
    probe.read(500)
    assert probe._connection.rome_stats.round_trips - before <= (4 if "etcd" in url else 2)
    probe.close()


# ------------------------------------------------------------ processes


def metrics_of(statements: int, conflicts: int, commits: list[int], seconds: float, failures: int = 0) -> str:
    labels = 'store="lmdb",database="/elsewhere/servers.rome"'
    bounds = ("0.001", "0.1", "+Inf")
    lines = [
        f"rome_connections{{{labels}}} 3",
        f"rome_statements_total{{{labels}}} {statements}",
        f'rome_conflicts_total{{{labels},table="server",reason="changed"}} {conflicts}',
        f'rome_conflicts_total{{{labels},table="",reason="schema_changed"}} 1',
        f"rome_serialization_failures_total{{{labels}}} {failures}",
        f"rome_commit_duration_seconds_sum{{{labels}}} {seconds}",
        f"rome_commit_duration_seconds_count{{{labels}}} {commits[-1]}",
        'rome_statements_total{store="redis",database="servers.rome"} 1000000',
    ]
    lines += [
        f'rome_commit_duration_seconds_bucket{{{labels},le="{b}"}} {c}' for b, c in zip(bounds, commits, strict=True)
    ]
    return "\n".join(lines) + "\n"


def sampled(text: str, at_s: float) -> TopSample:
    label = DatabaseLabel("lmdb", "servers.rome")
    server = MetricsServer(lambda: text, "127.0.0.1", range(1))
    with server:
        reading = ask_process(server.url, label, 5.0)
    assert reading.error is None
    return TopSample(at_s, None, "away", [type(reading)("http://app:1/metrics", reading.values)])


def test_rates_of_a_process_are_those_between_two_samples() -> None:
    before = sampled(metrics_of(100, 4, [10, 10, 10], 0.5), 50.0)
    now = sampled(metrics_of(300, 8, [10, 30, 30], 1.5, failures=2), 52.0)
    [process] = top_view("test", now, before).processes
    assert (process.statements_per_s, process.conflicts_per_s, process.commits_per_s) == (100.0, 2.0, 0.0)
    assert process.commit_mean_s == pytest.approx(0.05)
    assert (process.commit_p95_s, process.connections, process.failures) == (0.1, 3, 2)
    conflicts = top_view("test", now, before).conflicts
    assert [(each.table, each.conflicts, each.per_s) for each in conflicts] == [("server", 8, 2.0), ("", 1, 0.0)]
    [alone] = top_view("test", now).processes
    assert (alone.statements_per_s, alone.commit_mean_s) == (None, None)


def test_commits_beyond_the_last_bound_are_shown_as_that() -> None:
    before = sampled(metrics_of(100, 4, [10, 10, 10], 0.5), 50.0)
    now = sampled(metrics_of(300, 4, [10, 10, 30], 400.0), 52.0)
    view = top_view("test", now, before)
    assert view.processes[0].commit_p95_s == 0.1
    assert json.loads(to_json(msgspec.to_builtins(view)))["processes"][0]["commit_mean_s"] == pytest.approx(19.975)


def test_values_that_are_no_numbers_are_left_out() -> None:
    text = metrics_of(100, 4, [10, 10, 10], 0.5) + 'rome_statements_total{store="lmdb",database="servers.rome"} NaN\n'
    now = sampled(text, 52.0)
    assert top_view("test", now, sampled(metrics_of(0, 4, [10, 10, 10], 0.5), 50.0)).processes[0].statements_per_s == 50


def test_process_that_was_started_anew_counts_from_zero() -> None:
    before = sampled(metrics_of(1000, 50, [10, 10, 10], 0.5), 50.0)
    now = sampled(metrics_of(20, 3, [1, 1, 1], 0.01), 52.0)
    view = top_view("test", now, before)
    assert (view.processes[0].statements_per_s, view.processes[0].conflicts_per_s) == (10.0, 2.0)


def test_a_process_without_a_connection_to_the_database_says_so() -> None:
    with rome.metrics.serve(0) as server:
        reading = ask_process(server.url, DatabaseLabel("redis", "nobody"), 5.0)
    assert reading.error == "it has had no connection to this database"
    assert ask_process(server.url, DatabaseLabel("redis", "nobody"), 5.0).error == "Connection refused"


@pytest.mark.parametrize(
    "text", ["localhost:9470", "ftp://host/metrics", "http://", "", "http://[", "http://host:a", "http://host:99999"]
)
def test_wrong_address_of_a_process_is_refused(text: str) -> None:
    with pytest.raises(ProgrammingError, match="http://host:port/metrics"):
        metrics_url(text)
    assert metrics_url("http://host:1") == metrics_url("http://host:1/") == "http://host:1/metrics"
    assert metrics_url("https://host/other") == "https://host/other"


# ------------------------------------------------------------ how it looks


def shown(view: TopView, width: int = 80) -> str:
    return "\n".join(text for _, text in top_lines(view, width))


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_screen(width: int, file_url: str) -> None:
    probe = DatabaseProbe(file_url)
    before = sampled(metrics_of(100, 4, [10, 10, 10], 0.5), 50.0)
    now = sampled(metrics_of(10**9, 10**8, [10, 10**6, 10**7], 1.5e5, failures=10**6), 52.0)
    now = TopSample(52.0, probe.read(100), None, now.processes)
    probe.close()
    lines = shown(top_view("lmdb " + "x" * 300, now, before), width).split("\n")
    assert max(map(len, lines)) <= width
    if width >= 80:
        assert "server id=7" in shown(top_view("x", now, before), width)
        assert all(head in "\n".join(lines) for head in ("HOT ROWS", "PROCESSES", "CONFLICTS", "(no single table)"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0, "0"), (0.123, "0.12"), (12.34, "12"), (999, "999"), (9_999, "9999"), (12_345, "12.3k")),
        *((1_234_567, "1.23M"), (999_900, "1000k"), (2**63, "9.2e+18"), (float("inf"), "more")),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_sizes_and_times_are_short() -> None:
    assert [size(value) for value in (0, 12, 1023, 1024, 256 << 20, 2**50)] == [
        *("0 B", "12 B", "1023 B", "1 KB", "256 MB", "1024 TB")
    ]
    assert [duration(s) for s in (0.00042, 0.5, 1.5, 61, 600, 86_400)] == [
        *("0.42 ms", "500 ms", "1.5 s", "61 s", "10 min", "24 h")
    ]


class Terminal:
    """`rome top` at a terminal of 80 columns and 24 lines."""

    def __init__(self, *arguments: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(slave)
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
        self.process = subprocess.Popen(
            [*COMMAND, "top", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
        )
        self.slave = slave
        self.seen = ""

    def expect(self, text: str) -> None:
        limit = time.monotonic() + 30
        while text not in self.seen:
            assert time.monotonic() < limit, f"{text!r} does not come; the terminal shows:\n{self.seen!r}"
            if select([self.master], [], [], 0.2)[0]:
                self.seen += os.read(self.master, 65536).decode(errors="replace")
        self.seen = self.seen.partition(text)[2]

    def end(self) -> int:
        self.expect("\x1b[?1049l")
        status = self.process.wait(30)
        assert termios.tcgetattr(self.slave) == self.before, "the terminal is as it was"
        os.close(self.slave)
        os.close(self.master)
        return status


@pytest.mark.parametrize("leave", ["q", "ctrl-c"])
def test_live_view_is_drawn_again_until_one_leaves(leave: str, file_url: str) -> None:
    terminal = Terminal(file_url, "--interval", "0.1")
    terminal.expect("server id=7")
    with rome.connect(file_url) as connection:
        for number_ in range(4):
            connection.execute("UPDATE server SET host = ? WHERE id = 8", (str(number_),))
            connection.commit()
    connection.close()
    terminal.expect("server id=8")
    if leave == "q":
        os.write(terminal.master, b"xq")
    else:
        terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 0


def test_live_view_shows_that_the_store_is_away_and_goes_on(file_url: str) -> None:
    terminal = Terminal(file_url, "--interval", "0.1")
    terminal.expect("server id=7")
    rome.drop_database(file_url)
    terminal.expect("asking again")
    assert not rome.database_exists(file_url), "asking does not make it anew"
    filled(file_url).close()
    terminal.expect("server id=7")
    os.write(terminal.master, b"q")
    assert terminal.end() == 0


@pytest.mark.redis
def test_a_server_that_comes_back_is_asked_again(start_server: StartServer) -> None:
    server = start_server("redis", {"appendonly": "yes"})
    url = f"rome+redis://{server.host}:{server.port}/back"
    filled(url).close()
    probe = DatabaseProbe(url)
    assert take_sample(probe, [], 1.0).error is None
    server.kill()
    assert take_sample(probe, [], 1.0).store is None
    sample = take_sample(probe, [], 1.0)
    assert "refused" in str(sample.error)
    assert "asking again" in shown(top_view("x", sample))
    server.start()
    assert take_sample(probe, [], 1.0).error is None
    probe.close()


# ------------------------------------------------------------ the command line


def test_once_prints_text_and_json_prints_the_same(file_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", file_url, "--once"]) == 0
    text = capsys.readouterr().out
    assert main(["top", file_url]) == 0, "stdout is no terminal here"
    assert "server id=7" in text
    capsys.readouterr()
    assert main(["top", file_url, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["store"]["hot_rows"] == [{"row": "server id=7", "changes": 4, "waiting": 0}]
    assert (found["processes"], found["error"]) == ([], None)


def test_once_shows_what_processes_do(file_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with rome.metrics.serve(0) as server, rome.connect(file_url) as connection:
        arguments = [
            "top",
            file_url,
            "--interval",
            "0.1",
            "--json",
            "--process",
            server.url,
            "--process",
            "http://[::1]:1",
        ]
        assert main(arguments) == 0
        connection.rollback()
    connection.close()
    mine, other = json.loads(capsys.readouterr().out)["processes"]
    assert (mine["error"], mine["connections"]) == (None, 1 + 1)
    assert other["error"]


@pytest.mark.parametrize("command", ["top", "metrics"])
def test_a_typo_creates_no_database(command: str, file_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    typo = file_url.replace("servers", "server")
    assert main([command, typo]) == 1
    assert "did you mean" in capsys.readouterr().err
    assert not rome.database_exists(typo)


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "inf"])
def test_interval_that_is_none_is_refused(interval: str, file_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", file_url, f"--interval={interval}"]) == 1
    assert "0.1 or more" in capsys.readouterr().err


def metric(values: list[ExposedValue], name: str, database: str) -> float:
    [value] = [each.value for each in values if each.name == name and each.labels["database"].endswith(database)]
    return value


def test_metrics_are_printed_as_text_and_as_json(file_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", file_url]) == 0
    text = capsys.readouterr().out
    assert main(["metrics", file_url, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    values = read_text(text)
    assert metric(values, "rome_store_history_commits", "servers.rome") == 5
    assert [(value.name, dict(value.labels)) for value in values] == [(each["name"], each["labels"]) for each in found]
    ids = [each for each in values if each.name == "rome_store_ids_left"]
    assert {each.labels["table"]: int(each.value) for each in ids}["server"] in (2**63 - 1 - 8, 2**63)


def test_metrics_of_all_databases_show_which_is_down(
    file_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled(f"rome+lmdb:///{tmp_path}/other.rome").close()
    (tmp_path / "broken.rome").write_bytes((tmp_path / "other.rome").read_bytes()[:3000])
    assert main(["metrics", file_url, "--all"]) == 0
    values = read_text(capsys.readouterr().out)
    up = {os.path.basename(each.labels["database"]): each.value for each in values if each.name == "rome_store_up"}
    assert up["servers.rome"] == up["other.rome"] == 1
    assert up.get("broken.rome", 0) == 0
    rome.drop_database(f"rome+lmdb:///{tmp_path}/other.rome")


def test_metrics_are_served_also_after_the_database_was_away(file_url: str) -> None:
    process = subprocess.Popen([*COMMAND, "metrics", file_url, "--serve", "0"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    address_ = process.stderr.readline().split()[-1]

    def up() -> float:
        with urllib.request.urlopen(address_) as answer:
            return metric(read_text(answer.read().decode()), "rome_store_up", "servers.rome")

    assert up() == 1
    rome.drop_database(file_url)
    assert up() == 0
    assert not rome.database_exists(file_url)
    filled(file_url).close()
    assert up() == 1
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    process.stderr.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("9470", ("127.0.0.1", 9470)), (":9470", ("127.0.0.1", 9470)), ("0.0.0.0:1", ("0.0.0.0", 1))),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_address_to_serve_at(text: str, expected: tuple[str, int]) -> None:
    assert address(text) == expected


@pytest.mark.parametrize("text", ["", "x", "host", "1:2:3", "99999", "host:x"])
def test_wrong_address_to_serve_at_is_refused(text: str) -> None:
    with pytest.raises(ProgrammingError, match="write a port"):
        address(text)


def test_snapshot_of_a_reader_goes_on_while_the_store_is_asked(url: str) -> None:
    connection = filled(url)
    assert connection.execute("SELECT host FROM server WHERE id = 8").fetchall() == [("b",)]
    with rome.connect(url) as other:
        other.execute("UPDATE server SET host = 'newer' WHERE id = 8")
    other.close()
    usage = connection.session.usage(5)
    assert isinstance(usage.version, int)
    assert usage.version > connection.session.last_version().version - 10
    assert connection.execute("SELECT host FROM server").fetchall() == [("2",), ("b",)]
    assert isinstance(connection.session.last_version(), Snapshot)
    connection.close()
