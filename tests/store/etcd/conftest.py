"""Members for the tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack

import pytest

from tests.support.etcd_servers import Member, find_etcd, start_cluster

StartMember = Callable[..., Member]


@pytest.fixture
def start_member(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartMember]:
    """Starts a cluster of one for one test, which may kill it: start_member(options, scheme)."""
    _want_one_to_kill()
    with ExitStack() as cleanup:

        def start(options: Mapping[str, str] | None = None, scheme: str = "http") -> Member:
            member = Member(tmp_path_factory.mktemp("etcd"), options=options, scheme=scheme, to_kill=True)
            cleanup.callback(member.stop)
            return member.start()

        yield start


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[Member]]:
    """Three members for one test, which may kill them."""
    _want_one_to_kill()
    with ExitStack() as cleanup:
        members = start_cluster(tmp_path_factory.mktemp("cluster"))
        for member in members:
            cleanup.callback(member.stop)
        yield members


def _want_one_to_kill() -> None:
    try:
        find_etcd(to_kill=True)
    except FileNotFoundError as error:
        if "CI" in os.environ:
            raise
        pytest.skip(str(error))
