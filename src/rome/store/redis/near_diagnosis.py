"""What `rome doctor` says of the replica at which a URL reads."""

from __future__ import annotations

from dataclasses import replace

from rome.errors import DatabaseError
from rome.store.diagnosis import Finding, Level
from rome.store.option_values import shown
from rome.store.redis.facts import Facts, ask
from rome.store.redis.settings import RedisSettings

_REDO = "see that it runs and follows this primary, or correct `near` in the URL"
_SO = "so every read goes to the primary"


def near_finding(settings: RedisSettings, meta_key: bytes, primary: Facts) -> Finding:
    """Whether the replica that the URL names can be read; a read that finds it wrong goes to the primary, silently."""
    if settings.near is None:
        replicas = primary.replicas
        if replicas == 0:
            return _warn(f"reads=near, and the primary has no replica, {_SO}")
        return Finding("near reads", Level.OK, "at the nearest replica of those that the primary names")
    host, port = settings.near
    name = shown(settings.near)
    try:
        found = ask(replace(settings, host=host, port=port, unix_socket=None, sentinel=None), meta_key)
    except DatabaseError as error:
        return _warn(f"{name} cannot be asked, {_SO}: {error}")
    role = found.info.get("role")
    if role is None:
        return Finding("near reads", Level.UNKNOWN, f"{name} does not say whether it is a replica")
    if role != "slave":
        return _warn(f"{name} is no replica, {_SO}")
    if found.info.get("master_replid") != primary.info.get("master_replid"):
        return _warn(f"{name} is a replica of another server, {_SO}")
    if found.info.get("master_link_status") != "up":
        return _warn(f"{name} has lost its primary")
    return Finding("near reads", Level.OK, f"at {name}, which follows this primary")


def _warn(reason: str) -> Finding:
    return Finding("near reads", Level.WARNING, reason, _REDO)
