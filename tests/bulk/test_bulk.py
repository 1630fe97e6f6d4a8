"""Bulk changes: every row once, in commits that the store takes, resumable at any point."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import ArgumentError, IntegrityError
from sqlalchemy.exc import OperationalError as SqlAlchemyOperationalError

import rome.bulk
from rome.bulk import BulkJobError, BulkProgress
from tests.support.databases import Store, database, on
from tests.support.faulty_store import FaultyStore, connect_faulty

METADATA = MetaData()
SERVERS = Table(
    "server",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("host", String(50)),
    Column("load", Integer, nullable=False),
    Column("image", LargeBinary),
)
PORTS = Table(
    "port",
    METADATA,
    Column("network", Integer, primary_key=True),
    Column("mac", String(20), primary_key=True),
    Column("load", Integer),
)


class Cut(Exception):
    """What ends a bulk change in the middle."""


@pytest.fixture(params=on("memory", "lmdb", "redis"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    store: Store = request.param
    with database(store, request) as url:
        yield url


@pytest.fixture
def engine(make_engine: Callable[..., Engine]) -> Engine:
    engine = make_engine()
    METADATA.create_all(engine)
    return engine


def servers(count: int, first: int = 1) -> Iterator[dict[str, object]]:
    return ({"id": number, "host": f"h{number % 7}", "load": 0} for number in range(first, first + count))


def loads(engine: Engine, table: Table = SERVERS) -> dict[int, int]:
    """{load: how many rows have it}"""
    with engine.connect() as connection:
        return {
            row[0]: row[1]
            for row in connection.execute(select(table.c.load, func.count()).group_by(table.c.load)).all()
        }


def test_more_rows_than_a_transaction_may_write(engine: Engine) -> None:
    seen: list[BulkProgress] = []
    assert rome.bulk.insert(engine, SERVERS, servers(10_500), rows_per_commit=4_000, progress=seen.append) == 10_500
    assert [(each.rows, each.commits) for each in seen] == [(4_000, 1), (8_000, 2), (10_500, 3)]
    change = update(SERVERS).values(load=SERVERS.c.load + 1).where(SERVERS.c.host == "h3")
    assert rome.bulk.update(engine, change, rows_per_commit=400) == 1_500
    assert loads(engine) == {0: 9_000, 1: 1_500}
    assert rome.bulk.delete(engine, delete(SERVERS).where(SERVERS.c.load == 0), rows_per_commit=4_000) == 9_000
    assert rome.bulk.delete(engine, delete(SERVERS)) == 1_500
    assert loads(engine) == {}


def test_a_commit_that_is_too_large_is_halved(engine: Engine) -> None:
    image = b"\x01" * 1_000_000
    seen: list[BulkProgress] = []
    rows = ({"id": number, "load": 0, "image": image} for number in range(40))
    assert rome.bulk.insert(engine, SERVERS, rows, progress=seen.append) == 40
    assert [each.rows for each in seen] == [10, 20, 30, 40]  # 40 and 20 are more than 16 MB


def test_keys_of_several_columns(engine: Engine) -> None:
    rows = [{"network": n, "mac": f"m{m:03}", "load": 0} for n in range(3) for m in range(50)]
    rome.bulk.insert(engine, PORTS, rows)
    change = update(PORTS).values(load=PORTS.c.load + 1).where(PORTS.c.network > 0)
    assert rome.bulk.update(engine, change, rows_per_commit=7) == 100
    assert loads(engine, PORTS) == {0: 50, 1: 100}
    assert rome.bulk.delete(engine, delete(PORTS).where(PORTS.c.mac < "m010"), rows_per_commit=7) == 30
    assert loads(engine, PORTS) == {0: 40, 1: 80}


def test_a_job_goes_on_where_it_was_cut_off(engine: Engine) -> None:
    def cut(progress: BulkProgress) -> None:
        if progress.commits == 2:
            raise Cut

    with pytest.raises(Cut):
        rome.bulk.insert(engine, SERVERS, servers(95), job="load", rows_per_commit=10, progress=cut)
    assert loads(engine) == {0: 20}
    assert rome.bulk.insert(engine, SERVERS, servers(95), job="load", rows_per_commit=10) == 75
    assert loads(engine) == {0: 95}
    change = update(SERVERS).values(load=SERVERS.c.load + 1)
    with pytest.raises(Cut):
        rome.bulk.update(engine, change, job="raise", rows_per_commit=10, progress=cut)
    assert rome.bulk.update(engine, change, job="raise", rows_per_commit=10) == 75
    assert loads(engine) == {1: 95}


def test_a_finished_job_does_not_run_again_until_it_is_forgotten(engine: Engine) -> None:
    rome.bulk.insert(engine, SERVERS, servers(5), job="load")
    with pytest.raises(BulkJobError, match=r"rome.bulk.forget\(engine, 'load'\)"):
        rome.bulk.insert(engine, SERVERS, servers(5), job="load")
    rome.bulk.forget(engine, "load")
    assert rome.bulk.insert(engine, SERVERS, servers(5, first=6), job="load") == 5
    assert loads(engine) == {0: 10}


def test_two_processes_cannot_run_the_same_job(engine: Engine) -> None:
    def meanwhile(progress: BulkProgress) -> None:
        if progress.commits == 1:
            rome.bulk.insert(engine, SERVERS, servers(30), job="load", rows_per_commit=10)

    with pytest.raises(BulkJobError, match="another process runs the job"):
        rome.bulk.insert(engine, SERVERS, servers(30), job="load", rows_per_commit=10, progress=meanwhile)
    assert loads(engine) == {0: 30}


def test_a_job_with_fewer_rows_than_before_is_refused(engine: Engine) -> None:
    def cut(_: BulkProgress) -> None:
        raise Cut

    with pytest.raises(Cut):
        rome.bulk.insert(engine, SERVERS, servers(30), job="load", rows_per_commit=10, progress=cut)
    with pytest.raises(BulkJobError, match="now there are fewer"):
        rome.bulk.insert(engine, SERVERS, servers(9), job="load")


def test_a_conflict_repeats_one_commit(engine: Engine) -> None:
    rome.bulk.insert(engine, SERVERS, servers(30))
    interfered = False

    @event.listens_for(engine, "commit")
    def interfere(_: object) -> None:
        nonlocal interfered
        if not interfered:
            interfered = True
            with create_engine(engine.url).begin() as other:
                other.execute(update(SERVERS).where(SERVERS.c.id == 5).values(load=100))

    change = update(SERVERS).values(load=SERVERS.c.load + 1)
    assert rome.bulk.update(engine, change, rows_per_commit=10) == 30
    assert interfered
    assert loads(engine) == {1: 29, 101: 1}


def test_an_error_leaves_complete_commits(engine: Engine) -> None:
    rows = [*servers(25), {"id": 3, "host": "twice", "load": 0}]
    with pytest.raises(IntegrityError):
        rome.bulk.insert(engine, SERVERS, rows, rows_per_commit=10)
    assert loads(engine) == {0: 20}


@pytest.mark.parametrize("applied", [True, False], ids=["applied", "lost"])
def test_a_lost_answer_repeats_nothing(applied: bool) -> None:
    """The store cannot be asked, either: the position in the database tells."""
    stores: list[FaultyStore] = []

    def connect() -> object:
        connection, store = connect_faulty("rome+memory:///bulk_lost_answer")
        stores.append(store)
        return connection

    engine = create_engine("rome+memory:///bulk_lost_answer", creator=connect)
    METADATA.create_all(engine)
    rome.bulk.insert(engine, SERVERS, servers(30))

    def lose(progress: BulkProgress) -> None:
        if progress.commits == 1:
            for store in stores:
                store.answers_lost, store.requests_lost = (1, 0) if applied else (0, 1)
                store.resolves_lost = 100

    change = update(SERVERS).values(load=SERVERS.c.load + 1)
    rome.bulk.update(engine, change, job="raise", rows_per_commit=10, progress=lose)
    assert any(store.resolves for store in stores)
    assert loads(engine) == {1: 30}
    engine.dispose()
    rome.drop_database("rome+memory:///bulk_lost_answer")


def test_what_cannot_be_paged_is_refused(engine: Engine) -> None:
    plain = Table("plain", MetaData(), Column("a", Integer))
    with pytest.raises(ArgumentError, match="table plain has none"):
        rome.bulk.delete(engine, delete(plain))
    for change in (update(SERVERS).values(id=SERVERS.c.id + 1), update(SERVERS).ordered_values((SERVERS.c.id, 1))):
        with pytest.raises(ArgumentError, match="it cannot set id"):
            rome.bulk.update(engine, change)
    with pytest.raises(ValueError, match="must be positive"):
        rome.bulk.insert(engine, SERVERS, [], rows_per_commit=0)
    with pytest.raises(ValueError, match="a job's name"):
        rome.bulk.insert(engine, SERVERS, [], job="")


def test_one_row_that_is_too_large_is_an_error(engine: Engine) -> None:
    with pytest.raises(SqlAlchemyOperationalError, match="One row cannot be written in parts"):
        rome.bulk.insert(engine, SERVERS, [{"id": 1, "load": 0, "image": bytes(20_000_000)}])


def test_other_databases_are_filled_by_the_same_call() -> None:
    engine = create_engine("sqlite://")
    METADATA.create_all(engine)
    rome.bulk.insert(engine, SERVERS, servers(25), job="load", rows_per_commit=10)
    with engine.begin() as connection:
        connection.execute(insert(SERVERS).values(id=1_000, load=7))
    rome.bulk.update(engine, update(SERVERS).values(load=1), rows_per_commit=10)
    assert loads(engine) == {1: 26}
