"""Find the servers' programs, or install them with apt-get where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

_PLACES = ("/usr/sbin", "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
_updated = False


class MissingProgram(Exception):
    """A program is not installed; the message says which packages to install."""


def program(name: str, packages: Sequence[str]) -> str:
    """The path of a program. If it is missing, its packages are installed, on Debian and as root.

    Raises:
        MissingProgram: it is missing and could not be installed.
    """
    found = _find(name)
    if found is None:
        install(packages)
        found = _find(name)
    if found is None:
        raise MissingProgram(
            f"no program {name}: install {' '.join(packages)} (as root, on Debian: it is done for you)"
        )
    return found


def _find(name: str) -> str | None:
    on_path = shutil.which(name)
    if on_path is not None:
        return str(Path(on_path).resolve())
    found = [path for place in _PLACES for path in Path("/").glob(f"{place[1:]}/{name}")]
    return str(max(found)) if found else None


def install(packages: Sequence[str]) -> None:
    """Install packages without starting their services, which RUNLEVEL prevents; nothing, if we are not root on Debian.

    Raises:
        MissingProgram: apt-get failed.
    """
    global _updated
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    print(f"  apt-get installs {' '.join(packages)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    commands = [["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]]
    if not _updated:
        commands.insert(0, ["apt-get", "update", "-qq"])
        _updated = True
    for command in commands:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MissingProgram(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
