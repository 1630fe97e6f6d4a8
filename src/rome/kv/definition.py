"""What the database knows of a collection: its table, its key, its indexes. It knows nothing of the objects' type."""

from __future__ import annotations

from msgspec import Struct

from rome.store.spi import Version

Fields = tuple[str, ...]


class CollectionIndex(Struct, frozen=True, array_like=True):
    """An index.

    Attributes:
        id: its number in the store.
        building: entries for the objects that were there before the index are still being made; writers maintain it,
            and nobody finds by it.
    """

    id: int
    fields: Fields
    unique: bool
    building: bool

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"{'a unique' if self.unique else 'an'} index on {', '.join(self.fields)}"


class CollectionDefinition(Struct, frozen=True, array_like=True):
    """A collection as it is stored."""

    name: str
    table_id: int
    key: Fields
    indexes: tuple[CollectionIndex, ...]
    next_index: int = 1

    def index_on(self, fields: Fields) -> CollectionIndex | None:
        """The index on exactly these fields; None if there is none."""
        return next((index for index in self.indexes if index.fields == fields), None)


class StoredDefinition(Struct, frozen=True):
    """A definition and the version of the row that holds it, by which transactions notice that it has changed."""

    definition: CollectionDefinition
    version: Version
