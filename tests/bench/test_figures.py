"""The benchmark's arithmetic: figures, ratios, targets, and requests of different dialects."""

from __future__ import annotations

from pathlib import Path

import pytest
from romebench.cases import BOOT, BOOT_DATABASE, BOOT_TRIPS, LISTS, MICRO, MICRO_CASES, page_case
from romebench.figures import Failure, Figure, Requests, Results, ratios, shown_runs
from romebench.normalise import normalise
from romebench.targets import findings, markdown, share_faster

SELECT = MICRO_CASES[0]


def figure(workload: str, case: str, peer: str, *runs: float, round_trip_ms: float = 0, unit: str = "s") -> Figure:
    return Figure(workload, case, peer, True, round_trip_ms, unit, list(runs))


def finding(results: Results, start: str) -> tuple[str, list[float]]:
    """Verdict and ratios of the line that begins so."""
    [found] = [each for each in findings(results) if each.what.startswith(start)]
    return found.verdict, found.runs


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    results = Results(
        {"machine": "a machine"},
        [figure(BOOT, BOOT_DATABASE, "sqlite", 1.0, 3.0, 2.0)],
        [Requests("sqlite", True, 0.0, {"SELECT ?": (1.5, 0.001)})],
        [Failure(MICRO, "sqlite", False, "a reason")],
    )
    results.save(tmp_path / "results.json")
    assert Results.load(tmp_path / "results.json") == results
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_figure_is_a_median_with_its_spread() -> None:
    one = figure(BOOT, BOOT_DATABASE, "sqlite", 0.5, 0.0032, 0.02)
    assert (one.median, one.spread) == (0.02, (0.0032, 0.5))
    assert shown_runs(one.runs, "s") == "20.0 ms (3.20 ms - 500 ms)"


def test_ratios_are_taken_run_by_run() -> None:
    assert ratios(figure("w", "c", "a", 1.0, 30.0), figure("w", "c", "b", 2.0, 60.0)) == [0.5, 0.5]
    assert ratios(figure("w", "c", "a", 1.0, 30.0), figure("w", "c", "b", 2.0)) == [0.5]


def test_figure_is_found_by_all_that_tells_it_apart() -> None:
    near, far = (figure(BOOT, BOOT_DATABASE, "sqlite", 1.0, round_trip_ms=delay) for delay in (0, 10))
    results = Results(figures=[near, far])
    assert results.find(BOOT, BOOT_DATABASE, "sqlite", round_trip_ms=10) is far
    assert results.find(BOOT, BOOT_DATABASE, "sqlite") is near
    assert results.find(BOOT, BOOT_DATABASE, "sqlite", durable=False) is None


@pytest.mark.parametrize(("rome_s", "verdict"), [(0.07, "reached"), (0.09, "missed")])
def test_boot_is_compared_with_pymysql(rome_s: float, verdict: str) -> None:
    figures = [
        figure(BOOT, BOOT_DATABASE, "rome-redis", rome_s, rome_s),
        figure(BOOT, BOOT_DATABASE, "mariadb-pymysql", 0.1, 0.1),
    ]
    assert finding(Results(figures=figures), "database time of a boot, rome-redis / mariadb-pymysql, all")[0] == verdict


def test_what_was_not_measured_is_said_to_be_so() -> None:
    assert {found.verdict for found in findings(Results())} == {"not measured"}


def test_round_trips_are_those_of_the_least_distance() -> None:
    figures = [
        figure(BOOT, BOOT_TRIPS, "rome-redis", trips, round_trip_ms=ms) for ms, trips in ((50, 300.0), (2, 170.0))
    ]
    assert finding(Results(figures=figures), "round trips") == ("reached", [170.0])


def test_select_is_compared_with_the_raw_round_trip_and_stock_sqlite() -> None:
    figures = [
        figure(MICRO, SELECT, "rome-redis", 3.0, 2.6),
        figure(MICRO, SELECT, "raw rome-redis", 1.0, 1.0),
        figure(MICRO, SELECT, "sqlite-memory", 2.0, 1.0),
    ]
    assert finding(Results(figures=figures), "Core select by key, rome-redis") == ("reached", [1.0, 1.3])


def test_last_page_is_compared_with_the_second() -> None:
    seconds = {1: 9.0, 2: 1.0, 500: 9.0, 1_000: 1.05}
    figures = [figure(LISTS, page_case(page), "rome-lmdb", took) for page, took in seconds.items()]
    assert finding(Results(figures=figures), "page 1,000 / page 2 by marker, rome-lmdb") == ("reached", [1.05])


def test_share_faster_counts_the_requests_that_both_made() -> None:
    one = Requests("rome-redis", True, 0, {"a": (1, 0.1), "b": (1, 0.3), "mine": (1, 0.1)})
    other = Requests("mariadb-pymysql", True, 0, {"a": (1, 0.2), "b": (1, 0.2), "theirs": (1, 0.1)})
    assert share_faster(one, other) == 0.5
    assert share_faster(one, None) is None


def test_table_has_a_column_for_each_peer() -> None:
    results = Results({"peers": {"sqlite": {}, "rome-lmdb": {}}}, [figure(BOOT, BOOT_DATABASE, "sqlite", 0.04)])
    assert "| database time per boot | 40.0 ms | - |" in markdown(results).splitlines()


@pytest.mark.parametrize(
    ("sqlite", "other"),
    [
        ("SELECT a FROM t WHERE t.b = ? LIMIT ? OFFSET ?", "SELECT a FROM t WHERE t.b = %s LIMIT %s"),
        ("SELECT a FROM t WHERE t.b = ? LIMIT ? OFFSET ?", "SELECT a FROM t WHERE t.b = %(b_1)s \n LIMIT %(param_1)s"),
        ("SELECT a FROM t WHERE t.b IN (?, ?, ?)", "SELECT a FROM t WHERE t.b IN (%(b_1_1)s, %(b_1_2)s)"),
        ('SELECT "key" FROM t', "SELECT `key` FROM t"),
        ("INSERT INTO t (a, b) VALUES (?, ?)", "INSERT INTO t (a, b) VALUES (%(a)s, %(b)s) RETURNING t.id"),
        ("SELECT a FROM t WHERE hidden = 0", "SELECT a FROM t WHERE hidden = false"),
        ("SELECT a FROM t WHERE c = ?", "SELECT a FROM t WHERE c = %(c_1)s::VARCHAR FOR UPDATE"),
        ("SELECT a % 2 FROM t JOIN u ON t.a = u.a", "SELECT a %% 2 FROM t INNER JOIN u ON t.a = u.a"),
        ("UPDATE t SET a=? WHERE t.b = ?", "UPDATE t SET id=last_insert_id(t.id), a=%s WHERE t.b = %s"),
        (
            "SELECT a FROM t WHERE t.b IN (SELECT 1 FROM (SELECT 1) WHERE 1!=1)",
            "SELECT a FROM t WHERE t.b IN (NULL) AND (1 != 1)",
        ),
    ],
)
def test_dialects_ask_the_same(sqlite: str, other: str) -> None:
    assert normalise(sqlite) == normalise(other)


def test_different_requests_stay_different() -> None:
    assert normalise("SELECT a FROM t WHERE t.b = ?") != normalise("SELECT a FROM t WHERE t.c = ?")
