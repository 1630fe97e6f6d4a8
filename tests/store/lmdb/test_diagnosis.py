"""What `rome doctor` says of LMDB files."""

from __future__ import annotations

import multiprocessing
import multiprocessing.synchronize
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rome.errors import StoreFullError
from rome.store.diagnosis import Diagnosis, Level
from rome.store.lmdb import LmdbStore, diagnosis
from rome.store.lmdb.diagnosis import file_system
from rome.store.location import Location
from rome.store.spi import Retention
from rome.testing.harness import SnapshotClient, put

pytestmark = pytest.mark.lmdb


@pytest.fixture(autouse=True)
def _on_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever these tests are run."""
    _pretend(monkeypatch, "ext4")


def _pretend(monkeypatch: pytest.MonkeyPatch, kind: str | None) -> None:
    monkeypatch.setattr(diagnosis, "file_system", lambda _: kind)


@pytest.fixture
def location(tmp_path: Path) -> Location:
    return Location("lmdb", str(tmp_path / "nova.rome"))


@contextmanager
def _client(location: Location) -> Iterator[SnapshotClient]:
    store = LmdbStore.open(location)
    try:
        yield SnapshotClient(store)
    finally:
        store.close()


def _level(found: Diagnosis, check: str) -> Level:
    [finding] = [finding for finding in found.findings if finding.check == check]
    assert (finding.level is Level.OK) == (not finding.remedy)
    return finding.level


def _with(location: Location, **options: str) -> Location:
    return Location("lmdb", location.database, options=options)


def test_file_that_is_not_there_is_not_created(location: Location) -> None:
    found = LmdbStore.diagnose(location)
    assert found.level is Level.OK
    assert not os.path.exists(location.database)


def test_sound_file_has_no_complaint(location: Location) -> None:
    with _client(location) as client:
        client.write(put(b"a"))
    found = LmdbStore.diagnose(location)
    assert [finding for finding in found.findings if finding.level is not Level.OK and finding.check != "disk"] == []
    assert dict(found.losses)["the machine crashes, or a power cut"] == "nothing"


def test_file_that_is_open_can_be_looked_at(location: Location) -> None:
    with _client(location) as client:
        client.write(put(b"a"))
        snapshot = client.begin()
        assert _level(LmdbStore.diagnose(location), "readers") is Level.OK
        assert client.record(b"a") == b"record"
        assert client.snapshot == snapshot


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("ext4", Level.OK),
        ("nfs4", Level.PROBLEM),
        ("fuse.sshfs", Level.PROBLEM),
        ("tmpfs", Level.PROBLEM),
        ("overlay", Level.WARNING),
        (None, Level.UNKNOWN),
    ],
)
def test_file_system(location: Location, monkeypatch: pytest.MonkeyPatch, kind: str | None, level: Level) -> None:
    _pretend(monkeypatch, kind)
    found = LmdbStore.diagnose(location)
    assert _level(found, "file system") is level
    in_memory = dict(found.losses)["the machine crashes, or a power cut"].startswith("everything")
    assert in_memory == (kind == "tmpfs")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/nova.rome", "xfs"),
        ("/data/shared/nova.rome", "nfs4"),
        ("/data/shared folder/nova.rome", "tmpfs"),
        ("/dat/nova.rome", "ext4"),
    ],
)
def test_file_system_is_that_of_the_nearest_mount_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, kind: str
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "30 22 8:2 / /data rw - ext4 /dev/sdb1 rw\n"
        "31 22 8:3 / /data rw - xfs /dev/sdb2 rw\n"  # mounted over the one before
        "40 31 0:40 / /data/shared rw shared:9 master:3 - nfs4 server:/export rw\n"
        "41 31 0:41 / /data/shared\\040folder rw - tmpfs none rw\n"
    )
    monkeypatch.setattr(diagnosis, "MOUNTS", str(mounts))
    assert file_system(path) == kind


def test_file_system_is_unknown_without_a_list_of_mounts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "MOUNTS", "/no/such/file")
    assert file_system("/data") is None


def test_commits_that_are_not_synced(location: Location) -> None:
    found = LmdbStore.diagnose(_with(location, sync="off"))
    assert _level(found, "sync") is Level.WARNING
    assert "may be damaged" in dict(found.losses)["the machine crashes, or a power cut"]


def test_full_file(location: Location) -> None:
    at = _with(location, max_size="1M", sync="off")
    seen = set()
    with _client(at) as client:
        for number in range(1_000):
            seen.add(_level(LmdbStore.diagnose(at), "max_size"))
            try:
                client.write(put(b"%d" % number, b"x" * 20_000))
            except StoreFullError:
                break
        else:
            pytest.fail("it was never full")
    assert seen == {Level.OK, Level.WARNING, Level.PROBLEM}


def test_history_that_fills_its_room(location: Location) -> None:
    with _client(location) as client:
        client.write(put(b"a"))
        client.store.set_retention(Retention(60.0, 1))
    assert _level(LmdbStore.diagnose(location), "history") is Level.WARNING


def test_snapshot_of_a_killed_process(location: Location) -> None:
    with _client(location) as client:  # else the next one to open the file would find it unused, and forget all readers
        client.write(put(b"a"))
        client.store.release()
        processes = multiprocessing.get_context("fork")
        ready = processes.Event()
        reader = processes.Process(target=_hold_a_snapshot, args=(location, ready))
        reader.start()
        assert ready.wait(60)
        assert "stale readers" not in {finding.check for finding in LmdbStore.diagnose(location).findings}
        assert reader.pid
        os.kill(reader.pid, signal.SIGKILL)
        reader.join()
        assert _level(LmdbStore.diagnose(location), "stale readers") is Level.WARNING


def _hold_a_snapshot(location: Location, ready: multiprocessing.synchronize.Event) -> None:
    client = SnapshotClient(LmdbStore.open(location))
    client.begin()
    ready.set()
    signal.pause()


def test_snapshot_that_misses_many_transactions(location: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "TRANSACTIONS_BEHIND", 3)
    with _client(location) as reader, _client(location) as writer:
        reader.begin()
        for _ in range(3):
            writer.write(put(b"a"))
            writer.store.release()
        assert _level(LmdbStore.diagnose(location), "readers") is Level.OK
        writer.write(put(b"a"))
        writer.store.release()
        assert _level(LmdbStore.diagnose(location), "readers") is Level.WARNING


def test_file_that_is_none_of_ours(location: Location) -> None:
    Path(location.database).write_text("not LMDB")
    assert _level(LmdbStore.diagnose(location), "file") is Level.PROBLEM
