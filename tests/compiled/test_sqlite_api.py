"""sqlite_api.h says what SQLite's own header says, where that is installed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from rome.compiled import LIBRARY

SOURCES = LIBRARY.parent
COMPILER = shlex.split(os.environ.get("CC", "cc"))
WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O2"]
MEMBERS = {
    "TableBase": ("sqlite3_vtab", {"module": "pModule", "error": "zErrMsg"}),
    "CursorBase": ("sqlite3_vtab_cursor", {"table": "pVtab"}),
    "Constraint": ("struct sqlite3_index_constraint", {"column": "iColumn", "operator": "op", "usable": "usable"}),
    "Order": ("struct sqlite3_index_orderby", {"column": "iColumn", "descending": "desc"}),
    "Use": ("struct sqlite3_index_constraint_usage", {"argument": "argvIndex", "omit": "omit"}),
    "IndexInfo": (
        "sqlite3_index_info",
        {
            "constraint_count": "nConstraint",
            "constraints": "aConstraint",
            "order": "aOrderBy",
            "uses": "aConstraintUsage",
            "number": "idxNum",
            "text": "idxStr",
            "free_text": "needToFreeIdxStr",
            "ordered": "orderByConsumed",
            "cost": "estimatedCost",
            "rows": "estimatedRows",
        },
    ),
    "Module": (
        "sqlite3_module",
        {
            "version": "iVersion",
            "create": "xCreate",
            "connect": "xConnect",
            "best_index": "xBestIndex",
            "disconnect": "xDisconnect",
            "destroy": "xDestroy",
            "open": "xOpen",
            "close": "xClose",
            "filter": "xFilter",
            "next": "xNext",
            "eof": "xEof",
            "column": "xColumn",
            "rowid": "xRowid",
            "unused": "xUpdate",
        },
    ),
}
CONSTANTS = {
    "OK": "SQLITE_OK",
    "FAILED": "SQLITE_ERROR",
    "NO_MEMORY": "SQLITE_NOMEM",
    "CONSTRAINT": "SQLITE_CONSTRAINT",
    "ROW": "SQLITE_ROW",
    "IS_NULL": "SQLITE_NULL",
    "UTF8": "SQLITE_UTF8",
    "EQUALS": "SQLITE_INDEX_CONSTRAINT_EQ",
    "DIRECT_ONLY": "SQLITE_DIRECTONLY",
}


def _run(arguments: list[str | Path]) -> subprocess.CompletedProcess[str]:
    if shutil.which(COMPILER[0]) is None:
        pytest.skip("no C compiler")
    return subprocess.run([*COMPILER, *arguments], capture_output=True, text=True)


def test_the_source_compiles_without_warnings(tmp_path: Path) -> None:
    done = _run([*WARNINGS, "-fPIC", "-shared", "-o", tmp_path / "rows.so", SOURCES / "rows.c"])
    assert (done.returncode, done.stderr) == (0, "")


def test_places_and_structures_are_those_of_sqlite(tmp_path: Path) -> None:
    header = (SOURCES / "sqlite_api.h").read_text()
    places = [*re.findall(r"FUNCTION\((\d+), (\w+)", header)]
    assert len(places) > 20
    created = re.search(r"define CREATE_FUNCTION_PLACE (\d+)", header)
    assert created is not None
    places.append((created[1], "create_function_v2"))
    checks = [
        f"offsetof(struct sqlite3_api_routines, {name}) == {place} * sizeof(void (*)(void))" for place, name in places
    ]
    for ours, (theirs, members) in MEMBERS.items():
        checks += [f"offsetof({ours}, {name}) == offsetof({theirs}, {other})" for name, other in members.items()]
    checks += [f"{ours} == {theirs}" for ours, theirs in CONSTANTS.items()]
    checks += [f"sizeof({ours}) == sizeof({MEMBERS[ours][0]})" for ours in ("Constraint", "Order", "Use", "TableBase")]
    checks.append("sizeof(Module) >= offsetof(sqlite3_module, xRename) + sizeof(void *)")
    lines = ["#define SQLITE_CORE", "#include <sqlite3ext.h>", '#include "sqlite_api.h"']
    lines += [f'_Static_assert({check}, "{check}");' for check in checks]
    source = tmp_path / "check.c"
    source.write_text("\n".join(lines) + "\n")
    if _run(["-E", "-o", tmp_path / "x", "-include", "sqlite3ext.h", "-x", "c", os.devnull]).returncode:
        pytest.skip("SQLite's headers are not installed")
    done = _run(["-std=c11", "-fsyntax-only", f"-I{SOURCES}", source])
    assert (done.returncode, done.stderr) == (0, "")
