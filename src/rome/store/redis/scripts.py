"""The Lua scripts: each file of this package, preceded by what they share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files

_INCLUDE = re.compile(r"^ *-- Include: (.+)\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """A script as it is sent to the server, and the digest by which EVALSHA names it.

    Attributes:
        on_cluster: the same for a node of a cluster, where it first sees whether its slot is being moved. (It costs a
            read a twentieth of its time, so other servers are spared it.)
    """

    text: str
    digest: bytes
    on_cluster: Script | None = None


def load(name: str, flags: str = "", first: tuple[str, ...] = ()) -> Script:
    """Read `<name>.lua`, with the files that its lines `-- Include: <name>, <name>` name in place of these lines.

    What all scripts share is before it. To make a function costs each run of a script some 700 instructions of the
    server: so other functions are in files of a few, which are included where they are wanted.

    Args:
        first: what is tried before the rest.
        flags: for the shebang line, since Redis 7: "no-writes", "allow-oom". Without allow-oom the server refuses to
            begin a script when memory is short; a script that has begun is never refused a command.
    """
    on_cluster = _joined(flags, "common", "unmoved", *first, name)
    return Script(*_joined(flags, *first, "common", name), Script(*on_cluster))


def _joined(flags: str, *parts: str) -> tuple[str, bytes]:
    """The text of some files, and its digest."""
    shebang = f"#!lua flags={flags}\n" if flags else "#!lua\n"
    text = shebang + "".join(map(_text, parts))
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest().encode()


def _text(name: str) -> str:
    """The text of a file, with what it includes."""
    text = (files(__package__) / f"{name}.lua").read_text("utf-8")
    return _INCLUDE.sub(lambda found: "".join(map(_text, found[1].split(", "))), text)


OPEN = load("open", "allow-oom")
"""With allow-oom: otherwise nobody could connect after a restart to delete something."""
READ = load("read", "no-writes", ("short",))
RESERVE = load("reserve")
COMMIT = load("commit")
COMMIT_DELETES = load("commit", "allow-oom")
"""With allow-oom, for commits that only delete: otherwise a full database could not be emptied."""
RESOLVE = load("resolve", "allow-oom")
LINE = load("line", "allow-oom")
"""With allow-oom: a transaction in the commit queue may be about to delete."""
PIN = load("pin", "allow-oom")
"""With allow-oom: a transaction that is to be pinned may only delete; and a pin must end."""
PINS = load("pins", "no-writes")
TRIM = load("trim", "allow-oom")
RETAIN = load("retain", "allow-oom")
USAGE = load("usage", "no-writes")
DROP = load("drop", "allow-oom")
