"""What a transfer raises by itself."""

from __future__ import annotations

from sqlalchemy.exc import InvalidRequestError


class TransferError(InvalidRequestError):
    """A database cannot be copied, or what has arrived differs."""
