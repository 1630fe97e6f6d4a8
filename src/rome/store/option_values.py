"""Values of URL options that several networked stores take. Each function raises ValueError or KeyError otherwise."""

from __future__ import annotations

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


def shown(address: Address) -> str:
    """Return an address as messages show it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
