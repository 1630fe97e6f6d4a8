"""What INFO says of a server, and whether that suffices. CONFIG is not used, since managed servers forbid it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rome.callers import warn
from rome.errors import PersistenceWarning, StoreConfigError
from rome.store.option_values import Address

SECTIONS = (b"server", b"replication", b"memory", b"persistence", b"cluster")
OLDEST = (7, 0)

_REPLICA = re.compile(r"slave\d+")
_PAIR = re.compile(r"(\w+)=([^,]*)")

_warned: set[str] = set()
"""Run ids of the servers of which this process has warned."""


def parse_info(info: bytes) -> Mapping[str, str]:
    """INFO's answer: {name: value}."""
    lines = (line.partition(":") for line in info.decode("utf-8", "replace").splitlines())
    return {name: value for name, _, value in lines}


def is_too_old(version: str) -> bool:
    """Whether a server with this `redis_version` lacks what the scripts need. Valkey names the Redis that it equals."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST


def evicts(policy: str) -> bool:
    """Whether the policy deletes Rome's keys. The volatile-* policies evict only keys that expire; Rome's do not."""
    return policy.startswith("allkeys")


class Health:
    """One server's INFO."""

    def __init__(self, info: bytes, server: str) -> None:
        self._facts = parse_info(info)
        self._server = server

    @property
    def run_id(self) -> str:
        """An id that changes whenever the server starts."""
        return self._facts.get("run_id", "")

    @property
    def replication_id(self) -> str:
        """An id that changes when a replica is promoted."""
        return self._facts.get("master_replid", "")

    @property
    def is_replica(self) -> bool:
        """Whether the server is a replica."""
        return self._facts.get("role") == "slave"

    @property
    def replicas(self) -> list[Address]:
        """The replicas that follow this server, as it sees their addresses."""
        lines = [dict(_PAIR.findall(line)) for name, line in self._facts.items() if _REPLICA.fullmatch(name)]
        return [
            (about["ip"], int(about["port"]))
            for about in lines
            if about.get("state") == "online" and about.get("ip") and about.get("port", "0") != "0"
        ]

    @property
    def is_in_cluster(self) -> bool:
        """Whether the server is a node of a cluster."""
        return self._facts.get("cluster_enabled") == "1"

    def check(self, *, allow_eviction: bool) -> None:
        """Refuse a server that Rome cannot use.

        Raises:
            StoreConfigError: it is too old, or may delete data.
        """
        version = self._facts.get("redis_version", "")
        if is_too_old(version):
            raise StoreConfigError(f"{self._server}: Redis {version or '(unknown)'} is too old; 7.0 or newer is needed")
        policy = self._facts.get("maxmemory_policy", "noeviction")
        if evicts(policy) and not allow_eviction:
            raise StoreConfigError(
                f"{self._server}: maxmemory-policy is {policy}, which deletes rows when memory is short;"
                " set it to noeviction, or write allow_eviction=true in the URL if losing data does not matter"
            )

    def warn(self) -> None:
        """Warn of what may lose data, once for each process and each run of a server."""
        message = self._complaint()
        if message and self.run_id not in _warned:
            _warned.add(self.run_id)
            warn(f"{self._server}: {message}", PersistenceWarning)

    def _complaint(self) -> str | None:
        if not (self.run_id and self.replication_id):
            return (
                "INFO does not tell the run id or the replication id, so it cannot be noticed when the server restarts"
                " without its last writes"
            )
        if "aof_enabled" not in self._facts:
            return "INFO does not tell whether anything is persisted"
        saved = ("rdb_saves", "rdb_last_load_keys_loaded")
        if self._facts["aof_enabled"] == "0" and all(self._facts.get(fact, "0") == "0" for fact in saved):
            return (
                "no sign of persistence: appendonly is off, and no RDB file was saved or loaded since it started;"
                " what it holds is gone when it ends"
            )
        return None
