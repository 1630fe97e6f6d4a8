"""`rome doctor` says whether the replica that a URL names can be read: reads themselves never tell."""

from __future__ import annotations

import pytest

import rome
from rome.store.diagnosis import Level
from tests.support.replicas import NearReplica
from tests.support.servers import StartServer

pytestmark = pytest.mark.redis


def finding(url: str) -> tuple[Level, str]:
    (found,) = [each for each in rome.diagnose(url).findings if each.check == "near reads"]
    return found.level, found.reason


def url_of(pair: NearReplica, near: str) -> str:
    primary = pair.primary
    return f"rome+redis://{primary.host}:{primary.port}/doctor?reads=near&near={near}"


def test_each_kind_of_replica(redis_replica: NearReplica, start_server: StartServer) -> None:
    primary, replica = redis_replica.primary, redis_replica.server
    level, reason = finding(url_of(redis_replica, f"{replica.host}:{replica.port}"))
    assert (level, reason) == (Level.OK, f"at {replica.host}:{replica.port}, which follows this primary")
    level, reason = finding(url_of(redis_replica, f"{primary.host}:{primary.port}"))
    assert level is Level.WARNING
    assert "is no replica, so every read goes to the primary" in reason
    level, reason = finding(url_of(redis_replica, "127.0.0.1:1"))
    assert level is Level.WARNING
    assert "127.0.0.1:1 cannot be asked, so every read goes to the primary" in reason
    other = start_server("redis", {"replicaof": f"{primary.host} 1"})
    level, reason = finding(url_of(redis_replica, f"{other.host}:{other.port}"))
    assert level is Level.WARNING
    assert "of another server" in reason or "has lost its primary" in reason


def test_without_near_reads_nothing_is_said(redis_replica: NearReplica) -> None:
    primary = redis_replica.primary
    findings = rome.diagnose(f"rome+redis://{primary.host}:{primary.port}/doctor").findings
    assert not [each for each in findings if each.check == "near reads"]
