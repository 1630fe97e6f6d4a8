"""The URL options of the etcd store."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal
from urllib.parse import urlsplit

from rome.errors import URLError
from rome.store.location import Location
from rome.store.option_values import Address, address, addresses, check_near, flag, reads_near, seconds, shown
from rome.store.spelling import did_you_mean

DEFAULT_PORT = 2379


@dataclass(frozen=True, slots=True)
class Settings:
    """How to reach a cluster.

    Attributes:
        addresses: the members' addresses, in the order in which they are tried.
        read_timeout_s: how long to wait for an answer in all, over all members that are tried.
        tls: the TLS settings; None without TLS.
        reads_near: whether to read at the first of the addresses, at the version that it has.
        near_max_lag_s: how long that member may have been without a leader.
        compact: whether Rome discards the cluster's history when no snapshot needs it any more; "auto": if nobody else
            has keys in the cluster.
        allow_unsafe_version: whether a member may have a version that can lose data (see versions.py).
    """

    addresses: tuple[Address, ...]
    username: str | None
    password: str | None = field(repr=False)
    connect_timeout_s: float
    read_timeout_s: float
    tls: Mapping[str, Any] | None
    compact: bool | Literal["auto"]
    reads_near: bool = False
    near_max_lag_s: float = 30.0
    allow_unsafe_version: bool = False

    @property
    def servers(self) -> str:
        """The addresses as messages show them."""
        return ", ".join(map(shown, self.addresses))

    def tls_context(self, *, protocol: str = "h2") -> ssl.SSLContext | None:
        """Return the TLS context for sockets that will speak this protocol; None without TLS.

        Raises:
            URLError: a file that an option names is missing or invalid.
        """
        if self.tls is None:
            return None
        try:
            context = ssl.create_default_context(cafile=self.tls.get("ssl_ca_certs"))
            if certificate := self.tls.get("ssl_certfile"):
                context.load_cert_chain(certificate, self.tls.get("ssl_keyfile"))
        except OSError as error:  # ssl.SSLError is one
            raise URLError(f"rome+etcd: a file of the ssl options cannot be used: {error}") from error
        context.set_alpn_protocols([protocol])
        if not self.tls.get("ssl_check_hostname", True):
            context.check_hostname = False
        if self.tls.get("ssl_cert_reqs", "required") == "none":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def addresses_of(urls: Iterable[str]) -> tuple[Address, ...]:
    """Return the addresses in URLs that members report; URLs that cannot be parsed are left out."""
    addresses = []
    for url in urls:
        parts = urlsplit(url)
        if parts.hostname:
            addresses.append((parts.hostname, parts.port or DEFAULT_PORT))
    return tuple(addresses)


def _cert_reqs(text: str) -> str:
    return {"none": "none", "required": "required"}[text.lower()]


def _compact(text: str) -> bool | Literal["auto"]:
    return "auto" if text.lower() == "auto" else flag(text)


_OPTIONS: Mapping[str, tuple[Callable[[str], object], str]] = {
    "connect_timeout": (seconds, "seconds, 0.01 to 86400"),
    "read_timeout": (seconds, "seconds, 0.01 to 86400"),
    "host": (partial(addresses, default_port=DEFAULT_PORT), "host:port of a member, or several with commas"),
    "reads": (reads_near, "near or primary"),
    "near": (partial(address, default_port=DEFAULT_PORT), "host:port of the member to read at"),
    "near_max_lag": (seconds, "seconds, 0.01 to 86400"),
    "compact": (_compact, "auto, true or false"),
    "allow_unsafe_version": (flag, "true or false"),
    "ssl": (flag, "true or false"),
    "ssl_ca_certs": (str, "a path"),
    "ssl_certfile": (str, "a path"),
    "ssl_keyfile": (str, "a path"),
    "ssl_cert_reqs": (_cert_reqs, "none or required"),
    "ssl_check_hostname": (flag, "true or false"),
}
OPTIONS = frozenset(_OPTIONS)


def read_settings(location: Location) -> Settings:
    """Read the settings from a location.

    Raises:
        URLError: an option's value is invalid, or options contradict each other.
    """
    values: dict[str, Any] = {}
    for name, text in location.options.items():
        if name not in _OPTIONS:
            meant = did_you_mean(name, OPTIONS)
            raise URLError(f"rome+etcd has no option {name!r}{meant}; known: {', '.join(sorted(OPTIONS))}")
        parse, wanted = _OPTIONS[name]
        try:
            values[name] = parse(text)
        except (ValueError, KeyError):
            raise URLError(f"option {name} of rome+etcd wants {wanted}") from None
    tls = {name: value for name, value in values.items() if name.startswith("ssl_")}
    if tls and not values.get("ssl"):
        raise URLError(f"option {min(tls)} does nothing without ssl=true")
    if location.password is not None and not location.username:
        raise URLError("rome+etcd: a password without a user; write rome+etcd://user:password@host/database")
    check_near(values)
    near = (values["near"],) if "near" in values else ()
    own = ((location.host, location.port or DEFAULT_PORT),) if location.host else ()
    others = values.get("host", ())
    return Settings(
        addresses=tuple(dict.fromkeys((*near, *own, *others))) or (("localhost", DEFAULT_PORT),),
        username=location.username or None,
        password=location.password,
        connect_timeout_s=values.get("connect_timeout", 5.0),
        read_timeout_s=values.get("read_timeout", 30.0),
        tls=tls if values.get("ssl") else None,
        compact=values.get("compact", "auto"),
        reads_near=values.get("reads", False),
        near_max_lag_s=values.get("near_max_lag", 30.0),
        allow_unsafe_version=values.get("allow_unsafe_version", False),
    )
