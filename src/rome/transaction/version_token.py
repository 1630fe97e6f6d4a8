"""A version of a database as text, for one process to tell another: `rome.last_version`, `rome.at_least`.

    v1.<base64url of: checksum 4, name 4, incarnation 16, version 8>

The checksum is CRC-32 of the rest, so that a token that was cut off or retyped is noticed. The name is CRC-32 of the
database's name; only error messages use it.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import lru_cache
from struct import Struct
from struct import error as StructError
from typing import NamedTuple
from zlib import crc32

from rome.errors import StoreBusyError, VersionTokenError
from rome.store.spi import Snapshot

_PREFIX = "v1."
_BODY = Struct(">L16sQ")
_CHECKSUM = Struct(">L")


class VersionToken(NamedTuple):
    """What a token says: a version, and a number for the database's name."""

    snapshot: Snapshot
    name: int


def encode_token(snapshot: Snapshot, database: str) -> str:
    """The token of a version; 46 characters, of which each is a letter, a digit, `.`, `-` or `_`."""
    body = _BODY.pack(_name(database), snapshot.incarnation, snapshot.version)
    return _PREFIX + urlsafe_b64encode(_CHECKSUM.pack(crc32(body)) + body).rstrip(b"=").decode()


@lru_cache(maxsize=64)
def decode_token(token: str) -> VersionToken:
    """What a token says.

    Raises:
        VersionTokenError: it is not a token, or not a whole one.
    """
    if not isinstance(token, str) or not token.startswith(_PREFIX):
        raise VersionTokenError.malformed(token)
    text = token[len(_PREFIX) :]
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        body = data[_CHECKSUM.size :]
        name, incarnation, version = _BODY.unpack(body)
    except (ValueError, StructError):
        raise VersionTokenError.malformed(token) from None
    if _CHECKSUM.pack(crc32(body)) != data[: _CHECKSUM.size]:
        raise VersionTokenError.malformed(token)
    return VersionToken(Snapshot(incarnation, version), name)


def is_of(token: VersionToken, database: str) -> bool:
    """Whether a token names a database of this name."""
    return token.name == _name(database)


def check_at_least(found: Snapshot, wanted: Snapshot) -> None:
    """Refuse a snapshot that is not of the wanted one's history, or is older.

    Raises:
        VersionTokenError: the wanted version is of another history.
        StoreBusyError: the server does not have it yet.
    """
    if found.incarnation != wanted.incarnation:
        raise VersionTokenError.of_another_history()
    if found.version < wanted.version:
        raise StoreBusyError(
            f"the token asks for version {wanted.version}, and the server has {found.version} as yet: it is a replica "
            "that is behind; run the transaction again later, or read at the primary"
        )


def _name(database: str) -> int:
    return crc32(database.encode("utf-8", "surrogatepass"))
