"""The `rome` command: look at databases, and look after them.

    rome list URL                   names of the databases there
    rome explain URL STATEMENT [--analyze] [PARAMETER ..]
                                    what a statement would read, wave by wave; --analyze runs it, and counts
    rome gc URL                     discard superseded versions now
    rome drop URL                   delete a database
    rome doctor URL [--json]        what a store would lose in which event, and what is wrong with it

Ends with status 1, and one line on stderr, when the database says no. `rome doctor` ends with 0 when all is well, 1
when there is a warning or something could not be looked at, and 2 when there is a problem or an error.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence

import rome
from rome.cli.doctor import run_doctor
from rome.cli.explain import run_explain
from rome.dbapi import Error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = _parser()
    parsed, more = parser.parse_known_args(arguments)
    # argparse leaves over the parameters that stand behind --analyze, and "--".
    options = more[: more.index("--")] if "--" in more else more
    if more and (parsed.command != "explain" or any(re.match("-[^0-9.]", text) for text in options)):
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    if more:
        parsed.parameters += [*options, *more[len(options) + 1 :]]
    run: Callable[[argparse.Namespace], int | None] = parsed.run
    try:
        return run(parsed) or 0
    except Error as error:
        print(f"rome {parsed.command}: {error}", file=sys.stderr)
        return int(parsed.status_of_errors)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rome", description="Look at databases of Rome, and look after them.")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int | None], summary: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=summary, description=summary)
        made.add_argument("url", metavar="URL", help="such as rome+redis://localhost/nova or rome+lmdb:///nova.rome")
        made.set_defaults(run=run, status_of_errors=1)
        return made

    command("list", _list, "print the names of the databases where the URL points to")
    explain = command("explain", run_explain, "print what a statement would read, wave by wave; nothing is read")
    explain.add_argument("statement", metavar="STATEMENT")
    explain.add_argument("parameters", metavar="PARAMETER", nargs="*", help="a number, NULL, or a text")
    explain.add_argument("--analyze", action="store_true", help="run it, count, and undo what it changed")
    command("gc", _gc, "discard superseded versions that are older than the retention")
    command("drop", _drop, "delete the database and everything in it")
    doctor = command("doctor", run_doctor, "tell what the store would lose in which event, and what is wrong with it")
    doctor.add_argument("--json", action="store_true", help="print JSON, for programs")
    doctor.set_defaults(status_of_errors=2)
    return parser


def _list(parsed: argparse.Namespace) -> None:
    for name in rome.list_databases(parsed.url):
        print(name)


def _gc(parsed: argparse.Namespace) -> None:
    print(f"{rome.trim(parsed.url)} commits trimmed")


def _drop(parsed: argparse.Namespace) -> None:
    rome.drop_database(parsed.url)
