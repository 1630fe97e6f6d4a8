"""Which part of Rome answers which PRAGMA. docs/pragmas.md has this as a table.

The mirror answers questions about the schema. What sets something is honoured; or only remembered, if it tunes what
Rome does not have; or refused by name. Nothing that promises something is accepted and then not done.
"""

from __future__ import annotations

import re
from enum import Enum

from rome.errors import NotSupportedError
from rome.planner.parse.statement import Statement


class PragmaKind(Enum):
    """Which part of Rome answers a PRAGMA."""

    SWITCH = "a switch of this connection"
    PASSED_ON = "this connection's SQLite, which runs the statements"
    SETTING = "this connection's settings"
    MIRROR = "the mirror"
    HEADER = "the catalog's header"
    VERSION = "a version of the store"
    FOREIGN_KEY_CHECK = "the working set, with all rows"
    NOBODY = "nothing is done"


_SWITCHES = frozenset({"foreign_keys", "defer_foreign_keys", "query_only"})
_PASSED_ON = frozenset({"case_sensitive_like", "recursive_triggers", "trusted_schema"})
_QUESTIONS = frozenset(
    [
        "collation_list",
        "compile_options",
        "database_list",
        "foreign_key_list",
        "function_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "module_list",
        "pragma_list",
        "quick_check",
        "table_info",
        "table_list",
        "table_xinfo",
    ]
)
HEADER_FIELDS = ("application_id", "user_version")
_VERSIONS = frozenset({"data_version", "schema_version"})

TUNES = frozenset(
    [
        "analysis_limit",
        "auto_vacuum",
        "automatic_index",
        "busy_timeout",
        "cache_size",
        "cache_spill",
        "cell_size_check",
        "checkpoint_fullfsync",
        "freelist_count",
        "fullfsync",
        "incremental_vacuum",
        "journal_mode",
        "journal_size_limit",
        "mmap_size",
        "optimize",
        "page_size",
        "read_uncommitted",
        "shrink_memory",
        "soft_heap_limit",
        "synchronous",
        "temp_store",
        "threads",
        "wal_autocheckpoint",
        "wal_checkpoint",
    ]
)
"""They tune SQLite's way with a file that Rome does not have: answered as SQLite does, and read back as set."""

FIXED = {
    "count_changes": "a change has no result set",
    "empty_result_callbacks": "it is about SQLite's C interface",
    "encoding": "text is UTF-8",
    "full_column_names": "columns are named as SQLite names them by default",
    "hard_heap_limit": "max_working_set in the URL bounds the memory of a statement",
    "ignore_check_constraints": "CHECK constraints hold for every client",
    "legacy_alter_table": "ALTER TABLE keeps views and foreign keys in line",
    "locking_mode": "no connection keeps others off",
    "max_page_count": "the store bounds the size of a database",
    "reverse_unordered_selects": "rows without ORDER BY come in one order",
    "secure_delete": "superseded versions of rows are kept for the retention, and then not overwritten",
    "short_column_names": "columns are named as SQLite names them by default",
    "writable_schema": "the schema is changed by DDL alone",
}
"""They promise something: only the value that is Rome's anyway is taken. Each with why there is no other."""

_REFUSED = {
    "key": "encrypt the store's disk or server instead",
    "page_count": "there are no pages; how large a database is the store knows",
    "rekey": "encrypt the store's disk or server instead",
}


def answer(statement: Statement) -> PragmaKind:
    """Which part of Rome answers this PRAGMA. One that SQLite does not know has no result, as in SQLite.

    Raises:
        NotSupportedError: Rome has nothing to which it could apply.
    """
    name = statement.name or ""
    if name in _REFUSED:
        raise NotSupportedError(f"PRAGMA {name} is not supported: {_REFUSED[name]}")
    for names, found in _ANSWERS:
        if name in names:
            return found
    return PragmaKind.NOBODY


_ANSWERS = (
    (_SWITCHES, PragmaKind.SWITCH),
    (_PASSED_ON, PragmaKind.PASSED_ON),
    (TUNES | FIXED.keys(), PragmaKind.SETTING),
    (_QUESTIONS, PragmaKind.MIRROR),
    (frozenset(HEADER_FIELDS), PragmaKind.HEADER),
    (_VERSIONS, PragmaKind.VERSION),
    (frozenset({"foreign_key_check"}), PragmaKind.FOREIGN_KEY_CHECK),
)


def truth(text: str) -> bool:
    """The value of a switch, as SQLite reads it: true for a number except 0, or on, yes, true; otherwise false."""
    digits = text[: len(text) - len(text.lstrip("0123456789"))]
    return bool(int(digits) & 0xFF) if digits else text.lower() in ("on", "yes", "true")


def integer(text: str) -> int:
    """A number of 32 bits, as SQLite reads it; 0 for any other text."""
    found = re.match(r"0[xX]([0-9a-fA-F]{1,8})(?![0-9a-fA-F])|([+-]?[0-9]+)", text)
    if found is None:
        return 0
    number = int(found[1], 16) if found[1] else int(found[2])
    return number if -(2**31) <= number < 2**31 else 0


def function_of_state(name: str) -> str | None:
    """The PRAGMA whose table-valued function this is, if the mirror does not know what it answers."""
    pragma = name.removeprefix("pragma_")
    return None if pragma == name or pragma in _QUESTIONS else pragma
