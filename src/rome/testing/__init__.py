"""Tests that ship with Rome, for stores outside this tree: see rome.testing.store_suite. Needs the `test` extra."""

import pytest

pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in ("harness", "store_machine", "suite_commits", "suite_databases", "suite_reads")
    )
)
