"""Run SQLAlchemy's tests of dialects, its ORM, SQL and engine on Rome and on stock SQLite, and compare test by test.

    python -m tests.dialect.sqlalchemy_suite.upstream --folder .cache/sqlalchemy --workers 2 [test/orm ..]

The sources of the installed SQLAlchemy come from PyPI into the folder, where they stay. Exit status 1: some test ends
otherwise than on SQLite, and is not in REMAINING, or is in it without need. 21,500 tests take some 8 minutes on Rome.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path

import sqlalchemy

from tests.dialect.sqlalchemy_suite.outcomes import NOT_THERE, REFUSED_BY_ROME, outcomes

SUITE = "test/dialect/test_suite.py"
"""The dialect suite; on Rome it is the one beside this file, with Rome's own requirements."""

ASYNCIO = "test/ext/asyncio"
PARTS = [SUITE, "test/engine", "test/sql", "test/orm", ASYNCIO]
REQUIREMENTS = "tests.dialect.sqlalchemy_suite.upstream_requirements:Requirements"
URLS = {"sqlite": "sqlite:///:memory:", "rome": "rome+memory:///upstream?foreign_keys=off"}
ASYNCIO_URLS = {"sqlite": "sqlite+aiosqlite:///:memory:", "rome": "rome+memory_async:///upstream?foreign_keys=off"}

_PING = "it replaces the driver's ping by one that fails; Rome's looks at the socket, and has no statement that could"
_CHECKOUT = "it lists all calls of a mock connection; Rome's pool asks each one that it gives out whether it is usable"
_ISOLATION = (
    "two sessions at once: at SERIALIZABLE the later one fails at COMMIT; passes with isolation_level=READ COMMITTED"
)
_TRIGGER = "CREATE TRIGGER is refused where the body changes rows"
_ROWCOUNT = "it counts how often the driver is asked for rowcount; Rome's dialect asks when the application does"
REMAINING = {
    "test.engine.test_execute.DialectEventTest::test_connect_do_connect": _CHECKOUT,
    "test.engine.test_execute.DialectEventTest::test_connect_replace_params": _CHECKOUT,
    "test.engine.test_reconnect.RealPrePingEventHandlerTest::test_control": _PING,
    "test.engine.test_reconnect.RealPrePingEventHandlerTest::test_event_handler_can_downgrade_disconnect": _PING,
    "test.engine.test_reconnect.RealPrePingEventHandlerTest::test_event_handler_didnt_upgrade_disconnect": _PING,
    "test.orm.inheritance.test_basic.VersioningTest::test_save_update": _ISOLATION,
    "test.orm.test_defaults.TriggerDefaultsTest::test_insert": _TRIGGER,
    "test.orm.test_defaults.TriggerDefaultsTest::test_update": _TRIGGER,
    "test.orm.test_versioning.AlternateGeneratorTest::test_child_row_switch_two": _ISOLATION,
    "test.orm.test_versioning.VersioningTest::test_basic": _ISOLATION,
    "test.orm.test_versioning.VersioningTest::test_versioncheck": _ISOLATION,
    "test.sql.test_resultset.CursorResultTest::test_no_rowcount_on_selects_inserts": _ROWCOUNT,
    "test.sql.test_resultset.CursorResultTest::test_rowcount_always_called_when_preserve_rowcount": _ROWCOUNT,
}
"""Tests that pass on SQLite and not on Rome, and why."""


HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def fetch(folder: Path) -> Path:
    """The unpacked sources of the installed SQLAlchemy, their tests bound to upstream_requirements.py."""
    version = sqlalchemy.__version__
    sources = folder / f"sqlalchemy-{version}"
    if not sources.exists():
        options = ["--quiet", "--no-deps", "--no-binary", "sqlalchemy", "--dest", str(folder)]
        subprocess.run([sys.executable, "-m", "pip", "download", *options, f"sqlalchemy=={version}"], check=True)
        with tarfile.open(folder / f"sqlalchemy-{version}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    # The option --requirements does not help: what setup.cfg says is applied after it.
    settings = sources / "setup.cfg"
    text = re.sub(r"(?m)^requirement_cls *=.*", f"requirement_cls = {REQUIREMENTS}", settings.read_text())
    settings.write_text(text)
    return sources


def run(sources: Path, name: str, part: str, workers: int) -> dict[str, str]:
    """Run one part; returns each test's outcome."""
    report = sources.parent / f"{name}-{part.replace('/', '-')}.xml"
    options = ["-q", "-o", "addopts=", "-p", "no:cacheprovider", "-p", "no:warnings", "-p", "no:logging", "--tb=short"]
    if workers > 1:
        options += ["-n", str(workers)]
    folder, tests = (HERE, "test_suite.py") if (name, part) == ("rome", SUITE) else (sources, part)
    url = (ASYNCIO_URLS if part == ASYNCIO else URLS)[name]
    command = [sys.executable, "-m", "pytest", *options, "--dburi", url, f"--junitxml={report}", tests]
    with report.with_suffix(".log").open("w") as log:
        path = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        ended = subprocess.run(command, cwd=folder, env=path, stdout=log, stderr=subprocess.STDOUT, check=False)
    if ended.returncode not in (0, 1):
        sys.exit(f"pytest ended with {ended.returncode}: see {log.name}")
    found = outcomes(report)
    counts = Counter(found.values()).most_common()
    print(f"{name:6} {part}: {', '.join(f'{n} {what}' for what, n in counts)}", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=PARTS)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    sources = fetch(folder)
    unexpected = 0
    for part in options.parts:
        stock, rome = (run(sources, name, part, options.workers) for name in ("sqlite", "rome"))
        for test in sorted(stock.keys() | rome.keys()):
            theirs, ours = stock.get(test, NOT_THERE), rome.get(test, NOT_THERE)
            # A test that names a driver is not there for another. One more that Rome can run is no difference to mend.
            if theirs == ours or theirs in ("skipped", NOT_THERE) or ours in (NOT_THERE, REFUSED_BY_ROME):
                continue
            unexpected += test not in REMAINING
            print(f"  {test}: {theirs} on sqlite, {ours} on rome: {REMAINING.get(test, 'NOT EXPECTED')}")
        for test in REMAINING.keys() & rome.keys():
            if rome[test] == "passed":
                unexpected += 1
                print(f"  {test}: passes, and need not be in REMAINING")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main())
