"""Another process that commits: what it does, this one has not seen."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Self

_WORK = """
import json, sys, warnings
warnings.simplefilter("ignore")
import rome
connections = {}
for line in sys.stdin:
    url, version, statements = json.loads(line)
    if url not in connections:
        connections[url] = rome.connect(url)
    with connections[url] as connection:
        if version:
            connection.at_least(version)
        rows = [connection.execute(statement).fetchall() for statement in statements]
    print(json.dumps([rows, connection.last_version()]), flush=True)
for connection in connections.values():
    connection.close()
"""


class Elsewhere:
    """The other process, which runs as long as the module's tests."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, url: str, *statements: str, at_least: str = "") -> tuple[list[list[list[object]]], str]:
        """Commit statements in one transaction; returns their rows, and the last version."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([url, at_least, statements]) + "\n")
        self._process.stdin.flush()
        rows, version = json.loads(self._process.stdout.readline())
        return rows, version

    def set(self, url: str, v: int) -> str:
        """Set the v of row 1; returns the version."""
        return self.run(url, f"UPDATE t SET v = {v} WHERE id = 1")[1]
