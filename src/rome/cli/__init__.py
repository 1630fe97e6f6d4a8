"""The `rome` command: inspect and maintain databases.

    rome list URL                   list the databases of a server or folder
    rome explain URL STATEMENT [--analyze] [PARAMETER ..]
                                    show what a statement would read, wave by wave; --analyze runs it and counts
    rome trim URL                   discard superseded versions now
    rome drop URL                   delete a database
    rome doctor URL [--json]        report what a store would lose in each kind of failure, and what is wrong with it

If the database raises an error, the command prints one line on stderr and ends with status 1. `rome doctor` ends with
status 0 if all is well, 1 if there is a warning or a check could not be made, and 2 if there is a problem or an error.
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
    """Run one command and return its exit status.

    Args:
        arguments: the command line without the program's name; None for that of the process.
    """
    parser = _parser()
    parsed, more = parser.parse_known_args(arguments)
    # argparse does not recognize parameters that follow --analyze, nor "--".
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
    parser = argparse.ArgumentParser(prog="rome", description="Inspect and maintain databases of Rome.")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int | None], summary: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=summary, description=summary)
        made.add_argument(
            "url", metavar="URL", help="rome+redis://localhost/nova or rome+lmdb:///nova.rome, for example"
        )
        made.set_defaults(run=run, status_of_errors=1)
        return made

    command("list", _list, "list the databases of the server or folder that the URL names")
    explain = command("explain", run_explain, "show what a statement would read, wave by wave, without reading it")
    explain.add_argument("statement", metavar="STATEMENT")
    explain.add_argument("parameters", metavar="PARAMETER", nargs="*", help="a number, NULL or text")
    explain.add_argument("--analyze", action="store_true", help="run the statement, count what it reads, and undo it")
    command("trim", _trim, "discard row versions that are older than the retention")
    command("drop", _drop, "delete the database and everything in it")
    doctor = command("doctor", run_doctor, "report what would be lost in each kind of failure, and what is wrong")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    doctor.set_defaults(status_of_errors=2)
    return parser


def _list(parsed: argparse.Namespace) -> None:
    for name in rome.list_databases(parsed.url):
        print(name)


def _trim(parsed: argparse.Namespace) -> None:
    print(f"superseded row versions of {rome.trim(parsed.url)} commits discarded")


def _drop(parsed: argparse.Namespace) -> None:
    rome.drop_database(parsed.url)
