"""The totals of a process: what is counted, where it goes when connections are closed, and that it never falls."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from contextlib import closing
from copy import deepcopy
from secrets import token_hex
from types import SimpleNamespace

import msgspec
import pytest

import rome
from rome.engine.result import Stats
from rome.errors import ConflictError
from rome.metrics.process import COUNTED, process_families
from rome.transaction.totals import COMMIT_BOUNDS_S
from tests.metrics.conftest import values
from tests.support.databases import Connect


class Port(msgspec.Struct):
    id: str
    number: int


CREATE = "CREATE TABLE counter (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO counter VALUES (1, 0), (2, 0)"


def test_totals_are_those_of_the_connections(connect: Connect) -> None:
    one, other = connect(), connect()
    one.executescript(CREATE)
    other.execute("SELECT * FROM counter").fetchall()
    other.commit()
    one.execute("UPDATE counter SET n = n + 1 WHERE id = 1")
    one.commit()
    both = [one.rome_stats, other.rome_stats]

    def total(name: str) -> int:
        return sum(getattr(stats, name) for stats in both)

    found = values()
    assert found["rome_connections"] == 2
    assert total("statements") > 3
    assert {name: found[metric.name] for name, metric in COUNTED.items() if name in Stats.__slots__} == {
        name: total(name) for name in COUNTED if name in Stats.__slots__
    }
    assert found["rome_round_trips_total"] == total("round_trips") > 0
    assert found["rome_commit_duration_seconds_count"] == total("commits") == 2
    assert 0 < found["rome_commit_duration_seconds_sum"] < 60


def test_closed_connections_have_left_what_they_counted(connect: Connect) -> None:
    one, other = connect(), connect()
    one.executescript(CREATE)
    other.execute("SELECT * FROM counter").fetchall()
    other.rollback()
    before = dict(values())
    one.close()
    one.close()
    other.close()
    after = values()
    assert (before.pop("rome_connections"), values()["rome_connections"]) == (2, 0)
    assert {name: value for name, value in after.items() if name != "rome_connections"} == before


def test_abandoned_connection_has_left_what_it_counted() -> None:
    rome.connect("rome+memory:///abandoned").executescript(CREATE)
    gc.collect()
    before = values(database="abandoned")
    with closing(rome.connect("rome+memory:///other")):  # closes what others have left
        after = values(database="abandoned")
    assert (before["rome_connections"], after["rome_connections"]) == (1, 0)
    assert after["rome_commits_total"] == before["rome_commits_total"] == 1
    rome.drop_database("rome+memory:///abandoned")


def test_databases_are_told_apart_and_private_ones_are_one() -> None:
    connections = [rome.connect(f"rome+memory://{name}") for name in ("", "", "/a", "/b")]
    for number, connection in enumerate(connections):
        for _ in range(number + 1):
            connection.execute("SELECT 1")
    assert values(database="(private)")["rome_statements_total"] == 3
    assert values(database="a")["rome_statements_total"] == 3
    assert values(store="memory", database="b")["rome_statements_total"] == 4
    for connection in connections:
        connection.close()
    for name in "ab":
        rome.drop_database(f"rome+memory:///{name}")


def test_conflicts_name_the_table_and_the_reason(connect: Connect) -> None:
    one, other = connect(), connect()
    one.executescript(CREATE)
    other.execute("SELECT n FROM counter WHERE id = 1").fetchall()
    other.execute("UPDATE counter SET n = 7 WHERE id = 2")
    one.execute("UPDATE counter SET n = n + 1 WHERE id = 1")
    one.commit()
    with pytest.raises(ConflictError):
        other.commit()
    found = values(table="counter", reason="changed")
    assert found == {"rome_conflicts_total": 1}
    assert values()["rome_serialization_failures_total"] == 1
    assert values()["rome_replays_total"] == 1


def test_conflict_that_a_replay_has_settled_is_no_failure(connect: Connect) -> None:
    one, other = connect(), connect()
    one.executescript(CREATE)
    one.execute("UPDATE counter SET n = n + 1 WHERE id = 1")
    other.execute("UPDATE counter SET n = n + 1 WHERE id = 1")
    one.commit()
    other.commit()
    found = values()
    assert (found["rome_conflicts_total"], found["rome_replays_total"]) == (1, 1)
    assert found["rome_serialization_failures_total"] == 0


def test_conflict_about_the_schema_has_no_table(connect: Connect) -> None:
    one, other = connect(), connect()
    one.executescript(CREATE)
    other.execute("SELECT n FROM counter WHERE id = 1").fetchall()
    one.executescript("CREATE TABLE more (id INTEGER)")
    other.execute("UPDATE counter SET n = 7 WHERE id = 1")
    other.commit()  # after a replay
    assert values(table="", reason="schema_changed") == {"rome_conflicts_total": 1}


def test_claims_and_the_time_in_the_queue_are_counted(connect: Connect) -> None:
    one, other = connect(isolation_level="READ COMMITTED"), connect(isolation_level="READ COMMITTED")
    one.executescript(CREATE)
    one.execute("UPDATE counter SET n = 1 WHERE id = 1")
    waiting = threading.Thread(target=other.execute, args=("UPDATE counter SET n = 2 WHERE id = 1",))
    waiting.start()
    while values()["rome_claims_total"] < 2:
        time.sleep(0.001)
    one.commit()
    waiting.join()
    other.commit()
    found = values()
    assert (found["rome_claims_total"], found["rome_queue_entries_total"]) == (2, 2)
    assert found["rome_queue_wait_seconds_total"] > 0


@pytest.mark.parametrize(("seconds", "bucket"), [(0.0, 0), (0.005, 3), (0.0051, 4), (11.0, len(COMMIT_BOUNDS_S))])
def test_commit_goes_into_the_bucket_of_its_duration(
    seconds: float, bucket: int, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect()
    connection.executescript(CREATE)
    before = deepcopy(connection.session.totals().commits)
    connection.execute("UPDATE counter SET n = 1")
    clock = SimpleNamespace(perf_counter=iter((0.0, seconds)).__next__, monotonic=time.monotonic)
    monkeypatch.setattr("rome.transaction.transaction.time", clock)
    connection.commit()
    after = connection.session.totals().commits
    assert after.seconds == before.seconds + seconds
    changed = [now - then for now, then in zip(after.within, before.within, strict=True)]
    assert (changed.index(1), sum(changed)) == (bucket, 1)


def test_plan_cache_misses_once_for_each_text(connect: Connect) -> None:
    connection = connect()
    connection.executescript(CREATE)
    before, name = values(), token_hex(8)  # databases with an equal schema share their plans
    for _ in range(3):
        connection.execute(f'SELECT n AS "{name}" FROM counter WHERE id = 2')
    after = values()
    assert after["rome_plan_cache_misses_total"] - before["rome_plan_cache_misses_total"] == 1
    assert after["rome_plan_cache_entries"] == before["rome_plan_cache_entries"] + 1


def test_totals_never_fall_while_transactions_end(connect: Connect) -> None:
    connection = connect()
    connection.executescript(CREATE)
    stopped = threading.Event()
    fallen: list[str] = []

    def watch() -> None:
        before = values()
        while not stopped.is_set():
            now = values()
            fallen.extend(name for name in before if name.endswith("_total") and now[name] < before[name])
            before = now

    watching = threading.Thread(target=watch)
    watching.start()
    for _ in range(100):
        connection.execute("SELECT * FROM counter").fetchall()
        connection.rollback()
        with closing(connect()) as another:
            another.execute("SELECT * FROM counter").fetchall()
    stopped.set()
    watching.join()
    assert not fallen


def test_forked_child_begins_with_zeros() -> None:
    program = """
