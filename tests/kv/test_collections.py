"""Collections: objects by key and by index, unique indexes, pages, and changes of the definition."""

from __future__ import annotations

import dataclasses
import enum
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import msgspec
import pydantic
import pytest

from rome.errors import (
    CatalogChangedError,
    ConflictError,
    DataError,
    InterfaceError,
    MissingObjectError,
    ProgrammingError,
    UniqueViolation,
)
from rome.kv import Collection, KvDatabase, KvTransaction, building
from tests.kv.conftest import OpenKv


class Port(msgspec.Struct):
    id: str
    network: str
    state: str = "DOWN"
    mac: str | None = None
    number: int = 0


@dataclasses.dataclass
class PortData:
    id: str
    network: str
    state: str = "DOWN"
    mac: str | None = None
    number: int = 0


class PortModel(pydantic.BaseModel):
    id: str
    network: str
    state: str = "DOWN"
    mac: str | None = None
    number: int = 0


KINDS: list[Any] = [Port, PortData, PortModel]


def ports_of(db: KvDatabase, kind: Any = Port) -> Collection[Any]:
    return db.collection("ports", kind, key="id", indexes=["network", ("state", "number")], unique=["mac"])


@pytest.fixture
def ports(db: KvDatabase) -> Collection[Port]:
    return ports_of(db)


def fill(db: KvDatabase, ports: Collection[Port]) -> None:
    with db.transaction() as tr:
        for number in range(6):
            state = "UP" if number % 2 else "DOWN"
            ports.put(tr, Port(f"p{number}", f"n{number // 3}", state, f"m{number}", number))


def ids(found: list[Any]) -> list[str]:
    return [item.id for item in found]


