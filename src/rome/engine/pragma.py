"""PRAGMAs: those about the schema are the mirror's; those that set something are Rome's, or harmless, or refused."""

from __future__ import annotations

from enum import Enum

from rome.errors import NotSupportedError
from rome.planner.statement import Statement

# What SQLite would tune in a file that Rome does not have: accepted, since applications set them on every connection.
_IGNORED = frozenset(
    [
        "analysis_limit",
        "auto_vacuum",
        "automatic_index",
        "busy_timeout",
        "cache_size",
        "cache_spill",
        "cell_size_check",
        "checkpoint_fullfsync",
        "fullfsync",
        "hard_heap_limit",
        "incremental_vacuum",
        "journal_mode",
        "journal_size_limit",
        "legacy_file_format",
        "locking_mode",
        "max_page_count",
        "mmap_size",
        "optimize",
        "page_size",
        "query_only",
        "read_uncommitted",
        "recursive_triggers",
        "reverse_unordered_selects",
        "secure_delete",
        "shrink_memory",
        "soft_heap_limit",
        "synchronous",
        "temp_store",
        "threads",
        "trusted_schema",
        "wal_autocheckpoint",
        "wal_checkpoint",
    ]
)
_CHECKS = frozenset({"integrity_check", "quick_check"})
_SWITCHES = frozenset({"foreign_keys", "defer_foreign_keys"})
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
        "module_list",
        "pragma_list",
        "table_info",
        "table_list",
        "table_xinfo",
    ]
)
_NUMBERS = frozenset(
    ["application_id", "data_version", "encoding", "freelist_count", "page_count", "schema_version", "user_version"]
)


class Answer(Enum):
    """Who answers a PRAGMA."""

    SWITCH = "a switch of this connection"
    MIRROR = "the mirror"
    NOBODY = "nothing is done"
    CHECK = "there is nothing that could be damaged"
    FOREIGN_KEY_CHECK = "the working set, with all rows"


def answer(statement: Statement) -> Answer:
    """Who answers this PRAGMA. One that SQLite does not know answers with nothing, as SQLite does.

    Raises:
        NotSupportedError: it would change what Rome does not have.
    """
    name, sets = statement.name or "", statement.argument is not None
    if name in _SWITCHES:
        return Answer.SWITCH
    if name in _CHECKS:
        return Answer.CHECK
    if name == "foreign_key_check":
        return Answer.FOREIGN_KEY_CHECK
    if name in _QUESTIONS or (name in _NUMBERS | _IGNORED and not sets):
        return Answer.MIRROR
    if name in _NUMBERS or name in _REFUSED:
        raise NotSupportedError(
            f"PRAGMA {name} is not supported: it would change SQLite's own file or schema, which Rome does not have"
        )
    return Answer.NOBODY


_REFUSED = frozenset(
    [
        "case_sensitive_like",
        "ignore_check_constraints",
        "legacy_alter_table",
        "writable_schema",
        "key",
        "rekey",
        "count_changes",
        "empty_result_callbacks",
        "full_column_names",
        "short_column_names",
    ]
)
