"""The metrics of this process, as if nothing had happened in it before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from rome.metrics.exposition import exposed
from rome.metrics.process import process_families
from rome.transaction import totals
from tests.support.databases import database, on


@pytest.fixture(autouse=True)
def _process_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "_process", totals._Process())


@pytest.fixture(params=on("memory", "lmdb", "redis", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


def values(**labels: str) -> Mapping[str, float]:
    """The sum of each metric of this process over all samples with these labels."""
    found: dict[str, float] = {}
    for name, has, value in exposed(process_families()):
        if labels.items() <= has.items():
            found[name] = found.get(name, 0) + value
    return found
