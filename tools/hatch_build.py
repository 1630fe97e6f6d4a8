"""Compile src/rome/compiled/rows.c where there is a C compiler; without one the package is Python only.

The library needs SQLite's interface and the C library, but nothing of Python, so one wheel serves all its versions.
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


class CompileHook(BuildHookInterface):
    """The build hook of wheels and of editable installs. ROME_COMPILED=off leaves the library out."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and have the wheel hold the library, before hatchling makes it."""
        if self.target_name != "wheel":
            return
        folder = Path(self.root, "src", "rome", "compiled")
        editable = version == "editable"
        if editable:
            library = folder / "rome_rows.so"
            library.unlink(missing_ok=True)  # it may be older than its source
        else:
            self._folder = tempfile.TemporaryDirectory(prefix="rome-build-")
            library = Path(self._folder.name, "rome_rows.so")
        if not compiled(folder / "rows.c", library):
            return
        if not editable:
            build_data["force_include"][str(library)] = "rome/compiled/rome_rows.so"
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def compiled(source: Path, library: Path) -> bool:
    """Whether the library was made."""
    if os.environ.get("ROME_COMPILED") == "off" or sys.platform == "win32":
        return False
    compiler = shlex.split(os.environ.get("CC", "cc"))
    flags = shlex.split(os.environ.get("CFLAGS", ""))
    try:
        subprocess.run([*compiler, *FLAGS, *flags, "-o", library, source], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"rome: without its compiled part, which makes large reads faster: {error}", file=sys.stderr)
        library.unlink(missing_ok=True)
        return False
    return True
