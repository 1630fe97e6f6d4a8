"""`rome import` and `rome export`: copy a database from or to another kind of server."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from rome.cli.existing import check_exists
from rome.cli.progress import shown_progress
from rome.cli.shown import to_json
from rome.cli.table import table
from rome.dbapi.url import for_a_long_read
from rome.errors import OperationalError
from rome.transfer import CopyProgress, TransferPlan, plan


def run_import(parsed: argparse.Namespace) -> int:
    """Copy another database into a new one of Rome's."""
    _check_source(parsed.source)
    return _run(parsed, parsed.source, parsed.url)


def run_export(parsed: argparse.Namespace) -> int:
    """Copy a database of Rome's into another one, which exists and is empty."""
    check_exists(parsed.url)
    return _run(parsed, parsed.url, parsed.target)


def _run(parsed: argparse.Namespace, source_url: str, target_url: str) -> int:
    try:
        if _place(source_url) == _place(target_url):
            raise OperationalError("the source and the target are the same database")
        source, target = create_engine(_for_a_long_read(source_url)), create_engine(target_url)
        found = plan(source, target)
        if not parsed.json:
            _print_notes(found)
        if parsed.dry_run:
            if parsed.json:
                print(to_json({"tables": found.tables, **_as_json(found)}))
            return 0
        if found.notes and not parsed.yes and not _goes_on():
            return 1
        rows = _copy(found, target)
    except (SQLAlchemyError, ImportError) as error:
        raise OperationalError(str(getattr(error, "orig", None) or error).partition("\n")[0]) from error
    if parsed.json:
        print(to_json({"rows": rows, **_as_json(found)}))
    else:
        lines = [*((name, f"{count:,}") for name, count in rows.items()), ("in all", f"{sum(rows.values()):,}")]
        print(table(("table", "rows, compared"), lines))
    return 0


def _check_source(text: str) -> None:
    """Check that a file or a database of Rome's exists, which a connection would create: a typo would copy nothing.

    Raises:
        OperationalError: it does not.
    """
    try:
        url = make_url(text)
    except SQLAlchemyError:
        return  # what is wrong with it is said when it is opened
    name = url.database or ":memory:"
    if url.drivername.startswith("rome"):
        check_exists(text)
    elif url.get_backend_name() == "sqlite" and not name.startswith((":", "file:")) and not Path(name).exists():
        raise OperationalError(f"there is no file {name}")


def _place(text: str) -> tuple[str, str | None, int | None, str | None]:
    """What tells databases apart, as far as URLs do."""
    url = make_url(text)
    name = url.database
    if name and not url.host and not name.startswith((":", "file:")):
        name = str(Path(name).resolve())
    return url.drivername.partition("+")[2] or url.drivername, url.host, url.port, name


def _for_a_long_read(url: str) -> URL:
    source = make_url(url)
    return for_a_long_read(source) if source.drivername.startswith("rome") else source


def _as_json(found: TransferPlan) -> dict[str, object]:
    notes = [{"where": note.where, "what": note.what} for note in found.notes]
    return {"only_rows": found.only_rows, "notes": notes}


def _print_notes(found: TransferPlan) -> None:
    tables = f"{len(found.tables)} tables" + ", which the target has: only rows are copied" * found.only_rows
    print(f"{tables}; {len(found.notes)} things are not kept as they are" + ":" * bool(found.notes))
    for note in found.notes:
        print(f"  {note}")


def _goes_on() -> bool:
    """Ask whether the notes are acceptable.

    Raises:
        OperationalError: nobody can be asked.
    """
    if not sys.stdin.isatty():
        raise OperationalError("not everything can be kept as it is, see above: say --yes to copy all the same")
    print("Copy all the same? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _copy(found: TransferPlan, target: Engine) -> dict[str, int]:
    with shown_progress("rows copied") as shown:

        def tell(progress: CopyProgress) -> None:
            shown(progress.rows, progress.table + ", compared" * progress.compares, progress.total)

        return found.run(tell)
