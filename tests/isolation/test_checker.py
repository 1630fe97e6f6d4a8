"""The checker finds every kind of anomaly in a history that has it, and nothing in one that has none."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from rome.testing.isolation import (
    AnomalyKind,
    HistoryWriter,
    Order,
    RecordedOperation,
    RecordedStatement,
    RecordedTransaction,
    Setting,
    check,
    make_history,
    read_history,
)
from tests.isolation.histories import (
    READ_COMMITTED,
    SERIALIZABLE,
    SNAPSHOT,
    append,
    failed,
    find,
    history,
    increment,
    ok,
    read,
    remove,
    unknown,
    write,
)

LEVELS = (SERIALIZABLE, SNAPSHOT, READ_COMMITTED)
NOWHERE = frozenset[str]()
SKEW = frozenset({SNAPSHOT, READ_COMMITTED})
ONLY_READ_COMMITTED = frozenset({READ_COMMITTED})

LATER = (2000, 3000)
LAST = (5000, 6000)


class Bad(NamedTuple):
    """A history, what is wrong with it, and the levels that allow that."""

    workload: str
    transactions: list[RecordedTransaction]
    kind: AnomalyKind
    order: Order = Order.NONE
    allowed: frozenset[str] = NOWHERE


BAD = {
    "dirty write": Bad(
        "lists",
        [
            ok(append(1, 10), append(2, 20)),
            ok(append(1, 11), append(2, 21)),
            ok(read(1, [10, 11]), read(2, [21, 20])),
        ],
        AnomalyKind.G0,
    ),
    "aborted read of a list": Bad("lists", [failed(append(1, 10)), ok(read(1, [10]))], AnomalyKind.G1A),
    "aborted read of a register": Bad(
        "registers", [failed(read(1, None), write(1, 10)), ok(read(1, 10))], AnomalyKind.G1A
    ),
    "aborted read of a set": Bad("sets", [failed(append(1, 10)), ok(find((1, [10])))], AnomalyKind.G1A),
    "intermediate read of a list": Bad(
        "lists", [ok(append(1, 10), append(1, 11)), ok(read(1, [10])), ok(read(1, [10, 11]))], AnomalyKind.G1B
    ),
    "intermediate read of a register": Bad(
        "registers", [ok(read(1, None), write(1, 10), write(1, 11)), ok(read(1, 10))], AnomalyKind.G1B
    ),
    "circular information flow": Bad(
        "lists", [ok(append(1, 10), read(2, [20])), ok(append(2, 20), read(1, [10]))], AnomalyKind.G1C
    ),
    "circular information flow of three": Bad(
        "lists",
        [
            ok(append(1, 10), read(3, [30])),
            ok(append(2, 20), read(1, [10])),
            ok(append(3, 30), read(2, [20])),
        ],
        AnomalyKind.G1C,
    ),
    "dirty update of a list": Bad(
        "lists", [failed(append(1, 10)), ok(append(1, 11)), ok(read(1, [10, 11]))], AnomalyKind.DIRTY_UPDATE
    ),
    "dirty update of a register": Bad(
        "registers", [failed(read(1, None), write(1, 10)), ok(read(1, 10), write(1, 11))], AnomalyKind.DIRTY_UPDATE
    ),
    "garbage": Bad("lists", [ok(append(1, 10)), ok(read(1, [10, 99]))], AnomalyKind.GARBAGE_READ),
    "duplicate": Bad("lists", [ok(append(1, 10)), ok(read(1, [10, 10]))], AnomalyKind.DUPLICATE),
    "duplicate in a set": Bad("sets", [ok(append(1, 10)), ok(find((1, [10, 10])))], AnomalyKind.DUPLICATE),
    "two orders": Bad(
        "lists",
        [ok(append(1, 10)), ok(append(1, 11)), ok(read(1, [10, 11])), ok(read(1, [11, 10]))],
        AnomalyKind.INCOMPATIBLE_ORDER,
    ),
    "own append not seen": Bad("lists", [ok(append(1, 10), read(1, []))], AnomalyKind.INTERNAL),
    "own write not seen": Bad("registers", [ok(read(1, None), write(1, 10), read(1, None))], AnomalyKind.INTERNAL),
    "own element not seen": Bad("sets", [ok(append(1, 10), find((1, [])))], AnomalyKind.INTERNAL),
    "non-repeatable read of a list": Bad(
        "lists",
        [ok(append(1, 10)), ok(read(1, []), read(1, [10]))],
        AnomalyKind.NON_REPEATABLE_READ,
        allowed=ONLY_READ_COMMITTED,
    ),
    "non-repeatable read of a register": Bad(
        "registers",
        [ok(read(1, None), write(1, 10)), ok(read(1, None), read(1, 10))],
        AnomalyKind.NON_REPEATABLE_READ,
        allowed=ONLY_READ_COMMITTED,
    ),
    "phantom read": Bad(
        "sets",
        [ok(append(1, 10)), ok(find((1, [])), find((1, [10])))],
        AnomalyKind.NON_REPEATABLE_READ,
        allowed=ONLY_READ_COMMITTED,
    ),
    "lost update of a list": Bad(
        "lists",
        [
            ok(append(1, 10)),
            ok(read(1, [10]), append(1, 11)),
            ok(read(1, [10]), append(1, 12)),
            ok(read(1, [10, 11, 12])),
        ],
        AnomalyKind.LOST_UPDATE,
        allowed=ONLY_READ_COMMITTED,
    ),
    "lost update of a register": Bad(
        "registers",
        [ok(read(1, None), write(1, 10)), ok(read(1, 10), write(1, 11)), ok(read(1, 10), write(1, 12))],
        AnomalyKind.LOST_UPDATE,
        allowed=ONLY_READ_COMMITTED,
    ),
    "read skew": Bad(
        "lists",
        [ok(append(1, 10), append(2, 20)), ok(read(1, []), read(2, [20]))],
        AnomalyKind.G_SINGLE,
        allowed=ONLY_READ_COMMITTED,
    ),
    "read skew of registers": Bad(
        "registers",
        [ok(read(1, None), read(2, None), write(1, 10), write(2, 20)), ok(read(1, None), read(2, 20))],
        AnomalyKind.G_SINGLE,
        allowed=ONLY_READ_COMMITTED,
    ),
    "read skew of sets": Bad(
        "sets",
        [ok(append(1, 10), append(2, 20)), ok(find((1, [])), find((2, [20])))],
        AnomalyKind.G_SINGLE,
        allowed=ONLY_READ_COMMITTED,
    ),
    "read skew of a transaction that failed": Bad(
        "lists",
        [ok(append(1, 10), append(2, 20)), failed(read(1, []), read(2, [20]), append(2, 21))],
        AnomalyKind.G_SINGLE,
        allowed=ONLY_READ_COMMITTED,
    ),
    "long fork": Bad(
        "lists",
        [
            ok(append(1, 10)),
            ok(append(2, 20)),
            ok(read(1, [10]), read(2, [])),
            ok(read(1, []), read(2, [20])),
        ],
        AnomalyKind.G_NONADJACENT,
        allowed=ONLY_READ_COMMITTED,
    ),
    "write skew": Bad(
        "lists",
        [
            ok(append(1, 1), append(2, 2)),
            ok(read(1, [1]), append(2, 20)),
            ok(read(2, [2]), append(1, 10)),
            ok(read(1, [1, 10]), read(2, [2, 20])),
        ],
        AnomalyKind.G2_ITEM,
        allowed=SKEW,
    ),
    "write skew of three registers": Bad(
        "registers",
        [
            ok(read(1, None), read(2, None), write(2, 20)),
            ok(read(2, None), read(3, None), write(3, 30)),
            ok(read(3, None), read(1, None), write(1, 10)),
        ],
        AnomalyKind.G2_ITEM,
        allowed=SKEW,
    ),
    "write skew by phantoms": Bad(
        "lists",
        [
            ok(find((1, []), (2, [])), append(1, 10)),
            ok(find((1, []), (2, [])), append(2, 20)),
            ok(read(1, [10]), read(2, [20])),
        ],
        AnomalyKind.G2,
        allowed=SKEW,
    ),
    "write skew by elements": Bad(
        "sets", [ok(find((1, [])), append(2, 20)), ok(find((2, [])), append(1, 10))], AnomalyKind.G2, allowed=SKEW
    ),
    "stale read": Bad("lists", [ok(append(1, 10)), ok(read(1, []), at=LATER)], AnomalyKind.STALE_READ, Order.REALTIME),
    "stale read of a register": Bad(
        "registers",
        [ok(read(1, None), write(1, 10)), ok(read(1, None), at=LATER)],
        AnomalyKind.STALE_READ,
        Order.REALTIME,
    ),
    "non-monotonic reads": Bad(
        "lists",
        [ok(append(1, 10), at=(0, 9000)), ok(read(1, [10]), process=7), ok(read(1, []), process=7, at=LATER)],
        AnomalyKind.STALE_READ,
        Order.PROCESS,
    ),
    "own write forgotten": Bad(
        "lists",
        [ok(append(1, 10), process=8), ok(read(1, []), process=8, at=LATER), ok(read(1, [10]), at=(0, 9000))],
        AnomalyKind.STALE_READ,
        Order.PROCESS,
    ),
    "acknowledged write lost": Bad(
        "lists",
        [ok(append(1, 10)), ok(append(1, 11)), ok(read(1, [10]), at=LAST)],
        AnomalyKind.STALE_READ,
        Order.REALTIME,
    ),
    "read skew against real time": Bad(
        "lists",
        [ok(read(1, []), read(3, [30])), ok(append(1, 10), at=(0, 100)), ok(append(3, 30), at=(200, 1000))],
        AnomalyKind.G_SINGLE,
        Order.REALTIME,
        ONLY_READ_COMMITTED,
    ),
    "writes against real time": Bad(
        "lists",
        [ok(append(1, 10)), ok(append(1, 11), at=LATER), ok(read(1, [11, 10]), at=LAST)],
        AnomalyKind.G0,
        Order.REALTIME,
    ),
    "read of the future": Bad(
        "lists", [ok(read(1, [10])), ok(append(1, 10), at=LATER)], AnomalyKind.G1C, Order.REALTIME
    ),
    "increments lost": Bad(
        "counters",
        [ok(increment(1, 1)), ok(increment(1, 2)), ok(read(1, 2), at=LAST)],
        AnomalyKind.LOST_WRITE,
    ),
    "increment applied twice": Bad(
        "counters", [ok(increment(1, 2)), ok(read(1, 4), at=LAST)], AnomalyKind.GARBAGE_READ
    ),
    "increment of a failed transaction": Bad(
        "counters", [failed(increment(1, 2)), ok(read(1, 2), at=LAST)], AnomalyKind.GARBAGE_READ
    ),
    "counter that runs backwards": Bad(
        "counters",
        [ok(increment(1, 2), at=(0, 9000)), ok(read(1, 2)), ok(read(1, 0), at=LATER)],
        AnomalyKind.STALE_READ,
        Order.REALTIME,
    ),
    "removed twice": Bad(
        "stock",
        [ok(append(1, 10)), ok(remove(1, 10), at=LATER), ok(remove(1, 10), at=LAST)],
        AnomalyKind.DOUBLE_REMOVAL,
    ),
    "removed what nobody added": Bad("stock", [ok(remove(1, 10))], AnomalyKind.GARBAGE_READ),
    "removed what had failed": Bad("stock", [failed(append(1, 10)), ok(remove(1, 10))], AnomalyKind.G1A),
    "own removal not seen": Bad(
        "stock", [ok(append(1, 10)), ok(remove(1, 10), find((1, [10])), at=LATER)], AnomalyKind.INTERNAL
    ),
    "own element not on the shelf": Bad("stock", [ok(append(1, 10), find((1, [])))], AnomalyKind.INTERNAL),
    "element twice on the shelf": Bad("stock", [ok(append(1, 10)), ok(find((1, [10, 10])))], AnomalyKind.DUPLICATE),
    "removed between two reads": Bad(
        "stock",
        [ok(append(1, 10)), ok(remove(1, 10), at=LATER), ok(find((1, [10])), find((1, [])), at=LATER)],
        AnomalyKind.NON_REPEATABLE_READ,
        allowed=ONLY_READ_COMMITTED,
    ),
    "removal lost": Bad(
        "stock",
        [ok(append(1, 10)), ok(remove(1, 10), at=LATER), ok(find((1, [10])), at=LAST)],
        AnomalyKind.STALE_READ,
        Order.REALTIME,
    ),
    "never removed and not there": Bad(
        "stock", [ok(append(1, 10)), ok(find((1, [])), at=LATER)], AnomalyKind.STALE_READ, Order.REALTIME
    ),
    "missed by a failed removal": Bad(
        "stock",
        [ok(append(1, 10)), failed(remove(1, 10)), ok(find((1, [])), at=LATER)],
        AnomalyKind.STALE_READ,
        Order.REALTIME,
    ),
    "missed before it was removed": Bad(
        "stock",
        [ok(append(1, 10)), ok(find((1, [])), at=LATER), ok(remove(1, 10), at=LAST)],
        AnomalyKind.STALE_READ,
        Order.REALTIME,
    ),
    "half of a removal": Bad(
        "stock",
        [
            ok(append(1, 10), append(2, 10)),
            ok(remove(1, 10), remove(2, 10), at=LATER),
            ok(find((1, [10])), find((2, [])), at=LATER),
        ],
        AnomalyKind.G_SINGLE,
        allowed=ONLY_READ_COMMITTED,
    ),
    "half of a removal whose outcome is not known": Bad(
        "stock",
        [
            ok(append(1, 10), append(2, 10)),
            unknown(remove(1, 10), remove(2, 10), begin=2000),
            ok(find((1, [10])), find((2, [])), at=LATER),
            ok(find((1, [])), at=LAST),
        ],
        AnomalyKind.G_SINGLE,
        allowed=ONLY_READ_COMMITTED,
    ),
    "write skew by removals": Bad(
        "stock",
        [
            ok(append(1, 10), append(2, 20)),
            ok(find((1, [10])), remove(2, 20), at=LATER),
            ok(find((2, [20])), remove(1, 10), at=LATER),
        ],
        AnomalyKind.G2_ITEM,
        allowed=SKEW,
    ),
    "cleared without what was put there": Bad(
        "stock",
        [
            ok(append(1, 10)),
            ok(find((1, [10])), append(2, 20), at=LATER),
            ok(find((2, [])), remove(1, 10), at=LATER),
        ],
        AnomalyKind.G2,
        allowed=SKEW,
    ),
    "money lost": Bad("bank", [ok(find((0, 90), (1, 100)))], AnomalyKind.INVARIANT),
    "overdrawn": Bad("bank", [ok(find((0, -10), (1, 210)))], AnomalyKind.INVARIANT),
    "skewed sum": Bad("bank", [ok(find((0, 90)), find((1, 100)))], AnomalyKind.G_SINGLE, allowed=ONLY_READ_COMMITTED),
}
BANK = {"accounts": 2, "total": 200}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", BAD)
def test_anomaly_is_found_and_forbidden_where_it_must_be(name: str, level: str) -> None:
    bad = BAD[name]
    verdict = check(history(bad.workload, bad.transactions, level, **BANK))
    found = {(each.kind, each.order) for each in (*verdict.forbidden, *verdict.tolerated)}
    assert (bad.kind, bad.order) in found, f"found {found}"
    assert verdict.valid == (level in bad.allowed), [*map(str, verdict.forbidden)]


GOOD = {
    "nothing": ("lists", []),
    "a chain of appends": (
        "lists",
        [
            ok(append(1, 10)),
            ok(read(1, [10]), append(1, 11), read(1, [10, 11]), at=LATER),
            ok(find((1, [10, 11]), (2, [])), at=LAST),
        ],
    ),
    "own write of a transaction that failed": ("lists", [failed(append(1, 10), read(1, [10])), ok(read(1, []))]),
    "what failed is not there": ("lists", [failed(read(1, []), append(1, 10)), ok(read(1, []), at=LATER)]),
    "an unknown outcome that was a commit": ("lists", [unknown(append(1, 10)), ok(read(1, [10]), at=LATER)]),
    "an unknown outcome that came later": (
        "lists",
        [unknown(append(1, 10)), ok(read(1, []), at=LATER), ok(read(1, [10]), at=LAST)],
    ),
    "an unknown outcome that never was": ("lists", [unknown(append(1, 10)), ok(read(1, []), at=LAST)]),
    "concurrent reads before and after": ("lists", [ok(append(1, 10)), ok(read(1, [])), ok(read(1, [10]))]),
    "a chain of replacements": (
        "registers",
        [
            ok(read(1, None), write(1, 10), write(1, 11), read(1, 11)),
            ok(read(1, 11), write(1, 12), at=LATER),
            ok(find((1, 12), (2, None)), at=LAST),
        ],
    ),
    "an unknown replacement that was observed": (
        "registers",
        [unknown(read(1, None), write(1, 10)), ok(read(1, 10), write(1, 11), at=LATER)],
    ),
    "an unknown replacement that never was": (
        "registers",
        [unknown(read(1, None), write(1, 10)), ok(read(1, None), write(1, 11), at=LATER)],
    ),
    "a set that grows": (
        "sets",
        [ok(append(1, 10)), ok(find((1, [10])), append(1, 11), find((1, [10, 11])), at=LATER), ok(find((1, [])))],
    ),
    "items that come and go": (
        "stock",
        [
            ok(append(1, 10)),
            ok(find((1, [10])), append(1, 11), remove(1, 10), find((1, [11])), at=LATER),
            ok(find((1, [10])), at=LATER),
            ok(find((1, [11])), at=LAST),
            ok(append(1, 12), remove(1, 12)),
            failed(remove(1, 11), at=LAST),
        ],
    ),
    "a removal of which nothing is known": (
        "stock",
        [ok(append(1, 10)), unknown(remove(1, 10), begin=2000), ok(find((1, [10])), at=LATER)],
    ),
    "one of two removals of which nothing is known": (
        "stock",
        [
            ok(append(1, 10)),
            unknown(remove(1, 10), begin=2000),
            unknown(remove(1, 10), begin=2000),
            ok(find((1, [])), at=LAST),
        ],
    ),
    "concurrently put there and taken away": (
        "stock",
        [ok(append(1, 10), at=(0, 9000)), ok(remove(1, 10), at=(0, 9000)), ok(find((1, [])), at=LATER)],
    ),
    "a counter": (
        "counters",
        [ok(increment(1, 2)), unknown(increment(1, 5)), ok(read(1, 2), increment(1, 1), read(1, 3), at=LATER)],
    ),
    "a bank": ("bank", [ok(increment(0, -10), increment(1, 10)), ok(find((0, 90), (1, 110)))]),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", GOOD)
def test_good_history_shows_nothing(name: str, level: str) -> None:
    workload, transactions = GOOD[name]
    verdict = check(history(workload, transactions, level, **BANK))
    assert verdict.valid
    assert verdict.tolerated == []


def test_read_of_a_replayed_transaction_may_be_later_than_its_statement() -> None:
    """It misses what came and went after its statement, and before its COMMIT; the same at its last attempt."""
    come, go = ok(append(1, 10), append(2, 20), at=LATER), ok(remove(1, 10), at=LAST)
    missed = RecordedStatement(0, 100, True, [RecordedOperation("read", 1, [])])
    seen = RecordedStatement(5500, 5600, True, [RecordedOperation("read", 2, [20])])
    replayed = RecordedTransaction(0, 0, 0, 9000, "ok", [missed, seen])
    assert check(history("stock", [come, go, replayed])).valid
    quick = RecordedTransaction(0, 0, 0, 4000, "ok", [missed, seen])
    assert not check(history("stock", [come, go, quick])).valid


def test_real_time_may_be_left_out() -> None:
    stale = history("lists", BAD["stale read"].transactions)
    assert not check(stale).valid
    assert check(stale, realtime=False).valid
    of_one_process = history("lists", BAD["own write forgotten"].transactions)
    assert not check(of_one_process, realtime=False).valid


def test_read_committed_is_checked_statement_by_statement() -> None:
    """A transaction may see others change between its statements, but no statement may see half a commit."""
    both = ok(append(1, 10), append(2, 20))
    assert check(history("lists", [both, ok(find((1, [])), find((2, [20])))], READ_COMMITTED)).valid
    assert not check(history("lists", [both, ok(find((1, []), (2, [20])))], READ_COMMITTED)).valid
    assert not check(history("lists", [both, failed(find((1, []), (2, [20])))], READ_COMMITTED)).valid


def test_story_tells_the_cycle_in_words() -> None:
    one = ok(append(1, 10), append(2, 20), process=1)
    two = ok(read(1, []), read(2, [20]), process=2)
    bystander = ok(read(2, [20]), process=3)
    [anomaly] = check(history("lists", [one, two, bystander])).forbidden
    assert str(anomaly).splitlines() == [
        "G-single, read skew: one transaction saw part of another",
        "    T2.0 read key 1 empty, without 10, which T1.0 wrote",
        "    T1.0 wrote 20 to key 2, and T2.0 read it",
        "    so T2.0 comes before itself",
    ]


def test_story_tells_of_removals() -> None:
    """Of each cycle that has one edge of a removal."""
    put = ok(append(1, 10), append(2, 10), process=1)
    gone = ok(remove(1, 10), remove(2, 10), process=2, at=LATER)
    seen = ok(find((1, [10])), find((2, [])), process=3, at=LATER)
    [anomaly] = check(history("stock", [put, gone, seen])).forbidden
    assert str(anomaly).splitlines() == [
        "G-single, read skew: one transaction saw part of another",
        "    T3.2000 found 10 in key 1, and T2.2000 then removed it",
        "    T2.2000 removed 10 from key 2, and T3.2000 did not find it",
        "    so T3.2000 comes before itself",
    ]
    early = ok(remove(1, 10), process=0)
    late = ok(append(1, 10), process=1, at=LATER)
    [anomaly] = check(history("stock", [early, late])).forbidden
    assert "T1.2000 wrote 10 to key 1, and T0.0 then removed it" in anomaly.story


def test_shortest_cycle_of_a_tangle_is_told() -> None:
    ring = [ok(append(n, 10), read((n + 1) % 9, [10])) for n in range(9)]
    pair = [ok(append(20, 1), read(21, [1]), read(0, [10])), ok(append(21, 1), read(20, [1]))]
    ring[4] = ok(append(4, 10), read(5, [10]), read(20, [1]))
    assert {len(each.names) for each in check(history("lists", [*ring, *pair])).forbidden} == {2}


def test_value_written_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="written twice"):
        check(history("lists", [ok(append(1, 10)), ok(append(1, 10))]))


@pytest.mark.parametrize(("workload", "level"), [("lists", "CHAOS"), ("poems", SERIALIZABLE)])
def test_unknown_setting_is_refused(workload: str, level: str) -> None:
    with pytest.raises(ValueError, match=r"CHAOS|poems"):
        check(history(workload, [], level))


class TestFiles:
    setting = Setting("lists", SERIALIZABLE)

    def test_history_survives_its_files(self, tmp_path: Path) -> None:
        transactions = [ok(append(1, 10), process=0), ok(read(1, [10]), process=1, at=LATER)]
        for each in transactions:
            writer = HistoryWriter(tmp_path / f"{each.process}", self.setting)
            writer.add(each)
            writer.close()
        assert read_history(sorted(tmp_path.iterdir())) == history("lists", transactions)

    def test_last_word_on_a_transaction_counts_and_a_torn_line_does_not(self, tmp_path: Path) -> None:
        path = tmp_path / "0"
        writer = HistoryWriter(path, self.setting)
        announced, done = unknown(append(1, 10)), ok(append(1, 10))
        writer.add(announced)
        writer.add(RecordedTransaction(announced.process, announced.number, 0, 10, "ok", done.statements))
        writer.close()
        with path.open("ab") as file:
            file.write(b'{"process":')
        assert [each.outcome for each in read_history([path]).transactions] == ["ok"]

    def test_files_of_two_settings_are_refused(self, tmp_path: Path) -> None:
        for level in LEVELS:
            HistoryWriter(tmp_path / level, Setting("lists", level)).close()
        with pytest.raises(ValueError, match="not one history"):
            read_history(tmp_path.iterdir())

    def test_newer_format_is_refused(self, tmp_path: Path) -> None:
        HistoryWriter(tmp_path / "0", Setting("lists", SERIALIZABLE, format=99)).close()
        with pytest.raises(ValueError, match="format 99"):
            read_history(tmp_path.iterdir())


class TestNearReads:
    """Processes 0 and 1 read near: what only reads may be old, and runs backwards in no process."""

    @staticmethod
    def near(*transactions: RecordedTransaction, level: str = SERIALIZABLE) -> list[tuple[AnomalyKind, Order]]:
        found = check(make_history(Setting("lists", level, near=2), transactions))
        return [(each.kind, each.order) for each in found.forbidden]

    def test_a_read_may_be_old(self) -> None:
        wrote, missed = ok(append(1, 10)), ok(read(1, []), at=LATER, process=1)
        seen = ok(read(1, [10]), at=LAST, process=1)
        assert self.near(wrote, missed, seen) == []

    def test_a_process_does_not_go_back(self) -> None:
        wrote, seen = ok(append(1, 10)), ok(read(1, [10]), at=LATER, process=1)
        missed = ok(read(1, []), at=LAST, process=1)
        assert self.near(wrote, seen, missed) == [(AnomalyKind.STALE_READ, Order.PROCESS)]

    def test_a_process_sees_its_own_writes(self) -> None:
        wrote, missed = ok(append(1, 10), process=1), ok(read(1, []), at=LATER, process=1)
        seen = ok(read(1, [10]), at=LAST, process=0)
        assert self.near(wrote, missed, seen) == [(AnomalyKind.STALE_READ, Order.PROCESS)]

    def test_what_writes_sees_everything(self) -> None:
        wrote, missed = ok(append(1, 10)), ok(read(1, []), append(2, 20), at=LATER, process=1)
        seen = ok(read(1, [10]), at=LAST, process=0)
        assert self.near(wrote, missed, seen) == [(AnomalyKind.STALE_READ, Order.REALTIME)]

    def test_what_writes_sees_everything_also_behind_an_old_read(self) -> None:
        """The read in between comes after nobody, and must not hide who ended before it."""
        wrote, old = ok(append(1, 10)), ok(read(3, []), at=LATER, process=1)
        missed = ok(read(1, []), append(2, 20), at=LAST, process=1)
        seen = ok(read(1, [10]), at=(8000, 9000), process=0)
        assert self.near(wrote, old, missed, seen) == [(AnomalyKind.STALE_READ, Order.REALTIME)]

    @pytest.mark.parametrize("level", ["SNAPSHOT", "READ COMMITTED"])
    def test_what_writes_may_have_read_old_rows_where_reads_are_not_validated(self, level: str) -> None:
        wrote, missed = ok(append(1, 10)), ok(read(1, []), append(2, 20), at=LATER, process=1)
        seen = ok(read(1, [10]), at=LAST, process=0)
        assert self.near(wrote, missed, seen, level=level) == []
        far = ok(read(1, []), append(2, 20), at=LATER, process=2)
        assert (AnomalyKind.STALE_READ, Order.REALTIME) in self.near(wrote, far, seen, level=level)
        seen, missed = ok(read(1, [10]), at=LATER, process=1), ok(read(1, []), append(2, 20), at=LAST, process=1)
        assert (AnomalyKind.STALE_READ, Order.PROCESS) in self.near(wrote, seen, missed, level=level)

    def test_old_reads_are_serializable(self) -> None:
        first, second = ok(append(1, 10)), ok(append(2, 20))
        one = ok(read(1, [10]), read(2, []), at=LAST, process=1)
        other = ok(read(1, []), read(2, [20]), at=LAST, process=0)
        assert self.near(first, second, one, other) == [(AnomalyKind.G_NONADJACENT, Order.NONE)]

    def test_workload_that_needs_real_time_is_refused(self) -> None:
        with pytest.raises(ValueError, match="near reads of counters cannot be judged"):
            check(make_history(Setting("counters", SERIALIZABLE, near=2), [ok(increment(1, 1))]))
