"""What SQLAlchemy's own tests may ask of Rome, and of the stock SQLite that it is compared with: upstream.py."""

from __future__ import annotations

from sqlalchemy.testing import exclusions
from test.requirements import DefaultRequirements  # type: ignore[import-not-found]  # in SQLAlchemy's sources

from rome.dialect.requirements import REFUSED, made_by, refused

DRIVER_NAMED = ("dbapi_lastrowid", "emulated_lastrowid", "emulated_lastrowid_even_with_sequences")
"""What SQLAlchemy asks of SQLite's drivers by their names, and of no other."""


class Requirements(DefaultRequirements):  # type: ignore[misc]
    """SQLAlchemy's, without what Rome refuses."""

    def _sqlite_file_db(self, config: object) -> bool:
        """Stock SQLite runs in memory, and Rome has no file: what is asked of one is asked of neither."""
        return False

    def _sqlite_memory_db(self, config: object) -> bool:
        return True


for _name in DRIVER_NAMED:
    setattr(Requirements, _name, made_by(exclusions.open))
for _name, _reason in REFUSED.items():
    setattr(Requirements, _name, made_by(refused, _reason))
