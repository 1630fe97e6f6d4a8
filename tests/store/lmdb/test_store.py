"""What is LMDB's own: files, processes, crashes. What every store promises is in tests/conformance."""

from __future__ import annotations

import gc
import os
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from secrets import token_bytes
from textwrap import dedent

import lmdb
import pytest
from msgspec.structs import replace

import rome
from rome import errors
from rome.errors import (
    CommitUnknownError,
    FormatError,
    SnapshotTooOldError,
    StoreConfigError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
    URLError,
)
from rome.store.lmdb import LmdbStore, environment, files, fork
from rome.store.location import Location
from rome.store.row_block import RowBlock
from rome.store.spi import BEYOND, ORDER_INDEX, CommitRequest, Get, Reserve, Retention, Scan, ScanResult, Store
from rome.testing.harness import Point, RowWrite, SnapshotClient, delete, put

MEGABYTE = b"m" * 2**20
AT_ONCE = Retention(0.0)


def locate(path: Path, **options: str) -> Location:
    return Location("lmdb", str(path), options={"sync": "off", **options})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.rome"


@pytest.fixture
def connect(path: Path) -> Iterator[Callable[..., SnapshotClient]]:
    stores: list[Store] = []

    def open_client(**options: str) -> SnapshotClient:
        stores.append(LmdbStore.open(locate(path, **options)))
        return SnapshotClient(stores[-1])

    yield open_client
    for store in stores:
        store.close()


Connect = Callable[..., SnapshotClient]

CHILD = """
    import os, sys
    from secrets import token_bytes
    from rome.errors import ConflictError
    from rome.store.lmdb import LmdbStore
    from rome.store.location import Location
    from rome.store.spi import *
    from rome.testing.harness import EntryWrite, Point, SnapshotClient, put
    client = SnapshotClient(LmdbStore.open(Location("lmdb", sys.argv[1], options={"sync": sys.argv[2]})))
    def say(word):
        print(word, flush=True)
"""


