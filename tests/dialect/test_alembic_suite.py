"""Alembic's own dialect suite passes, in memory and on Redis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import Server

SUITE = Path(__file__).parent / "alembic_suite"


@pytest.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("memory", "redis")])
def database(request: pytest.FixtureRequest) -> str:
    if request.param == "memory":
        return "rome+memory:///alembic_suite"
    server: Server = request.getfixturevalue("redis_server")
    return f"rome+redis://{server.host}:{server.port}/alembic_suite"


def test_alembics_own_suite_passes(database: str) -> None:
    options = ["-q", "-rfE", "--tb=short", "-p", "no:cacheprovider", "-W", "ignore", "--dburi", database]
    command = [sys.executable, "-m", "pytest", *options, "test_suite.py"]
    ended = subprocess.run(command, cwd=SUITE, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        pytest.fail((ended.stdout + ended.stderr)[-5_000:], pytrace=False)
