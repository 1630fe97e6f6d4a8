"""What a URL says: where the database is, and which options the engine has.

    rome+lmdb:///relative/path      rome+lmdb:////absolute/path
    rome+redis://user:password@host:6379/database?ssl=true
    rome+memory:///name             rome+memory://  (private; see rome.dbapi.private)

SQLAlchemy parses the URL. 2.1 reads %20 in a database's name as a space, 2.0 leaves it as it is.

Options follow as `?name=value&name=value`. An option is the store's if the store lists it (Store.options), sqlite3's if
sqlite3.connect has such an argument (rome.dbapi.sqlite3_options), and otherwise the engine's. No message shows a
password, nor the value of a store's option, which may be a password.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Set
from typing import NamedTuple

from sqlalchemy.engine import URL
from sqlalchemy.engine import make_url as sqlalchemy_url
from sqlalchemy.exc import ArgumentError

from rome.dbapi import sqlite3_options
from rome.dbapi.isolation import LEVELS, level_name, level_of
from rome.engine.options import Isolation, Options
from rome.errors import ProgrammingError, URLError
from rome.store.location import Location
from rome.store.registry import schemes, store_class
from rome.store.spelling import did_you_mean
from rome.store.spi import Store

_QUOTING = "In a user name or password write %40 for @, and %25 for %"
_AT_BEHIND = f"there is an @ behind the ? of the URL. {_QUOTING}, and %3F for ?"
FORMS = (
    "rome+lmdb:///path, rome+redis://user:password@host:6379/database, rome+etcd://user:password@host:2379/database, "
    "rome+memory:///name"
)


class Target(NamedTuple):
    """Everything that a URL says."""

    location: Location
    options: Options


def make_url(text: str | URL) -> URL:
    """Parse a URL without checking what it says.

    Raises:
        URLError: it does not have the form of a URL, or its port is not a number.
    """
    if isinstance(text, str) and any("@" in part and "=" not in part for part in text.partition("?")[2].split("&")):
        raise URLError(_AT_BEHIND)  # SQLAlchemy would drop that part, and take what is before the ? for the host
    try:
        return sqlalchemy_url(text)
    except (ArgumentError, ValueError):
        # The cause is left out, since it may quote the URL with its password.
        raise URLError(f"this is not a URL, or its port is not a number; the forms are {FORMS}. {_QUOTING}") from None


def for_a_long_read(url: URL) -> URL:
    """The same database, for a transaction that may last for a week, unless the URL has a limit of its own."""
    if "max_transaction_seconds" in url.query:
        return url
    return url.update_query_dict({"max_transaction_seconds": str(_LONGEST_S)})


def store_of(url: URL) -> type[Store]:
    """The class of the store that a URL names.

    Raises:
        URLError: the URL names no store, or one that is not installed.
        InterfaceError: the store's client library is not installed.
    """
    return store_class(_scheme(url))


def parse_url(url: URL, options: Mapping[str, object] | None = None, *, database_needed: bool = True) -> Target:
    """Read a URL.

    Args:
        options: more options, which override those of the URL; `username` and `password` are allowed, too.
        database_needed: False if the database's name does not matter, so that it may be missing.

    Raises:
        URLError: something in it is wrong; the message says what to write instead.
        InterfaceError: the store's client library is not installed.
    """
    given = {**url.query, **(options or {})}
    if "username" in given:
        url = url.set(username=_text("username", given.pop("username")))
    if "password" in given:
        url = url.set(password=_text("password", given.pop("password")))
    scheme, store = _scheme(url), store_of(url)
    texts = {name: _text(name, value) for name, value in given.items()}
    sqlite3_options.check({name: texts.pop(name) for name in _sqlite3s(given, options or {}, store)})
    _check_address(url, store)
    _check_names(scheme, texts, store.options | ENGINE_OPTIONS.keys())
    if not url.database and database_needed:
        raise URLError(f"the URL names no database; the forms are {FORMS}")
    location = Location(
        scheme=scheme,
        database=url.database or "-",
        host=url.host,
        port=url.port,
        username=url.username,
        password=url.password,
        options={name: text for name, text in texts.items() if name in store.options},
    )
    return Target(location, _engine_options({name: texts[name] for name in texts.keys() & ENGINE_OPTIONS.keys()}))


def _sqlite3s(given: Mapping[str, object], options: Mapping[str, object], store: type[Store]) -> Set[str]:
    """The names of sqlite3's arguments among those given.

    A `timeout` in a URL is not one of them if the store has timeouts of its own: it is likely to mean one of these.
    """
    found = given.keys() & (sqlite3_options.NAMES - store.options)
    ambiguous = "timeout" not in options and any(name.endswith("_timeout") for name in store.options)
    return found - {"timeout"} if ambiguous else found


def _scheme(url: URL) -> str:
    name, _, scheme = url.drivername.partition("+")
    if name != "rome":
        raise URLError(f"{url.drivername}:// is not a URL of Rome; the forms are {FORMS}")
    if not scheme:
        raise URLError(f"rome:// names no store (installed: {', '.join(schemes())}); the forms are {FORMS}")
    return scheme.removesuffix("_async")  # the same store: SQLAlchemy's name of a dialect for asyncio


def _check_address(url: URL, store: type[Store]) -> None:
    if not store.capabilities.network and (url.host or url.port or url.username or url.password):
        raise URLError(
            f"{url.drivername} is not on the network: it takes no host, port or user; "
            f"write {url.drivername}:/// (three slashes) and the database"
        )
    if "@" in (url.host or "") or (store.capabilities.network and _ADDRESS_INSIDE.search(url.database or "")):
        raise URLError(f"the URL has more than one @ before its host. {_QUOTING}")
    if url.port is not None and not 1 <= url.port <= 65535:
        raise URLError(f"port {url.port} is not between 1 and 65535")


_ADDRESS_INSIDE = re.compile(r"@[^/@]+/")
"""In a database's name: what is left of `user:p@s/s@host/database`, of which the host would be `s`."""


