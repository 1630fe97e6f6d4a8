"""A recorded boot is replayed as it was recorded, hot and cold."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import replay
from replay import Call, Database, Recording, Replay

RECORDING = Recording(
    boots=1,
    databases=[Database({}, ["CREATE TABLE t (id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)"])],
    calls=[
        Call(0, 0, "execute", "INSERT INTO t VALUES (?)", [2], -1),
        Call(0, 0, "commit", "", None, -1),
        Call(0, 1, "execute", "SELECT id FROM t WHERE id > ?", [0], 2),
    ],
)


def test_each_call_begins_with_cold_caches() -> None:
    made: list[int] = []
    replayed = Replay(RECORDING, "rome+memory:///{db}", 0)
    try:
        assert replayed.run(lambda: made.append(len(made))) == []
    finally:
        replayed.close()
    assert len(made) == len(RECORDING.calls)


def test_what_walks_take_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "boot.msgpack"
    file.write_bytes(msgspec.msgpack.encode(RECORDING))

    class Slow(replay.Walk):
        def __call__(self) -> None:
            self.wall += 1000  # seconds
            self.cpu += 1000

    monkeypatch.setattr(replay, "Walk", Slow)
    monkeypatch.setattr("sys.argv", ["replay.py", str(file), "rome+memory:///{db}", "--rounds", "1", "--cold", "1"])
    replay.main()
    cpu, wall = (float(part.split()[0]) for part in capsys.readouterr().out.split(",")[:2])
    assert cpu < -2_999_000
    assert wall < -2_999_000


def test_instructions_are_not_counted_cold(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["replay.py", "x", "rome+memory:///{db}", "--instructions", "--cold"])
    with pytest.raises(SystemExit):
        replay.main()
    assert "not allowed with" in capsys.readouterr().err
