"""What a server's process and its descendants use (PostgreSQL has a process for each client)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil


def _family(pid: int) -> Iterator[psutil.Process]:
    process = psutil.Process(pid)
    yield process
    yield from process.children(recursive=True)


def cpu_s(pid: int) -> float:
    """Seconds of CPU used so far, including descendants that have ended."""
    used = 0.0
    for process in _family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            used += sum(process.cpu_times()[:4])
    return used


def memory_bytes(pid: int) -> int:
    """Memory in bytes, as proportional set size: memory that processes share is counted once."""
    used = 0
    for process in _family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            used += process.memory_full_info().pss
    return used


def disk_bytes(folder: Path) -> int:
    """Bytes that the files below a folder take on the disk."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
