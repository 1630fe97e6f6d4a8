"""Copy a database between any two that SQLAlchemy reaches, one of them Rome's as a rule.

    plan = rome.transfer.plan(create_engine("mysql+pymysql://..."), create_engine("rome+redis://localhost/nova"))
    for note in plan.notes:     # what cannot be kept as it is
        print(note)
    plan.run()

docs/transfer.md says what is kept. `rome import` and `rome export` do this.
"""

from rome.transfer.copying import CopyProgress
from rome.transfer.errors import TransferError
from rome.transfer.note import Note
from rome.transfer.planning import TransferPlan, plan

__all__ = ["CopyProgress", "Note", "TransferError", "TransferPlan", "plan"]
