"""The grammar of the command line."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Any

from rome.cli import maintain
from rome.cli.archives import run_dump, run_load
from rome.cli.doctor import run_doctor
from rome.cli.explain import run_explain
from rome.cli.insights import run_insights
from rome.cli.metrics import run_metrics
from rome.cli.parser import Parser
from rome.cli.query import run_query
from rome.cli.shell import run_shell
from rome.cli.tables import run_schema, run_tables
from rome.cli.top import run_top
from rome.cli.transfers import run_export, run_import
from rome.cli.verify import run_verify

_TAKES_PARAMETERS = ("explain", "query")
_OPTION = re.compile("-[^0-9.]")


class _Version(argparse.Action):
    """Prints the version of Rome and of what it stands on, which `import apsw` has to find out."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        import apsw  # noqa: PLC0415  # 10 ms, for those who ask

        from rome.compiled import channels, described  # noqa: PLC0415  # it imports apsw

        parts = (f"{name} {version(name)}" for name in ("SQLAlchemy", "sqlglot"))
        print(f"rome {version('sqlalchemy-rome')} (SQLite {apsw.sqlite_lib_version()}, {', '.join(parts)})")
        decoding, trips = described(), channels.described()
        # In one piece: who reads one line only may close the pipe before the next.
        print(f"rows of large reads are decoded by: {decoding}\ntrips to Redis are made by: {trips}")
        parser.exit()


