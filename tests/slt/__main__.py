"""`python -m tests.slt FOLDER [--url URL]`: run every .test file below a folder, and tell what differs."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from tests.slt.runner import differs_on_stock_sqlite, run_file


def main() -> int:
    """1 when a record failed, else 0."""
    parser = argparse.ArgumentParser(prog="slt", description="Run sqllogictest files.")
    parser.add_argument("paths", nargs="+", type=Path, help="a folder, or a .test file")
    parser.add_argument("--url", default="rome+memory:///{db}", help="with {db} for the database; sqlite:// is SQLite")
    arguments = parser.parse_args()
    files = [file for path in arguments.paths for file in ([path] if path.is_file() else sorted(path.rglob("*.test")))]
    if not files:
        parser.error(f"no .test file below {', '.join(map(str, arguments.paths))}")
    total: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    took_s = 0.0
    for file in files:
        start = time.perf_counter()
        outcome = run_file(file, arguments.url)
        file_s = time.perf_counter() - start
        took_s += file_s
        of_stock = differs_on_stock_sqlite(file, outcome)
        failed = [failure for failure in outcome.failures if failure not in of_stock]
        for failure in outcome.failures:
            word = "FAILED" if failure in failed else "as stock SQLite"
            print(f"{file}:{failure.line}: {word}: {failure.found}\n    {failure.sql[:2000]}")
        counts = Counter(
            records=outcome.records,
            passed=outcome.passed,
            failed=len(failed),
            other_database=outcome.skipped,
            refused=outcome.refused.total(),
            as_stock_sqlite=len(of_stock),
        )
        print(f"{file}: {_told(counts)}; {(counts['records'] - outcome.skipped) / file_s:,.0f}/s", flush=True)
        total.update(counts)
        refused.update(outcome.refused)
    for statement, count in sorted(refused.items()):
        print(f"refused: {statement}: {count}")
    ran = total["records"] - total["other_database"]
    print(f"{len(files)} files on {arguments.url}: {_told(total)}; {ran / took_s:,.0f} records/s")
    return 1 if total["failed"] else 0


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count)


if __name__ == "__main__":
    sys.exit(main())
