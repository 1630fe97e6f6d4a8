"""Clients at once through rome.kv, and the checker over what they saw.

`python -m rome.testing.isolation.kv URL` does the same with processes, and with more transactions.
"""

from __future__ import annotations

import pytest

from rome.testing.isolation.kv import KV_LEVELS, KV_WORKLOADS, KvLoad, main, run_load

CLIENTS, TRANSACTIONS, KEYS = 3, 240, 4


@pytest.mark.parametrize("level", KV_LEVELS)
@pytest.mark.parametrize("workload", KV_WORKLOADS)
@pytest.mark.parametrize("url", [pytest.param("lmdb", marks=pytest.mark.lmdb)], indirect=True)
def test_no_level_is_broken(url: str, workload: str, level: str) -> None:
    verdict = run_load(KvLoad(url, workload, level, KEYS, TRANSACTIONS), CLIENTS, threads=True)
    assert verdict.valid, "\n".join(map(str, verdict.forbidden))
    assert sum(verdict.outcomes.values()) == TRANSACTIONS + 1
    assert verdict.outcomes["ok"] > 1
    assert "unknown" not in verdict.outcomes


@pytest.mark.parametrize(
    "url",
    [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("redis", "valkey", "etcd")],
    indirect=True,
)
def test_no_level_is_broken_on_servers(url: str) -> None:
    verdict = run_load(KvLoad(url, "lists", "SERIALIZABLE", KEYS, TRANSACTIONS // 2), CLIENTS, threads=True)
    assert verdict.valid, "\n".join(map(str, verdict.forbidden))
    assert verdict.outcomes["ok"] > 1


def test_command_wants_a_place_for_the_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["rome+memory:///one"])
    assert "{db}" in capsys.readouterr().err
