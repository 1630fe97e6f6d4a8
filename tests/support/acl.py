"""The user that docs/security.md gives to Rome on Redis and Valkey, made by the very line that stands there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import redis

from rome.store.location import Location
from tests.support.redis_command import send
from tests.support.servers import Server

TEXT = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
[LINE] = re.findall(r"^ {4}(ACL SETUSER .*)$", TEXT, re.MULTILINE)
COMMANDS = {word[1:] for word in LINE.split() if word.startswith("+")}


def create_user(admin: redis.Redis, name: str, password: str, keys: str = "~rome:*") -> None:
    """Run the line, with another name, password and pattern in it."""
    words = LINE.replace("PASSWORD", password).replace("~rome:*", keys).split()
    send(admin, *words[:2], name, *words[3:])


def as_minimal_user(location: Location, *servers: Server) -> Location:
    """The same place, reached as such a user; makes it on these servers, if it is not there."""
    for server in servers:
        with redis.Redis(server.host, server.port) as admin:
            create_user(admin, "minimal", "sesame")
    return replace(location, username="minimal", password="sesame")
