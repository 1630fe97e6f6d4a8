"""Something of a database that the other one cannot keep as it is."""

from __future__ import annotations

from typing import NamedTuple


class Note(NamedTuple):
    """One remark.

    Attributes:
        where: the table, or table.column.
        what: what becomes of it.
        of_values: whether it is about what is stored or compared, whoever made the tables.
    """

    where: str
    what: str
    of_values: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"
