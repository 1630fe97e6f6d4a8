"""Get-or-create recipes of applications: of several that race for one name, one makes the row, and all find it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from tests.races.recipes import AT_EVERY_LEVEL, BELOW_SERIALIZABLE, Base, Recipe, Tag
from tests.support.databases import database, on

THREADS = 3
LEVELS = ["SERIALIZABLE", "SNAPSHOT", "READ COMMITTED"]


@pytest.fixture(params=on("memory", "lmdb", "redis"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


class Race:
    """Threads that run a recipe; none commits for the first time before all have come so far."""

    def __init__(self, engine: sa.Engine, recipe: Recipe) -> None:
        self._engine, self._recipe = engine, recipe
        self._all_are_here = threading.Barrier(THREADS, timeout=60)
        self.ids: list[int] = []
        self.errors: list[Exception] = []

    def run(self) -> None:
        threads = [threading.Thread(target=self._one) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _one(self) -> None:
        try:
            with Session(self._engine) as session:
                sa.event.listen(session.connection(), "commit", lambda _: self._all_are_here.wait(), once=True)
                self.ids.append(self._recipe(session, "red"))
                session.rollback()
        except Exception as error:  # noqa: BLE001  the test shows it
            self._all_are_here.abort()
            self.errors.append(error)


@pytest.mark.parametrize(
    ("level", "recipe"),
    [
        *((level, recipe) for level in LEVELS for recipe in AT_EVERY_LEVEL),
        *((level, recipe) for level in LEVELS[1:] for recipe in BELOW_SERIALIZABLE),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_all_get_the_same_row(url: str, level: str, recipe: Recipe) -> None:
    engine = sa.create_engine(url, isolation_level=level)
    Base.metadata.create_all(engine)
    race = Race(engine, recipe)
    race.run()
    assert race.errors == []
    with engine.connect() as connection:
        [(made, name)] = connection.execute(sa.select(Tag.id, Tag.name)).all()
    assert (race.ids, name) == ([made] * THREADS, "red")
    engine.dispose()