def _check_names(scheme: str, texts: Mapping[str, str], known: Set[str]) -> None:
    unknown = sorted(texts.keys() - known)
    if not unknown:
        return
    if any("@" in name + texts[name] for name in unknown):  # part of a password, which must not be shown
        raise URLError(_AT_BEHIND)
    meant = "".join(did_you_mean(name, known) for name in unknown[:1])
    raise URLError(
        f"rome+{scheme} has no option {', '.join(map(repr, unknown))}{meant}; known: {', '.join(sorted(known))}"
    )


def _text(name: str, value: object) -> str:
    """An option as text. One that is repeated in the URL is a list, and is joined with commas, as psycopg2's `host`."""
    if value is None and name == "isolation_level":  # as sqlite3.connect() allows it
        return "AUTOCOMMIT"
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _flag(text: str) -> bool:
    return {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}[text.lower()]


def _isolation(text: str) -> Isolation:
    return level_of(level_name(text))


def _autocommit(text: str) -> bool:
    return _flag(text.replace("-1", "false"))  # sqlite3.LEGACY_TRANSACTION_CONTROL: transactions begin by themselves


def _full_scan(text: str) -> str:
    return {"allow": "allow", "warn": "warn", "error": "error"}[text.lower()]


def _ddl(text: str) -> str:
    return {"sqlite": "sqlite", "portable": "portable"}[text.lower()]


def _ids(text: str) -> str:
    return {"rising": "rising", "blocks": "blocks"}[text.lower()]


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def _rows(text: str) -> int:
    number = _count(text)
    if not number:
        raise ValueError
    return number


def _duration(text: str) -> float:
    """A number of seconds; 0 is one, too."""
    number = float(text)
    if not 0 <= number <= _LONGEST_S:
        raise ValueError
    return number


_LONGEST_S = 7 * 86_400


def _size(text: str) -> int:
    """A number of bytes, such as 500000, 256MB or 1G. Too small a number is refused: it was meant as megabytes."""
    size = re.fullmatch(r"(\d+)([KMGT]?)B?", text.strip().upper())
    if size is None or (number := int(size[1]) << _UNITS[size[2]]) < _LEAST_SIZE:
        raise ValueError
    return number


_LEAST_SIZE = 16 << 10


_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}

ENGINE_OPTIONS: dict[str, tuple[Callable[[str], object], str]] = {
    "isolation_level": (_isolation, " or ".join(LEVELS)),
    "autocommit": (_autocommit, "on or off"),
    "full_scan": (_full_scan, "allow, warn or error"),
    "foreign_keys": (_flag, "on or off"),
    "ddl": (_ddl, "sqlite or portable"),
    "max_replays": (_count, "a number, 0 or more"),
    "replay": (_flag, "on or off"),
    "max_working_set": (_size, "a number of bytes, 16KB or more, as in 256MB"),
    "commit_turn": (_flag, "on or off"),
    "ids": (_ids, "rising or blocks"),
    "tracing": (_flag, "on or off"),
    "max_commit_rows": (_rows, "a number, 1 or more"),
    "max_commit_bytes": (_size, "a number of bytes, 16KB or more, as in 16MB"),
    "max_transaction_seconds": (_duration, f"a number of seconds, from 0 to {_LONGEST_S:,} (a week)"),
}
"""{name: (how to read the value, what may be written)}

`replay=off` is max_replays=0; `autocommit=on`, as sqlite3 has it, is isolation_level=AUTOCOMMIT.
"""


def _engine_options(texts: Mapping[str, str]) -> Options:
    fields: dict[str, object] = {}
    for name, text in texts.items():
        read, expected = ENGINE_OPTIONS[name]
        try:
            fields["isolation" if name == "isolation_level" else name] = read(text)
        except (KeyError, ValueError, ProgrammingError):
            raise URLError(f"option {name}={text!r}: expected {expected}") from None
    if fields.pop("autocommit", False):
        fields["isolation"] = Isolation.AUTOCOMMIT
    if not fields.pop("replay", True):
        fields["max_replays"] = 0
    return Options(**fields)  # type: ignore[arg-type]  # the table above gives every field its type
