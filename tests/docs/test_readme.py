"""What README promises: its example runs on every store, the commands that it names are there, and it stays short."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.servers import Server

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLE_URL = "rome+lmdb:///servers.rome"


def example() -> str:
    [code] = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert EXAMPLE_URL in code
    return str(code)


@pytest.fixture(
    params=[pytest.param(store, marks=getattr(pytest.mark, store)) for store in ("memory", "lmdb", "redis", "valkey")]
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, on each store in turn."""
    store: str = request.param
    if store == "memory":
        return "rome+memory://"
    if store == "lmdb":
        return f"rome+lmdb:///{tmp_path}/servers.rome"
    server: Server = request.getfixturevalue(f"{store}_server")
    return f"rome+redis://{server.host}:{server.port}/{tmp_path.name}"


def test_example_runs_and_runs_again(url: str, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(example().replace(EXAMPLE_URL, url))
    for _ in range(2):
        done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
        assert (done.stdout, done.returncode) == ("['web-1']\n", 0), done.stderr


def test_commands_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert {"demo", "test"} <= named
    assert named <= targets


def test_extras_are_those_of_the_package() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"].keys()
    listed = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "start.md").read_text(), re.MULTILINE))
    assert listed == extras - {"site", "test", "testing"}  # those are for work on Rome
    named = re.findall(r"\.\[([\w,]+)\]", README) + re.findall(r"further extras: ([\w, ]+)", README)
    assert {name.strip() for names in named for name in names.split(",")} <= extras


def test_it_fits_on_one_screen() -> None:
    assert len(README.splitlines()) <= 80
    assert README.count("![") == 1
