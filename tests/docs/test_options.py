"""docs/options.md: each option of the code has a row, and the row says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from rome.dbapi import sqlite3_options
from rome.dbapi.url import ENGINE_OPTIONS, make_url, parse_url, store_of
from rome.engine.options import Options
from rome.errors import URLError
from rome.store.etcd.settings import read_settings as read_etcd
from rome.store.lmdb.store import _options as read_lmdb
from rome.store.location import Location
from rome.store.redis.settings import read_settings as read_redis

PAGE = (Path(__file__).parents[2] / "docs" / "options.md").read_text()
STORES = ("memory", "lmdb", "redis", "etcd")
READ = {"lmdb": read_lmdb, "redis": read_redis, "etcd": read_etcd}
"""How a store reads its options. Opening a database does it; memory has none."""
BESIDE = {
    **{f"ssl_{name}": {"ssl": "on"} for name in ("ca_certs", "certfile", "keyfile", "cert_reqs", "check_hostname")},
    **{name: {"reads": "near"} for name in ("near", "near_timeout", "near_max_lag")},
    **{name: {"sentinel": "main"} for name in ("sentinel_username", "sentinel_password", "host")},
    "slot": {"cluster": "on"},
}
"""{option: the options without which it has no effect}"""
KINDS = {
    "flag": ["on", "off", "true", "false"],
    "number": ["1", "7"],
    "size": ["500000", "64MB", "1G"],
    "seconds": ["0.5", "20"],
}
TEXTS = ("path", "name", "password")
"""Options that take any text."""


class Row(NamedTuple):
    """An option on the page."""

    name: str
    values: str
    default: str
    stores: str
    meaning: str


ROWS = [
    Row(*(cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))))
    for line in PAGE.splitlines()
    if line.startswith("| `")
]
BY_NAME = {row.name.strip("`"): row for row in ROWS}


def stores_of(row: Row) -> tuple[str, ...]:
    return STORES if row.stores == "all" else tuple(row.stores.split(", "))


def read(store: str, name: str, value: str) -> None:
    """Let the code read an option, as it does when a connection is opened."""
    needed = {} if store == "etcd" and name == "host" else BESIDE.get(name, {})
    target = parse_url(make_url(f"rome+{store}:///x"), {**needed, name: value})
    if store in READ:
        READ[store](target.location)


def test_rows_are_the_options_of_the_code() -> None:
    assert len(BY_NAME) == len(ROWS)
    for store in STORES:
        known = store_of(make_url(f"rome+{store}://")).options | ENGINE_OPTIONS.keys()
        assert {name for name, row in BY_NAME.items() if store in stores_of(row)} == known, store
    assert {name for name in sqlite3_options.NAMES if f"`{name}" not in PAGE} == set()


@pytest.mark.parametrize("name", BY_NAME)
def test_values_are_accepted(name: str) -> None:
    row = BY_NAME[name]
    shown = re.findall(r"`([^`]+)`", row.values)
    if row.values.startswith("`host:port`"):
        shown = ["replica:6380"]
    values = [*shown, *KINDS.get(re.split(r"[ ,]", row.values)[0], [])]
    values += re.findall(r"^`([^`]+)`$", row.default)
    assert values or row.values in TEXTS
    for store in stores_of(row):
        for value in values:
            if not (store == "etcd" and value == "optional"):
                read(store, name, value)


@pytest.mark.parametrize("name", [name for name, row in BY_NAME.items() if row.values not in TEXTS])
def test_another_value_is_refused(name: str) -> None:
    for store in stores_of(BY_NAME[name]):
        with pytest.raises(URLError, match=name):
            read(store, name, "nonsense:nonsense")


@pytest.mark.parametrize("name", BY_NAME)
def test_a_misspelt_name_is_refused_with_the_right_one(name: str) -> None:
    for store in stores_of(BY_NAME[name]):
        with pytest.raises(URLError, match=rf"did you mean '?{name}'?"):
            read(store, name + name[-1], "1")


def default(name: str) -> str:
    """What the page gives as an option's default."""
    return BY_NAME[name].default.strip("`")


def size(text: str) -> int:
    digits, unit = re.fullmatch(r"(\d+)([MT])B?", text).groups()  # type: ignore[union-attr]
    return int(digits) << {"M": 20, "T": 40}[unit]


def test_defaults_of_the_engine() -> None:
    options = Options()
    shown = {name: default(name) for name in ENGINE_OPTIONS}
    assert shown.pop("isolation_level") == options.isolation.value
    assert shown.pop("autocommit") == "off"
    assert shown.pop("replay") == "on"
    assert size(shown.pop("max_commit_bytes")) == options.max_commit_bytes
    assert size(shown.pop("max_working_set")) == options.max_working_set
    for name, text in shown.items():
        value = getattr(options, name)
        assert text == ({True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)), name


def test_defaults_of_the_stores() -> None:
    lmdb = read_lmdb(Location(scheme="lmdb", database="x"))
    assert (default("sync"), size(default("max_size")), int(default("file_mode"), 8)) == (
        {True: "on", False: "off"}[lmdb["sync"]],
        lmdb["max_size"],
        lmdb["mode"],
    )
    for settings in (
        read_redis(Location(scheme="redis", database="x")),
        read_etcd(Location(scheme="etcd", database="x")),
    ):
        assert float(default("connect_timeout")) == settings.connect_timeout_s
        assert float(default("read_timeout")) == settings.read_timeout_s
        assert float(default("near_max_lag")) == settings.near_max_lag_s
        assert settings.tls is None
    redis = read_redis(Location(scheme="redis", database="x"))
    assert (redis.db, redis.wait_replicas, redis.wait_timeout_ms, redis.near_timeout_s) == (
        int(default("db")),
        int(default("wait_replicas")),
        int(default("wait_timeout")) * 1000,
        float(default("near_timeout")),
    )
    assert (redis.allow_eviction, redis.cluster, redis.near_reads, redis.slot) == (False, False, False, None)
    etcd = read_etcd(Location(scheme="etcd", database="x"))
    assert (etcd.compact, etcd.allow_unsafe_version, etcd.reads_near) == (default("compact"), False, False)
    for name in ("allow_eviction", "cluster", "allow_unsafe_version", "ssl"):
        assert default(name) == "off"
