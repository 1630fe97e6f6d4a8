"""pytest plugin: what OpenStack's test cases expect of their own runner, stestr with testtools."""

from __future__ import annotations

import unittest
from typing import Any

import pytest


def pytest_configure() -> None:
    """Let test cases delete attributes that pytest deletes again."""
    unittest.TestCase.__delattr__ = _delete_attribute  # type: ignore[method-assign, assignment]


def _delete_attribute(self: unittest.TestCase, name: str) -> None:
    """Ignore that an attribute is missing: Nova's tests delete all theirs at the end, then pytest deletes its own."""
    if name in self.__dict__ or not name.startswith("test"):
        object.__delattr__(self, name)


def pytest_pycollect_makeitem(collector: Any, name: str, obj: object) -> list[pytest.Item | pytest.Collector] | None:
    """Multiply a class by its `scenarios`, which is all that unittest's load_tests does in these suites."""
    scenarios = getattr(obj, "scenarios", None)
    if not isinstance(obj, type) or not scenarios or "romekit_scenario" in vars(obj):
        return None
    module = getattr(collector, "module", None)
    if not hasattr(module, "load_tests"):
        return None
    made: list[pytest.Item | pytest.Collector] = []
    for label, attributes in scenarios:
        own = {**attributes, "romekit_scenario": label, "__module__": obj.__module__}
        variant = type(f"{name}_{label}", (obj,), own)
        setattr(module, variant.__name__, variant)
        found = collector.ihook.pytest_pycollect_makeitem(collector=collector, name=variant.__name__, obj=variant)
        made += found if isinstance(found, list) else [found]
    return made
