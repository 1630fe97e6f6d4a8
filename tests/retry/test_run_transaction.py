"""run_transaction on Rome, with conflicts that are real: another transaction commits in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import InvalidRequestError, OperationalError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

import rome
from rome import errors
from tests.retry.counters import ADD, READ, Counter, Rival, count


@pytest.fixture(params=["engine", "connection", "sessionmaker", "session", "scoped_session"])
def target(request: pytest.FixtureRequest, engine: Engine) -> Iterator[Any]:
    """All that run_transaction takes."""
    match request.param:
        case "engine":
            yield engine
        case "connection":
            with engine.connect() as connection:
                yield connection
        case "sessionmaker":
            yield sessionmaker(engine)
        case "session":
            with Session(engine) as session:
                yield session
        case "scoped_session":
            registry = scoped_session(sessionmaker(engine))
            yield registry
            registry.remove()


class TestRunsAgain:
    def test_until_it_is_committed(self, engine: Engine, target: Any) -> None:
        rival = Rival(engine, times=3)
        assert rome.run_transaction(target, rival.add) == 4
        assert rival.attempts == 4
        assert count(engine) == 4

    def test_after_an_error_in_the_function_as_well_as_at_commit(self, engine: Engine) -> None:
        """A statement may find out before COMMIT does."""
        rival = Rival(engine, times=1)

        def add_and_look(connection: Connection) -> int:
            made = rival.add(connection)
            connection.execute(sa.text("SELECT max(id) FROM counter"))
            return made

        assert rome.run_transaction(engine, add_and_look) == 2

    def test_objects_of_the_session(self, engine: Engine) -> None:
        rival = Rival(engine, times=2)

        def add(session: Session) -> int:
            counter = session.get_one(Counter, 1)
            counter.n = rival.add(session)
            session.add(Counter(id=rival.attempts + 100, n=0))
            return counter.n

        assert rome.run_transaction(sessionmaker(engine), add) == 3
        with engine.connect() as connection:
            assert connection.scalars(sa.select(Counter.id).order_by(Counter.id)).all() == [1, 103]

    def test_threads_lose_no_update(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.undo()  # let them wait
        failed: list[Exception] = []

        def work() -> None:
            def add(connection: Connection) -> None:
                seen = connection.execute(READ).scalar_one()
                time.sleep(0)
                connection.execute(sa.update(Counter).where(Counter.id == 1).values(n=seen + 1))

            try:
                for _ in range(15):
                    rome.run_transaction(engine, add, max_attempts=100)
            except Exception as error:
                failed.append(error)
                raise

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
        assert count(engine) == 30

    def test_what_it_rolled_back_is_gone(self, engine: Engine) -> None:
        rival = Rival(engine, times=1)

        def insert(connection: Connection) -> None:
            connection.execute(sa.insert(Counter).values(id=10 + rival.attempts, n=0))
            rival.add(connection)

        rome.run_transaction(engine, insert)
        with engine.connect() as connection:
            assert connection.scalars(sa.select(Counter.id).order_by(Counter.id)).all() == [1, 11]


class TestGivesUp:
    def test_with_the_last_error_and_a_note(self, engine: Engine, target: Any, waits: list[float]) -> None:
        rival = Rival(engine, times=99)
        with pytest.raises(OperationalError) as caught:
            rome.run_transaction(target, rival.add, max_attempts=3)
        assert isinstance(caught.value.orig, errors.ConflictError)
        assert caught.value.__notes__ == ["run_transaction gave up after 3 attempts (max_attempts)"]
        assert rival.attempts == 3
        assert len(waits) == 2
        assert count(engine) == 3  # the rival's alone

    def test_waits_grow_and_are_bounded(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        bounds: list[float] = []

        def uniform(low: float, high: float) -> float:
            assert low == 0
            bounds.append(high)
            return high / 2

        monkeypatch.setattr("rome.retry.attempts.random.uniform", uniform)
        with pytest.raises(OperationalError):
            rome.run_transaction(engine, Rival(engine, 99).add, max_attempts=6, first_wait_s=1, max_wait_s=5)
        assert bounds == [1, 2, 4, 5, 5]

    @pytest.mark.parametrize("options", [{"max_attempts": 0}, {"first_wait_s": -1}, {"max_wait_s": -1}])
    def test_refuses_options_without_sense(self, engine: Engine, options: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="must"):
            rome.run_transaction(engine, Rival(engine, 0).add, **options)


class TestPassesOn:
    def test_exceptions_of_the_function(self, engine: Engine, target: Any) -> None:
        runs: list[object] = []

        def fail(on: Any) -> None:
            runs.append(on)
            on.execute(ADD)
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            rome.run_transaction(target, fail)
        assert len(runs) == 1
        assert count(engine) == 0

    def test_errors_that_would_come_again(self, engine: Engine) -> None:
        with pytest.raises(sa.exc.IntegrityError) as caught:
            rome.run_transaction(engine, lambda c: c.execute(sa.insert(Counter).values(id=1, n=0)))
        assert not hasattr(caught.value, "__notes__")

    def test_a_commit_whose_outcome_is_not_known(self, engine: Engine) -> None:
        """Even if the application's own `retryable` would run it again."""
        attempts: list[object] = []

        def lose(connection: Connection) -> None:
            attempts.append(connection)
            raise OperationalError("COMMIT", None, errors.CommitUnknownError("sent, not answered"))

        with pytest.raises(OperationalError) as caught:
            rome.run_transaction(engine, lose, retryable=lambda _: True)
        assert len(attempts) == 1
        assert caught.value.__notes__ == ["run_transaction did not run it again, since it may have been committed"]

    def test_what_interrupts_it(self, engine: Engine) -> None:
        def interrupt(_connection: Connection) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            rome.run_transaction(engine, interrupt)
        assert rome.run_transaction(engine, Rival(engine, 0).add) == 1

    def test_own_judgement_of_errors(self, engine: Engine) -> None:
        """Here a duplicate key is worth another attempt: the function looks for another id."""
        ids = iter([1, 1, 2])

        def insert(connection: Connection) -> int:
            chosen = next(ids)
            connection.execute(sa.insert(Counter).values(id=chosen, n=0))
            return chosen

        assert rome.run_transaction(engine, insert, retryable=lambda e: isinstance(e, sa.exc.IntegrityError)) == 2


