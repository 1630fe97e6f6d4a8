"""Servers that each have a network of their own, whose ways to each other can be cut: with Linux's network namespaces.

Only root can make these. What is cut drops packets in both directions, as a network that fails does; we ourselves, who
are on the bridge between them, go on reaching every server.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.support.servers import Flavour, Server

_serial = itertools.count(1)


def why_not() -> str | None:
    """Why this machine cannot cut networks; None if it can."""
    if shutil.which("ip") is None:
        return "no command `ip`: install iproute2"
    name = f"rome-try-{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"network namespaces need root: {tried.stderr.strip()}"
    _ip("netns", "del", name)
    return None


class Network:
    """A bridge, and the namespaces on it. Use it as a context manager."""

    def __init__(self) -> None:
        number = next(_serial)
        self._name = f"rome{os.getpid() % 100_000}x{number}"
        self._net = f"10.{64 + os.getpid() % 64}.{number % 256}"
        self._spaces: list[str] = []

    def __enter__(self) -> Self:
        _ip("link", "add", self._name, "type", "bridge")
        _ip("addr", "add", f"{self._net}.254/24", "dev", self._name)
        _ip("link", "set", self._name, "up")
        return self

    def __exit__(self, *_: object) -> None:
        for space in self._spaces:
            _ip("netns", "del", space)
        _ip("link", "del", self._name)

    def node(self, flavour: Flavour, directory: Path, options: Mapping[str, str], number: int) -> Server:
        """A server in a namespace of its own."""
        space, host = f"{self._name}n{number}", f"{self._net}.{number + 1}"
        outside, inside = f"{self._name}{number}"[-15:], "eth0"
        _ip("netns", "add", space)
        self._spaces.append(space)
        _ip("link", "add", outside, "type", "veth", "peer", "name", inside, "netns", space)
        _ip("link", "set", outside, "master", self._name, "up")
        _ip("-n", space, "addr", "add", f"{host}/24", "dev", inside)
        _ip("-n", space, "link", "set", inside, "up")
        _ip("-n", space, "link", "set", "lo", "up")
        return NodeOfNetwork(flavour, directory, {**options, "protected-mode": "no"}, space, host)


class NodeOfNetwork(Server):
    """A server in a namespace."""

    def __init__(self, flavour: Flavour, directory: Path, options: Mapping[str, str], space: str, host: str) -> None:
        super().__init__(flavour, directory, options)
        self.space, self.host = space, host

    def _before_program(self) -> Sequence[str]:
        return "ip", "netns", "exec", self.space

    def cut_off(self, others: Sequence[Server]) -> None:
        """Drop all packets between this server and others."""
        for other in others:
            _ip("-n", self.space, "route", "add", "blackhole", f"{other.host}/32")

    def heal(self, others: Sequence[Server]) -> None:
        for other in others:
            _ip("-n", self.space, "route", "del", "blackhole", f"{other.host}/32")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