@contextmanager
def child(path: Path, program: str, *, sync: str = "off") -> Iterator[subprocess.Popen[str]]:
    """Another process, with a connection `client`; killed at the end if it is still there."""
    with subprocess.Popen(
        [sys.executable, "-c", dedent(CHILD) + dedent(program), str(path), sync],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def forked(action: Callable[[], object]) -> str:
    """What the action returned, or raised, in a forked child that then ends as a worker process does."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            try:
                outcome = repr(action())
            except Exception as error:  # noqa: BLE001
                outcome = repr(error)
            gc.collect()
            os.write(writing, outcome.encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        outcome = pipe.read()
    os.waitpid(pid, 0)
    return outcome


class TestProcesses:
    def test_increments_of_two_processes_are_all_kept(self, connect: Connect, path: Path) -> None:
        client = connect()
        client.write(put(b"counter", b"0"))
        program = """
            for _ in range(200):
                while True:
                    client.begin()
                    [row] = client.get(b"counter")
                    try:
                        client.commit(put(b"counter", b"%d" % (int(row.record) + 1)),
                                      read=[Point(1, b"counter", row.version)])
                    except ConflictError:
                        continue
                    break
            say("done")
        """
        with child(path, program) as first, child(path, program) as second:
            assert (line(first), line(second)) == ("done", "done")
        client.begin()
        assert client.record(b"counter") == b"400"

    @pytest.mark.parametrize("acknowledgements", [3, 20, 60])
    def test_killed_writer_loses_nothing_that_was_acknowledged(
        self, connect: Connect, path: Path, acknowledgements: int
    ) -> None:
        program = """
            number = 0
            while True:
                number += 1
                client.write(put(b"%06d" % number, b"r" * 3000), EntryWrite(1, 1, b"i", b"%06d" % number, True))
                say(number)
        """
        with child(path, program, sync="on") as writer:
            for _ in range(acknowledgements):
                last = int(line(writer))
            writer.kill()
            rest = writer.stdout.read().split() if writer.stdout else []
        acknowledged = [b"%06d" % number for number in range(1, max([last, *map(int, rest)]) + 1)]
        client = connect()
        client.begin()
        found = client.keys()
        assert found[: len(acknowledged)] == acknowledged
        assert client.keys(1) == found
        assert len(found) <= len(acknowledged) + 1
        client.write(put(b"a later row"))

    def test_killed_inside_a_write_transaction_frees_the_lock_and_leaves_nothing(
        self, connect: Connect, path: Path
    ) -> None:
        client = connect()
        program = """
            def damage(txn):
                txn.put(b"M", b"damaged")
                say("inside")
                sys.stdin.read()
            client.store._environment.write(damage)
        """
        with child(path, program) as writer:
            assert line(writer) == "inside"
            writer.kill()
            writer.wait()
            client.write(put(b"a"))
        client.begin()
        assert client.keys() == [b"a"]

    def test_snapshot_of_a_killed_process_does_not_hold_pages_for_ever(self, connect: Connect, path: Path) -> None:
        client = connect()
        client.write(put(b"a", MEGABYTE))
        with child(path, "client.begin(); say('reading'); sys.stdin.read()") as reader:
            assert line(reader) == "reading"
            reader.kill()
            reader.wait()
            client.store.trim()
            self._overwrite(client, times=20)
        assert path.stat().st_size < 10 * len(MEGABYTE)

    def test_forgotten_snapshot_is_ended_and_stops_holding_pages(
        self, connect: Connect, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(fork, "PERIOD_S", 0.01)
        forgetful, writer = connect(), connect()
        writer.store.set_retention(AT_ONCE)
        writer.write(put(b"a", MEGABYTE))
        forgetful.begin()
        thread = fork.reaper._thread
        assert thread is not None
        self._overwrite(writer, times=2)
        writer.store.release()
        thread.join(timeout=60)  # it ends with the last snapshot
        assert not thread.is_alive()
        self._overwrite(writer, times=20)
        assert path.stat().st_size < 10 * len(MEGABYTE)
        with pytest.raises(SnapshotTooOldError):
            forgetful.record(b"a")

    def test_snapshot_is_not_ended_while_nothing_was_superseded(self, connect: Connect) -> None:
        reader, writer = connect(), connect()
        writer.store.set_retention(AT_ONCE)
        writer.write(put(b"a"))
        writer.store.trim()
        reader.begin()
        writer.begin()
        assert fork._reap()
        assert reader.record(b"a") == b"record"

    def test_pin_holds_nothing_once_the_file_has_grown_by_the_retentions_bytes(
        self, connect: Connect, path: Path
    ) -> None:
        """The rows that were replaced are small, and the pages that a snapshot keeps are not."""
        reader, writer = connect(), connect()
        writer.store.set_retention(Retention(0.0, 1_000_000))
        writer.write(*(put(b"%04d" % number, b"x" * 100) for number in range(500)))
        seen = reader.begin()
        assert writer.store.pin(b"P" * 16, seen, 600.0, owner="", age_s=0.0) <= seen.version
        kept = 0
        while writer.store.pin(b"O" * 16, seen, 600.0, owner="", age_s=0.0) <= seen.version:
            writer.write(put(b"%04d" % (kept % 500), b"y"))
            kept += 1
            assert kept < 1_000, "the file grows and grows"
        assert kept > 10
        assert writer.store.usage().history_bytes < 100_000
        with pytest.raises(SnapshotTooOldError):
            reader.record(b"0000")

    @staticmethod
    def _overwrite(client: SnapshotClient, *, times: int) -> None:
        for _ in range(times):
            client.write(put(b"a", MEGABYTE))


class TestFork:
    def test_child_must_open_its_own_connection(self, connect: Connect) -> None:
        client = connect()
        client.write(put(b"a"))
        client.begin()
        assert "opened by the parent process" in forked(client.begin)
        assert "opened by the parent process" in forked(lambda: client.write(put(b"a")))
        assert forked(client.store.is_usable) == "False"
        assert forked(lambda: (client.store.release(), client.store.close())) == "(None, None)"
        assert client.store.is_usable()

    def test_child_reads_and_writes_through_its_own(self, connect: Connect) -> None:
        client = connect()
        client.write(put(b"a"))

        def in_child() -> list[bytes]:
            own = connect()
            own.write(put(b"b"))
            own.begin()
            return own.keys()

        assert forked(in_child) == repr([b"a", b"b"])
        client.begin()
        assert client.keys() == [b"a", b"b"]

    def test_parents_snapshot_outlives_the_child(self, connect: Connect) -> None:
        """Giving back the inherited transaction in the child would clear the parent's place in the reader table."""
        reader, writer = connect(), connect()
        writer.write(put(b"a", b"before" * 1000))
        reader.begin()

        def in_child() -> None:
            reader.store.release()
            reader.store.close()
            writer.store.close()
            reader.store.__dict__.clear()
            gc.collect()

        assert forked(in_child) == "None"
        for _ in range(50):
            writer.write(put(b"a", b"after" * 1000))
        assert reader.record(b"a") == b"before" * 1000

    def test_no_thread_of_the_store_runs_across_a_fork(self, connect: Connect) -> None:
        client = connect()
        client.begin()
        assert fork.reaper._thread in threading.enumerate(), "the snapshot is watched"
        assert forked(threading.active_count) == "1"
        assert fork.reaper._thread is not None, "the snapshot is watched again"

    def test_fork_while_other_threads_commit(self, connect: Connect) -> None:
        client, other = connect(), connect()
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                other.write(put(b"b"))

        def write_in_child(key: bytes) -> bool:
            return connect().write(put(key)) > 0

        thread = threading.Thread(target=write)
        thread.start()
        try:
            for number in range(10):
                assert forked(partial(write_in_child, b"%d" % number)) == "True"
        finally:
            stop.set()
            thread.join()
        client.begin()
        assert client.keys() == [*(b"%d" % number for number in range(10)), b"b"]


class TestSize:
    def test_file_grows_under_a_live_snapshot(self, connect: Connect, path: Path) -> None:
        reader, writer = connect(), connect()
        writer.write(put(b"a"))
        reader.begin()
        for number in range(40):
            writer.write(put(b"b%02d" % number, MEGABYTE))
        assert path.stat().st_size > 40 * len(MEGABYTE)
        assert reader.keys() == [b"a"]

    def test_other_process_sees_what_the_file_grew_by(self, connect: Connect, path: Path) -> None:
        client = connect()
        with child(path, "say('open'); sys.stdin.readline(); client.begin(); say(len(client.keys()))") as other:
            assert line(other) == "open"
            for number in range(30):
                client.write(put(b"%02d" % number, MEGABYTE))
            assert other.stdin is not None
            other.stdin.write("go\n")
            other.stdin.flush()
            assert line(other) == "30"

    def test_full_file_can_be_read_and_deleted_from_and_then_written_again(self, connect: Connect) -> None:
        client = connect(max_size="2M")
        client.store.set_retention(AT_ONCE)
        written = []
        with pytest.raises(StoreFullError, match="max_size"):  # noqa: PT012
            for number in range(1000):
                client.write(put(b"%03d" % number, b"r" * 50_000))
                written.append(b"%03d" % number)
        assert 10 < len(written) < 42
        client.begin()
        assert client.keys() == written
        for key in written:
            client.write(RowWrite(1, key, None))
        client.write(put(b"again", b"r" * 50_000))

    def test_commit_beyond_the_map_writes_nothing(self, connect: Connect) -> None:
        client = connect(max_size="1M")
        client.write(put(b"a"))
        with pytest.raises(StoreFullError, match="max_size"):
            client.write(put(b"b"), put(b"c", MEGABYTE))
        client.begin()
        assert client.keys() == [b"a"]

    def test_too_little_address_space_is_said(self, path: Path) -> None:
        """As under `ulimit -v`. A smaller max_size helps."""
        program = """
            import resource
            client.store.close()
            resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
            for options in {}, {"max_size": "1G"}:
                try:
                    LmdbStore.open(Location("lmdb", sys.argv[1], options=options)).close()
                    say("opened")
                except Exception as error:
                    say(repr(error))
        """
        with child(path, program) as process:
            refused = line(process)
            assert refused.startswith("StoreConfigError")
            assert "max_size" in refused
            assert line(process) == "opened"


class TestFiles:
    def test_relative_path_is_of_the_working_directory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        location = Location("lmdb", "a.rome")
        LmdbStore.open(location).close()
        assert {file.name for file in tmp_path.iterdir()} == {"a.rome", "a.rome-lock", "a.rome-ids"}
        assert LmdbStore.list_databases(location) == ["a.rome"]
        LmdbStore.drop_database(location)
        assert not list(tmp_path.iterdir())

    def test_two_paths_to_one_file_share_it(self, connect: Connect, path: Path) -> None:
        client = connect()
        client.write(put(b"a"))
        link = path.with_name("link")
        link.symlink_to(path)
        other = SnapshotClient(LmdbStore.open(locate(link)))
        other.begin()
        assert other.keys() == [b"a"]
        other.store.close()

    def test_file_is_closed_with_its_last_connection(self, path: Path) -> None:
        first, second = LmdbStore.open(locate(path)), LmdbStore.open(locate(path))
        first.close()
        first.close()
        assert str(path) in fork.OPENED.by_path
        second.close()
        assert str(path) not in fork.OPENED.by_path

    @pytest.mark.parametrize(
        ("name", "error", "message"),
        [
            ("missing/test.rome", StoreUnavailableError, "no folder"),
            ("folder", StoreUnavailableError, "is a folder"),
            ("text", FormatError, "not an LMDB file"),
            ("foreign", FormatError, "not one of Rome's"),
        ],
    )
    def test_path_that_leads_to_no_database_is_refused(
        self, tmp_path: Path, name: str, error: type[Exception], message: str
    ) -> None:
        self._populate(tmp_path)
        before = sorted(tmp_path.iterdir())
        for refused in (LmdbStore.open, LmdbStore.drop_database):
            if name.startswith("missing") and refused == LmdbStore.drop_database:
                continue
            with pytest.raises(error, match=message):
                refused(locate(tmp_path / name))
        assert sorted(tmp_path.iterdir()) == before

    def test_file_that_cannot_be_written_is_refused(
        self, connect: Connect, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connect().store.close()
        monkeypatch.setattr(os, "access", lambda _, mode: not mode & os.W_OK)  # root may write everything
        with pytest.raises(StoreReadOnlyError, match=r"test\.rome: no permission to write"):
            connect()

    def test_newer_format_is_refused(self, connect: Connect, path: Path) -> None:
        connect().store.close()
        with lmdb.open(str(path), subdir=False) as file, file.begin(write=True) as txn:
            state = txn.get(b"M")
            assert state is not None
            txn.put(b"M", state[:4] + struct.pack(">I", 2) + state[8:])
        with pytest.raises(FormatError, match="format 2"):
            connect()

    @pytest.mark.parametrize("opened", [False, True])
    def test_list_names_databases_only_and_creates_nothing(self, tmp_path: Path, opened: bool) -> None:
        self._populate(tmp_path)
        stores = [LmdbStore.open(locate(tmp_path / name)) for name in ("b", "a")]
        if not opened:
            for store in stores:
                store.close()
        before = sorted(tmp_path.iterdir())
        assert LmdbStore.list_databases(locate(tmp_path / "c")) == [str(tmp_path / "a"), str(tmp_path / "b")]
        assert sorted(tmp_path.iterdir()) == before
        for store in stores:
            store.close()

    def test_list_of_a_missing_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(StoreUnavailableError, match="missing"):
            LmdbStore.list_databases(locate(tmp_path / "missing" / "a"))

    def test_copy_that_was_restored_is_a_database(self, connect: Connect, path: Path, tmp_path: Path) -> None:
        connect().write(put(b"a"))
        restored = tmp_path / "elsewhere" / "restored"
        restored.parent.mkdir()
        shutil.copy(path, restored)  # without the files beside it, as mdb_copy makes it
        assert LmdbStore.database_exists(locate(restored))
        assert LmdbStore.list_databases(locate(restored)) == [str(restored)]
        assert [file.name for file in restored.parent.iterdir()] == ["restored"]

    def test_file_of_another_user_is_left_out_of_the_list(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "theirs").write_text("x" * 9000)
        monkeypatch.setattr(os, "access", lambda path, mode: False)
        assert LmdbStore.list_databases(locate(tmp_path / "a")) == []

    @staticmethod
    def _populate(folder: Path) -> None:
        """What is no database of Rome's."""
        (folder / "folder").mkdir()
        (folder / "text").write_text("x" * 9000)
        (folder / "text-lock").touch()
        (folder / "empty").touch()
        with lmdb.open(str(folder / "foreign"), subdir=False) as file, file.begin(write=True) as txn:
            txn.put(b"M", b"not ours")


class TestDrop:
    def test_another_process_learns_that_the_database_was_dropped(self, connect: Connect, path: Path) -> None:
        connect().write(put(b"a"))
        program = """
            from rome.errors import StoreUnavailableError
            client.begin()
            say("reading")
            sys.stdin.readline()
            for action in (client.keys, client.begin, lambda: client.write(put(b"b"))):
                try:
                    action()
                except StoreUnavailableError as error:
                    say(error)
            say(client.store.is_usable())
            say(SnapshotClient(LmdbStore.open(Location("lmdb", sys.argv[1], options={"sync": "off"}))).begin().version)
        """
        with child(path, program) as other:
            assert line(other) == "reading"
            LmdbStore.drop_database(locate(path))
            assert not path.exists()
            assert other.stdin is not None
            other.stdin.write("go\n")
            other.stdin.flush()
            for _ in range(3):
                assert "was dropped" in line(other)
            assert line(other) == "False"
            assert line(other) == "0"

    def test_new_database_of_the_same_name_is_empty_while_the_old_one_is_open(
        self, connect: Connect, path: Path
    ) -> None:
        old = connect()
        old.write(put(b"a"))
        LmdbStore.drop_database(locate(path))
        new = connect()
        new.begin()
        assert new.keys() == []
        assert new.snapshot.incarnation != old.snapshot.incarnation
        with pytest.raises(StoreUnavailableError, match="dropped"):
            old.begin()
        old.store.close()
        new.write(put(b"b"))

    def test_full_file_can_be_dropped(self, connect: Connect, path: Path) -> None:
        client = connect(max_size="1M")
        client.write(put(b"a"))
        client.begin()
        other = connect(max_size="1M")
        with pytest.raises(StoreFullError):  # noqa: PT012
            while True:  # what the snapshot needs stays
                other.write(put(b"a", b"r" * 10_000))
        LmdbStore.drop_database(locate(path))
        assert not path.exists()
        assert not client.store.is_usable()

    def test_drop_that_died_half_way_is_completed(self, connect: Connect, path: Path) -> None:
        client = connect()
        client.write(put(b"a"))
        store = client.store
        assert isinstance(store, LmdbStore)
        dropped = replace(store._environment.state(), dropped=True)
        store._environment.write(dropped.write)
        store.close()
        assert LmdbStore.list_databases(locate(path)) == []
        client = connect()
        client.begin()
        assert client.keys() == []

    @pytest.mark.parametrize(("believed_s", "usable"), [(0.0, False), (3600.0, True)])
    def test_a_deleted_file_is_missed_after_a_while(
        self, connect: Connect, path: Path, monkeypatch: pytest.MonkeyPatch, believed_s: float, usable: bool
    ) -> None:
        client = connect()
        monkeypatch.setattr(environment, "BELIEVED_S", believed_s)
        assert client.store.is_usable()
        path.unlink()
        assert client.store.is_usable() is usable

    def test_file_that_was_deleted_by_hand_is_created_anew(self, connect: Connect, path: Path) -> None:
        connect().write(put(b"a"))
        path.unlink()
        path.with_name(path.name + "-lock").unlink()
        client = connect()
        client.begin()
        assert client.keys() == []


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"sync": "maybe"}, "sync=maybe: write on or off"),
            ({"max_size": "big"}, "max_size=big"),
            ({"max_size": "-1"}, "max_size=-1"),
            ({"max_size": "1000"}, "from 1M to 64T"),
            ({"max_size": "65T"}, "from 1M to 64T"),
        ],
    )
    def test_value_that_cannot_be_understood_is_refused(
        self, path: Path, options: dict[str, str], message: str
    ) -> None:
        with pytest.raises(URLError, match=message):
            LmdbStore.open(Location("lmdb", str(path), options=options))
        assert not path.exists()

    @pytest.mark.parametrize(("text", "size"), [("1048577", 1 << 20), ("3m", 3 << 20), ("20G", 20 << 30)])
    def test_max_size_takes_units(self, connect: Connect, text: str, size: int) -> None:
        store = connect(max_size=text).store
        assert isinstance(store, LmdbStore)
        assert store._environment.max_size == size

    def test_connections_of_one_process_must_agree(self, connect: Connect) -> None:
        connect(sync="off")
        with pytest.raises(StoreConfigError, match="other options"):
            connect(sync="on")


