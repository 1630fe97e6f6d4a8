"""Values of URL options that several networked stores take. Each function raises ValueError or KeyError otherwise."""

from __future__ import annotations

from collections.abc import Mapping

from rome.errors import URLError

Address = tuple[str, int]
"""Host and port."""


def flag(text: str) -> bool:
    """Parse true or false, in the words that SQLAlchemy's URLs use."""
    return {"true": True, "on": True, "yes": True, "1": True, "false": False, "off": False, "no": False, "0": False}[
        text.lower()
    ]


def seconds(text: str) -> float:
    """Parse a number of seconds for a timeout; more than a day was probably meant as milliseconds, and is refused."""
    number = float(text)
    if not 0.01 <= number <= 86_400:
        raise ValueError
    return number


def addresses(text: str, default_port: int) -> tuple[Address, ...]:
    """Parse `host:port`, or several with commas; an IPv6 address stands in brackets."""
    found = []
    for part in text.split(","):
        host, colon, port = part.rpartition(":")
        if not colon or part.endswith("]"):
            host, port = part, str(default_port)
        host = host.strip().removeprefix("[").removesuffix("]")
        if not host or "@" in host or not 0 < int(port) < 65536:
            raise ValueError
        found.append((host, int(port)))
    return tuple(found)


def address(text: str, default_port: int) -> Address:
    """Parse one `host:port`."""
    [found] = addresses(text, default_port)
    return found


def reads_near(text: str) -> bool:
    """Parse `reads`: whether to read at the nearest server."""
    return {"near": True, "primary": False}[text.lower()]


def check_near(values: Mapping[str, object]) -> None:
    """Refuse options of near reads without `reads=near`.

    Raises:
        URLError: there is one.
    """
    astray = sorted(name for name in values if name.startswith("near"))
    if astray and not values.get("reads"):
        raise URLError(f"option {astray[0]} has no effect without reads=near: add reads=near, or leave it out")


def shown(address: Address) -> str:
    """Return an address as messages show it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
