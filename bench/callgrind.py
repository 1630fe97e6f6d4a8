"""Count what a command executes by valgrind's callgrind: a figure that no load of the machine changes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence


def instructions(command: Sequence[str]) -> int:
    """The instructions that a command executes, its children's not counted. It takes some 50 times as long as alone.

    Raises:
        SystemExit: valgrind is not there, or the command failed.
    """
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is not installed: apt-get install valgrind")
    with tempfile.TemporaryDirectory() as folder:
        callgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", *command]
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        done = subprocess.run(callgrind, capture_output=True, text=True, check=False, env=environment)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or found is None:
        raise SystemExit(f"valgrind failed:\n{done.stderr[-2000:]}")
    return int(found[1])