class TestErrors:
    def test_every_error_of_lmdb_has_its_meaning(self) -> None:
        """Fails when the library gets a new one: say what it means, in environment._ERRORS or here."""
        unavailable = {
            "BadChecksumError", "BadDbiError", "BadRslotError", "BadTxnError", "BadValsizeError", "CryptoFailError",
            "CursorFullError", "DbsFullError", "EnvEncryptionError", "IncompatibleError", "InvalidParameterError",
            "KeyExistsError", "NotFoundError", "PageFullError", "PanicError", "ProblemError", "TlsFullError",
        }  # fmt: skip
        known = {error.__name__ for error in environment._ERRORS}
        assert {error.__name__ for error in lmdb.Error.__subclasses__()} - known <= unavailable

    @pytest.mark.parametrize(
        ("raised", "expected"), [(lmdb.Error("disk on fire"), CommitUnknownError), (lmdb.DiskError(""), StoreFullError)]
    )
    def test_error_while_committing_is_unknown_unless_it_is_known(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch, raised: lmdb.Error, expected: type[errors.Error]
    ) -> None:
        store = connect().store
        assert isinstance(store, LmdbStore)
        opened = store._environment._lmdb

        class Failing:
            """A write transaction whose commit fails."""

            def __init__(self) -> None:
                self._txn = opened.begin(write=True)

            def commit(self) -> None:
                self._txn.abort()
                raise raised

            def __getattr__(self, name: str) -> object:
                return getattr(self._txn, name)

        class Environment:
            def begin(self, write: bool = False) -> object:
                return Failing() if write else opened.begin()

            def __getattr__(self, name: str) -> object:
                return getattr(opened, name)

        monkeypatch.setattr(store._environment, "_lmdb", Environment())
        request = CommitRequest(
            token_bytes(16), store.last_snapshot(), points={1: {b"a": 0}}, rows={1: {b"a": b"record"}}
        )
        with pytest.raises(expected) as caught:
            store.commit(request)
        if isinstance(caught.value, CommitUnknownError):
            assert caught.value.transaction_id == request.transaction_id
        monkeypatch.undo()
        assert store.resolve(request.transaction_id, request.snapshot.version) is None

    def test_closed_connection_says_so(self, connect: Connect) -> None:
        client = connect()
        client.store.close()
        with pytest.raises(StoreUnavailableError, match="closed"):
            client.begin()
        assert not client.store.is_usable()

    def test_more_snapshots_than_places_is_said_and_passes(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (environment, files):
            monkeypatch.setattr(module, "MAX_READERS", 3)
        stores = [LmdbStore.open(locate(path)) for _ in range(5)]
        for store in stores[:3]:
            store.read(None, ())
        with pytest.raises(errors.StoreBusyError, match="too many snapshots") as caught:
            stores[3].read(None, ())
        assert caught.value.retryable
        for store in stores:
            store.release()
        assert stores[-1].read(None, [Get(1, (b"a",))]).answers == [[None]]
        for store in stores:
            store.close()


class TestNumbers:
    """What sequences have handed out is in a file of its own, which nobody waits for; commits are in the database."""

    @staticmethod
    def take(client: SnapshotClient, size: int = 1) -> int:
        return client.store.read(None, (), [Reserve(1, size)]).reserved[0]

    def test_taking_writes_nothing_into_the_database(self, connect: Callable[..., SnapshotClient], path: Path) -> None:
        client = connect()
        client.write(put(b"a"))
        before = path.read_bytes()
        assert [self.take(client) for _ in range(3)] == [1, 2, 3]
        assert path.read_bytes() == before

    def test_processes_share_them(self, connect: Callable[..., SnapshotClient], path: Path) -> None:
        client = connect()
        assert self.take(client, 5) == 1
        code = f"""
            from rome.store.lmdb import LmdbStore
            from rome.store.location import Location
            from rome.store.spi import Reserve
            store = LmdbStore.open(Location("lmdb", {str(path)!r}, options={{"sync": "off"}}))
            print(store.read(None, (), [Reserve(1, 10)]).reserved[0])
        """
        shown = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, check=True)
        assert int(shown.stdout) == 6
        assert self.take(client) == 16

    def test_they_outlive_the_last_connection(self, path: Path) -> None:
        for expected in (1, 2, 3):
            store = LmdbStore.open(locate(path))
            assert self.take(SnapshotClient(store)) == expected
            store.close()

    @pytest.mark.parametrize("left", [b"", b"rome ids", bytes(100), b"rome ids" + bytes(16) + bytes(8) + b"\xff" * 80])
    def test_after_a_loss_they_go_on_from_what_was_committed(self, path: Path, left: bytes) -> None:
        """As a power cut, or somebody who copies files, may leave it."""
        store = LmdbStore.open(locate(path))
        client = SnapshotClient(store)
        assert self.take(client, 30) == 1
        client.begin()
        client.commit(put(b"a"), sequences={1: 12})
        store.close()
        numbers = path.with_name(path.name + "-ids")
        assert numbers.exists()
        numbers.write_bytes(left)
        store = LmdbStore.open(locate(path))
        assert self.take(SnapshotClient(store)) == 13
        store.close()

    def test_an_older_copy_is_below_what_was_committed(self, path: Path) -> None:
        store = LmdbStore.open(locate(path))
        client = SnapshotClient(store)
        assert self.take(client, 3) == 1
        numbers = path.with_name(path.name + "-ids")
        older = numbers.read_bytes()
        assert self.take(client, 10) == 4
        client.begin()
        client.commit(put(b"a"), sequences={1: 13})
        store.close()
        numbers.write_bytes(older)
        store = LmdbStore.open(locate(path))
        assert self.take(SnapshotClient(store)) == 14
        store.close()

    def test_a_database_made_anew_begins_anew(self, path: Path) -> None:
        for _ in range(2):
            store = LmdbStore.open(locate(path))
            assert self.take(SnapshotClient(store), 7) == 1
            store.close()
            LmdbStore.drop_database(locate(path))
        assert list(path.parent.iterdir()) == []

    def test_it_belongs_to_whom_the_database_belongs(self, connect: Callable[..., SnapshotClient], path: Path) -> None:
        self.take(connect())
        assert path.with_name(path.name + "-ids").stat().st_mode == path.stat().st_mode

    def test_a_file_that_cannot_be_opened(self, path: Path) -> None:
        path.with_name(path.name + "-ids").mkdir()
        with pytest.raises(StoreUnavailableError, match=r"test\.rome-ids: Is a directory"):
            LmdbStore.open(locate(path))


