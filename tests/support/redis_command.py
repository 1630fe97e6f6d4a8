"""Commands for which redis-py has no typed method."""

from __future__ import annotations

from typing import Any

import redis


def send(client: redis.Redis, *words: bytes | str | int) -> Any:
    """Send a command, word by word; returns the answer as redis-py parses it."""
    return client.execute_command(*words)  # type: ignore[no-untyped-call]
