"""The compiled channel: `channel.c` makes a trip over a socket, and other threads may take the interpreter only once.

The build hook compiles it against CPython's stable interface, so that one library serves all its versions. Without a C
compiler or Python's headers, or with ROME_COMPILED=off, there is none, and whoever asks makes trips in Python.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Final, Protocol

from rome.compiled import ENVIRONMENT

LIBRARY: Final = Path(__file__).with_name("channel.abi3.so")
_NUMBER: Final = 1
"""A library of another number was compiled from other sources than these, and is not taken: see channel.c."""


class Channel(Protocol):
    """A connected socket over which requests go and replies come.

    Attributes:
        has_sent: the last byte of the last request has been sent.
    """

    has_sent: bool

    def exchange(self, request: bytes) -> bytes:
        """Send a request, and wait for the first bytes of its reply; none if the other side has closed the connection.

        Raises:
            OSError: the socket failed, or a wait was too long (BlockingIOError or TimeoutError).
        """

    def receive(self) -> bytes:
        """Wait for more bytes of a reply; see exchange()."""

    def is_quiet(self) -> bool:
        """Whether there is nothing to receive: neither bytes nor the end of the connection."""

    def forget(self) -> None:
        """Never use the socket again, since it is being closed; a wait in another thread begins no new one."""


MakeChannel = Callable[[int], Channel]
"""Makes a channel over a socket's file descriptor."""


@cache
def compiled_channel() -> MakeChannel | None:
    """What makes compiled channels; None if there is none, it is switched off, or this Python cannot load it."""
    path = _path()
    if path is None:
        return None
    loader = ExtensionFileLoader("rome.compiled.channel", str(path))
    spec = spec_from_loader(loader.name, loader)
    if spec is None:
        return None
    try:
        module = module_from_spec(spec)
        loader.exec_module(module)
    except ImportError:
        return None
    made: MakeChannel | None = getattr(module, f"Channel_{_NUMBER}", None)
    return made


def described() -> str:
    """What makes the trips to Redis, for `rome --version` and `rome doctor`: "compiled", or "Python" and why."""
    if compiled_channel() is not None:
        return "compiled"
    if os.environ.get(ENVIRONMENT) == "off":
        return f"Python, since {ENVIRONMENT}=off"
    if _path() is None:
        return "Python, since no C compiler or no headers of Python were found when Rome was installed"
    return f"Python, since {_path()} cannot be loaded: if it is an older one, install Rome again"


def _path() -> Path | None:
    """Beside the library of rows, which ROME_COMPILED names."""
    named = os.environ.get(ENVIRONMENT)
    if named == "off" or sys.implementation.name != "cpython" or "t" in sys.abiflags:
        return None
    path = Path(named).with_name(LIBRARY.name) if named else LIBRARY
    return path if path.exists() else None
