"""What befalls an LMDB file, and the processes that have it open."""

from __future__ import annotations

import itertools
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from os import environ, kill, pathsep
from pathlib import Path

import pytest

import rome
from rome.dbapi import Connection
from rome.errors import StoreFullError
from tests.faults import ledger, mortal
from tests.faults.clients import ROUNDS, Clients
from tests.faults.ledger import Told

CLIENTS = 3
ENVIRONMENT = {**environ, "PYTHONPATH": pathsep.join(path for path in sys.path if path)}

pytestmark = [pytest.mark.timeout(1800), pytest.mark.lmdb]


def test_power_cut(tmp_path: Path) -> None:
    """Stop all clients at any moment, and take the file as it is: every commit that was acknowledged is in the copy."""
    notes, copies = tmp_path / "notes", tmp_path / "copies"
    notes.mkdir()
    url = f"rome+lmdb:///{tmp_path}/ledger.rome"
    with Clients(url, notes, [url] * CLIENTS) as clients:

        def strike(number: int) -> None:
            for client in clients.running:
                kill(clients.pid(client), signal.SIGSTOP)
            shutil.copytree(notes, copies / str(number))
            shutil.copy(tmp_path / "ledger.rome", copies / f"{number}.rome")
            for client in clients.running:
                kill(clients.pid(client), signal.SIGCONT)

        assert not clients.survive(strike).lost
    for number in range(ROUNDS):
        verdict = ledger.judge(f"rome+lmdb:///{copies}/{number}.rome", (copies / str(number)).glob("*.notes"))
        assert verdict.entries
        assert not verdict.lost


def test_client_killed(tmp_path: Path) -> None:
    """At any moment of its transactions; others go on."""
    url = f"rome+lmdb:///{tmp_path}/ledger.rome"
    with Clients(url, tmp_path, [url] * CLIENTS) as clients:

        def strike(number: int) -> None:
            time.sleep(number % 7 / 1000)
            clients.end(clients.running[0])
            clients.start(url)

        verdict = clients.survive(strike)
    assert not verdict.lost
    assert not verdict.told[Told.MISSED]


def test_client_killed_at_every_step_of_a_commit(tmp_path: Path) -> None:
    url = f"rome+lmdb:///{tmp_path}/ledger.rome"
    ledger.create(url)
    for step in range(1, 1_000):
        ledger.join(url, step)
        notes = str(tmp_path / f"{step}.notes")
        command = [sys.executable, "-m", "tests.faults.mortal", url, notes, str(step), str(step)]
        status = subprocess.run(command, env=ENVIRONMENT, check=False).returncode
        verdict = ledger.judge(url, tmp_path.glob("*.notes"))
        assert not verdict.lost
        assert not verdict.told[Told.MISSED]
        if status != -signal.SIGKILL:
            break
    assert status == mortal.FEWER_STEPS
    assert step > 10
    print(f"\nkilled at {step - 1} steps: {verdict}")


def add_filled(connection: Connection) -> None:
    """Entries of client 1 from 0 on, each with 10 kB beside it."""
    for n in itertools.count():
        connection.execute("INSERT INTO filler VALUES (?, ?)", (n, "x" * 10_000))
        connection.execute("INSERT INTO entry VALUES (1, ?)", (n,))
        connection.execute("UPDATE total SET n = n + 1 WHERE client = 1")
        if n % ledger.SHARED == 0:
            connection.execute("UPDATE total SET n = n + 1 WHERE client = 0")
        connection.commit()


def test_map_full(tmp_path: Path) -> None:
    """A clear error, nothing half done; a larger `max_size` goes on where it ended."""
    small = f"rome+lmdb:///{tmp_path}/full.rome?max_size=1M&sync=off"
    ledger.create(small)
    ledger.join(small, 1)
    with closing(rome.connect(small)) as connection:
        connection.execute("CREATE TABLE filler (id INTEGER PRIMARY KEY, a TEXT)")
        connection.commit()
        with pytest.raises(StoreFullError, match="max_size") as caught:
            add_filled(connection)
        connection.rollback()
        [(n,)] = connection.execute("SELECT max(id) + 1 FROM filler").fetchall()
    assert isinstance(n, int)
    assert n > 10
    assert caught.value.sqlstate == "53200"
    notes = tmp_path / "1.notes"
    notes.write_text("".join(f"{Told.SENT} {each}\n{Told.COMMITTED} {each}\n" for each in range(n)))
    for url in (small, small.replace("1M", "20M")):
        verdict = ledger.judge(url, [notes])
        assert not verdict.lost
        assert len(verdict.entries) == n
    with closing(rome.connect(small.replace("1M", "20M"))) as connection:
        connection.execute("INSERT INTO filler VALUES (?, ?)", (n, "x" * 10_000))
        connection.commit()


READER = """
import sys, rome
connection = rome.connect(sys.argv[1])
connection.execute("SELECT * FROM total").fetchall()
print("reading", flush=True)
sys.stdin.read()
"""


def test_killed_reader_keeps_nothing(tmp_path: Path) -> None:
    """A reader holds back the pages that its snapshot needs; killed ones do so no longer, and their slots are free."""
    url = f"rome+lmdb:///{tmp_path}/ledger.rome?sync=off"
    ledger.create(url)
    ledger.join(url, 1)
    rome.set_retention(url, seconds=0)
    size = 0
    with closing(rome.connect(url)) as connection:
        for number in range(ROUNDS + 2):
            reader = subprocess.Popen(
                [sys.executable, "-c", READER, url], env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert reader.stdout is not None
            assert reader.stdout.readline() == b"reading\n"
            reader.kill()
            reader.communicate()
            for _ in range(200):
                connection.execute("UPDATE total SET n = n + 1")
                connection.commit()
            rome.trim(url)
            if number == 1:
                size = (tmp_path / "ledger.rome").stat().st_blocks
    assert (tmp_path / "ledger.rome").stat().st_blocks <= 2 * size
