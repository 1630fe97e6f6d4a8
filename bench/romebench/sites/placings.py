"""What is compared at several sites: a database, where its parts are, and how a client at the home site reaches it.

Nova runs at the home site, and writes only there, as OpenStack's deployments do (one writer).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from romebench.sites.network import Site

HERE, ELSEWHERE = "here", "elsewhere"
ETCD, REDIS, GALERA, MARIADB = "etcd", "redis", "galera", "mariadb"

ROME_OPTIONS = {"ids": "blocks"}
"""Ids that rise across all processes cost a trip to where commits are decided. Galera's ids do not rise, either: each
node has its own (wsrep_auto_increment_control)."""


@dataclass(frozen=True, slots=True)
class Placing:
    """One way to place a database.

    Attributes:
        key: its name in the results.
        cluster: a key of `clusters` in the workload.
        leader: for etcd, whether its leader is at the home site.
        options: of the URL.
        at_home: whether a client connects to the server at its own site; otherwise to the one elsewhere.
    """

    key: str
    title: str
    cluster: str
    leader: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    at_home: bool = True

    @property
    def session(self) -> str:
        """Placings that differ only by the leader share a Nova."""
        return f"{self.cluster} {dict(self.options)}"


_NEAR = {"reads": "near"}

ETCD_NEAR_HERE = Placing("etcd-near-leader-here", "Rome, etcd, near reads, leader here", ETCD, HERE, _NEAR)
ETCD_NEAR_ELSEWHERE = Placing(
    "etcd-near-leader-elsewhere", "Rome, etcd, near reads, leader elsewhere", ETCD, ELSEWHERE, _NEAR
)
ETCD_STRICT_HERE = Placing("etcd-leader-here", "Rome, etcd, leader here", ETCD, HERE)
ETCD_STRICT_ELSEWHERE = Placing("etcd-leader-elsewhere", "Rome, etcd, leader elsewhere", ETCD, ELSEWHERE)
REDIS_NEAR = Placing("redis-near", "Rome, Redis elsewhere, near replica", REDIS, options=_NEAR)
REDIS_STRICT = Placing("redis-elsewhere", "Rome, Redis elsewhere", REDIS, at_home=False)
GALERA_HERE = Placing("galera", "Galera, a node here", GALERA)
MARIADB_ELSEWHERE = Placing("mariadb-elsewhere", "MariaDB elsewhere", MARIADB, at_home=False)

PLACINGS = (
    ETCD_STRICT_HERE,
    ETCD_STRICT_ELSEWHERE,
    ETCD_NEAR_HERE,
    ETCD_NEAR_ELSEWHERE,
    REDIS_STRICT,
    REDIS_NEAR,
    GALERA_HERE,
    MARIADB_ELSEWHERE,
)
"""In the order of the table."""

SITE_TITLES = {placing.key: placing.title for placing in PLACINGS}


@dataclass(frozen=True, slots=True)
class Outage:
    """A site that is lost.

    Attributes:
        what: which site, in words.
        leads: for etcd, whether the lost site has the leader.
    """

    key: str
    cluster: str
    what: str
    options: Mapping[str, str] = field(default_factory=dict)
    leads: bool = False
    wan_advice: bool = False

    @property
    def case(self) -> str:
        """The end of its cases' names."""
        return f"site of {self.what} lost"


OUTAGES = (
    Outage("etcd-near-leader-elsewhere", ETCD, "etcd's leader", _NEAR, leads=True),
    Outage("etcd-near-leader-here", ETCD, "a follower of etcd", _NEAR),
    Outage("redis-near", REDIS, "Redis's primary", {**_NEAR, "read_timeout": "3"}),
    Outage("galera", GALERA, "a Galera node"),
    Outage("galera-wan", GALERA, "a Galera node, with the timeouts that Galera advises for WAN,", wan_advice=True),
)


SITES_KEYS = list(dict.fromkeys([*SITE_TITLES, *(outage.key for outage in OUTAGES)]))


def home(sites: list[Site]) -> Site:
    """Where Nova runs."""
    return sites[0]


def elsewhere(sites: list[Site]) -> Site:
    """Where the leader or primary is, if it is not at home."""
    return sites[1]
