"""`rome shell`: run statements as they are typed, or as a file on stdin holds them."""

from __future__ import annotations

import argparse
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator

from rome.cli.existing import connected
from rome.cli.explain import print_tree
from rome.cli.line_editor import LineEditor
from rome.cli.shown import FORMS
from rome.cli.table import table
from rome.cli.tables import schema_of, tables
from rome.dbapi.connection import Connection
from rome.dbapi.url import make_url
from rome.errors import Error, ProgrammingError
from rome.planner.parse.statement import StatementKind, classify
from rome.store.spelling import did_you_mean

_EXPLANATIONS = (StatementKind.EXPLAIN_ROME, StatementKind.EXPLAIN_ROME_ANALYZE)


def run_shell(parsed: argparse.Namespace) -> int:
    """Read statements from stdin and run them. Each is a transaction of its own, unless BEGIN has opened one.

    At a terminal an error is printed and the shell goes on; otherwise it ends with status 1 at the first error.
    """
    with connected(parsed.url) as connection:
        connection.isolation_level = None
        shell = Shell(connection, make_url(parsed.url).database or "", interactive=sys.stdin.isatty())
        return shell.run()


class Shell:
    """One conversation.

    Attributes:
        form: how results are shown, one of FORMS.
        timing: whether the time and the round trips of each statement are printed.
    """

    def __init__(self, connection: Connection, name: str, *, interactive: bool) -> None:
        self.connection, self.interactive = connection, interactive
        self.form, self.timing = "table", False
        self._name = name.rpartition("/")[2]
        self._editor = LineEditor(lambda: _names(connection)) if interactive else None

    def run(self) -> int:
        """Run what is typed until it ends; returns the exit status."""
        if self.interactive:
            print("Statements end with ;  \\? lists the commands, \\q ends.")
        for text in self._texts():
            try:
                if text.startswith("\\"):
                    self.command(text)
                else:
                    self.statement(text)
            except EOFError:
                break
            except KeyboardInterrupt:
                print("interrupted", file=sys.stderr)
            except Error as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
                if not self.interactive:
                    return 1
        if self.connection.in_transaction:
            print("the open transaction is rolled back", file=sys.stderr)
        return 0

    def statement(self, text: str) -> None:
        """Run one statement and print its result."""
        before, began = self.connection.rome_stats.round_trips, time.perf_counter()
        cursor = self.connection.execute(text)
        rows = cursor.fetchall() if cursor.description is not None else []
        taken, trips = time.perf_counter() - began, self.connection.rome_stats.round_trips - before
        if cursor.description is not None:
            names = [column[0] for column in cursor.description]
            if self.form == "table" and classify(text).kind in _EXPLANATIONS:
                print_tree(names, rows)
            else:
                print(FORMS[self.form](names, rows))
        elif cursor.rowcount >= 0:
            print(f"{cursor.rowcount} row{'' if cursor.rowcount == 1 else 's'} changed")
        if self.timing:
            print(f"{taken * 1000:.1f} ms, {trips} round trip{'' if trips == 1 else 's'}")

    def command(self, text: str) -> None:
        """Run a command of the shell's own.

        Raises:
            ProgrammingError: there is no such command. EOFError: it is the one that ends the shell.
        """
        name, _, argument = text.strip().partition(" ")
        found = _COMMANDS.get(name)
        if found is None:
            raise ProgrammingError(f"there is no command {name}{did_you_mean(name, _COMMANDS)}; \\? lists them")
        found[1](self, argument.strip())

    def _texts(self) -> Iterator[str]:
        """Each statement, and each line that begins with a backslash outside of a statement."""
        pending = ""
        while True:
            try:
                line = self._line(pending)
            except KeyboardInterrupt:  # the line is discarded, as in other shells
                print()
                pending = ""
                continue
            except EOFError:
                break
            if not pending and line.lstrip().startswith("\\"):
                yield line.strip()
                continue
            pending = f"{pending}{line}\n" if pending or line.strip() else ""
            if pending and sqlite3.complete_statement(pending):
                text, pending = pending.strip(), ""
                yield text
        if pending.strip():
            yield pending.strip()

    def _line(self, pending: str) -> str:
        if self._editor is None:
            line = sys.stdin.readline()
            if not line:
                raise EOFError
            return line.rstrip("\n")
        state = "-" if pending else "*" if self.connection.in_transaction else "="
        return self._editor.line(f"{self._name}{state}> ")

    # ------------------------------------------------------------ commands
    def quit(self, _: str) -> None:
        """End the shell."""
        raise EOFError

    def help(self, _: str) -> None:
        """Print the commands."""
        print(table(("command", "does"), [(name, does) for name, (does, _) in _COMMANDS.items()]))

    def describe(self, name: str) -> None:
        """List the tables and views, or print the statements that made one of them."""
        if not name:
            print(table(("name", "type"), tables(self.connection)))
            return
        for *_, sql in schema_of(self.connection, name):
            print(f"{sql};")

    def set_timing(self, word: str) -> None:
        """Switch the timing on or off."""
        self.timing = {"on": True, "off": False}.get(word, not self.timing)
        print(f"timing is {'on' if self.timing else 'off'}")

    def set_form(self, word: str) -> None:
        """Choose how results are shown."""
        if word not in FORMS:
            raise ProgrammingError(f"there is no form {word!r}{did_you_mean(word, FORMS)}; {', '.join(FORMS)}")
        self.form = word

    def toggle_records(self, _: str) -> None:
        """Show a line for each value, or tables again."""
        self.form = "table" if self.form == "records" else "records"
        print(f"results are shown as {'records' if self.form == 'records' else 'tables'}")


_COMMANDS: dict[str, tuple[str, Callable[[Shell, str], None]]] = {
    "\\d": ("list tables and views; \\d NAME prints the statements that made one", Shell.describe),
    "\\timing": ("print time and round trips after each statement, on or off", Shell.set_timing),
    "\\x": ("show a line for each value, or tables again", Shell.toggle_records),
    "\\form": (f"show results as one of {', '.join(FORMS)}", Shell.set_form),
    "\\?": ("print this list", Shell.help),
    "\\q": ("end the shell", Shell.quit),
}


def _names(connection: Connection) -> list[str]:
    """Tables, views and their columns, for completion."""
    if connection.in_transaction:  # completing a word must not add to what the transaction has read
        return []
    found = [name for name, _ in tables(connection)]
    columns = {
        str(row[1]) for name in found for row in connection.execute("SELECT * FROM pragma_table_info(?)", (name,))
    }
    return [*found, *sorted(columns)]
