"""Something in a database that does not fit."""

from __future__ import annotations

from typing import NamedTuple


class Damage(NamedTuple):
    """One finding.

    Attributes:
        table: the table's name.
        where: which index or row.
        reason: what is wrong.
    """

    table: str
    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.table}, {self.where}: {self.reason}"
