"""Damaged files, full disks, permissions: an error that says so, never a killed process or an error of a library."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from secrets import token_bytes

import lmdb
import pytest

import rome
from rome import errors
from rome.errors import (
    CommitUnknownError,
    CorruptRecordError,
    Error,
    FormatError,
    StoreFullError,
    StoreUnavailableError,
)
from rome.store.lmdb import LmdbStore
from rome.store.lmdb.pages import check_whole
from rome.store.spi import CommitRequest

pytestmark = pytest.mark.lmdb

SCHEMA = [
    "CREATE TABLE t (id INTEGER PRIMARY KEY, k TEXT, v BLOB, r REAL)",
    "CREATE UNIQUE INDEX t_k ON t (k)",
    "CREATE INDEX t_r ON t (r) WHERE r > 1",
    "CREATE TABLE w (a TEXT, b INT, PRIMARY KEY (a, b)) WITHOUT ROWID",
    "CREATE VIEW x AS SELECT k FROM t",
]
USE = [
    "SELECT * FROM t",
    "SELECT k FROM t WHERE k > 'k3' ORDER BY k",
    "SELECT * FROM w WHERE a = 'ww'",
    "SELECT count(*), max(r) FROM t",
    "SELECT * FROM x",
    "INSERT INTO t (k, v) VALUES ('new', 1)",
    "UPDATE t SET r = 9 WHERE k = 'k7'",
    "DELETE FROM w WHERE b = 3",
    "COMMIT",
    "CREATE INDEX more ON w (b)",
    "COMMIT",
    "DROP TABLE t",
    "COMMIT",
]


def address(path: Path, **options: object) -> str:
    return f"rome+lmdb:///{path}?sync=off" + "".join(f"&{name}={value}" for name, value in options.items())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small database with keys beyond LMDB's length, large values and some history."""
    path = tmp_path_factory.mktemp("damage") / "whole.rome"
    with closing(rome.connect(address(path))) as connection:
        for statement in SCHEMA:
            connection.execute(statement)
        rows = [(f"k{n}", bytes(n), n / 3) for n in range(12)] + [("L" * 600 + end, b"x" * 9000, 1.5) for end in "ab"]
        connection.executemany("INSERT INTO t (k, v, r) VALUES (?, ?, ?)", rows)
        connection.executemany("INSERT INTO w VALUES (?, ?)", [("w" * n, n) for n in range(6)])
        connection.commit()
        connection.execute("UPDATE t SET r = r + 1 WHERE id < 4")
        connection.commit()
    return path


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path / "copy.rome"))


def use(path: Path) -> list[Error]:
    """Use all of a database; every error must be one of Rome's."""
    Path(f"{path}-lock").touch()
    found: list[Error] = []
    url = address(path)
    try:
        with closing(rome.connect(url)) as connection:
            for statement in USE:
                try:
                    connection.execute(statement)
                except Error as error:
                    found.append(error)
                    connection.rollback()
        rome.list_databases(url)
        rome.trim(url)
        rome.diagnose(url)
    except Error as error:
        found.append(error)
    return found


def change(path: Path, changes: Mapping[bytes, bytes]) -> None:
    """Put values into the file. It gets a history of its own, since a process remembers what it knows of one."""
    file = lmdb.open(str(path), subdir=False, map_size=1 << 24, lock=False, sync=False)
    with closing(file), file.begin(write=True) as txn:
        state = txn.get(b"M")
        assert state is not None
        txn.put(b"M", state[:9] + token_bytes(16) + state[25:])
        for key, value in changes.items():
            txn.put(key, value)
    Path(f"{path}-lock").unlink(missing_ok=True)


