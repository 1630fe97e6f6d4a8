"""What a Redis or Valkey server says of itself: INFO, CONFIG GET, TIME, and the state of one database."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from redis import exceptions

from rome.store.option_values import shown
from rome.store.redis.health import parse_info
from rome.store.redis.link import Reply
from rome.store.redis.names import slot_of
from rome.store.redis.primary import greet
from rome.store.redis.scripts import PINS
from rome.store.redis.settings import RedisSettings
from rome.store.redis.usage import pinned
from rome.store.spi import PinnedSnapshot

CONFIG: Final = (
    *("appendfsync", "no-appendfsync-on-rewrite", "save", "stop-writes-on-bgsave-error"),
    *("min-replicas-to-write", "min-replicas-max-lag"),
)
META: Final = ("format", "retention_ms", "max_bytes", "history_bytes")
_QUEUE_TIME: Final = struct.Struct(">8xQ")
"""The head of an element of the trim queue; QUEUE_HEAD in common.lua."""


def ask(settings: RedisSettings, meta_key: bytes) -> Facts:
    """Ask a server everything, in one round trip.

    Raises:
        StoreUnavailableError, StoreBusyError, AuthenticationError: nothing can be asked.
    """
    link, replies = greet(
        settings,
        slot_of(meta_key),
        [
            (b"INFO",),
            (b"CONFIG", b"GET", *CONFIG),
            (b"TIME",),
            (b"HMGET", meta_key, *META),
            (b"LINDEX", meta_key[:-1] + b"q", b"0"),
            (b"EVAL", PINS.text, b"1", meta_key),
        ],
    )
    link.close()
    if settings.cluster or settings.sentinel is not None:
        settings = replace(settings, host=link.settings.host, port=link.settings.port)
    return Facts.read(replies, settings)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the server said.

    Attributes:
        info, config: {name: value}. What the server did not say is missing; all of `config` is if CONFIG is forbidden.
        clock_ahead_s: how far the server's clock is ahead of ours; None if it did not say.
        database: META's values; empty if there is no such database, None if it may not be read.
        oldest_ms: time of the oldest commit in the history, by the server's clock; None without a history.
        pins: of the database; None if they may not be read.
        denied: answers that were errors, as text.
    """

    settings: RedisSettings
    info: Mapping[str, str]
    config: Mapping[str, str]
    clock_ahead_s: float | None
    database: Mapping[str, int] | None
    oldest_ms: int | None
    pins: Sequence[PinnedSnapshot] | None
    denied: Sequence[str]

    @classmethod
    def read(cls, replies: Sequence[Reply], settings: RedisSettings) -> Facts:
        """The facts in the replies to the commands of ask()."""
        told = [None if isinstance(reply, exceptions.RedisError) else reply for reply in replies]
        info, config, clock, meta, oldest, pins = told
        pairs = [word.decode("utf-8", "replace") for word in config or ()]
        stored = {name: int(value) for name, value in zip(META, meta or (), strict=False) if value and value.isdigit()}
        return cls(
            settings,
            info=parse_info(info or b""),
            config=dict(zip(pairs[::2], pairs[1::2], strict=True)),
            clock_ahead_s=int(clock[0]) + int(clock[1]) / 1e6 - time.time() if clock else None,
            database=None if meta is None else stored,
            oldest_ms=_QUEUE_TIME.unpack(oldest[: _QUEUE_TIME.size])[0] if oldest else None,
            pins=None if pins is None else pinned(pins[1:]),
            denied=[str(reply) for reply in replies if isinstance(reply, exceptions.RedisError)],
        )

    @property
    def subject(self) -> str:
        """The server's address, kind and version."""
        kind = "Valkey" if "valkey_version" in self.info else "Redis"
        version = self.info.get("valkey_version") or self.info.get("redis_version") or "of unknown version"
        settings = self.settings
        server = shown((settings.host, settings.port)) if settings.cluster else settings.server
        return f"{server}: {kind} {version}"

    @property
    def appends(self) -> bool | None:
        """Whether there is an append-only file; None if unknown."""
        return {"0": False, "1": True}.get(self.info.get("aof_enabled", ""))

    @property
    def saves(self) -> bool | None:
        """Whether RDB files are written regularly; None if unknown, without any sign of it since the server started."""
        if "save" in self.config:
            return self.config["save"] != ""
        saved = any(self.info.get(name, "0") != "0" for name in ("rdb_saves", "rdb_last_load_keys_loaded"))
        return True if saved else None

    @property
    def unsaved(self) -> str:
        """In words, what an RDB file does not contain yet."""
        changes = self.info.get("rdb_changes_since_last_save", "?")
        when = self.info.get("rdb_last_save_time", "")
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(int(when))) if when.isdigit() else "?"
        return f"all commits since the last RDB file ({changes} changes since {since})"

    @property
    def replicas(self) -> int | None:
        """How many replicas are connected; None if the server did not say."""
        return self.number("connected_slaves")

    def number(self, name: str) -> int | None:
        """A value of INFO as a number; None if it is missing."""
        text = self.info.get(name, "")
        return int(text) if text.isdigit() else None
