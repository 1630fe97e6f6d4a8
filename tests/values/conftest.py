"""Fixtures: values go into a fresh database on every store."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine

from tests.support.databases import database, on


@pytest.fixture(params=on("memory", "lmdb", "redis"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def engines(make_engine: Callable[..., Engine]) -> tuple[Engine, Engine]:
    """One that writes, and one that reads what was committed."""
    return make_engine(), make_engine()
