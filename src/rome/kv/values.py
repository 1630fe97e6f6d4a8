"""Values of plain keys, and the records that hold them.

A record is one msgpack array: the parts of the key, which its bytes do not tell exactly, and the value.
"""

from __future__ import annotations

from typing import Any

import msgspec

from rome.errors import CorruptRecordError, DataError
from rome.kv.keys import Key
from rome.store.spi import Row

Value = Any
"""None, bool, int, float, str, bytes, and lists and dicts of these: what msgpack gives back as it was."""

MAX_RECORD_BYTES = 1 << 20
"""Of one value or object: it fits into one request of every store, with room for its key and its neighbours."""

_SCALARS = frozenset((type(None), bool, int, float, str, bytes))
_KEYS = frozenset((int, str, bytes))
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[list[Any], Any]).decode


def encode_value(key: Key, value: Value) -> bytes:
    """Make the record of a key and its value.

    Raises:
        DataError: the value has another type, which would come back changed, or is too large.
    """
    if type(value) not in _SCALARS:
        try:
            _check(key, value)
        except RecursionError as error:
            raise DataError(f"the value of key {key!r} is nested too deeply") from error
    return encoded((key, value), f"the value of key {key!r}")


def encoded(content: object, what: str) -> bytes:
    """Encode with msgpack what is to be stored. `what` names it in messages.

    Raises:
        DataError: msgpack cannot express it, or it takes more than MAX_RECORD_BYTES.
    """
    try:
        record = _encode(content)
    except UnicodeEncodeError as error:
        raise DataError(f"{what} has text with a lone surrogate, which cannot be stored: {error}") from error
    except OverflowError as error:
        raise DataError(f"{what} has an integer beyond 64 bits, which cannot be stored") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{what} cannot be stored: {error}") from error
    if len(record) > MAX_RECORD_BYTES:
        raise DataError(
            f"{what} takes {len(record):,} bytes, and at most {MAX_RECORD_BYTES:,} are possible: store it in parts, "
            "under several keys, or store where it is"
        )
    return record


def decode_value(row: Row) -> tuple[Key, Value]:
    """Return the key and the value of a record.

    Raises:
        CorruptRecordError: it is no such record.
    """
    try:
        parts, value = _decode(row.record)
    except (msgspec.MsgspecError, ValueError) as error:
        raise CorruptRecordError(
            f"the record of key {row.key.hex()} cannot be decoded: {error}", table="kv", key=row.key
        ) from error
    return tuple(parts), value


def _check(key: Key, value: object) -> None:
    """Refuse a value with a part that would come back as something else, as a tuple as a list."""
    kind = type(value)
    if kind in _SCALARS:
        return
    if kind is list:
        for item in value:  # type: ignore[attr-defined]  # it is a list
            _check(key, item)
    elif kind is dict:
        for name, item in value.items():  # type: ignore[attr-defined]  # it is a dict
            if type(name) not in _KEYS:
                raise DataError(f"the value of key {key!r} has a dict with a key of type {type(name).__name__}")
            _check(key, item)
    else:
        raise DataError(
            f"the value of key {key!r} has a part of type {kind.__name__}: it is None, bool, int, float, str, bytes, "
            "or a list or dict of these; a collection stores objects"
        )