def in_child(action: Callable[[], object]) -> tuple[int, str]:
    """The signal that a forked child died of, or 0; and what the action returned or raised."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            try:
                outcome = repr(action())
            except BaseException as error:  # noqa: BLE001
                outcome = repr(error)
            os.write(writing, outcome.encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        outcome = pipe.read()
    _, status = os.waitpid(pid, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, outcome


class TestTruncated:
    def test_no_length_kills_the_process(self, path: Path) -> None:
        """Cut at any page, the file is refused, or nothing of it was in the part that is gone."""
        data, refused = path.read_bytes(), 0
        assert use(path) == []
        for length in range(len(data) - 4096, 0, -4096):
            path.write_bytes(data[:length])
            Path(f"{path}-lock").unlink(missing_ok=True)
            signal, outcome = in_child(lambda: use(path))
            assert signal == 0
            assert "FormatError" in outcome or outcome == "[]"
            refused += outcome != "[]"
        assert refused > 5

    def test_file_that_has_free_pages_behind_its_end_is_whole(self, tmp_path: Path) -> None:
        """LMDB does not write a new page that the same transaction gave up again."""
        path, shorter = tmp_path / "free.mdb", 0
        with closing(lmdb.open(str(path), subdir=False, map_size=1 << 24, sync=False)) as file:
            chosen = random.Random(0)
            for _ in range(20):
                with file.begin(write=True) as txn:
                    for _ in range(chosen.randint(1, 400)):
                        key = b"%d" % chosen.randint(0, 2000)
                        if chosen.random() < 0.5:
                            txn.put(key, b"v" * chosen.choice([10, 100, 1000, 5000]))
                        else:
                            txn.delete(key)
                    for key in [key for key, _ in txn.cursor()][50:] if chosen.random() < 0.5 else []:
                        txn.delete(key)
                shorter += path.stat().st_size < (file.info()["last_pgno"] + 1) * 4096
                check_whole(str(path))
        assert shorter

    def test_message_names_the_file_and_the_remedy(self, path: Path) -> None:
        os.truncate(path, path.stat().st_size // 2)
        with pytest.raises(FormatError, match=rf"{path} is damaged: .*cut off; put a copy in its place"):
            rome.connect(address(path))
        Path(f"{path}-lock").touch()
        assert rome.list_databases(address(path)) == [str(path)]

    def test_cut_off_while_it_is_open(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What notices it is the pool's look, and the next one who opens the file."""
        monkeypatch.setattr("rome.store.lmdb.environment.BELIEVED_S", 0.0)
        connection = rome.connect(address(path))
        assert connection.is_usable()
        os.truncate(path, path.stat().st_size // 2)
        assert not connection.is_usable()
        with pytest.raises(FormatError, match="cut off"):
            rome.connect(address(path))
        with pytest.raises(StoreUnavailableError):
            connection.execute("SELECT * FROM t")
        connection.close()


def stored(path: Path) -> list[tuple[bytes, bytes]]:
    with closing(lmdb.open(str(path), subdir=False, readonly=True, lock=False)) as file, file.begin() as txn:
        return list(txn.cursor())


def spoiled(value: bytes) -> Iterator[bytes]:
    """The value with something wrong."""
    yield b""
    yield value[: len(value) // 2]
    yield value + b"\xc1"
    for at in {0, 4, 8, 9, 10, len(value) // 2, len(value) - 1}:
        if at < len(value):
            yield value[:at] + bytes([value[at] ^ 0xA5]) + value[at + 1 :]


def test_no_value_that_was_changed_raises_what_is_not_romes(whole: Path, tmp_path: Path) -> None:
    kinds: dict[type[Error], int] = {}
    for number, (key, value) in enumerate(stored(whole)):
        for other, changed in enumerate(spoiled(value)):
            if (number + other) % 4 and key[:1] not in (b"M", b"B", b"Q"):  # there are many of each kind
                continue
            path = Path(shutil.copy(whole, tmp_path / "changed.rome"))
            change(path, {key: changed})
            for error in use(path):
                kinds[type(error)] = kinds.get(type(error), 0) + 1
    assert kinds[CorruptRecordError] > 50


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (b"M", b"rome\0\0\0\1", "the state of the database cannot be decoded"),
        (b"B\0\0\0\1", b"short", "the state of table 1 cannot be decoded"),
        (b"W", b"\xc1", "the commit queue cannot be decoded"),
    ],
)
def test_message_names_what_cannot_be_decoded(path: Path, key: bytes, value: bytes, message: str) -> None:
    change(path, {key: value})
    found = use(path)
    assert any(isinstance(error, CorruptRecordError) and message in str(error) for error in found)
    assert any("put a copy in its place" in str(error) for error in found)


def test_damaged_row_names_table_and_key(path: Path) -> None:
    key = next(key for key, _ in stored(path) if key.startswith(b"R\0\0\0\1"))
    change(path, {key: bytes(8) + b"\x93\x01\xc1"})
    with closing(rome.connect(address(path))) as connection:
        with pytest.raises(CorruptRecordError, match="table t") as caught:
            connection.execute("SELECT * FROM t")
        assert caught.value.key == key[5:]


class TestFullDisk:
    """A limit on the size of files stands for a full disk: both end a write half-way, and EIO is what LMDB says."""

    @pytest.mark.parametrize("beyond", [0, 100])
    def test_commit_is_refused_for_good_and_the_file_goes_on(self, path: Path, beyond: int) -> None:
        def fill() -> object:
            with closing(rome.connect(address(path))) as connection:
                connection.execute("SELECT 1 FROM t")
                connection.rollback()
                hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
                resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size // 4096 * 4096 + beyond, hard))
                refused, count = None, 0
                while refused is None:
                    count += 1
                    connection.execute("INSERT INTO t (id, v) VALUES (?, ?)", (100 + count, b"f" * 20_000))
                    try:
                        connection.commit()
                    except Error as error:
                        refused = error
                told = type(refused).__name__, refused.retryable
                inside = "SELECT count(*) FROM t WHERE id > 100"
                left = connection.execute(inside).fetchall() == [(count - 1,)]
                connection.rollback()
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
                connection.execute("INSERT INTO t (id, v) VALUES (?, ?)", (100 + count, b"f" * 20_000))
                connection.commit()
                return told, left, connection.execute(inside).fetchall() == [(count,)]

        assert in_child(fill) == (0, repr((("StoreFullError", False), True, True)))

    def test_new_file_is_refused(self, tmp_path: Path) -> None:
        """Its lock file would be a hole that is mapped: SIGBUS for whoever takes a place in it."""

        def create() -> object:
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
            try:
                rome.connect(address(tmp_path / "new.rome"))
            except StoreFullError:
                return [each.name for each in tmp_path.iterdir()]
            return None

        assert in_child(create) == (0, "[]")

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO])
    @pytest.mark.parametrize("arrived", [False, True])
    def test_commit_that_failed_is_looked_for(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, number: int, arrived: bool
    ) -> None:
        """py-lmdb before 3.0 gives no number, only the system's words."""
        with closing(rome.connect(address(path))) as connection:
            connection.execute("INSERT INTO w VALUES ('full', 1)")
            store = connection.session._context.store
            assert isinstance(store, LmdbStore)
            opened = store._environment
            file = opened._lmdb

            class Failing:
                def __init__(self) -> None:
                    self._txn = file.begin(write=True)

                def commit(self) -> None:
                    if arrived:
                        self._txn.commit()
                    else:
                        self._txn.abort()
                    raise lmdb.Error(f"mdb_txn_commit: {os.strerror(number)}")

                def __getattr__(self, name: str) -> object:
                    return getattr(self._txn, name)

            class Environment:
                def begin(self, write: bool = False) -> object:
                    return Failing() if write else file.begin()

                def __getattr__(self, name: str) -> object:
                    return getattr(file, name)

            monkeypatch.setattr(opened, "_lmdb", Environment())
            with pytest.raises(CommitUnknownError if arrived else StoreFullError):
                store.commit(CommitRequest(token_bytes(16), store.last_snapshot(), rows={99: {b"a": b"b"}}))
            monkeypatch.undo()


