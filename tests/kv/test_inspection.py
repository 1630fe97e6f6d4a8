"""What administrators see: lists, damage, and the doctor's findings."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import msgspec
import pytest

import rome
from rome.cli import main
from rome.dbapi.url import make_url, parse_url
from rome.kv import KvDatabase, building, inspection
from rome.store.diagnosis import Level
from rome.store.registry import store_class
from rome.store.spi import CommitRequest


class Port(msgspec.Struct):
    id: str
    network: str
    mac: str | None = None


def filled(db: KvDatabase) -> Any:
    ports = db.collection("ports", Port, key="id", indexes=["network"], unique=["mac"])
    db.collection("a", Port, key=["network", "id"])
    with db.transaction() as tr:
        tr.put(("k",), 1)
        for number in range(3):
            ports.put(tr, Port(f"p{number}", "n1", f"m{number}"))
    return ports


def test_collections_are_listed(db: KvDatabase, url: str) -> None:
    assert rome.kv.list_collections(url) == []
    filled(db)
    with_level = make_url(url).update_query_dict({"isolation_level": "READ COMMITTED"})
    found = rome.kv.list_collections(with_level)
    assert [(each.name, each.key, [index.fields for index in each.indexes]) for each in found] == [
        ("a", ("network", "id"), []),
        ("ports", ("id",), [("network",), ("mac",)]),
    ]


def test_damage_is_found(db: KvDatabase, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    ports = filled(db)
    assert rome.kv.verify_collections(url) == []
    location = parse_url(make_url(url)).location
    network = ports.definition.indexes[0]
    with db.transaction() as tr:
        (row,) = tr.view_of(ports)[0].get(ports.definition.table_id, [ports._row_key(ports.definition, "p1")[0]])
    assert row is not None
    with closing(store_class(location.scheme).open(location)) as store:
        entry = (ports.index_entry(network, row)[0], row.key)
        snapshot = store.read(None, []).snapshot
        entries = {(ports.definition.table_id, network.id): {entry: False}}
        store.commit(CommitRequest(b"1" * 16, snapshot, entries=entries))
    assert rome.kv.verify_collections(url) == [("ports", "the index on network", "2 entries lead to 2 of 3 objects")]
    assert main(["verify", url]) == 1
    assert "collection ports, the index on network: 2 entries lead to 2 of 3 objects" in capsys.readouterr().out


def test_doctor_tells_of_it(db: KvDatabase, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspection.findings(url) == []
    filled(db)
    main(["doctor", url, "--json"])
    found = json.loads(capsys.readouterr().out)["findings"]
    assert {"check": "rome.kv", "level": "ok", "reason": "2 collections, 1 plain keys", "remedy": ""} in found


def test_doctor_tells_of_a_half_built_index(db: KvDatabase, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(db)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(building, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        db.collection("a", Port, key=["network", "id"], indexes=["mac"])
    warnings = [each for each in inspection.findings(url) if each.level is Level.WARNING]
    assert [each.reason for each in warnings] == [
        "an index on mac of collection a is being built, or was left half built"
    ]


def test_doctor_creates_no_database(url: str) -> None:
    assert inspection.findings(url) == []
    assert not rome.database_exists(url)
