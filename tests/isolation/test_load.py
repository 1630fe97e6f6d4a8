"""Processes at once on one database, and the checker over what they saw; `make isolation` does the same with more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rome.testing.isolation.__main__ import main
from rome.testing.isolation.load import Clients, Load
from rome.testing.isolation.workloads import WORKLOADS
from tests.support.databases import database, on

LEVELS = ("SERIALIZABLE", "SNAPSHOT", "READ COMMITTED", "AUTOCOMMIT")
PROCESSES, TRANSACTIONS, KEYS = 4, 160, 4


@pytest.fixture(scope="module")
def clients() -> Iterator[Clients]:
    with Clients(PROCESSES) as clients:
        yield clients


@pytest.fixture(params=on("lmdb", "redis", "valkey", "etcd"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_no_level_is_broken(clients: Clients, url: str, workload: str, level: str) -> None:
    run = clients.run(Load(url, workload, level, KEYS, TRANSACTIONS))
    assert run.verdict.valid, "\n".join(map(str, run.verdict.forbidden))
    assert sum(run.verdict.outcomes.values()) == TRANSACTIONS + 1
    assert run.verdict.outcomes["ok"] > 1
    assert "unknown" not in run.verdict.outcomes


@pytest.fixture(params=on("redis-near", "valkey-near", "etcd-near"))
def near_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.mark.parametrize(
    ("workload", "level"),
    [("lists", "SERIALIZABLE"), ("registers", "SNAPSHOT"), ("sets", "READ COMMITTED"), ("bank", "AUTOCOMMIT")],
)
def test_no_level_is_broken_by_near_reads(clients: Clients, near_url: str, workload: str, level: str) -> None:
    run = clients.run(Load(near_url, workload, level, KEYS, TRANSACTIONS))
    assert run.load.near == PROCESSES
    assert run.verdict.valid, "\n".join(map(str, run.verdict.forbidden))
    assert run.verdict.outcomes["ok"] > 1
    assert "unknown" not in run.verdict.outcomes


def test_command_tells_what_it_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--transactions", "80", "--processes", "2", "--level", "SNAPSHOT", "--workload", "bank"]
    assert main([f"rome+lmdb:///{tmp_path}/{{db}}.rome", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[:2]] == [["bank", "SNAPSHOT", "hot"], ["bank", "SNAPSHOT", "uniform"]]
    assert "82 transactions" in lines[2]
    assert lines[2].endswith("0 of 2 runs broke their level")
    assert not [*tmp_path.iterdir()]


def test_command_wants_a_place_for_the_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["rome+memory:///one"])
    assert "{db}" in capsys.readouterr().err