class TestKeysThatNobodyHasAskedFor:
    """Most of a large scan's keys stay in the file until somebody asks."""

    KEYS = tuple(b"%04d" % number for number in range(300))

    @pytest.fixture
    def client(self, connect: Connect) -> SnapshotClient:
        client = connect()
        client.write(*(put(key, key * 2) for key in self.KEYS))
        client.begin()
        return client

    def scanned(self, client: SnapshotClient) -> RowBlock:
        [answer] = client.read(Scan(1, ORDER_INDEX, b"", BEYOND))
        assert isinstance(answer, ScanResult)
        assert isinstance(answer.rows, RowBlock)
        return answer.rows

    def is_as_it_was(self, block: RowBlock) -> bool:
        return [(row.key, row.record) for row in block.rows()] == [(key, key * 2) for key in self.KEYS]

    def test_are_those_of_the_snapshot(self, client: SnapshotClient, connect: Connect) -> None:
        block = self.scanned(client)
        connect().write(put(b"0150+", b"new"), delete(self.KEYS[200]))
        assert self.is_as_it_was(block)

    @pytest.mark.parametrize("end", ["release", "begin", "commit", "close"])
    def test_are_read_when_the_snapshot_ends(self, client: SnapshotClient, connect: Connect, end: str) -> None:
        block = self.scanned(client)
        connect().write(put(b"0150+", b"new"), delete(self.KEYS[200]))
        if end == "commit":
            client.commit(put(b"other"), read=[Point(1, b"other", 0)])
        else:
            {"release": client.store.release, "begin": client.begin, "close": client.store.close}[end]()
        assert self.is_as_it_was(block)

    def test_are_read_when_the_reaper_ends_the_snapshot(self, client: SnapshotClient, connect: Connect) -> None:
        block = self.scanned(client)
        other = connect()
        other.store.set_retention(AT_ONCE)
        other.write(put(b"0150+", b"new"))
        other.store.trim()
        assert isinstance(client.store, LmdbStore)
        client.store._environment.reap()
        with pytest.raises(SnapshotTooOldError):
            client.scan()
        assert self.is_as_it_was(block)

    def test_are_read_before_a_fork(self, client: SnapshotClient) -> None:
        block = self.scanned(client)
        assert forked(lambda: self.is_as_it_was(block)) == "True"
        assert self.is_as_it_was(block)

    def test_are_not_read_for_a_block_that_is_gone(self, client: SnapshotClient) -> None:
        assert isinstance(client.store, LmdbStore)
        pin, block = client.store._pin, self.scanned(client)
        [unread] = pin.unread
        del block
        assert unread() is None
        client.store.release()
        assert not pin.unread

    def test_of_a_table_that_is_kept_are_there_in_a_child(self, path: Path) -> None:
        url = f"rome+lmdb:///{path}-sql?sync=off"
        connection = rome.connect(url)
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(number, f"v{number}") for number in range(300)])
        connection.commit()
        connection.execute("SELECT count(*) FROM t WHERE v LIKE '%7'").fetchall()

        def change() -> int:
            own = rome.connect(url)
            changed = own.execute("UPDATE t SET v = v || '!' WHERE v LIKE '%7'").rowcount
            own.commit()
            own.close()
            return changed

        assert forked(change) == "30"
        connection.rollback()
        assert connection.execute("SELECT count(*) FROM t WHERE v LIKE '%7!'").fetchone() == (30,)
        connection.close()
