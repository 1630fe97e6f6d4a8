"""What a transaction does when answers are lost, connections break, and exceptions come from outside."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

import rome.kv
from rome.dbapi.url import make_url, parse_url
from rome.errors import (
    CommitAbortedError,
    CommitUnknownError,
    ConflictError,
    SnapshotTooOldError,
    StoreUnavailableError,
)
from rome.kv import KvDatabase, KvTransaction
from rome.kv.database import KvDatabase as Made
from rome.store.redis import scripts
from rome.testing.proxy import Proxy
from rome.transaction import transaction as transactions
from rome.transaction.commit_turn import SETBACKS_BEFORE
from rome.transaction.read_set import Validation
from rome.transaction.totals import DatabaseLabel
from tests.faults.ambush import STEPS, Ambush
from tests.support.databases import database
from tests.support.faulty_store import FaultyStore
from tests.support.servers import Server


@pytest.fixture
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database("memory", request) as url:
        yield url


@pytest.fixture
def stores() -> list[FaultyStore]:
    """Those that `db` has opened."""
    return []


@pytest.fixture
def db(url: str, stores: list[FaultyStore]) -> Iterator[KvDatabase]:
    location, options = parse_url(make_url(url))

    def open_store() -> FaultyStore:
        store = FaultyStore.open(location)
        store.lined_up = []
        stores.append(store)
        return store

    with Made(
        open_store,
        check=Validation.ROWS,
        limits=options.commit_limits,
        max_bytes=options.max_working_set,
        commit_turn=True,
        label=DatabaseLabel("memory", "faults"),
    ) as db:
        yield db


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "RESOLVE_PAUSES_S", [0.0] * 3)


def put(db: KvDatabase, value: int) -> KvTransaction:
    with db.transaction() as tr:
        tr.put(("k",), value)
    return tr


def value_of(url: str) -> Any:
    with rome.kv.open(url) as db, db.transaction() as tr:
        return tr.get(("k",))


def test_an_answer_that_is_lost_is_asked_for(db: KvDatabase, stores: list[FaultyStore], url: str) -> None:
    stores[0].answers_lost = 1
    tr = put(db, 1)
    assert tr.version is not None
    assert stores[0].resolves == 1
    assert value_of(url) == 1
    with db.watch(since=db.position()) as watch:
        assert watch.poll() == []


def test_a_request_that_is_lost_may_be_sent_again(db: KvDatabase, stores: list[FaultyStore], url: str) -> None:
    stores[0].requests_lost = 1
    with pytest.raises(CommitAbortedError) as caught:
        put(db, 1)
    assert caught.value.retryable
    assert value_of(url) is None
    runs = []

    @db.transactional(first_wait_s=0)
    def again(tr: KvTransaction) -> None:
        runs.append(tr.get(("n",)))
        tr.put(("k",), len(runs))

    stores[0].requests_lost = 2
    again()
    assert len(runs) == 3
    assert value_of(url) == 3


def test_an_unknown_outcome_is_never_run_again(db: KvDatabase, stores: list[FaultyStore], url: str) -> None:
    runs = []

    @db.transactional
    def once(tr: KvTransaction) -> None:
        runs.append(1)
        tr.put(("k",), 1)

    stores[0].answers_lost, stores[0].resolves_lost = 1, 100
    with pytest.raises(CommitUnknownError) as caught:
        once()
    assert runs == [1]
    assert caught.value.__notes__ == ["transactional of rome.kv did not run it again, since it may have been committed"]
    assert rome.was_committed(url, caught.value)


def test_a_lost_connection_is_not_used_again(db: KvDatabase, stores: list[FaultyStore], url: str) -> None:
    def lost() -> None:
        raise StoreUnavailableError("gone")

    put(db, 1)
    stores[0].before_read = lost
    with pytest.raises(StoreUnavailableError), db.transaction() as tr:
        tr.get(("k",))
    with db.transaction() as tr:
        assert tr.get(("k",)) == 1
    assert len(stores) == 2


@pytest.mark.parametrize("when", ["before_commit", "after_commit"])
def test_an_exception_from_outside_says_what_became_of_the_commit(
    db: KvDatabase, stores: list[FaultyStore], url: str, when: str
) -> None:
    def interrupt() -> None:
        setattr(stores[0], when, lambda: None)
        raise KeyboardInterrupt

    setattr(stores[0], when, interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        put(db, 1)
    if when == "before_commit":
        assert caught.value.__notes__ == ["rome.kv: nothing was committed, and nothing will be"]
        assert value_of(url) is None
    else:
        assert caught.value.__notes__[0].startswith("rome.kv: the transaction was committed nevertheless, at version ")
        assert value_of(url) == 1
    put(db, 2)
    assert value_of(url) == 2
    assert len(stores) == 2


def test_one_who_loses_often_lines_up(db: KvDatabase, stores: list[FaultyStore], url: str) -> None:
    with rome.kv.open(url) as other:
        put(other, 0)
        runs = []

        @db.transactional(first_wait_s=0)
        def add(tr: KvTransaction) -> None:
            runs.append(tr.get(("k",)))
            if len(runs) <= SETBACKS_BEFORE:
                put(other, 10 * len(runs))
            tr.put(("k",), runs[-1] + 1)

        add()
    assert len(runs) == SETBACKS_BEFORE + 1
    assert len(stores[0].lined_up) == 1
    assert value_of(url) == 41


def test_commits_wait_for_one_whose_turn_it_is(db: KvDatabase, stores: list[FaultyStore], url: str) -> None:
    """The row is claimed by a client that then goes away: COMMIT waits for its lease, and goes through."""
    from rome.kv.keys import encode_whole  # noqa: PLC0415
    from rome.kv.layout import KEYS  # noqa: PLC0415
    from rome.store.spi import Claim  # noqa: PLC0415

    stores[0].join_queue(b"t" * 16, [Claim(KEYS, encode_whole(("k",)))], 600)
    asked = []

    def leave() -> None:
        asked.append(1)
        stores[0].leave_queue(b"t" * 16)

    stores[0].told_to_wait = leave
    with db.transaction() as tr:
        tr.get(("k",))
        tr.put(("k",), 5)
    assert asked == [1]
    assert value_of(url) == 5


def test_conflicts_of_reads_are_told_too(db: KvDatabase, stores: list[FaultyStore]) -> None:
    def old() -> None:
        raise ConflictError.of_row(1 << 31, b"\x30k\x00")

    put(db, 1)
    stores[0].before_read = old
    with pytest.raises(ConflictError, match="the definition of collection 'k' was changed"), db.transaction() as tr:
        tr.get(("k",))


@pytest.mark.redis
@pytest.mark.parametrize("step", STEPS)
def test_a_connection_that_breaks_amid_a_commit_on_redis(redis_server: Server, step: str) -> None:
    """The transaction is committed once, whatever becomes of the request and of the answer."""
    name = f"kv_faults_{step.replace(' ', '_')}"
    with Proxy(redis_server.host, redis_server.port) as proxy:
        url = f"rome+redis://127.0.0.1:{proxy.port}/{name}?read_timeout=1"
        with rome.kv.open(url) as db:

            @db.transactional(first_wait_s=0)
            def add(tr: KvTransaction) -> int:
                number: int = tr.get(("n",), 0) + 1
                tr.put(("n",), number)
                return number

            assert add() == 1
            proxy.judge = Ambush(scripts.COMMIT.digest, *STEPS[step])
            assert add() == 2
            assert add() == 3
    rome.drop_database(f"rome+redis://{redis_server.host}:{redis_server.port}/{name}")


def test_a_conflict_that_is_caught_inside_the_block_ends_the_transaction(
    db: KvDatabase, stores: list[FaultyStore], url: str
) -> None:
    def old() -> None:
        stores[0].before_read = lambda: None
        raise SnapshotTooOldError.of()

    put(db, 1)
    stores[0].before_read = old
    with pytest.raises(SnapshotTooOldError), db.transaction() as tr:
        with suppress(SnapshotTooOldError):
            tr.get(("k",))
        with pytest.raises(SnapshotTooOldError):
            tr.put(("k",), 2)
    assert value_of(url) == 1


def _child(url: str, db: KvDatabase, answers: Any) -> None:
    put(db, 2)
    answers.put(value_of(url))


def test_a_forked_child_opens_its_own_connections(request: pytest.FixtureRequest) -> None:
    with database("lmdb", request) as url, rome.kv.open(url) as db:
        put(db, 1)
        context = multiprocessing.get_context("fork")
        answers = context.SimpleQueue()
        child = context.Process(target=_child, args=(url, db, answers))
        child.start()
        assert answers.get() == 2
        child.join(60)
        put(db, 3)
        assert value_of(url) == 3
