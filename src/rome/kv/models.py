"""Objects of collections to and from what is stored: msgspec's Structs, dataclasses, pydantic's models.

All are stored in msgpack, as a map from field to value. A Struct or dataclass is written and checked by msgspec; a
pydantic model by pydantic, as JSON that is then stored as msgpack.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec

from rome.codec.values import SqlValue
from rome.errors import DataError, InterfaceError
from rome.kv.values import encoded

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = datetime.resolution


class Model(ABC, Generic[T]):
    """How the objects of one type are stored.

    Attributes:
        fields: names of the type's fields.
    """

    def __init__(self, kind: type[T], fields: tuple[str, ...], stored_names: tuple[str, ...]) -> None:
        self.kind = kind
        self.fields = fields
        self._stored_names = stored_names

    def encode(self, item: T, what: str) -> tuple[bytes, T]:
        """Make the record of an object, and return also the object as it will come back.

        Args:
            what: names the object in messages.

        Raises:
            DataError: it is of another type, or a field has a value that its annotation does not allow, or that
                cannot be stored.
        """
        if type(item) is not self.kind:
            raise DataError(f"{what} is a {type(item).__name__}, and its collection holds {self.kind.__name__}")
        return self._encoded(item, what)

    def merge(self, item: T, stored: bytes, what: str) -> tuple[bytes, T]:
        """The same for a changed object; fields that this type does not know stay as the old record has them.

        Raises:
            DataError: see encode.
        """
        record, kept = self.encode(item, what)
        old, new = msgspec.msgpack.decode(stored), msgspec.msgpack.decode(record)
        if not (isinstance(old, dict) and isinstance(new, dict)):
            return record, kept
        unknown = {name: value for name, value in old.items() if name not in self._stored_names}
        return (encoded({**unknown, **new}, what) if unknown else record), kept

    @abstractmethod
    def decode(self, record: bytes) -> T:
        """The inverse of encode.

        Raises:
            ValueError: the record does not fit the type; the message says why.
        """

    @abstractmethod
    def changed(self, item: T, changes: Mapping[str, object]) -> T:
        """Return a copy with other values of some fields."""

    @abstractmethod
    def _encoded(self, item: T, what: str) -> tuple[bytes, T]:
        """See encode; `item` is of this type."""


class _MsgspecModel(Model[T]):
    def __init__(self, kind: type[T], fields: tuple[str, ...], stored_names: tuple[str, ...]) -> None:
        super().__init__(kind, fields, stored_names)
        try:
            self._decode = msgspec.msgpack.Decoder(kind).decode
        except TypeError as error:
            raise InterfaceError(f"{kind.__name__} cannot be stored in a collection: {error}") from error

    def decode(self, record: bytes) -> T:
        return self._decode(record)

    def changed(self, item: T, changes: Mapping[str, object]) -> T:
        if isinstance(item, msgspec.Struct):
            return msgspec.structs.replace(item, **changes)
        return dataclasses.replace(item, **changes)  # type: ignore[type-var]  # it is a dataclass

    def _encoded(self, item: T, what: str) -> tuple[bytes, T]:
        record = encoded(item, what)
        try:
            return record, self._decode(record)  # a Struct does not check its fields
        except (msgspec.MsgspecError, ValueError) as error:
            raise DataError(f"{what} does not fit {self.kind.__name__}: {error}") from error


class _PydanticModel(Model[T]):
    def decode(self, record: bytes) -> T:
        kind: Any = self.kind
        found: T = kind.model_validate_json(msgspec.json.encode(msgspec.msgpack.decode(record)))
        return found

    def changed(self, item: T, changes: Mapping[str, object]) -> T:
        known: Any = item
        copied: T = known.model_copy(update=changes)
        return copied

    def _encoded(self, item: T, what: str) -> tuple[bytes, T]:
        kind: Any = self.kind
        known: Any = item
        try:
            text: str = known.model_dump_json(warnings="none", by_alias=True)
            content = msgspec.json.decode(text)
        except ValueError as error:  # text with a lone surrogate, bytes that are no text, NaN
            raise DataError(f"{what} cannot be stored as JSON: {error}") from error
        try:
            kept: T = kind.model_validate_json(text)  # neither model_copy nor an assignment checks
        except ValueError as error:
            raise DataError(f"{what} does not fit {self.kind.__name__}: {error}") from error
        return encoded(content, what), kept


def model_of(kind: type[T]) -> Model[T]:
    """Return how objects of a type are stored.

    Raises:
        InterfaceError: it is no Struct, dataclass or pydantic model, or msgspec cannot check one of its fields.
    """
    if isinstance(kind, type):
        if issubclass(kind, msgspec.Struct):
            return _MsgspecModel(kind, kind.__struct_fields__, kind.__struct_encode_fields__)
        if dataclasses.is_dataclass(kind):
            fields = tuple(field.name for field in dataclasses.fields(kind))
            return _MsgspecModel(kind, fields, fields)
        if hasattr(kind, "model_validate_json") and hasattr(kind, "model_fields"):
            pydantic: Any = kind
            known = pydantic.model_fields
            stored = tuple(field.serialization_alias or field.alias or name for name, field in known.items())
            for (name, field), written in zip(known.items(), stored, strict=True):
                if not field.exclude and written not in _read_names(pydantic, name, field):
                    raise InterfaceError(
                        f"{kind.__name__} cannot be stored in a collection: its field {name} is written as {written}, "
                        "and not read by this name: let serialization_alias and validation_alias agree"
                    )
            return _PydanticModel(kind, tuple(known), stored)
    raise InterfaceError(f"a collection holds msgspec Structs, dataclasses or pydantic models, and not {kind!r}")


def _read_names(model: Any, name: str, field: Any) -> list[object]:
    """The names by which a pydantic model takes a field's value."""
    settings = model.model_config
    alias = field.validation_alias or field.alias
    if alias is None:
        return [name]
    names = list(getattr(alias, "choices", [alias])) if settings.get("validate_by_alias", True) else []
    by_name = settings.get("validate_by_name") or settings.get("populate_by_name")
    return [*names, name] if by_name else names


def index_value(value: object, where: str) -> SqlValue:
    """What stands for a field's value in a key or an index. `where` names the field in messages.

    An Enum stands for its value, a UUID for its 16 bytes, a date for its day, an aware datetime for the microseconds
    since 1970, and a bool for 0 or 1.

    Raises:
        DataError: values of this type have no order, or not one that is stored.
    """
    if isinstance(value, Enum):
        value = value.value
    if value is None or type(value) in (int, str, float, bytes):
        return value  # type: ignore[return-value]  # of these types
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, UUID):
        return value.bytes
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise DataError(f"{where} is a datetime without a time zone, which has no place in an index: add one")
        return (value - _EPOCH) // _MICROSECOND
    if isinstance(value, date):
        return value.toordinal()
    raise DataError(
        f"{where} is a {type(value).__name__}, which cannot be a key or in an index: that is None, a bool, an int, a "
        "float, a str, bytes, an Enum of these, a UUID, a date, or a datetime with a time zone"
    )
