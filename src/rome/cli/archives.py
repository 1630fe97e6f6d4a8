"""`rome dump` and `rome load`: a database into a file, and a file into a database."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import rome
from rome.archive import Tally, dump, load
from rome.cli.existing import check_exists
from rome.cli.progress import shown_progress
from rome.cli.shown import to_json
from rome.cli.table import table
from rome.errors import OperationalError


def run_dump(parsed: argparse.Namespace) -> None:
    """Write the database into a file, which has its name only once it is complete; `-` is stdout.

    Raises:
        OperationalError: the file exists, and --force is not given; or it cannot be written.
    """
    check_exists(parsed.url)
    if parsed.file == "-":
        _dump_into(sys.stdout.buffer, parsed)
        return
    path = Path(parsed.file)
    if path.exists() and not parsed.force:
        raise OperationalError(f"the file {path} exists: say --force to replace it")
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            tally = _dump_into(file, parsed)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise OperationalError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    _print(tally, parsed, bytes=path.stat().st_size)


def run_load(parsed: argparse.Namespace) -> None:
    """Fill a new or an empty database from a file; `-` is stdin.

    Raises:
        OperationalError: the file cannot be read.
    """
    existed = rome.database_exists(parsed.url)
    try:
        if parsed.file == "-":
            tally = _load_from(sys.stdin.buffer, parsed)
        else:
            with open(parsed.file, "rb") as file:
                tally = _load_from(file, parsed)
    except OSError as error:
        raise OperationalError(f"cannot read {parsed.file}: {error.strerror}") from error
    _print(tally, parsed, created=not existed)


def _dump_into(file: BinaryIO, parsed: argparse.Namespace) -> Tally:
    with shown_progress("rows dumped") as shown:
        return dump(parsed.url, file, lambda tally: shown(tally.rows, tally.table))


def _load_from(file: BinaryIO, parsed: argparse.Namespace) -> Tally:
    with shown_progress("rows loaded") as shown:
        return load(parsed.url, file, lambda tally: shown(tally.rows, tally.table))


def _print(tally: Tally, parsed: argparse.Namespace, **more: object) -> None:
    if parsed.json:
        print(to_json({"rows": tally.rows, "tables": dict(tally.tables), **more}))
    else:
        lines = [*((name, f"{rows:,}") for name, rows in tally.tables.items()), ("in all", f"{tally.rows:,}")]
        print(table(("table", "rows"), lines))