class TestPermissions:
    @pytest.fixture(autouse=True)
    def umask(self) -> Iterator[None]:
        before = os.umask(0o022)
        yield
        os.umask(before)

    def modes(self, path: Path) -> set[str]:
        return {oct(stat.S_IMODE(os.stat(name).st_mode)) for name in (path, f"{path}-lock")}

    @pytest.mark.parametrize(
        ("umask", "options", "expected"),
        [
            (0o022, {}, "0o600"),
            (0o000, {}, "0o600"),
            (0o022, {"file_mode": "0660"}, "0o640"),
            (0o002, {"file_mode": "660"}, "0o660"),
        ],
    )
    def test_new_file_is_its_owners(self, tmp_path: Path, umask: int, options: dict[str, str], expected: str) -> None:
        os.umask(umask)
        path = tmp_path / "new.rome"
        rome.connect(address(path, **options)).close()
        assert self.modes(path) == {expected}

    def test_file_that_is_there_keeps_its_mode_and_a_new_lock_file_takes_it(self, path: Path) -> None:
        path.chmod(0o640)
        rome.connect(address(path, file_mode="0666")).close()
        assert self.modes(path) == {"0o640"}

    @pytest.mark.parametrize("text", ["rw", "0400", "1777", "0888", "-1"])
    def test_other_modes_are_refused(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(errors.URLError, match="file_mode"):
            rome.connect(address(tmp_path / "new.rome", file_mode=text))

    @pytest.mark.parametrize(("mode", "said", "level"), [(0o600, "", "OK"), (0o644, "other users", "WARNING")])
    def test_doctor_tells_who_else_can_open_it(self, path: Path, mode: int, said: str, level: str) -> None:
        path.chmod(mode)
        [found] = [each for each in rome.diagnose(address(path)).findings if each.check == "permissions"]
        assert found.level.name == level
        assert said in str(found)
