"""pytest plugin: tests of the services that fail for a reason which is not the database's."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

_SQLALCHEMY_2_1 = {
    "nova/tests/unit/db/main/test_api.py": (
        "noload() is deprecated in SQLAlchemy 2.1, and Nova's tests take a deprecation for an error",
        "test_instance_get_by_uuid_join_empty",
        "test_instance_get_by_uuid_join_meta",
        "test_instance_get_by_uuid_join_sys_meta",
        "test_instance_update_and_get_original_metadata",
    ),
    "nova/tests/unit/db/test_migration.py": (
        "SQLAlchemy 2.1 quotes a password in a URL in another way than the test expects",
        "test_db_sync_with_special_symbols_in_connection_string",
    ),
}
"""File -> reason and tests; they pass with SQLAlchemy 2.0."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if sa.__version__.startswith("2.0."):
        return
    for item in items:
        path, _, name = item.nodeid.partition("::")
        reason, *tests = _SQLALCHEMY_2_1.get(path, ("",))
        if name.rpartition("::")[2] in tests:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
