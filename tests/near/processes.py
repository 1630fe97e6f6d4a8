"""Another process that commits: what it does, this one has not seen."""

from __future__ import annotations

import subprocess
import sys

_COMMIT = """
import sys, warnings
warnings.simplefilter("ignore")
import rome
connection = rome.connect(sys.argv[1])
for statement in sys.argv[2:]:
    connection.execute(statement)
connection.commit()
print(connection.last_version())
"""


def run_elsewhere(url: str, *statements: str) -> str:
    """Commit statements in a process of their own; returns its last version."""
    done = subprocess.run([sys.executable, "-c", _COMMIT, url, *statements], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit_elsewhere(url: str, v: int) -> str:
    """Set the row's v; returns the version."""
    return run_elsewhere(url, f"UPDATE t SET v = {v} WHERE id = 1")
