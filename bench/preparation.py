"""Count what it takes to prepare each text of a recorded boot for the first time, and what a new process imports.

Each text that the boot sends is prepared once for its schema, and not run. What a process executes that prepares none
is taken from what one executes that prepares all; what lacks where all but one are prepared is the figure of that one,
the text that makes the most calls of Rome's functions. Of a new process the first import, connection and statements
count, each on top of those before it.

    make preparation
    python bench/preparation.py boot.msgpack --list        calls of Rome's functions by text, without valgrind
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType

import msgspec
from callgrind import instructions
from replay import Recording

import rome
from rome.catalog.definition import Definition
from rome.catalog.mirror import Mirror
from rome.engine.statement.schema import SchemaVersion
from rome.engine.statement.syntax import statement_of
from rome.workingset.functions import add_regexp

NONE, ALL = "none", "all"
STEPS = {
    "Python": "import sys, warnings; warnings.simplefilter('ignore')",
    "import rome": "import rome",
    "rome.connect": "connection = rome.connect('rome+memory://')",
    "CREATE TABLE": "connection.execute('CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)')",
    "INSERT, COMMIT": "connection.execute('INSERT INTO t VALUES (?, ?)', (1, 'a')); connection.commit()",
    "SELECT": "connection.execute('SELECT v FROM t WHERE id = ?', (1,)).fetchall()",
}
"""What a new process does, one step after the other."""


class PreparedSchema:
    """One schema, for which texts are prepared as a connection does it.

    Args:
        statements: CREATE statements, in order.
    """

    def __init__(self, statements: Iterable[str]) -> None:
        mirror = Mirror()
        add_regexp(mirror.connection)
        for sql in statements:
            mirror.connection.execute(sql)
        self._schema = SchemaVersion(Definition.empty().evolve(mirror).definition)
        self._mirror = self._schema.open_mirror()
        self.prepare("SELECT name FROM sqlite_master WHERE name = ?")

    def prepare(self, sql: str) -> None:
        """Prepare a text, unless it was prepared before."""
        self._schema.prepare(statement_of(sql, "operation"), self._mirror)

    def calls(self, sql: str) -> int:
        """The calls of Rome's functions that preparing a text makes."""
        made, package = 0, str(Path(rome.__file__).parent)

        def note(frame: FrameType, event: str, _argument: object) -> None:
            nonlocal made
            made += event == "call" and frame.f_code.co_filename.startswith(package)

        sys.setprofile(note)
        try:
            self.prepare(sql)
        finally:
            sys.setprofile(None)
        return made


def texts_of(recording: Recording) -> list[tuple[PreparedSchema, str]]:
    """The texts of a recording, each once, beside the schema that it is prepared for."""
    schemas = [
        PreparedSchema(sql for sql in database.dump if sql.startswith("CREATE ")) for database in recording.databases
    ]
    texts = dict.fromkeys((call.database, call.sql) for call in recording.calls if call.sql)
    return [(schemas[database], sql) for database, sql in texts]


def run(recording: Recording, which: str) -> None:
    """Prepare all texts, none, or all except the one of this number."""
    for number, (schema, sql) in enumerate(texts_of(recording)):
        if which not in (NONE, str(number)):
            schema.prepare(sql)


def report_texts(path: Path, recording: Recording) -> None:
    """Print the instructions of all texts and of the greatest."""
    calls = [schema.calls(sql) for schema, sql in texts_of(recording)]
    greatest = calls.index(max(calls))
    none, every, others = (
        instructions([sys.executable, __file__, str(path), "--run", which]) for which in (NONE, ALL, str(greatest))
    )
    print(f"{f'{len(calls)} texts':28}{every - none:14,} instructions, {sum(calls):8,} calls")
    print(f"{'the greatest of them':28}{every - others:14,} instructions, {calls[greatest]:8,} calls", flush=True)


def report_imports(steps: Sequence[str]) -> None:
    """Print the modules and instructions of a new process, step by step."""
    before = modules_before = 0
    for count, name in enumerate(steps, 1):
        program = "\n".join(STEPS[step] for step in steps[:count])
        counted = instructions([sys.executable, "-c", program])
        shown = [sys.executable, "-c", f"{program}\nprint(len(sys.modules))"]
        modules = int(subprocess.run(shown, capture_output=True, text=True, check=True).stdout)
        print(f"{name:28}{counted - before:14,} instructions, {modules - modules_before:8,} modules", flush=True)
        before, modules_before = counted, modules


def main() -> None:
    """Print what preparing costs."""
    parser = argparse.ArgumentParser(description="Count what it takes to prepare the texts of a recorded boot.")
    parser.add_argument("file", type=Path, help="what romebench.boot_recording wrote")
    parser.add_argument("--list", action="store_true", help="calls of Rome's functions by text, the most first")
    parser.add_argument("--run", metavar="WHICH", help="only prepare them, without counting")
    arguments = parser.parse_args()
    recording = msgspec.msgpack.decode(arguments.file.read_bytes(), type=Recording)
    if arguments.run:
        return run(recording, arguments.run)
    if arguments.list:
        for made, sql in sorted(((schema.calls(sql), sql) for schema, sql in texts_of(recording)), reverse=True):
            print(f"{made:8,}  {sql[:100]!r}")
        return None
    report_texts(arguments.file, recording)
    report_imports(list(STEPS))
    return None


if __name__ == "__main__":
    main()
