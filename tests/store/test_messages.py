"""What a conflict, or a commit's unknown outcome, is called: in rome.errors, and in the same words by every store."""

from __future__ import annotations

import ast
from pathlib import Path

import rome
from rome import errors

HOME = Path(rome.__file__).parent
WORDED = {
    name
    for name, found in vars(errors).items()
    if isinstance(found, type)
    and issubclass(found, errors.ConflictError | errors.CommitAbortedError | errors.CommitUnknownError)
}


def test_stores_write_no_message_of_a_conflict_themselves() -> None:
    written = [
        f"{path.relative_to(HOME)}:{node.lineno} {node.func.id}"
        for folder in ("store", "transaction")
        for path in sorted((HOME / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in WORDED
    ]
    assert not written
