"""Tests that ship with Rome, for stores outside this tree: see rome.testing.store_suite. Needs the extra `testing`."""

import pytest

_SUITES = ("suite_commits", "suite_databases", "suite_entry_points", "suite_read_sets", "suite_reads")

pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in ("harness", "store_machine", *_SUITES)))
