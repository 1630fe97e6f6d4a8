"""The conformance suite tells a store outside of this tree which of its two entry points is missing."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from rome.store import registry
from rome.store.location import Location
from rome.store.memory import MemoryStore
from rome.testing.harness import StoreUnderTest
from rome.testing.suite_entry_points import TestEntryPoints as Suite


def run(scheme: str) -> None:
    Suite().test_a_store_that_rome_finds_is_found_by_sqlalchemy(
        StoreUnderTest(MemoryStore, lambda name: Location(scheme, name)), Location(scheme, "name")
    )


def test_only_one_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("outside", "rome.store.memory:MemoryStore", "rome.stores")
    monkeypatch.setattr(registry, "_installed", lambda: EntryPoints([point]))
    with pytest.raises(
        pytest.fail.Exception, match=r'"rome\.outside" = "rome\.dialect:RomeDialect" in the group sqlalch'
    ):
        run("outside")
    registry.store_class.cache_clear()


def test_none_is_registered() -> None:
    with pytest.raises(pytest.skip.Exception, match=r"no entry point 'nowhere' in the group rome\.stores"):
        run("nowhere")


def test_both_are() -> None:
    run("memory")
