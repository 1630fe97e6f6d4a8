"""docs/errors.md: each public error has a row, with the fields that the class has."""

from __future__ import annotations

from pathlib import Path

import pytest

import rome.archive
import rome.bulk
import rome.transfer
from rome import errors

PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
ROWS = {
    cells[0].strip("`"): cells[1:]
    for line in PAGE.splitlines()
    if line.startswith("| `") and (cells := [cell.strip() for cell in line.strip("|").split("|")])[0]
}
OF_TOOLS = {
    found.__name__: found
    for module in (rome.archive, rome.bulk, rome.transfer)
    for found in vars(module).values()
    if isinstance(found, type) and issubclass(found, Exception)
}
PUBLIC: dict[str, type[Exception]] = {
    name: found for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, Exception)
} | OF_TOOLS
BASES = {"Error", "DatabaseError", "OperationalError", "InternalError"}


def test_every_error_has_a_row() -> None:
    assert {"ArchiveError", "BulkJobError", "TransferError"} <= OF_TOOLS.keys()
    assert ROWS.keys() | BASES == PUBLIC.keys()
    assert [name for name in BASES if f"`{name}`" not in PAGE] == []


@pytest.mark.parametrize("name", [name for name in ROWS if not name.endswith("Warning")])
def test_row_has_the_fields_of_the_class(name: str) -> None:
    sqlstate, retryable, *_ = ROWS[name]
    found = PUBLIC[name]
    assert sqlstate == (getattr(found, "sqlstate", None) or "")
    assert retryable == ("yes" if getattr(found, "retryable", False) else "no")
