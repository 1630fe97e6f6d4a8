"""The driver for DragonFlow's northbound database: its contract, written again from DbApi's text of 4.0.0.

DragonFlow itself is not installed here. `make dragonflow-test` runs its own tests of drivers with the real DbApi.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

from tests.support.databases import database, on

CONTRACT = [
    *("initialize", "create_table", "delete_table", "get_key", "set_key", "create_key", "delete_key"),
    *("get_all_entries", "get_all_keys", "allocate_unique_key", "process_ha", "set_neutron_server"),
]


class DBKeyNotFound(Exception):
    """In place of dragonflow.common.exceptions.DBKeyNotFound, which takes the key by name."""

    def __init__(self, *, key: str) -> None:
        super().__init__(f"DB Key not found, key={key}")


DbApi = type("DbApi", (ABC,), {name: abstractmethod(lambda self: None) for name in CONTRACT})


@pytest.fixture(scope="module")
def module() -> Iterator[Any]:
    """The driver's module, on stand-ins for the two modules of DragonFlow that it needs."""
    patch = pytest.MonkeyPatch()
    modules: list[tuple[str, dict[str, Any]]] = [
        ("dragonflow", {}),
        ("dragonflow.common", {}),
        ("dragonflow.common.exceptions", {"DBKeyNotFound": DBKeyNotFound}),
        ("dragonflow.db", {}),
        ("dragonflow.db.db_api", {"DbApi": DbApi}),
    ]
    for name, content in modules:
        made = ModuleType(name)
        vars(made).update(content)
        patch.setitem(sys.modules, name, made)
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], last, made)
    patch.delitem(sys.modules, "romedragonflow.driver", raising=False)
    yield import_module("romedragonflow.driver")
    patch.undo()
    sys.modules.pop("romedragonflow.driver", None)


@pytest.fixture(params=on("memory", "lmdb", "redis"))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with database(request.param, request) as url:
        yield url


@pytest.fixture
def driver(module: Any, url: str) -> Iterator[Any]:
    driver = module.RomeDbDriver()
    driver.initialize("127.0.0.1", 0, connection=url, config=None)
    yield driver
    driver._db.close()


def test_keys_are_set_read_and_deleted(driver: Any) -> None:
    driver.create_table("t")
    driver.create_key("t", "k1", '{"id": "k1"}')
    driver.create_key("t", "k2", "v2", "tenant")
    assert driver.get_key("t", "k1") == '{"id": "k1"}'
    assert driver.get_key("t", "k2", "tenant") == "v2"
    assert driver.get_key("t", "k2") == "v2"
    driver.set_key("t", "k1", "new")
    driver.set_key("t", "k3", "made by set_key")
    driver.create_key("t", "k2", "replaced", "tenant")
    assert driver.get_all_keys("t") == ["k1", "k2", "k3"]
    assert driver.get_all_entries("t") == ["new", "replaced", "made by set_key"]
    driver.delete_key("t", "k1")
    driver.delete_key("t", "k2", "tenant")
    for lost in ("get_key", "delete_key"):
        with pytest.raises(DBKeyNotFound, match="key=k1"):
            getattr(driver, lost)("t", "k1")
    assert driver.get_all_keys("t") == ["k3"]


def test_tables_are_apart(driver: Any) -> None:
    driver.create_key("t", "k", "of t")
    driver.create_key("t2", "k", "of t2")
    assert driver.get_all_entries("nowhere") == driver.get_all_keys("nowhere") == []
    driver.delete_table("t")
    driver.delete_table("nowhere")
    with pytest.raises(DBKeyNotFound):
        driver.get_key("t", "k")
    assert driver.get_all_entries("t") == []
    assert driver.get_all_entries("t2") == ["of t2"]


def test_a_large_table_is_deleted_in_parts(driver: Any, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DELETED_AT_ONCE", 3)
    for number in range(7):
        driver.create_key("t", f"k{number}", "v")
    driver.delete_table("t")
    assert driver.get_all_keys("t") == []


def test_topics(driver: Any) -> None:
    driver.create_key("t", "a", "1", "one")
    driver.create_key("t", "b", "2", "two")
    driver.create_key("t", "c", "3")
    assert driver.get_all_keys("t", "one") == ["a"]
    assert driver.get_all_entries("t", "two") == ["2"]
    assert driver.get_all_entries("t", "three") == []
    assert driver.get_all_keys("t") == ["a", "b", "c"]
    driver.set_key("t", "a", "11")
    driver.set_key("t", "b", "22", "one")
    assert driver.get_all_entries("t", "one") == ["11", "22"]
    assert driver.get_all_entries("t", "two") == []


def test_unique_keys_are_unique_in_every_process(driver: Any, module: Any, url: str) -> None:
    other = module.RomeDbDriver()
    other.initialize("127.0.0.1", 0, connection=url)
    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(each.allocate_unique_key, "t") for each in (driver, other) * 10]
        assert sorted(call.result() for call in calls) == list(range(1, 21))
    driver.delete_table("t")
    assert driver.allocate_unique_key("t") == 21
    assert driver.allocate_unique_key("t2") == 1
    other._db.close()


def test_the_driver_implements_all_of_it(module: Any, driver: Any) -> None:
    assert not module.RomeDbDriver.__abstractmethods__
    driver.process_ha()
    driver.set_neutron_server(True)


def test_the_url_comes_from_the_configuration(module: Any, url: str) -> None:
    module.cfg.CONF.set_override("connection", url, module.GROUP)
    try:
        driver = module.RomeDbDriver()
        driver.initialize("127.0.0.1", 1)
        driver.create_key("t", "k", "v")
        driver._db.close()
    finally:
        module.cfg.CONF.clear_override("connection", module.GROUP)
    assert module.list_opts() == [("df_rome", module.OPTIONS)]
