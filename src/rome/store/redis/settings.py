"""The URL options of the redis store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from rome.errors import URLError
from rome.store.location import Location
from rome.store.option_values import Address, address, addresses, check_near, flag, reads_near, seconds, shown
from rome.store.redis.names import SLOTS
from rome.store.spelling import did_you_mean

T = TypeVar("T")

DEFAULT_PORT = 6379
SENTINEL_PORT = 26379


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """How to reach a server, and what to require of it.

    Attributes:
        sentinel: the name under which Sentinels know the primary; None if host and port are the server's own.
        sentinels: (host, port) of each Sentinel.
        cluster: whether `nodes`, (host, port) of some nodes of a cluster, tell which server is the primary.
        slot: where in the cluster the database is; None: in the slot that its name hashes to.
        tls: keyword arguments of redis-py's SSLConnection; None without TLS.
        wait_replicas: how many replicas must acknowledge a commit before it returns.
        wait_timeout_ms: how long to wait for them.
        near_reads: whether to read at a replica. `near` is its address; None if the primary is to say it.
        near_timeout_s: how long to wait for its answer.
        near_max_lag_s: how long ago it may have heard from its primary.
    """

    host: str
    port: int
    unix_socket: str | None
    username: str | None
    password: str | None = field(repr=False)
    db: int
    connect_timeout_s: float
    read_timeout_s: float
    tls: Mapping[str, Any] | None
    allow_eviction: bool
    wait_replicas: int
    wait_timeout_ms: int
    sentinel: str | None = None
    sentinels: tuple[Address, ...] = ()
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    near_reads: bool = False
    near: Address | None = None
    near_timeout_s: float = 0.25
    near_max_lag_s: float = 30.0
    cluster: bool = False
    nodes: tuple[Address, ...] = ()
    slot: int | None = None

    @property
    def server(self) -> str:
        """The server's name in messages; before it is found, those of the servers that are asked."""
        if self.sentinel is not None:
            return ", ".join(map(shown, self.sentinels))
        if self.cluster:
            return ", ".join(map(shown, self.nodes))
        return self.unix_socket or shown((self.host, self.port))


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def _hosts(text: str) -> str:
    addresses(text, DEFAULT_PORT)  # the default depends on who is at these addresses, which another option tells
    return text


def _slot(text: str) -> int:
    number = _count(text)
    if number >= SLOTS:
        raise ValueError
    return number


def _cert_reqs(text: str) -> str:
    return {"none": "none", "optional": "optional", "required": "required"}[text.lower()]


_OPTIONS: Mapping[str, tuple[Callable[[str], object], str]] = {
    "connect_timeout": (seconds, "seconds, 0.01 to 86400"),
    "read_timeout": (seconds, "seconds, 0.01 to 86400"),
    "ssl": (flag, "true or false"),
    "ssl_ca_certs": (str, "a path"),
    "ssl_certfile": (str, "a path"),
    "ssl_keyfile": (str, "a path"),
    "ssl_cert_reqs": (_cert_reqs, "none, optional or required"),
    "ssl_check_hostname": (flag, "true or false"),
    "unix_socket": (str, "a path"),
    "allow_eviction": (flag, "true or false"),
    "wait_replicas": (_count, "a number, 0 or more"),
    "wait_timeout": (seconds, "seconds, 0.01 to 86400"),
    "db": (_count, "a number, 0 or more"),
    "sentinel": (str, "the name that Sentinels have for the primary"),
    "sentinel_username": (str, "a name"),
    "sentinel_password": (str, "a password"),
    "reads": (reads_near, "near or primary"),
    "near": (partial(address, default_port=DEFAULT_PORT), "host:port of the replica to read at"),
    "near_timeout": (seconds, "seconds, 0.01 to 86400"),
    "near_max_lag": (seconds, "seconds, 0.01 to 86400"),
    "host": (_hosts, "host:port of a Sentinel or of a cluster's node, or several with commas"),
    "cluster": (flag, "on or off"),
    "slot": (_slot, "a slot of the cluster, 0 to 16383"),
}
OPTIONS = frozenset(_OPTIONS)

NEAR_OPTIONS = frozenset({"reads", "near", "near_timeout", "near_max_lag"})
PRIMARY_OPTIONS = frozenset(
    {
        *("unix_socket", "sentinel", "sentinel_username", "sentinel_password", "host"),
        *("wait_replicas", "wait_timeout", "connect_timeout", "read_timeout"),
    }
)
"""What a URL says of the primary only."""


