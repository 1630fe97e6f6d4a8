"""The Lua scripts: each file of this package, with what they share in front."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Script:
    """A script as the server gets it, and the digest that EVALSHA names it by."""

    text: str
    digest: str


def load(name: str, flags: str = "") -> Script:
    """Read `<name>.lua`.

    Args:
        flags: of the shebang line, which Redis 7 brought: "no-writes", "allow-oom". Without allow-oom a script is
            refused before it begins when memory is short; one that has begun is never refused a command.
    """
    package = files(__package__)
    shebang = f"#!lua flags={flags}\n" if flags else "#!lua\n"
    text = shebang + "".join((package / f"{part}.lua").read_text("utf-8") for part in ("common", name))
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


OPEN = load("open", "allow-oom")
"""Else nobody could come in after a restart to delete something."""
READ = load("read", "no-writes")
RESERVE = load("reserve")
COMMIT = load("commit")
COMMIT_DELETES = load("commit", "allow-oom")
"""For commits that only delete: a database that is full could not be emptied otherwise."""
RESOLVE = load("resolve", "allow-oom")
LINE = load("line", "allow-oom")
"""Those in the commit queue may be the ones who delete."""
TRIM = load("trim", "allow-oom")
RETAIN = load("retain", "allow-oom")
DROP = load("drop", "allow-oom")
