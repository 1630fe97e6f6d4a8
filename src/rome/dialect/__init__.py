"""The SQLAlchemy dialect."""

from rome.dialect.base import RomeDialect

__all__ = ["RomeDialect"]
