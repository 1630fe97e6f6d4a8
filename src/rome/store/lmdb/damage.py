"""Stored bytes that cannot be decoded: something other than Rome wrote into the file, or the disk changed them."""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from rome.errors import CorruptRecordError

UNDECODABLE: Final = (struct.error, msgspec.MsgspecError, UnicodeDecodeError, OverflowError)
REMEDY: Final = "the file is damaged: put a copy in its place"


def damaged(what: str, error: Exception, *, table: int | None = None, key: bytes | None = None) -> CorruptRecordError:
    """The error to raise in place of one of UNDECODABLE. `what` names what cannot be decoded."""
    return CorruptRecordError(f"{what} cannot be decoded ({error}); {REMEDY}", table=table, key=key)
