from __future__ import annotations

from collections.abc import Iterator

import pytest

import rome
from rome.insights.reporting import Report


@pytest.fixture
def _recorded() -> Iterator[None]:
    """This process records, from nothing, what connections do that the test opens."""
    rome.insights.record()
    yield
    rome.insights.stop()


@pytest.fixture
def connect(_recorded: None, connect: object) -> object:
    """The connections of these tests are recorded."""
    return connect


def report() -> Report:
    return rome.insights.report()
