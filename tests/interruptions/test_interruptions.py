"""Whatever comes from outside, and wherever: a transaction is whole, or it is gone and says so."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

import rome
from rome.dbapi import StreamCursor
from rome.errors import InterruptedTransactionError
from rome.transaction import chunked_scan
from tests.interruptions.points import Interruption, interrupted_at
from tests.interruptions.scenarios import SCENARIOS, Bench, sweep
from tests.support.databases import database, on
from tests.support.streamed import tiny_chunks

STEP = int(os.environ.get("INTERRUPTIONS_STEP", "37"))
"""`make interruptions` tries all of them; here one in so many, since each takes 20 ms."""
SLOWER = {"etcd": 3}
"""Stores on which one takes so many times as long."""

pytestmark = [
    pytest.mark.filterwarnings("ignore::rome.errors.PersistenceWarning"),
    # redis-py lets go of a socket before it closes it; interrupted between the two, the garbage collector does that.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(params=on("memory", "lmdb", "redis", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def bench(url: str) -> Iterator[Bench]:
    bench = Bench(url)
    yield bench
    bench.close()


def slower(url: str) -> int:
    return SLOWER.get(sa.make_url(url).drivername.partition("+")[2], 1)


@pytest.mark.parametrize("name", list(SCENARIOS))
def test_transaction_is_whole_or_gone(bench: Bench, name: str) -> None:
    step = STEP * slower(bench.url) if STEP > 1 else 1
    first = 1 + list(SCENARIOS).index(name) % STEP
    assert sweep(bench, SCENARIOS[name], first, step) > 0 or name == "rollback"


def test_closing_can_be_interrupted_and_repeated(url: str, bench: Bench) -> None:
    number = 1
    interruption: Interruption | None = Interruption()
    while interruption is not None:
        victim = rome.connect(url)
        victim.execute("UPDATE probe SET n = n + 1")
        victim.execute("SELECT * FROM parent")
        interruption = interrupted_at(number, victim.close)
        victim.close()
        assert not victim.is_usable()
        bench.other.execute("UPDATE probe SET n = n - 1")
        bench.other.commit()
        number += max(1, STEP // 8)


@pytest.mark.parametrize("url", on("lmdb"), indirect=True)
@pytest.mark.parametrize("kept", [False, True], ids=["forgotten", "traceback kept"])
def test_opening_can_be_interrupted(url: str, kept: bool) -> None:
    """Nobody waits for a lock that was left, and no file stays open but one that Python had just been handed."""
    with closing(rome.connect(url)) as connection:  # the last one: each of those below opens the file
        connection.execute("CREATE TABLE probe (n INTEGER)")
        connection.commit()
    gc.collect()
    folder = str(Path(sa.make_url(url).database or "").parent)
    open_files = _open_below(folder)
    number, tracebacks = 1, list[Interruption]()
    while (interruption := interrupted_at(number, lambda: rome.connect(url))) is not None:
        where = str(interruption)
        if kept:
            tracebacks.append(interruption)
        del interruption
        with closing(rome.connect(url)) as connection:
            connection.execute("INSERT INTO probe VALUES (1)")
            connection.commit()
        if not kept:
            gc.collect()
            rome.connect(url).close()  # closes what was left
            now = _open_below(folder)
            assert now <= open_files or "c_return of <built-in function open>" in where, where
            open_files = now
        number += STEP
    assert number > STEP


def _open_below(folder: str) -> int:
    """How many files of a folder this process has open. Others come and go: what other tests have left has threads."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # it is closed again
            count += str(descriptor.readlink()).startswith(f"{folder}/")
    return count


def test_fetching_can_be_interrupted(bench: Bench) -> None:
    number = 1
    interruption: Interruption | None = Interruption()
    while interruption is not None:
        cursor = bench.victim.execute("SELECT id FROM child ORDER BY id")
        interruption = interrupted_at(number, cursor.fetchone)
        assert cursor.fetchall() in ([(1,), (2,), (3,)], [(2,), (3,)])
        number += 1


def test_rows_of_a_stream_come_or_it_says_that_it_was_interrupted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the row that was about to be handed out, none is left out."""
    tiny_chunks(monkeypatch, 1)
    monkeypatch.setattr(chunked_scan, "MOST_ROWS", 2)  # the second part has two rows, and none of them may be left out
    number, said, went_on = 1, 0, 0
    interruption: Interruption | None = Interruption()
    while interruption is not None:
        cursor = bench.victim.cursor(StreamCursor).execute("SELECT id FROM child ORDER BY id")
        assert cursor.fetchone() == (1,)
        interruption = interrupted_at(number, cursor.fetchone)
        try:
            rest = cursor.fetchall()
        except InterruptedTransactionError:
            said += 1
        else:
            went_on += 1
            assert rest in ([(2,), (3,)], [(3,)]), str(interruption)
        cursor.close()
        bench.victim.rollback()
        assert bench.victim.execute("SELECT count(*) FROM child").fetchone() == (3,)
        bench.victim.rollback()
        number += max(1, STEP // 8)
    assert said > 0 < went_on


def test_signals_at_random_moments(url: str, bench: Bench) -> None:
    """The real thing, in a process of its own: hiredis crashes it when it is given numbers (rome.store.redis.link)."""
    program = f"""
import signal, rome, warnings
warnings.simplefilter("ignore")

class Timeout(Exception): pass

armed = False

def ring(*_):
    if armed: raise Timeout

victim = rome.connect({url!r})
signal.signal(signal.SIGALRM, ring)
rung = 0
for number in range({60_000 // (STEP * slower(url))}):
    signal.setitimer(signal.ITIMER_REAL, 0.00002 + (number % 97) * 0.00001)
    try:
        armed = True
        victim.execute("UPDATE probe SET n = ?", (number,))
        victim.execute("INSERT INTO entry (what) VALUES (?)", (str(number),))
        victim.commit()
        armed = False
    except Timeout:
        armed, rung = False, rung + 1
    try:
        seen = victim.execute("SELECT n FROM probe").fetchone()[0]
        victim.execute("UPDATE parent SET v = ? WHERE id = 1", (str(seen),))
        victim.commit()
    except rome.dbapi.OperationalError as error:
        assert type(error).__name__ == "InterruptedTransactionError", error
        victim.rollback()
    else:
        pair = victim.execute("SELECT probe.n, v FROM probe, parent WHERE parent.id = 1").fetchone()
        victim.commit()
        assert str(pair[0]) == pair[1], pair
signal.setitimer(signal.ITIMER_REAL, 0)  # a signal would end the process, once Python has given its handler back
print("rung", rung > 10)
"""
    if url.startswith("rome+memory"):  # each process has its own
        schema = "from tests.interruptions.scenarios import SCHEMA\n"
        fill = f"{schema}for sql in SCHEMA: victim.execute(sql)\nvictim.commit()\n"
        program = program.replace("signal.signal(", f"{fill}signal.signal(")
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=240 * slower(url),
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "rung True\n"), done.stderr[-3000:]
