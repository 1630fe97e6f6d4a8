"""Count what a command executes by valgrind's callgrind: a figure that no load of the machine changes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Cost = Literal["instructions", "code", "data"]
"""`code` and `data`: cache lines that the processor's largest cache did not have."""

_EVENTS: dict[str, Cost] = {"Ir": "instructions", "ILmr": "code", "DLmr": "data", "DLmw": "data"}


def instructions(command: Sequence[str]) -> int:
    """The instructions that a command executes, its children's not counted. It takes some 50 times as long as alone.

    Raises:
        SystemExit: valgrind is not there, or the command failed.
    """
    told, _ = _run(command, [])
    found = re.search(r"Collected : (\d+)", told)
    if found is None:
        raise SystemExit(f"valgrind failed:\n{told[-2000:]}")
    return int(found[1])


def costs_of_parts(command: Sequence[str], divider: str, options: Sequence[str]) -> list[Counter[tuple[str, Cost]]]:
    """What each C function costs by itself, without those that it calls, in each part of a command's run.

    Args:
        divider: a C function. A part ends where it is called.
        options: of callgrind; cache lines are counted with --cache-sim=yes.

    Raises:
        SystemExit: as `instructions`.
    """
    _, files = _run(command, [f"--dump-before={divider}", *options])
    return [_costs(lines) for lines in files]


def _costs(lines: Sequence[str]) -> Counter[tuple[str, Cost]]:
    names: dict[str, str] = {}
    events: list[Cost | None] = []
    found: Counter[tuple[str, Cost]] = Counter()
    function, inclusive = "", False
    for line in lines:
        if line.startswith("events:"):
            events = [_EVENTS.get(event) for event in line.split()[1:]]
        elif named := re.match(r"(c?fn)=\((\d+)\)(?: (.*))?", line):
            name = names.setdefault(named[2], named[3] or "")
            function = name if named[1] == "fn" else function
        elif line.startswith("calls="):
            inclusive = True  # the next line has what the called function costs
        elif line[:1].isdigit() or line[:1] in ("+", "-", "*"):
            if not inclusive:
                for event, count in zip(events, line.split()[1:], strict=False):
                    if event is not None:
                        found[function, event] += int(count)
            inclusive = False
    return found


def _run(command: Sequence[str], options: Sequence[str]) -> tuple[str, list[list[str]]]:
    """What callgrind says, and the lines of each file that it writes, the first part first."""
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is not installed: apt-get install valgrind")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        callgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *options, *command]
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        done = subprocess.run(callgrind, capture_output=True, text=True, check=False, env=environment)
        if done.returncode:
            raise SystemExit(f"valgrind failed:\n{done.stderr[-2000:]}")
        files = sorted(Path(folder).iterdir(), key=lambda file: int(file.suffix.lstrip(".") or _LAST))
        return done.stderr, [file.read_text().splitlines() for file in files]


_LAST = 1 << 30
"""The number of the file without one, which is of what comes after the last division."""
