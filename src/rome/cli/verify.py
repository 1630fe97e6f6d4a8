"""`rome verify`: what does not fit in a database."""

from __future__ import annotations

import argparse
from itertools import islice

from rome.cli.existing import check_exists
from rome.cli.progress import shown_progress
from rome.cli.shown import to_json
from rome.kv import verify_collections
from rome.verify import Damage, verify

_MOST = 1_000
"""So many findings are shown; a database with more has one cause."""


def run_verify(parsed: argparse.Namespace) -> int:
    """Print what is wrong with the database; status 1 if that is anything."""
    check_exists(parsed.url)
    with shown_progress("rows checked") as shown:
        found = [*islice(verify(parsed.url, shown), _MOST)]
    found += [Damage(f"collection {name}", where, reason) for name, where, reason in verify_collections(parsed.url)]
    if parsed.json:
        print(to_json([damage._asdict() for damage in found]))
    elif not found:
        print("all rows, index entries and constraints are in order")
    for damage in found if not parsed.json else ():
        print(damage)
    return 1 if found else 0
