from __future__ import annotations

import inspect
import re

import pytest
from redis import exceptions
from redis._parsers.base import BaseParser

from rome.errors import (
    AuthenticationError,
    CorruptRecordError,
    Error,
    InternalError,
    StoreBusyError,
    StoreConfigError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from rome.store.redis.failures import CLASSES, SlotMovedError, translate

OTHERS = {
    "ChildDeadlockedError": "connection pools",
    "ClusterError": "the cluster client",
    "IncorrectPolicyType": "the cluster client",
    "InvalidPipelineStack": "the cluster client",
    "CrossSlotTransactionError": "the cluster client",
    "RedisClusterException": "the cluster client",
    "SlotNotCoveredError": "the cluster client",
    "MaxConnectionsError": "connection pools",
    "ExternalAuthProviderError": "credential providers",
    "ExecAbortError": "MULTI",
    "PubSubError": "publish and subscribe",
    "WatchError": "WATCH",
    "LockError": "redis-py's locks",
    "LockNotOwnedError": "redis-py's locks",
    "ModuleError": "modules",
    "NoSuchFieldsetError": "HIMPORT",
}
"""Classes of redis-py that nothing here can meet, and what raises them."""

ANSWERS = {
    "WRONGPASS invalid username-password pair or user is disabled.": AuthenticationError,
    "NOAUTH Authentication required.": AuthenticationError,
    "NOPERM User joe has no permissions to run the 'evalsha' command": AuthenticationError,
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": StoreBusyError,
    "LOADING Redis is loading the dataset in memory": StoreBusyError,
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": StoreBusyError,
    "CLUSTERDOWN The cluster is down": StoreBusyError,
    "TRYAGAIN Multiple keys request during rehashing of slot": StoreBusyError,
    "UNKILLABLE Sorry the script already executed write commands against the dataset.": StoreBusyError,
    "READONLY You can't write against a read only replica.": StoreReadOnlyError,
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist": StoreReadOnlyError,
    "NOREPLICAS Not enough good replicas to write.": StoreReadOnlyError,
    "OOM command not allowed when used memory > 'maxmemory'.": StoreFullError,
    "WRONGTYPE Operation against a key holding the wrong kind of value": CorruptRecordError,
    "MOVED 3999 127.0.0.1:6381": SlotMovedError,
    "ASK 3999 127.0.0.1:6381": StoreBusyError,
    "CROSSSLOT Keys in request don't hash to the same slot": StoreConfigError,
    "NOSCRIPT No matching script.": InternalError,
    "ERR unknown command 'EVALSHA'": InternalError,
}
"""What servers answer -> what it becomes."""


def _client_classes() -> dict[str, type[BaseException]]:
    return {
        name: found
        for name, found in inspect.getmembers(exceptions, inspect.isclass)
        if issubclass(found, Exception) and found.__module__ == exceptions.__name__
    }


def test_every_class_of_the_client_library_is_mapped() -> None:
    mapped = {found.__name__ for found in CLASSES}
    assert _client_classes().keys() - mapped - OTHERS.keys() == set()


def test_no_class_is_hidden_by_a_more_general_one() -> None:
    classes = list(CLASSES)
    for position, found in enumerate(classes):
        assert not any(issubclass(found, before) for before in classes[:position]), found


@pytest.mark.parametrize(("answer", "expected"), ANSWERS.items(), ids=[answer.split()[0] for answer in ANSWERS])
def test_answer_of_a_server_is_mapped(answer: str, expected: type[Error]) -> None:
    error = translate(BaseParser.parse_error(answer), "db:6379")  # type: ignore[no-untyped-call]
    assert type(error) is expected
    assert str(error).startswith("db:6379: ")


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        ("MOVED 3999 127.0.0.1:6381", "MOVED 3999 127.0.0.1:6381: .*add cluster=on"),
        ("ASK 3999 127.0.0.1:6381", "ASK 3999 127.0.0.1:6381: .*run it again later"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", "being moved.*run it again later"),
        ("CLUSTERDOWN The cluster is down", "no node of the cluster serves.*run it again later"),
    ],
)
def test_answer_of_a_clusters_node_says_what_to_do(answer: str, remedy: str) -> None:
    assert re.search(remedy, str(translate(BaseParser.parse_error(answer), "db:6379")))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "error",
    [
        exceptions.TimeoutError("Timeout reading from socket"),
        exceptions.ConnectionError("Connection closed by server."),
        exceptions.ConnectionError("Error -2 connecting to nowhere:6379. Name or service not known."),
        exceptions.InvalidResponse("Protocol Error"),
    ],
)
def test_broken_connection_is_unavailable(error: exceptions.RedisError) -> None:
    assert type(translate(error, "db:6379")) is StoreUnavailableError


def test_only_what_passes_by_itself_is_retryable() -> None:
    every: set[type[Error]] = {*ANSWERS.values(), StoreUnavailableError}
    assert {found for found in every if found.retryable} == {StoreBusyError}