class TestRefuses:
    def test_a_session_in_a_transaction(self, engine: Engine) -> None:
        with Session(engine) as session:
            session.execute(READ)
            with pytest.raises(InvalidRequestError, match="this session is in one already: commit or roll back"):
                rome.run_transaction(session, Rival(engine, 0).add)

    def test_a_session_with_changes_from_before(self, engine: Engine) -> None:
        """They would be lost with the first attempt."""
        with Session(engine) as session:
            session.add(Counter(id=7, n=0))
            with pytest.raises(InvalidRequestError, match="run all of a transaction again"):
                rome.run_transaction(session, Rival(engine, 0).add)

    def test_a_connection_in_a_transaction(self, engine: Engine) -> None:
        with engine.begin() as connection:
            connection.execute(READ)
            with pytest.raises(InvalidRequestError, match="give run_transaction the engine"):
                rome.run_transaction(connection, Rival(engine, 0).add)
            with Session(connection) as session, pytest.raises(InvalidRequestError, match="run all of a transaction"):
                rome.run_transaction(session, Rival(engine, 0).add)

    def test_one_inside_of_another(self, engine: Engine, target: Any) -> None:
        def outer(_on: Any) -> None:
            rome.run_transaction(target, Rival(engine, 0).add)

        with pytest.raises(InvalidRequestError, match="run_transaction inside a function"):
            rome.run_transaction(engine, outer)
        assert count(engine) == 0
        assert rome.run_transaction(target, Rival(engine, 0).add) == 1  # afterwards it is allowed again

    @pytest.mark.parametrize("how", ["engine", "session", "execution"])
    def test_autocommit(self, engine: Engine, how: str) -> None:
        """What an attempt had done before its error would stay."""
        automatic = engine.execution_options(isolation_level="AUTOCOMMIT")
        with automatic.connect() as connection:
            target: Any = {"engine": automatic, "session": sessionmaker(automatic), "execution": connection}[how]
            with pytest.raises(InvalidRequestError, match="this connection is in AUTOCOMMIT"):
                rome.run_transaction(target, lambda on: on.execute(ADD))
        assert count(engine) == 0

    def test_other_things(self, engine: Engine) -> None:
        with pytest.raises(TypeError, match=r"takes an Engine, a Connection, a sessionmaker, .* and not str"):
            rome.run_transaction("rome+memory://", Rival(engine, 0).add)  # type: ignore[call-overload]

    def test_functions_that_have_not_done_their_work(self, engine: Engine) -> None:
        async def later(connection: Connection) -> None: ...

        def in_parts(connection: Connection) -> Iterator[int]:
            yield 1

        for function in (later, in_parts):
            with pytest.raises(TypeError, match="run_transaction_async"):
                rome.run_transaction(engine, function)


class TestDecorator:
    def test_of_an_engine(self, engine: Engine) -> None:
        rival = Rival(engine, times=2)

        @rome.transactional(engine, max_attempts=5)
        def add(connection: Connection, much: int, *, twice: bool = False) -> int:
            """Adds."""
            rival.add(connection)
            connection.execute(sa.update(Counter).where(Counter.id == 1).values(n=Counter.n + much * (1 + twice)))
            return connection.execute(READ).scalar_one()

        assert add(10, twice=True) == 23
        assert add.__name__ == "add"
        assert add.__doc__ == "Adds."

    def test_of_a_sessionmaker(self, engine: Engine) -> None:
        @rome.transactional(sessionmaker(engine))
        def add(session: Session, much: int) -> int:
            counter = session.get_one(Counter, 1)
            counter.n += much
            return counter.n

        assert [add(2), add(3)] == [2, 5]

    def test_tells_at_once_what_is_wrong(self, engine: Engine) -> None:
        with pytest.raises(ValueError, match="max_attempts must be at least 1"):
            rome.transactional(engine, max_attempts=0)


def test_leaves_no_listener(engine: Engine) -> None:
    with Session(engine) as session:
        rome.run_transaction(session, Rival(engine, 2).add)
        assert not list(session.dispatch.after_begin)


def test_each_attempt_of_an_engine_gets_a_connection_and_gives_it_back(engine: Engine) -> None:
    out: list[str] = []
    event.listen(engine, "checkout", lambda *_: out.append("out"))
    event.listen(engine, "checkin", lambda *_: out.append("in"))
    waiting: Callable[..., int] = Rival(engine, 0).add
    rome.run_transaction(engine, waiting)
    assert out == ["out", "in"]
