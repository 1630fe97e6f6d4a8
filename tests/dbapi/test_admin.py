"""Looking after databases, and databases without a name."""

from __future__ import annotations

import gc
import math
import pickle
import weakref
from contextlib import closing

import pytest

import rome
from rome import dbapi
from rome.errors import CommitUnknownError
from rome.store.spi import Retention
from rome.transaction import transaction
from tests.support.faulty_store import connect_faulty
from tests.support.servers import Server


@pytest.fixture
def filled(url: str) -> str:
    """The URL of a database with one table."""
    connection = rome.connect(url)
    connection.execute("CREATE TABLE t (a)")
    connection.commit()
    connection.close()
    return url


class TestAdmin:
    def test_list_names_all_databases_wherever_the_url_points_to(self, filled: str) -> None:
        name = filled.rpartition("/")[2]
        assert name in rome.list_databases(filled)
        assert name in rome.list_databases("rome+memory://")

    def test_what_became_of_a_commit_whose_answer_was_lost(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transaction, "RESOLVE_PAUSES_S", [])
        connection, store = connect_faulty(url)
        for table, lost in (("a", "answers_lost"), ("b", "requests_lost")):
            setattr(store, lost, 1)
            store.resolves_lost = 1
            connection.execute(f"CREATE TABLE {table} (x)")
            with pytest.raises(CommitUnknownError, match=r"nobody there.*was_committed") as caught:
                connection.commit()
            assert rome.was_committed(url, pickle.loads(pickle.dumps(caught.value))) is (table == "a")
        connection.close()

    def test_drop_leaves_nothing(self, filled: str) -> None:
        rome.drop_database(filled)
        assert filled.rpartition("/")[2] not in rome.list_databases(filled)
        connection = rome.connect(filled)
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        connection.close()

    def test_drop_of_what_is_not_there_is_no_error(self) -> None:
        rome.drop_database("rome+memory:///never-there")

    def test_trim_discards_what_the_retention_does_not_cover(self, filled: str) -> None:
        assert rome.trim(filled) == 0
        rome.set_retention(filled, seconds=0)
        assert rome.trim(filled) > 0

    def test_set_retention_keeps_what_is_left_out(self, filled: str) -> None:
        default = Retention()
        assert rome.set_retention(filled, seconds=5) == Retention(5, default.max_bytes)
        assert rome.set_retention(filled, max_bytes=1000) == Retention(5, 1000)
        assert rome.set_retention(filled) == Retention(5, 1000)

    def test_set_retention_refuses_negative_numbers(self, filled: str) -> None:
        with pytest.raises(ValueError, match="cannot be negative"):
            rome.set_retention(filled, seconds=-1)
        assert rome.set_retention(filled) == Retention()

    @pytest.mark.parametrize("seconds", [math.nan, math.inf, 1e12])
    def test_set_retention_refuses_numbers_that_stores_cannot_keep(self, seconds: float, filled: str) -> None:
        with pytest.raises(ValueError, match="1,000,000,000 seconds and 9,007,199,254,740,992 bytes at most"):
            rome.set_retention(filled, seconds=seconds)
        with pytest.raises(ValueError, match="at most"):
            rome.set_retention(filled, max_bytes=2**53 + 1)
        assert rome.set_retention(filled) == Retention()


@pytest.mark.redis
def test_hundreds_of_databases_on_a_server(redis_server: Server) -> None:
    """Each has its own rows, and one that is dropped takes nothing of the others along."""
    at = f"rome+redis://{redis_server.host}:{redis_server.port}/many"
    names = [f"many{number}" for number in range(300)]
    for name in names:
        with closing(rome.connect(f"{at}{name[4:]}")) as connection:
            connection.execute("CREATE TABLE t (name TEXT)")
            connection.execute("INSERT INTO t VALUES (?)", (name,))
            connection.commit()
    assert set(names) <= set(rome.list_databases(at))
    rome.drop_database(f"{at}29")
    with closing(rome.connect(f"{at}299")) as connection:
        assert connection.execute("SELECT name FROM t").fetchall() == [("many299",)]
    for name in names:
        rome.drop_database(f"{at}{name[4:]}")
    assert set(names).isdisjoint(rome.list_databases(at))


class TestPrivateDatabase:
    def test_belongs_to_one_connection(self) -> None:
        one, other = rome.connect("rome+memory://"), rome.connect("rome+memory://")
        one.execute("CREATE TABLE t (a)")
        one.commit()
        with pytest.raises(dbapi.OperationalError, match="no such table: t"):
            other.execute("SELECT a FROM t")
        one.close()
        other.close()

    def test_is_dropped_some_time_after_its_connection_is_gone(self) -> None:
        existing = set(rome.list_databases("rome+memory://"))
        connection = rome.connect("rome+memory://")
        (name,) = set(rome.list_databases("rome+memory://")) - existing
        gone = weakref.ref(connection)
        del connection
        gc.collect()
        assert gone() is None
        rome.connect("rome+memory://").close()
        assert name not in rome.list_databases("rome+memory://")


def test_the_package_offers_nothing_else() -> None:
    with pytest.raises(AttributeError, match="module 'rome' has no attribute 'nonsense'"):
        rome.nonsense  # noqa: B018
