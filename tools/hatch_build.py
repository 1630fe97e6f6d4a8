"""Compile src/rome/compiled/*.c where there is a C compiler; without one the package is Python only.

`rows.c` needs SQLite's interface and the C library, but nothing of Python. `channel.c` needs Python's headers, but only
what is the same in all versions (its stable interface); a Python that lacks that does without. So one wheel serves all.
"""

import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FLAGS = ["-std=c99", "-O2", "-fPIC", "-shared", "-fvisibility=hidden"]
PARTS = {"rows.c": "rome_rows.so", "channel.c": "channel.abi3.so"}
"""Each source, and its library."""


class CompileHook(BuildHookInterface):
    """The build hook of wheels and of editable installs. ROME_COMPILED=off leaves the library out."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and have the wheel hold the library, before hatchling makes it."""
        if self.target_name != "wheel":
            return
        folder = Path(self.root, "src", "rome", "compiled")
        editable = version == "editable"
        if not editable:
            self._folder = tempfile.TemporaryDirectory(prefix="rome-build-")
        for source, name in PARTS.items():
            library = Path(folder if editable else self._folder.name, name)
            library.unlink(missing_ok=True)  # it may be older than its source
            if compiled(folder / source, library) and not editable:
                build_data["force_include"][str(library)] = f"rome/compiled/{name}"
                build_data["pure_python"] = False
                build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def compiled(source: Path, library: Path) -> bool:
    """Whether the library was made."""
    if os.environ.get("ROME_COMPILED") == "off" or sys.platform == "win32":
        return False
    if source.name == "channel.c" and sys.platform != "linux":  # whose sockets it needs
        return False
    compiler = shlex.split(os.environ.get("CC", "cc"))
    headers = [f"-I{sysconfig.get_path(name)}" for name in ("include", "platinclude")]
    flags = shlex.split(os.environ.get("CFLAGS", ""))
    try:
        subprocess.run([*compiler, *FLAGS, *flags, *headers, "-o", library, source], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"rome: without {library.stem}, which makes it faster: {error}", file=sys.stderr)
        library.unlink(missing_ok=True)
        return False
    return True