def main_parser() -> Parser:
    """The parser of the whole command line. Each command sets `run`, its function, and `status_of_errors`."""
    parser = Parser(prog="rome", description="Look into databases of Rome, and look after them.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the versions and end")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[[argparse.Namespace], int | None], summary: str, *, json: bool = True
    ) -> Parser:
        made: Parser = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        made.add_argument("url", metavar="URL", help="rome+redis://localhost/nova or rome+lmdb:///nova.rome, say")
        made.set_defaults(run=run, status_of_errors=1, parser=made)
        if json:
            made.add_argument("--json", action="store_true", help="print JSON")
        return made

    command("list", maintain.run_list, "list the databases of the server or folder that the URL names")
    tables = command("tables", run_tables, "list the tables and views")
    tables.add_argument("--counts", action="store_true", help="with the number of their rows")
    tables.add_argument("--size", action="store_true", help="with the bytes of their rows, all of which are read")
    schema = command("schema", run_schema, "print the statements that made the tables, indexes, views and triggers")
    schema.add_argument("table", metavar="TABLE", nargs="?", help="only of this table or view")
    query = command("query", run_query, "run statements in one transaction and print their results", json=False)
    query.add_argument("statement", metavar="SQL", help="statements, separated by ; or - to read them from stdin")
    query.add_argument("parameters", metavar="PARAMETER", nargs="*", default=[], help="a number, NULL or text")
    forms = query.add_mutually_exclusive_group()
    for form, summary in (
        ("table", "print aligned columns, the default"),
        ("json", "print JSON"),
        ("csv", "print CSV"),
        ("records", "print a line for each value"),
    ):
        forms.add_argument(f"--{form}", dest="form", action="store_const", const=form, default="table", help=summary)
    command("shell", run_shell, "run statements as they are typed", json=False)
    explain = command("explain", run_explain, "show what a statement would read, wave by wave, without reading it")
    explain.add_argument("statement", metavar="STATEMENT")
    explain.add_argument("parameters", metavar="PARAMETER", nargs="*", default=[], help="a number, NULL or text")
    explain.add_argument("--analyze", action="store_true", help="run the statement, count what it reads, and undo it")
    insights = commands.add_parser(
        "insights",
        help="show where an application's time in the database goes, on a page",
        description="Show where an application's time in the database goes, on a page at 127.0.0.1.",
    )
    insights.add_argument(
        "source",
        metavar="FILE|URL",
        help="what a process writes that runs with ROME_INSIGHTS=FILE, or its page's address",
    )
    insights.add_argument(
        "--port", type=int, default=8643, help="where to show the page; default 8643, 0 is any free one"
    )
    shown = insights.add_mutually_exclusive_group()
    shown.add_argument("--html", metavar="FILE", help="write the page into a file, and end; - is stdout")
    shown.add_argument("--json", action="store_true", help="print JSON")
    insights.set_defaults(run=run_insights, status_of_errors=1, parser=insights)
    dump = command("dump", run_dump, "write the database, as it is at one moment, into an archive")
    dump.add_argument("file", metavar="FILE", help="the archive to be made; - is stdout")
    dump.add_argument("--force", action="store_true", help="replace the file if it exists")
    load = command("load", run_load, "fill a new database from an archive")
    load.add_argument("file", metavar="FILE", help="an archive; - is stdin")
    importing = commands.add_parser("import", help="copy a database of another kind into a new one")
    importing.add_argument("source", metavar="SOURCE", help="mysql+pymysql://user@host/nova, sqlite:///file, ..")
    importing.add_argument("url", metavar="URL", help="rome+redis://localhost/nova, say")
    importing.set_defaults(run=run_import, status_of_errors=1, parser=importing)
    exporting = command("export", run_export, "copy the database into an empty one of another kind", json=False)
    exporting.add_argument("target", metavar="TARGET", help="mysql+pymysql://user@host/nova, sqlite:///file, ..")
    for each in (importing, exporting):
        each.add_argument("--dry-run", action="store_true", help="only say what would not be kept as it is")
        each.add_argument("--yes", action="store_true", help="do not ask if something is not kept as it is")
        each.add_argument("--json", action="store_true", help="print JSON")
    command("verify", run_verify, "check that rows, index entries and constraints fit together")
    kept = command("retention", maintain.run_retention, "show or change how long superseded versions are kept")
    kept.add_argument("seconds", metavar="SECONDS", nargs="?", type=float)
    kept.add_argument("--max-bytes", metavar="BYTES", type=int, help="keep at most so many bytes of them")
    command("trim", maintain.run_trim, "discard row versions that are older than the retention")
    restored = command("restored", maintain.run_restored, "refuse transactions from before a restore from a backup")
    restored.add_argument("--all", action="store_true", help="of all databases of the server")
    drop = command("drop", maintain.run_drop, "delete the database and everything in it")
    drop.add_argument("--yes", action="store_true", help="do not ask")
    metrics = command("metrics", run_metrics, "print what the store knows of the database, for Prometheus")
    metrics.add_argument("--all", action="store_true", help="of all databases of the server or folder")
    metrics.add_argument("--serve", metavar="[HOST:]PORT", help="answer GET /metrics at this port until interrupted")
    top = command("top", run_top, "show what happens in the database, again and again, until q is pressed")
    top.add_argument("--process", metavar="URL", action="append", default=[], help="a process that serves rome.metrics")
    top.add_argument("--interval", metavar="SECONDS", type=float, default=2.0, help="how often; 2 by default")
    top.add_argument("--once", action="store_true", help="print it once")
    doctor = command("doctor", run_doctor, "report what would be lost in each kind of failure, and what is wrong")
    doctor.set_defaults(status_of_errors=2)
    return parser


def complete(parser: Parser) -> None:
    """If the shell asks for completions of a word, print them and end. It needs the package argcomplete.

    `eval "$(register-python-argcomplete rome)"` in the shell's start file switches completion on.
    """
    if "_ARGCOMPLETE" in os.environ:
        with suppress(ImportError):
            import argcomplete  # noqa: PLC0415  # only where it is asked for

            argcomplete.autocomplete(parser)


def split_parameters(parser: Parser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line. A statement's parameters may follow an option, and anything may follow `--`."""
    parsed, more = parser.parse_known_args(arguments)
    # argparse recognizes neither parameters that follow an option, nor "--".
    options = more[: more.index("--")] if "--" in more else more
    if more and (parsed.command not in _TAKES_PARAMETERS or any(_OPTION.match(text) for text in options)):
        parsed.parser.refuse_unknown(more)
    if more:
        parsed.parameters += [*options, *more[len(options) + 1 :]]
    return parsed
