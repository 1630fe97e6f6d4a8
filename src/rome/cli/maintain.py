"""`rome list`, `retention`, `trim`, `restored` and `drop`: look after databases."""

from __future__ import annotations

import argparse
import sys

import rome
from rome.cli.existing import check_exists
from rome.cli.shown import to_json
from rome.dbapi.admin import pins, retention
from rome.dbapi.url import make_url
from rome.errors import ProgrammingError
from rome.store.pins import described


def run_list(parsed: argparse.Namespace) -> None:
    """Print the names of all databases of the server or folder."""
    names = rome.list_databases(parsed.url)
    if parsed.json:
        print(to_json(names))
    else:
        for name in names:
            print(name)


def run_retention(parsed: argparse.Namespace) -> None:
    """Print how long superseded versions are kept; change it first, if a number is given.

    Raises:
        ProgrammingError: a number is negative or too large.
    """
    check_exists(parsed.url)
    if parsed.seconds is None and parsed.max_bytes is None:
        kept = retention(parsed.url)
    else:
        try:
            kept = rome.set_retention(parsed.url, seconds=parsed.seconds, max_bytes=parsed.max_bytes)
        except ValueError as error:
            raise ProgrammingError(str(error)) from error
    pinned = pins(parsed.url)
    if parsed.json:
        print(to_json({**kept._asdict(), "pins": [pin._asdict() for pin in pinned]}))
    else:
        print(f"superseded versions are kept for {kept.seconds:g} s, and up to {kept.max_bytes:,} bytes of them")
        if pinned:
            print(f"within these bytes they are kept for longer for transactions of {described(pinned)}")


def run_trim(parsed: argparse.Namespace) -> None:
    """Discard what is older than the retention, and print of how many commits."""
    check_exists(parsed.url)
    commits = rome.trim(parsed.url)
    pinned = pins(parsed.url)
    if parsed.json:
        print(to_json({"commits": commits, "pins": [pin._asdict() for pin in pinned]}))
    else:
        print(f"superseded row versions of {commits:,} commit{'' if commits == 1 else 's'} discarded")
        if pinned:
            print(f"later ones are kept for transactions of {described(pinned)}")


def run_restored(parsed: argparse.Namespace) -> None:
    """Begin a new history of a database, or of each one of the server with --all, after a restore from a backup."""
    if parsed.all:
        server = make_url(parsed.url)
        urls = [server.set(database=name) for name in rome.list_databases(parsed.url)]
    else:
        check_exists(parsed.url)
        urls = [make_url(parsed.url)]
    for url in urls:
        rome.mark_restored(url)
    names = [str(url.database) for url in urls]
    if parsed.json:
        print(to_json({"restored": names}))
    else:
        for name in names:
            print(f"{name}: transactions from before the restore are refused from now on")


def run_drop(parsed: argparse.Namespace) -> int:
    """Delete a database after a question; without a terminal only with --yes. Status 1 if the answer is no."""
    check_exists(parsed.url)
    name = make_url(parsed.url).database
    if not parsed.yes:
        if not sys.stdin.isatty():
            raise ProgrammingError(f"this deletes {name} and everything in it: say --yes")
        print(f"Delete {name} and everything in it? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            print("nothing was deleted", file=sys.stderr)
            return 1
    rome.drop_database(parsed.url)
    if parsed.json:
        print(to_json({"dropped": name}))
    return 0