@pytest.mark.parametrize("kind", KINDS)
def test_objects_of_each_kind(db: KvDatabase, other: KvDatabase, kind: Any) -> None:
    ports, elsewhere = ports_of(db, kind), ports_of(other, kind)
    one = kind(id="p1", network="n1", mac="m1")
    with db.transaction() as tr:
        ports.put(tr, one)
        ports.insert(tr, kind(id="p2", network="n1", state="UP", number=7))
    with other.transaction() as tr:
        assert elsewhere.get(tr, "p1") == one
        assert elsewhere.get(tr, "p9") is None
        assert ids(elsewhere.find(tr, network="n1")) == ["p1", "p2"]
        changed = elsewhere.patch(tr, "p1", state="UP", number=3)
        assert changed == kind(id="p1", network="n1", state="UP", mac="m1", number=3)
        assert one.state == "DOWN"
        assert elsewhere.get(tr, "p1") == changed
        assert ids(elsewhere.find(tr, state="UP")) == ["p1", "p2"]
    with db.transaction() as tr:
        assert ids(ports.find(tr, state="UP", number=7)) == ["p2"]
        assert ports.find(tr, state="DOWN") == []
        assert ports.delete(tr, "p1")
        assert not ports.delete(tr, "p1")
        assert ports.get_many(tr, ["p1", "p2"]) == [None, ports.get(tr, "p2")]
        assert ids(ports.find(tr, network="n1")) == ["p2"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_does_not_fit_its_type_is_refused(db: KvDatabase, kind: Any) -> None:
    ports = ports_of(db, kind)
    wrong = kind(id="p1", network="n1")
    wrong.network = 5
    with db.transaction() as tr:
        with pytest.raises(DataError, match=rf"object id='p1' of collection ports does not fit {kind.__name__}"):
            ports.put(tr, wrong)
        with pytest.raises(DataError, match=f"holds {kind.__name__}, and not dict"):
            ports.put(tr, {"id": "p1"})
        ports.put(tr, kind(id="p1", network="n1"))
        with pytest.raises(DataError, match="does not fit"):
            ports.patch(tr, "p1", number="seven")
        with pytest.raises(ProgrammingError, match=f"{kind.__name__} has no field colour"):
            ports.patch(tr, "p1", colour="red")
        with pytest.raises(ProgrammingError, match="id is part of the key of collection ports"):
            ports.patch(tr, "p1", id="p2")
        with pytest.raises(MissingObjectError, match="there is no object id='p2' of collection ports"):
            ports.patch(tr, "p2", number=1)
        assert ports.get(tr, "p1") == kind(id="p1", network="n1")


def test_find_in_order_and_backwards(db: KvDatabase, ports: Collection[Port]) -> None:
    fill(db, ports)
    with db.transaction() as tr:
        assert ids(ports.find(tr)) == ["p0", "p1", "p2", "p3", "p4", "p5"]
        assert ids(ports.find(tr, reverse=True, limit=2)) == ["p5", "p4"]
        assert ids(ports.find(tr, state="UP", reverse=True)) == ["p5", "p3", "p1"]
        assert ids(ports.find(tr, state="UP", limit=2)) == ["p1", "p3"]
        assert ids(ports.find(tr, number=3, state="UP")) == ["p3"]
        assert ids(ports.find(tr, id="p3")) == ["p3"]
        assert ids(ports.find(tr, mac="m4")) == ["p4"]
        assert ports.count(tr) == 6
        assert ports.count(tr, state="UP") == 3
        with pytest.raises(ProgrammingError, match=r"no index that begins with number; it has: network; state, number"):
            ports.find(tr, number=3)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_transaction_finds_its_own_changes(db: KvDatabase, ports: Collection[Port], reverse: bool) -> None:
    fill(db, ports)
    with db.transaction() as tr:
        ports.patch(tr, "p3", state="DOWN")
        ports.delete(tr, "p5")
        ports.put(tr, Port("p9", "n9", "UP", None, 0))
        ports.put(tr, Port("p8", "n9", "UP", None, 9))
        expected = ["p9", "p1", "p8"]
        if reverse:
            expected.reverse()
        for limit in (None, 1, 2, 3):
            assert ids(ports.find(tr, state="UP", limit=limit, reverse=reverse)) == expected[:limit]
        assert ports.count(tr, state="UP") == 3
        assert ports.count(tr) == 7
        ports.delete(tr, "p9")
        assert ports.count(tr, state="UP") == 2
    with db.transaction() as tr:
        assert ids(ports.find(tr, state="UP")) == ["p1", "p8"]
        assert ports.count(tr) == 6


@pytest.mark.parametrize("reverse", [False, True])
def test_pages(db: KvDatabase, ports: Collection[Port], reverse: bool) -> None:
    fill(db, ports)
    ways: list[dict[str, Any]] = [{}, {"state": "UP"}]
    for equal in ways:
        marker, found, pages = None, [], 0
        while True:
            with db.transaction() as tr:
                page = ports.page(tr, limit=2, marker=marker, reverse=reverse, **equal)
                everything = ids(ports.find(tr, reverse=reverse, **equal))
            found += ids(page.items)
            pages += 1
            if page.marker is None:
                break
            marker = page.marker
        assert found == everything
        assert pages == (len(everything) + 1) // 2


def test_a_page_goes_on_behind_an_object_that_is_gone(db: KvDatabase, ports: Collection[Port]) -> None:
    fill(db, ports)
    with db.transaction() as tr:
        first = ports.page(tr, limit=2, state="UP")
    with db.transaction() as tr:
        ports.delete(tr, first.items[-1].id)
    with db.transaction() as tr:
        assert ids(ports.page(tr, limit=2, state="UP", marker=first.marker).items) == ["p5"]
        for marker in ("zz", "", "00", "ff", 5):
            with pytest.raises(DataError, match="is no marker of this order"):
                ports.page(tr, limit=2, state="UP", marker=marker)  # type: ignore[arg-type]  # one is no text
        with pytest.raises(InterfaceError, match="a page has a limit"):
            ports.page(tr, limit=None, state="UP")  # type: ignore[arg-type]  # that is the error


# ------------------------------------------------------------ unique indexes
def test_unique_indexes(db: KvDatabase, ports: Collection[Port]) -> None:
    fill(db, ports)
    with db.transaction() as tr:
        with pytest.raises(UniqueViolation, match="collection ports has another object with mac='m1'"):
            ports.put(tr, Port("p9", "n1", mac="m1"))
        with pytest.raises(UniqueViolation, match="there is already an object id='p1' of collection ports"):
            ports.insert(tr, Port("p1", "n1"))
        ports.put(tr, Port("p1", "n7", mac="m1"))
        ports.put(tr, Port("a", "n1"))
        ports.put(tr, Port("b", "n1"))
        ports.patch(tr, "p1", mac="m77")
        ports.put(tr, Port("p9", "n1", mac="m1"))
        with pytest.raises(UniqueViolation, match="mac='m77'"):
            ports.put(tr, Port("p10", "n1", mac="m77"))
        ports.delete(tr, "p0")
        ports.put(tr, Port("p10", "n1", mac="m0"))
    with db.transaction() as tr:
        assert [ids(ports.find(tr, mac=mac)) for mac in ("m0", "m1", "m77", None)] == [
            ["p10"],
            ["p9"],
            ["p1"],
            ["a", "b"],
        ]


def test_a_race_for_unique_values_has_one_winner(db: KvDatabase, other: KvDatabase) -> None:
    ports, elsewhere = ports_of(db), ports_of(other)
    with pytest.raises(ConflictError, match="objects of collection ports from"), db.transaction() as tr:
        ports.put(tr, Port("p1", "n1", mac="m"))
        with other.transaction() as tr2:
            elsewhere.put(tr2, Port("p2", "n1", mac="m"))
    with db.transaction() as tr:
        assert ids(ports.find(tr, mac="m")) == ["p2"]


def test_a_changed_object_is_named_in_the_conflict(db: KvDatabase, other: KvDatabase) -> None:
    ports, elsewhere = ports_of(db), ports_of(other)
    fill(db, ports)
    with pytest.raises(ConflictError, match=r"object \('p1'\) of collection ports was changed"), db.transaction() as tr:
        ports.patch(tr, "p1", number=1)
        with other.transaction() as tr2:
            elsewhere.patch(tr2, "p1", number=2)


def test_patches_of_different_objects_do_not_conflict(db: KvDatabase, other: KvDatabase) -> None:
    ports, elsewhere = ports_of(db), ports_of(other)
    fill(db, ports)
    with db.transaction() as tr:
        ports.patch(tr, "p1", number=1)
        with other.transaction() as tr2:
            elsewhere.patch(tr2, "p2", number=2)


# ------------------------------------------------------------ values in keys and indexes
class Dated(msgspec.Struct):
    id: UUID
    day: date | None = None
    number: int | None = None


class DatedModel(pydantic.BaseModel):
    id: UUID
    day: date | None = None
    number: int | None = None


@pytest.mark.parametrize("kind", [Dated, DatedModel])
def test_keys_of_another_type_that_is_stored_alike_are_refused(db: KvDatabase, kind: Any) -> None:
    """A text like a UUID comes back as a UUID, which has another key."""
    dated = db.collection("dated", kind, key="id", indexes=["day"])
    good = kind(id=UUID(int=1), day=date(2026, 1, 2))
    text, day = kind(id=UUID(int=2)), kind(id=UUID(int=1))
    text.id, day.day = str(UUID(int=2)), "2026-01-02"
    with db.transaction() as tr:
        dated.put(tr, good)
        for write in (dated.put, dated.insert):
            with pytest.raises(DataError, match=r"dated.id='0.*' does not fit Dated.*: it would come back as UUID"):
                write(tr, text)
        with pytest.raises(DataError, match=r"dated.day='2026-01-02' does not fit"):
            dated.put(tr, day)
        with pytest.raises(DataError, match=r"dated.day='2026-01-02' does not fit"):
            dated.patch(tr, UUID(int=1), day="2026-01-02")
    with db.transaction() as tr:
        assert dated.find(tr, day=date(2026, 1, 2)) == [good]
        assert dated.delete(tr, UUID(int=1))
        assert dated.count(tr, day=date(2026, 1, 2)) == 0


def test_what_json_cannot_express_is_a_data_error(db: KvDatabase) -> None:
    class Blob(pydantic.BaseModel):
        id: str
        content: bytes = b""
        more: Any = None

    blobs = db.collection("blobs", Blob, key="id")
    for blob in (Blob(id="b", content=b"\xff"), Blob(id="b", more="\ud800"), Blob(id="b", more=object())):
        with db.transaction() as tr, pytest.raises(DataError, match=r"object id='b' of .* cannot be stored as JSON"):
            blobs.put(tr, blob)


class Colour(enum.Enum):
    RED = "red"


class Thing(msgspec.Struct, frozen=True):
    id: UUID
    at: datetime
    day: date
    colour: Colour
    on: bool
    weight: float | None


def test_values_in_indexes(db: KvDatabase) -> None:
    fields = ["at", "day", "colour", "on", "weight"]
    things = db.collection("things", Thing, key=["id", "on"], indexes=fields)
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    made = [
        Thing(UUID(int=n), noon - timedelta(microseconds=n), date(2026, 1, 10 - n), Colour.RED, n == 1, 1.5 * n or None)
        for n in range(3)
    ]
    with db.transaction() as tr:
        for thing in made:
            things.put(tr, thing)
    with db.transaction() as tr:
        assert things.get(tr, (UUID(int=1), True)) == made[1]
        assert things.find(tr, at=made[2].at.astimezone(timezone(timedelta(hours=5)))) == [made[2]]
        assert things.find(tr, day=date(2026, 1, 9)) == [made[1]]
        assert things.find(tr, colour=Colour.RED) == made
        assert things.find(tr, on=True) == [made[1]]
        assert things.find(tr, weight=None) == [made[0]]
        assert things.find(tr, weight=3) == [made[2]]
        with pytest.raises(DataError, match=r"things.at is a datetime without a time zone"):
            things.find(tr, at=datetime(2026, 1, 1))
        with pytest.raises(DataError, match=r"things.id is a list, which cannot be a key or in an index"):
            things.get(tr, ([], True))
        with pytest.raises(DataError, match=r"is a tuple \(id, on\), and not 7"):
            things.get(tr, 7)


# ------------------------------------------------------------ definitions
def test_an_index_that_is_added_is_built(db: KvDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "STEP_ROWS", 2)
    bare = db.collection("ports", Port, key="id")
    fill(db, bare)
    ports = ports_of(db)
    with db.transaction() as tr:
        assert ids(ports.find(tr, state="UP")) == ["p1", "p3", "p5"]
        assert ids(ports.find(tr, mac="m2")) == ["p2"]
    assert [(index.fields, index.unique, index.building) for index in ports.definition.indexes] == [
        (("network",), False, False),
        (("state", "number"), False, False),
        (("mac",), True, False),
    ]


def test_one_who_opened_before_the_index_was_added_learns_of_it(db: KvDatabase, other: KvDatabase) -> None:
    bare = db.collection("ports", Port, key="id")
    fill(db, bare)
    late = ports_of(other)
    with pytest.raises(CatalogChangedError, match="collection ports has got or lost an index"), db.transaction() as tr:
        bare.get(tr, "p1")
    with db.transaction() as tr:
        bare.patch(tr, "p0", state="UP")
    with other.transaction() as tr:
        assert ids(late.find(tr, state="UP")) == ["p0", "p1", "p3", "p5"]


def test_a_changed_definition_cannot_be_passed_over(db: KvDatabase, other: KvDatabase) -> None:
    """A block that catches the error and goes on would find by an index that is gone."""
    ports = ports_of(db)
    fill(db, ports)
    other.drop_index("ports", ("state", "number"))
    with pytest.raises(CatalogChangedError), db.transaction() as tr:
        for _ in range(2):
            with pytest.raises(CatalogChangedError):
                ports.find(tr, state="UP")


def test_a_blind_write_learns_of_a_new_index_at_commit(db: KvDatabase, other: KvDatabase) -> None:
    bare = db.collection("ports", Port, key="id")
    late = ports_of(other)

    @db.transactional
    def put(tr: KvTransaction) -> None:
        bare.put(tr, Port("p1", "n1", "UP"))

    with pytest.raises(ConflictError, match="the definition of collection 'ports' was changed"), db.transaction() as tr:
        bare.put(tr, Port("p1", "n1", "UP"))
    put()
    with other.transaction() as tr:
        assert ids(late.find(tr, state="UP")) == ["p1"]


def test_writers_go_on_while_an_index_is_built(
    db: KvDatabase, other: KvDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "STEP_ROWS", 2)
    bare = db.collection("ports", Port, key="id")
    fill(db, bare)
    elsewhere = other.collection("ports", Port, key="id")
    step = building.step
    steps: list[int] = []

    @other.transactional
    def meddle(tr: KvTransaction, number: int) -> None:
        """Change objects that have their entries already and others that have not."""
        elsewhere.patch(tr, f"p{number}", state="MOVED")
        elsewhere.patch(tr, f"p{5 - number}", number=number)
        elsewhere.put(tr, Port(f"new{number}", "n1", "UP"))
        if number == 2:
            elsewhere.delete(tr, "p4")

    def slowly(*args: Any) -> Any:
        if len(steps) < 4:
            meddle(len(steps))
        steps.append(1)
        return step(*args)

    monkeypatch.setattr(building, "step", slowly)
    ports = ports_of(db)
    monkeypatch.undo()
    with db.transaction() as tr:
        everything = ports.find(tr)
        assert len(everything) == 9
        for state in ("UP", "DOWN", "MOVED"):
            expected = sorted((item.number, item.id) for item in everything if item.state == state)
            assert [(item.number, item.id) for item in ports.find(tr, state=state)] == expected
            assert ports.count(tr, state=state) == len(expected)
        for network in ("n0", "n1"):
            assert ids(ports.find(tr, network=network)) == sorted(i.id for i in everything if i.network == network)


def test_a_builder_that_died_is_followed(db: KvDatabase, other: KvDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "STEP_ROWS", 2)
    bare = db.collection("ports", Port, key="id")
    fill(db, bare)
    step = building.step
    steps: list[int] = []

    def dying(*args: Any) -> Any:
        steps.append(1)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return step(*args)

    monkeypatch.setattr(building, "step", dying)
    with pytest.raises(KeyboardInterrupt):
        ports_of(db)
    monkeypatch.setattr(building, "step", step)
    meanwhile = other.collection("ports", Port, key="id")
    with other.transaction() as tr:
        assert ids(meanwhile.find(tr, network="n1")) == ["p3", "p4", "p5"]
    ports = ports_of(other)
    with other.transaction() as tr:
        assert ids(ports.find(tr, state="UP")) == ["p1", "p3", "p5"]


def test_a_unique_index_that_objects_forbid_is_not_made(db: KvDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "STEP_ROWS", 2)
    bare = db.collection("ports", Port, key="id")
    fill(db, bare)
    for fields in ("network", "state"):  # two of one step, and of different steps
        with pytest.raises(UniqueViolation, match=f"cannot have a unique index on {fields}: two of its objects"):
            db.collection("ports", Port, key="id", unique=[fields])
    again = db.collection("ports", Port, key="id")
    assert again.definition.indexes == ()
    with db.transaction() as tr:
        again.patch(tr, "p1", state="DOWN")


@pytest.mark.parametrize("step_rows", [2, 500])
@pytest.mark.parametrize("patched", [("p1", "p5"), ("p1",), ("p5",)])
def test_a_unique_index_is_not_made_of_objects_that_are_written_meanwhile(
    db: KvDatabase, other: KvDatabase, monkeypatch: pytest.MonkeyPatch, step_rows: int, patched: tuple[str, ...]
) -> None:
    """They have their entries from their writers, who do not check values that they leave as they are."""
    monkeypatch.setattr(building, "STEP_ROWS", step_rows)
    bare = db.collection("ports", Port, key="id")
    with db.transaction() as tr:
        for number in range(6):
            bare.put(tr, Port(f"p{number}", "n1", mac="same" if number in (1, 5) else f"m{number}"))
    elsewhere = other.collection("ports", Port, key="id")
    step = building.step
    left = [*patched]

    @other.transactional
    def meddle(tr: KvTransaction) -> None:
        elsewhere.patch(tr, left[0], number=7)

    def slowly(*args: Any) -> Any:
        while left:
            meddle()
            del left[0]
        return step(*args)

    monkeypatch.setattr(building, "step", slowly)
    with pytest.raises(UniqueViolation, match="cannot have a unique index on mac: two of its objects"):
        db.collection("ports", Port, key="id", unique=["mac"])
    assert db.collection("ports", Port, key="id").definition.indexes == ()


def test_definitions_that_differ_are_refused_by_name(db: KvDatabase, ports: Collection[Port]) -> None:
    class Renamed(msgspec.Struct):
        id: str
        net: str

    class Vague(msgspec.Struct):
        id: str
        value: str | bytes

    with pytest.raises(ProgrammingError, match="collection ports has the key id, and not network"):
        db.collection("ports", Port, key="network")
    with pytest.raises(ProgrammingError, match="has a unique index on mac, and is opened with one that is not unique"):
        db.collection("ports", Port, key="id", indexes=["mac"])
    with pytest.raises(ProgrammingError, match="has an index on network, and is opened with one that is unique"):
        db.collection("ports", Port, key="id", unique=["network"])
    with pytest.raises(ProgrammingError, match="on network, and Renamed has no field network: give it one, or"):
        db.collection("ports", Renamed, key="id")
    with pytest.raises(ProgrammingError, match="Port has no field 'colour' for collection ports"):
        db.collection("ports", Port, key="id", indexes=["colour"])
    with pytest.raises(InterfaceError, match="msgspec Structs, dataclasses or pydantic models"):
        db.collection("ports", dict, key="id")
    with pytest.raises(InterfaceError, match="Vague cannot be stored in a collection: Type unions may not contain"):
        db.collection("vague", Vague, key="id")
    with db.transaction(), pytest.raises(InterfaceError, match="open a collection outside of a transaction"):
        ports_of(db)


def test_drop_index(db: KvDatabase, other: KvDatabase) -> None:
    ports, elsewhere = ports_of(db), ports_of(other)
    fill(db, ports)
    assert other.drop_index("ports", ("state", "number"))
    assert not other.drop_index("ports", ("state", "number"))
    with pytest.raises(CatalogChangedError), db.transaction() as tr:
        ports.find(tr, state="UP")
    with db.transaction() as tr, pytest.raises(ProgrammingError, match="it has: network; mac"):
        ports.find(tr, state="UP")
    with db.transaction() as tr:
        ports.put(tr, Port("p9", "n1", mac="m9"))
        assert ports.delete(tr, "p1")
    again = ports_of(other)
    with other.transaction() as tr:
        assert ids(again.find(tr, state="DOWN")) == ["p0", "p9", "p2", "p4"]
    with other.transaction() as tr:
        elsewhere.is_outdated = True
        assert ids(elsewhere.find(tr, state="UP")) == ["p3", "p5"]


def test_drop_collection(db: KvDatabase, other: KvDatabase) -> None:
    ports, elsewhere = ports_of(db), ports_of(other)
    fill(db, ports)
    assert [each.name for each in db.collections()] == ["ports"]
    assert other.drop_collection("ports")
    assert not other.drop_collection("ports")
    assert db.collections() == []
    with pytest.raises(ConflictError), db.transaction() as tr:
        ports.put(tr, Port("p1", "n1"))
    with db.transaction() as tr, pytest.raises(ProgrammingError, match="collection ports has been dropped: open it"):
        ports.get(tr, "p1")
    new = ports_of(db)
    with db.transaction() as tr:
        assert new.find(tr) == []
        assert new.definition.table_id != elsewhere.definition.table_id


def test_a_type_that_knows_fewer_fields_keeps_the_others(db: KvDatabase) -> None:
    class Old(msgspec.Struct):
        id: str
        network: str

    new, old = db.collection("ports", Port, key="id"), db.collection("ports", Old, key="id")
    with db.transaction() as tr:
        new.put(tr, Port("p1", "n1", "UP", "m", 7))
        old.patch(tr, "p1", network="n2")
        assert new.get(tr, "p1") == Port("p1", "n2", "UP", "m", 7)


def test_names_in_storage_are_the_types_own(db: KvDatabase) -> None:
    """Renamed fields of a Struct and aliases of a model; a field that goes back to its default does not stay."""

    class Camel(msgspec.Struct, rename="camel", omit_defaults=True):
        id: str
        host_name: str = ""

    class Aliased(pydantic.BaseModel):
        id: str
        host_name: str = pydantic.Field("", alias="hostName")

    class Wide(msgspec.Struct, rename="camel"):
        id: str
        host_name: str
        more: int

    wide = db.collection("hosts", Wide, key="id", indexes=["host_name"])
    with db.transaction() as tr:
        wide.put(tr, Wide("h", "one", 7))
    camel, aliased = db.collection("hosts", Camel, key="id"), db.collection("hosts", Aliased, key="id")
    with db.transaction() as tr:
        assert aliased.get(tr, "h") == Aliased(id="h", hostName="one")
        assert aliased.patch(tr, "h", host_name="two") == Aliased(id="h", hostName="two")
        assert wide.find(tr, host_name="two") == [Wide("h", "two", 7)]
        assert camel.patch(tr, "h", host_name="") == Camel("h")
        assert camel.get(tr, "h") == Camel("h")
        assert aliased.find(tr, host_name="") == [Aliased(id="h", hostName="")]


def test_an_object_that_no_longer_fits_is_an_error(db: KvDatabase) -> None:
    class New(msgspec.Struct):
        id: str
        network: str
        colour: str

    old = db.collection("ports", Port, key="id")
    with db.transaction() as tr:
        old.put(tr, Port("p1", "n1"))
    new = db.collection("ports", New, key="id")
    with db.transaction() as tr, pytest.raises(DataError, match=r"does not fit New any more: .*colour"):
        new.get(tr, "p1")
    with db.transaction() as tr:
        assert new.delete(tr, "p1")
        assert new.get(tr, "p1") is None


def test_objects_that_no_longer_fit_are_replaced_without_indexes(db: KvDatabase) -> None:
    class New(msgspec.Struct):
        id: str
        network: str
        colour: str

    old = db.collection("ports", Port, key="id", indexes=["network"])
    with db.transaction() as tr:
        for number in range(2):
            old.put(tr, Port(f"p{number}", "n1"))
    new = db.collection("ports", New, key="id")
    with (
        db.transaction() as tr,
        pytest.raises(DataError, match=r"remove the collection's indexes first \(drop_index\)"),
    ):
        new.put(tr, New("p0", "n2", "red"))
    assert db.drop_index("ports", "network")
    new = db.collection("ports", New, key="id")
    with db.transaction() as tr:
        new.put(tr, New("p0", "n2", "red"))
        assert new.delete(tr, "p1")
    new = db.collection("ports", New, key="id", indexes=["network"])
    with db.transaction() as tr:
        assert new.find(tr, network="n2") == [New("p0", "n2", "red")]
        assert new.find(tr, network="n1") == []


def test_aliases_that_lose_a_field_are_refused(db: KvDatabase) -> None:
    class Lost(pydantic.BaseModel):
        id: str
        name: str = pydantic.Field("", validation_alias="in", serialization_alias="out")

    class OnlyRead(pydantic.BaseModel):
        id: str
        name: str = pydantic.Field("", validation_alias="in")

    class Kept(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(populate_by_name=True)
        id: str
        name: str = pydantic.Field("", validation_alias="in")
        more: str = pydantic.Field("", validation_alias=pydantic.AliasChoices("a", "b"), serialization_alias="b")

    for kind, written in ((Lost, "out"), (OnlyRead, "name")):
        with pytest.raises(InterfaceError, match=f"its field name is written as {written}, and not read by this name"):
            db.collection("aliased", kind, key="id")
    kept = db.collection("aliased", Kept, key="id")
    with db.transaction() as tr:
        kept.put(tr, Kept.model_validate({"id": "k", "name": "n", "a": "m"}))
        assert kept.get(tr, "k") == Kept.model_validate({"id": "k", "name": "n", "b": "m"})


def test_fields_may_have_the_names_of_parameters(db: KvDatabase) -> None:
    class Named(msgspec.Struct):
        id: str
        key: str
        tr: str

    named = db.collection("named", Named, key="id", indexes=["tr", "key"])
    with db.transaction() as tr:
        named.put(tr, Named("n", "a", "b"))
        assert named.patch(tr, "n", key="c", tr="d") == Named("n", "c", "d")
        assert named.find(tr, tr="d") == named.page(tr, limit=1, tr="d").items == [Named("n", "c", "d")]
        assert named.count(tr, key="c") == 1


def test_a_collection_belongs_to_its_database(db: KvDatabase, open_kv: OpenKv) -> None:
    ports = ports_of(db)
    another = open_kv()
    with another.transaction() as tr, pytest.raises(InterfaceError, match="was opened by another database object"):
        ports.get(tr, "p1")
    with pytest.raises(InterfaceError, match="was opened by another database object"):
        another.watch(collection=ports)
