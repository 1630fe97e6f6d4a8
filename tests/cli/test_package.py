"""The package as a stranger meets it: its version, its names, `python -m rome`."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import rome

ROOT = Path(__file__).parents[2]


def test_version_is_the_distributions() -> None:
    assert rome.__version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_dir_lists_every_public_name() -> None:
    assert {*rome.__all__, "__version__"} <= set(dir(rome))
    assert [name for name in dir(rome) if not hasattr(rome, name)] == []


def test_module_is_the_command() -> None:
    command = [sys.executable, "-m", "rome", "list", "rome+memory:///x"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_import_loads_nothing_else() -> None:
    program = "import sys; import rome; print(sorted(name for name in sys.modules if name.startswith('rome.')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
