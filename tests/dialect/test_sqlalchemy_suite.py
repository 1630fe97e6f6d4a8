"""SQLAlchemy's own dialect suite passes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).parent / "sqlalchemy_suite"

# Foreign keys are off, as they are by default on SQLite: a few of the tests refer to columns that are not unique.
URL = "rome+memory:///sqlalchemy_suite?foreign_keys=off"


def test_sqlalchemys_own_suite_passes() -> None:
    options = ["-q", "-rfE", "--tb=short", "-p", "no:cacheprovider", "-W", "ignore", "--dburi", URL]
    command = [sys.executable, "-m", "pytest", *options, "test_suite.py"]
    ended = subprocess.run(command, cwd=SUITE, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        pytest.fail((ended.stdout + ended.stderr)[-5_000:], pytrace=False)
