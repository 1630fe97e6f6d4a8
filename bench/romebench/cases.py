"""The names of the workloads and cases, which the workloads, the page and the table of targets share."""

from __future__ import annotations

BOOT, MICRO, CONCURRENCY, BULK, LISTS, SITES = "boot", "micro", "concurrency", "bulk", "lists", "sites"

BOOT_DATABASE, BOOT_WALL, BOOT_TRIPS = "database time of a boot", "boot", "round trips of a boot"

BY_KEY, BY_INDEX, GET = "select by primary key, Core", "select 10 by index, Core", "get, ORM"
KEYS, JOIN, SORTED = (
    "select 10 by a list of keys, Core",
    "join of two tables, 3 rows, Core",
    "20 after a marker, sorted, Core",
)
COUNTED, LOADED = "count by index, Core", "load with 5 joins, ORM"
INSERT, INSERT_MANY, INSERT_ORM = "insert 1", "insert 1,000", "insert 1, ORM"
UPDATE, MODIFIED, DELETE = "update 1", "read, modify, write", "delete 1"
MICRO_CASES = (
    BY_KEY,
    KEYS,
    BY_INDEX,
    SORTED,
    COUNTED,
    JOIN,
    GET,
    LOADED,
    INSERT,
    INSERT_ORM,
    INSERT_MANY,
    UPDATE,
    MODIFIED,
    DELETE,
)


def cpu_case(case: str) -> str:
    """The case of the client's CPU time in a small operation."""
    return f"{case}: client's CPU"


READ, MODIFY = "read", "read-modify-write"

LOAD, COUNT = "load", "count"

FAR_TRIPS = "requests of a boot that went to another site"
WRITE_SETS = "write sets of a boot that Galera replicated"
READ_ONLY, COMMIT = "a transaction that reads a row", "a transaction that reads and changes a row"
ONE_WAY_READ, ONE_WAY_WRITE = (
    f"round trips between sites that {READ_ONLY[2:]} waits for",
    (f"round trips between sites that {COMMIT[2:]} waits for"),
)
READS_GAP, COMMITS_GAP, LOST = "reads elsewhere: longest gap", "commits elsewhere: longest gap", "commits lost"
OUTAGE_CASES = (
    (READS_GAP, "s", "reads_gap_s"),
    (COMMITS_GAP, "s", "commits_gap_s"),
    ("commits elsewhere: longest gap after the site is back", "s", "return_gap_s"),
    ("commits at the lost site, after it is back", "s", "back_s"),
    ("reads at the lost site while it is cut off, of what it had before", "share", "cut_off_reads"),
    ("reads elsewhere: longest gap before", "s", "quiet_reads_gap_s"),
    ("commits elsewhere: longest gap before", "s", "quiet_commits_gap_s"),
    ("commits acknowledged", "commits", "acknowledged"),
    (LOST, "commits", "lost"),
)
"""(case, unit, the field of romebench.sites.outage.Seen)"""

LIST, ROWS = "1,000 servers, Nova's objects", "rows of 1,000 servers, driver alone"
OPEN, HELD = "open a connection, Nova's schema", "memory of a connection that has read all of Nova's tables"
PAGE_ROWS = 1_000
"""Rows of a page: the most that Nova's API returns at once."""


def page_case(number: int) -> str:
    """The case of a page of the bulk load's table."""
    return f"page {number:,}"


def nova_page_case(number: int) -> str:
    """The case of a page of servers, by Nova's own query."""
    return f"page {number:,}, Nova's instance_get_all_by_filters_sort"


def cell_case(kind: str, hot: bool, clients: int, what: str) -> str:
    """The case of one number of clients in the concurrency benchmark."""
    return f"{kind}, {'hot' if hot else 'uniform'}, {clients} clients: {what}"
