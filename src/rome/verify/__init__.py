"""Verify a database: whether what the store holds fits together, and satisfies the schema.

for damage in rome.verify.verify("rome+redis://localhost/nova"):
    print(damage)
"""

from rome.verify.damage import Damage
from rome.verify.database import verify

__all__ = ["Damage", "verify"]
