"""Fixtures: a fresh database in memory, and engines on it that are disposed of after the test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import Engine, create_engine

import rome

collect_ignore = ["alembic_suite", "sqlalchemy_suite"]  # run by test_alembic_suite.py and test_sqlalchemy_suite.py

_serial = itertools.count(1)


@pytest.fixture
def url() -> Iterator[str]:
    text = f"rome+memory:///dialect{next(_serial)}"
    yield text
    rome.drop_database(text)


@pytest.fixture
def make_engine(url: str) -> Iterator[Callable[..., Engine]]:
    """Makes an engine on `url`; takes create_engine's options."""
    with ExitStack() as engines:

        def make(**options: object) -> Engine:
            engine = create_engine(url, **options)
            engines.callback(engine.dispose)
            return engine

        yield make


@pytest.fixture
def engine(make_engine: Callable[..., Engine]) -> Engine:
    return make_engine()
