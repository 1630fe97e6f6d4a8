"""SQLAlchemy's own dialect suite passes on every store, and skips nothing that stock SQLite runs, or refuses it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine
from sqlalchemy.testing.requirements import SuiteRequirements

from rome.dialect.requirements import REFUSED, Requirements
from tests.support.databases import Store, database, on

SUITE = Path(__file__).parent / "sqlalchemy_suite"
LIMITATIONS = Path(__file__).parents[2] / "docs" / "limitations.md"


@pytest.mark.parametrize("asyncio", [False, True], ids=["sync", "asyncio"])
@pytest.mark.parametrize("store", on("memory", "lmdb", "redis"))
def test_sqlalchemys_own_suite_passes(store: Store, asyncio: bool, request: pytest.FixtureRequest) -> None:
    """Foreign keys are off, as by default on SQLite: a few of the tests refer to columns that are not unique."""
    if asyncio and store != "memory":
        pytest.skip("what asyncio adds is the same on every store")
    options = ["-q", "-rfE", "--tb=short", "-p", "no:cacheprovider", "-W", "ignore"]
    with database(store, request) as url:
        if asyncio:
            url = url.replace("://", "_async://")
        options += ["--dburi", f"{url}?foreign_keys=off"]
        command = [sys.executable, "-m", "pytest", *options, "test_suite.py"]
        ended = subprocess.run(command, cwd=SUITE, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        pytest.fail((ended.stdout + ended.stderr)[-5_000:], pytrace=False)


def test_what_the_suite_asks_of_stock_sqlite_it_asks_of_rome(engine: Engine) -> None:
    """`make sqlalchemy-test` compares test by test; this needs no sources of SQLAlchemy."""
    lines = (SUITE / "open_on_sqlite.txt").read_text().splitlines()
    here = [name for name in lines if hasattr(SuiteRequirements, name)]
    config = SimpleNamespace(db=engine, options=SimpleNamespace(has_coverage=False))
    closed = {name for name in here if not getattr(Requirements(), name).enabled_for_config(config)}
    assert len(here) > 100
    assert closed == {*REFUSED, "schema_reflection"}, "schema_reflection follows schemas"


def test_what_is_refused_has_its_reason_in_the_limitations() -> None:
    text = LIMITATIONS.read_text()
    assert [name for name, reason in REFUSED.items() if f"| `{name}` | {reason} |" not in text] == []
