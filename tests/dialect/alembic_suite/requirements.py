"""What alembic's own suite may ask of Rome: what stock SQLite can answer."""

from __future__ import annotations

from alembic.testing.requirements import SuiteRequirements
from sqlalchemy.testing import exclusions

from rome.dialect.requirements import made_by

OPEN = (
    "autocommit_isolation",
    "computed_columns",
    "fk_deferrable",
    "fk_deferrable_is_reflected",
    "fk_ondelete_is_reflected",
    "fk_onupdate_is_reflected",
    "reflects_fk_options",
    "reflects_pk_names",
)
"""What the suite leaves closed unless a dialect opens it. `fk_initially` stays closed: SQLAlchemy's reflection of
SQLite leaves out INITIALLY IMMEDIATE, so that three of its six tests fail on stock SQLite, too."""


class Requirements(SuiteRequirements):
    """For alembic_suite/setup.cfg."""


for _name in OPEN:
    setattr(Requirements, _name, made_by(exclusions.open))
