"""docs/backup.md: the restore of a Redis server that has an append-only file, step by step."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
import redis

import rome
from rome.cli import main
from rome.errors import OperationalError
from tests.support.servers import Flavour, StartServer

PAGE = (Path(__file__).parents[2] / "docs" / "backup.md").read_text()
DEADLINE_S = 30.0


def wait_for(server: redis.Redis, **expected: int) -> None:
    """Until INFO persistence says so."""
    deadline = time.monotonic() + DEADLINE_S
    while any((found := server.info("persistence"))[name] != value for name, value in expected.items()):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


@pytest.mark.parametrize(
    "flavour", [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("redis", "valkey")]
)
def test_restore_an_rdb_file_beside_an_append_only_file(
    flavour: Flavour, start_server: StartServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server = start_server(flavour, {"appendonly": "yes", "appendfsync": "always"})
    url = f"rome+redis://127.0.0.1:{server.port}/app"
    folder: Path = server.directory

    def client() -> redis.Redis:
        return redis.Redis(port=server.port)

    connection = rome.connect(url)
    connection.executescript(
        "CREATE TABLE servers (id INTEGER PRIMARY KEY, name TEXT UNIQUE); "
        "INSERT INTO servers (name) VALUES ('web-1'), ('web-2')"
    )
    assert "redis-cli BGSAVE" in PAGE
    saved = client().lastsave()
    time.sleep(max(0.0, saved.timestamp() + 1 - time.time()))  # LASTSAVE has whole seconds
    client().bgsave()
    deadline = time.monotonic() + DEADLINE_S
    while client().lastsave() == saved:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    backup = folder.parent / f"{flavour}-backup.rdb"
    shutil.copy(folder / "dump.rdb", backup)
    connection.execute("INSERT INTO servers (name) VALUES ('web-3')")
    connection.commit()
    assert connection.execute("SELECT count(*) FROM servers").fetchall() == [(3,)]  # and goes on below

    server.stop()
    assert "mv appendonlydir dump.rdb /somewhere/else" in PAGE
    away = folder / "away"
    away.mkdir()
    for name in ("appendonlydir", "dump.rdb"):
        shutil.move(folder / name, away / name)
    shutil.copy(backup, folder / "dump.rdb")
    assert "--appendonly no" in PAGE
    server.options["appendonly"] = "no"
    server.start()
    assert "redis-cli CONFIG SET appendonly yes" in PAGE
    client().config_set("appendonly", "yes")
    wait_for(client(), aof_enabled=1, aof_rewrite_in_progress=0)
    server.stop()
    server.options["appendonly"] = "yes"
    server.start()

    assert main(["verify", url]) == 0
    assert "all rows, index entries and constraints are in order" in capsys.readouterr().out
    with pytest.raises(OperationalError) as refused:  # noqa: PT012 (whichever of them notices)
        connection.execute("SELECT max(id) FROM servers WHERE id > 0")
        connection.execute("INSERT INTO servers (name) VALUES ('web-5')")
        connection.commit()
    assert refused.value.sqlstate in ("40001", "08006")
    connection.rollback()
    assert connection.execute("SELECT name FROM servers").fetchall() == [("web-1",), ("web-2",)]