def read_settings(location: Location) -> RedisSettings:
    """The settings of a location.

    Raises:
        URLError: an option has a wrong value, or options contradict each other.
    """
    values: dict[str, Any] = {}
    for name, text in location.options.items():
        if name not in _OPTIONS:
            meant = did_you_mean(name, OPTIONS)
            raise URLError(f"rome+redis has no option {name!r}{meant}; known: {', '.join(sorted(OPTIONS))}")
        parse, wanted = _OPTIONS[name]
        try:
            values[name] = parse(text)
        except (ValueError, KeyError):
            raise URLError(f"option {name} of rome+redis must be {wanted}") from None
    tls = {name: value for name, value in values.items() if name.startswith("ssl_")}
    if tls and not values.get("ssl"):
        raise URLError(f"option {min(tls)} has no effect without ssl=true: add ssl=true, or leave it out")
    if tls.get("ssl_cert_reqs", "required") != "required":
        tls.setdefault("ssl_check_hostname", False)  # without a certificate there is no name to check
    unix_socket = values.get("unix_socket")
    if unix_socket and values.get("ssl"):
        raise URLError("ssl=true needs a host: a Unix socket has no TLS")
    sentinel, cluster = values.get("sentinel"), values.get("cluster", False)
    _check_finders(values)
    settings = RedisSettings(
        host=location.host or "localhost",
        port=location.port or DEFAULT_PORT,
        unix_socket=unix_socket,
        username=location.username,
        password=location.password,
        db=values.get("db", 0),
        connect_timeout_s=values.get("connect_timeout", 5.0),
        read_timeout_s=values.get("read_timeout", 30.0),
        tls=tls if values.get("ssl") else None,
        allow_eviction=values.get("allow_eviction", False),
        wait_replicas=values.get("wait_replicas", 0),
        wait_timeout_ms=max(1, round(values.get("wait_timeout", 1.0) * 1000)),
        sentinel=sentinel,
        sentinels=_asked(location, values, SENTINEL_PORT) if sentinel is not None else (),
        sentinel_username=values.get("sentinel_username"),
        sentinel_password=values.get("sentinel_password"),
        near_reads=values.get("reads", False),
        near=values.get("near"),
        near_timeout_s=values.get("near_timeout", 0.25),
        near_max_lag_s=values.get("near_max_lag", 30.0),
        cluster=cluster,
        nodes=_asked(location, values, DEFAULT_PORT) if cluster else (),
        slot=values.get("slot"),
    )
    check_near(values)
    if settings.wait_replicas and settings.wait_timeout_ms >= settings.read_timeout_s * 1000:
        raise URLError("wait_timeout must be less than read_timeout, or no answer can come in time")
    return settings


def _check_finders(values: Mapping[str, Any]) -> None:
    """Refuse options that have no effect, or contradict each other, in what they say of where the primary is."""
    sentinel, cluster = values.get("sentinel") is not None, values.get("cluster", False)
    if not sentinel and (astray := sorted(values.keys() & {"sentinel_username", "sentinel_password"})):
        raise URLError(f"option {astray[0]} is for Sentinels: it has no effect without sentinel=<name of the primary>")
    if "host" in values and not (sentinel or cluster):
        raise URLError(
            "option host is for Sentinels and clusters: it has no effect without sentinel=<name of the primary> or "
            "cluster=on"
        )
    if "slot" in values and not cluster:
        raise URLError("option slot is for a cluster: it has no effect without cluster=on")
    if sentinel and values.get("unix_socket"):
        raise URLError("sentinel finds the server: leave out unix_socket")
    if not cluster:
        return
    if sentinel:
        raise URLError("a cluster has no Sentinels: leave out sentinel, or cluster=on")
    if values.get("unix_socket"):
        raise URLError("cluster=on needs hosts and ports, since the nodes name each other so: leave out unix_socket")
    if values.get("reads"):
        # A replica does not know that its primary's slot is being moved, and takes keys that have gone for absent ones.
        raise URLError("reads=near is not supported with cluster=on: leave out one of them")
    if values.get("db"):
        raise URLError("a cluster has the logical database 0 only: leave out db")


def _asked(location: Location, values: Mapping[str, Any], port: int) -> tuple[Address, ...]:
    """Who is asked for the primary: Sentinels, or a cluster's nodes.

    The URL's own host is one of a cluster's nodes; with Sentinels it has never been one if the option host names some.
    """
    own = (location.host or "localhost", location.port or port)
    if "host" not in values:
        return (own,)
    named = addresses(values["host"], port)
    return tuple(dict.fromkeys((own, *named))) if values.get("cluster") and location.host else named
