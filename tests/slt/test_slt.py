"""Our own sqllogictest files give on every store what they say, and on stock SQLite, too; the runner tells when not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.slt.databases import STOCK
from tests.slt.records import Hashed, Kind, Record, RecordError, parse
from tests.slt.runner import differs_on_stock_sqlite, run_file
from tests.support.servers import Server

CASES = sorted((Path(__file__).parent / "cases").glob("*.test"))
MEMORY = "rome+memory:///{db}"


@pytest.fixture(
    params=["stock", *(pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("memory", "lmdb", "redis"))]
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    match request.param:
        case "stock":
            return STOCK
        case "memory":
            return MEMORY
        case "lmdb":
            return f"rome+lmdb:///{tmp_path}/{{db}}.rome"
    server: Server = request.getfixturevalue("redis_server")
    return f"rome+redis://{server.host}:{server.port}/{{db}}"


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_records_give_what_the_file_says(path: Path, url: str) -> None:
    outcome = run_file(path, url)
    assert outcome.failures == []
    assert outcome.passed + outcome.refused.total() > 0
    if path.stem == "refused" and url != STOCK:
        assert outcome.refused == {"CREATE TRIGGER": 1, "DROP TRIGGER": 1}
    else:
        assert not outcome.refused


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.test"


def test_records_are_read_with_their_conditions(file: Path) -> None:
    file.write_text(
        "# a file\n"
        "hash-threshold 8\n\n"
        "skipif mysql # not there\nonlyif sqlite\nstatement error\nDROP TABLE\n  t\n\n\n"
        "# a long one\nquery TR rowsort label-1\nSELECT 1,\n2\n----\n"
        "30 values hashing to 0123456789abcdef0123456789abcdef\n\n"
        "query I\nSELECT 1\n----\n1\n\n"
        "halt\n"
    )
    sqlite = frozenset({"sqlite"})
    assert list(parse(file)) == [
        Record(4, Kind.STATEMENT, sqlite, frozenset({"mysql"}), "DROP TABLE\n  t", fails=True),
        Record(
            12,
            Kind.QUERY,
            sql="SELECT 1,\n2",
            types="TR",
            order="rowsort",
            label="label-1",
            result=Hashed(30, "0123456789abcdef0123456789abcdef"),
        ),
        Record(18, Kind.QUERY, sql="SELECT 1", types="I", result=["1"]),
        Record(23, Kind.HALT),
    ]


@pytest.mark.parametrize(
    "text", ["statement maybe\nSELECT 1", "query X nosort\nSELECT 1\n----\n1", "onlyif\nhalt", "run"]
)
def test_line_that_is_not_understood_is_an_error(file: Path, text: str) -> None:
    file.write_text(f"hash-threshold 8\n\n{text}\n")
    with pytest.raises(RecordError, match=f"{file}:3: not understood"):
        list(parse(file))


@pytest.mark.parametrize(
    ("record", "found"),
    [
        ("statement ok\nSELECT missing", "error: no such column: missing"),
        ("statement error\nSELECT 1", "no error"),
        ("query I nosort\nSELECT 1\n----\n2", "1 values: 1"),
        ("query I nosort\nSELECT 1\n----", "1 values: 1"),
        ("query II nosort\nSELECT 1\n----\n1", "1 columns"),
        ("query I nosort\nSELECT missing\n----", "error: no such column: missing"),
        ("query I nosort\nVALUES (1)\n----\n1 values hashing to 0123456789abcdef0123456789abcdef", "1 values: 1"),
        ("statement error\nATTACH 'x' AS y", "NotSupportedError: "),
    ],
)
def test_what_is_not_as_the_file_says_is_a_failure(file: Path, record: str, found: str) -> None:
    file.write_text(f"statement ok\nCREATE TABLE t (a)\n\n{record}\n")
    outcome = run_file(file, MEMORY)
    assert outcome.passed == 1
    [failure] = outcome.failures
    assert failure.line == 4
    assert failure.found.startswith(found)


def test_queries_of_one_label_must_agree(file: Path) -> None:
    file.write_text("query I nosort x\nSELECT 1\n----\n1\n\nquery I nosort x\nSELECT 2\n----\n2\n")
    [failure] = run_file(file, MEMORY).failures
    assert failure == (6, "SELECT 2", "another result than before under label x: 1 values: 2")


def test_values_are_shown_as_the_files_have_them(file: Path) -> None:
    query = "SELECT '', 'a' || char(10, 228), NULL, 1.5, '12x', 2, '0.25', x'41', 3.99"
    file.write_text(f"query TTTTIRRTI nosort\n{query}\n----\n(empty)\na@@\nNULL\n1.5\n12\n2.000\n0.250\nA\n3\n")
    assert run_file(file, STOCK).failures == []


def test_failure_that_stock_sqlite_has_too_is_told_apart(file: Path) -> None:
    file.write_text("query I nosort\nSELECT 1\n----\n2\n\nstatement ok\nATTACH ':memory:' AS other\n")
    outcome = run_file(file, MEMORY)
    old, ours = outcome.failures
    assert differs_on_stock_sqlite(file, outcome) == [old]
    assert ours.found.startswith("NotSupportedError")
