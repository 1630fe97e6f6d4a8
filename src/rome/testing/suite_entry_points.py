"""Conformance of entry points: rome.connect and SQLAlchemy must both find the store."""

from __future__ import annotations

import pytest
from sqlalchemy.dialects import registry
from sqlalchemy.exc import NoSuchModuleError

from rome.dialect import RomeDialect
from rome.store.location import Location
from rome.store.registry import schemes, store_class
from rome.testing.harness import StoreUnderTest


class TestEntryPoints:
    """URLs must lead to the store."""

    def test_a_store_that_rome_finds_is_found_by_sqlalchemy(
        self, store_under_test: StoreUnderTest, location: Location
    ) -> None:
        """Otherwise create_engine fails where rome.connect works, and says only that it cannot load a plugin."""
        scheme = location.scheme
        if scheme not in schemes():
            pytest.skip(f"no entry point {scheme!r} in the group rome.stores: no URL leads to this store yet")
        assert store_class(scheme) is store_under_test.store
        try:
            dialect = registry.load(f"rome.{scheme}")
        except NoSuchModuleError:
            pytest.fail(
                f'create_engine("rome+{scheme}://..") cannot find this store: its distribution lacks the entry point '
                f'"rome.{scheme}" = "rome.dialect:RomeDialect" in the group sqlalchemy.dialects'
            )
        assert issubclass(dialect, RomeDialect)