import os, rome
from rome.metrics import text
rome.connect("rome+memory:///x").execute("SELECT 1")
assert "rome_statements_total" in text()
child = os.fork()
if not child:
    assert "rome_statements_total" not in text()
    rome.connect("rome+memory:///x").execute("SELECT 1")
    assert 'rome_statements_total{store="memory",database="x"} 1' in text()
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert 'rome_statements_total{store="memory",database="x"} 1' in text()
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, env={**os.environ})


def test_every_sample_has_the_labels_of_its_metric(connect: Connect) -> None:
    connection = connect()
    connection.executescript(CREATE)
    for metric, samples in process_families():
        for sample in samples:
            assert tuple(sample.labels) == metric.all_labels, metric.name


def test_keys_and_collections_without_sql_are_counted(url: str) -> None:
    db, rival = rome.kv.open(url), rome.kv.open(url)
    ports, theirs = (each.collection("ports", Port, key="id") for each in (db, rival))
    with db.transaction() as tr:
        ports.put(tr, Port("p1", 1))
        tr.put(("seen",), 1)
    before = values()

    @db.transactional(max_attempts=1)
    def lose(tr: rome.kv.KvTransaction) -> None:
        port = ports.get(tr, "p1")
        assert port is not None
        with rival.transaction() as other:
            theirs.put(other, Port("p1", 2))
        ports.put(tr, port)

    with pytest.raises(ConflictError):
        lose()
    after = values()
    assert values(table="(kv: ports)", reason="changed") == {"rome_conflicts_total": 1}
    assert after["rome_serialization_failures_total"] == 1
    for name in ("rome_commits_total", "rome_rows_written_total", "rome_commit_duration_seconds_count"):
        assert after[name] - before[name] == 1, name
    assert after["rome_rows_read_total"] > before["rome_rows_read_total"]
    assert after["rome_round_trips_total"] > before["rome_round_trips_total"]
    db.close()
    rival.close()
    assert values()["rome_connections"] == 0
    assert values()["rome_commits_total"] == after["rome_commits_total"]
