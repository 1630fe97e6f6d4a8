"""The page of the benchmark's results: what comes first, what is left out, and that it needs nothing else."""

from __future__ import annotations

import re

import pytest
from romebench.cases import BOOT, BOOT_DATABASE, BULK, BY_KEY, LISTS, LOAD, MICRO, cpu_case, page_case
from romebench.figures import Failure, Figure, Requests, Results
from romebench.page import page

PEERS = ("mariadb-pymysql", "postgresql", "rome-lmdb", "rome-redis")
CONDITIONS = {"date": "2026-11-30 12:00", "machine": "2 x CPU", "settings": {"rome-redis": {"sync": "on", "db": None}}}


def boots(*distances_ms: float) -> list[Figure]:
    """MariaDB takes 100 ms and what the distance adds; Rome half of it."""
    return [
        Figure(BOOT, BOOT_DATABASE, peer, True, ms, "s", [took, 0.9 * took, 1.2 * took])
        for ms in distances_ms
        for peer in PEERS
        for took in [(0.1 + ms / 5) / (2 if peer.startswith("rome") else 1)]
    ]


def requests(ms: float = 0) -> list[Requests]:
    costs = {"SELECT ?": (2.0, 0.002), "COMMIT": (1.0, 0.004), "INSERT ?": (1.0, 0.001)}
    rome = {"SELECT ?": (2.0, 0.001), "COMMIT": (1.0, 0.002), "INSERT ?": (1.0, 0.003)}
    return [Requests("mariadb-pymysql", True, ms, costs), Requests("rome-redis", True, ms, rome)]


def headings(text: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", text)


def test_begins_with_a_sentence_and_the_boots() -> None:
    text = page(Results(CONDITIONS, boots(0, 10), requests()))
    [lead] = re.findall(r'<p class="lead">(.*?)</p>', text)
    assert lead == (
        "Time that OpenStack&#x27;s Nova spends in the database to boot a server: on one machine it takes 50.0 ms on "
        "Rome on Redis and 100 ms on MariaDB + PyMySQL, 0.50 times as long; at a round trip of 10 ms it takes 1.05 s "
        "on Rome on Redis and 2.10 s on MariaDB + PyMySQL, 0.50 times as long."
    )
    assert headings(text)[:2] == ["Booting a server: time in the database", "Booting a server: request by request"]
    assert text.count('class="track"') == 2 * len(PEERS)


def test_targets_come_after_all_plots_and_only_the_measured_ones() -> None:
    text = page(Results(CONDITIONS, boots(0, 2, 10)))
    assert headings(text)[-3:] == ["Targets", "All figures", "Conditions"]
    assert "not measured" not in text


def test_sentence_says_which_share_is_faster() -> None:
    text = page(Results(CONDITIONS, boots(0), requests()))
    assert "Faster than MariaDB + PyMySQL: 67% of 3 on Rome on Redis." in text
    assert text.count("<svg") == 1, "PostgreSQL made no requests here: nothing is drawn of it"


def test_shares_at_every_distance_are_a_table() -> None:
    text = page(Results(CONDITIONS, boots(0, 2), [*requests(), *requests(2)]))
    [row] = [row for row in re.findall(r"<tr.*?</tr>", text) if "<td>2 ms</td>" in row and "67%" in row]
    assert "Rome on Redis" in row


@pytest.mark.parametrize(
    ("figures", "wanted"),
    [
        ([], []),
        ([Figure(BULK, LOAD, "rome-redis", True, 0, "rows/s", [9e3])], ["Bulk load"]),
        ([Figure(MICRO, BY_KEY, "rome-redis", False, 0, "s", [1e-4])], ["Small operations"]),
        ([Figure(LISTS, page_case(2), "rome-redis", True, 0, "s", [1e-2])], []),
        ([Figure(LISTS, page_case(n), "rome-redis", True, 0, "s", [1e-2]) for n in (2, 9)], ["Page by page"]),
    ],
)
def test_what_was_not_measured_is_not_shown(figures: list[Figure], wanted: list[str]) -> None:
    found = headings(page(Results(CONDITIONS, figures)))
    assert [title for title in found if title not in ("All figures", "Targets")] == [*wanted, "Conditions"]


def test_operation_is_shown_with_its_cpu_time() -> None:
    figures = [
        Figure(MICRO, case, "rome-redis", False, 0, "s", [seconds])
        for case, seconds in ((BY_KEY, 3e-4), (cpu_case(BY_KEY), 1e-4))
    ]
    text = page(Results(CONDITIONS, figures))
    assert "<td>Rome on Redis</td><td>100 µs</td><td>300 µs</td>" in text


def test_ticks_are_for_people() -> None:
    text = page(Results(CONDITIONS, boots(0, 0.5, 2, 10), requests()))
    assert re.search(r">200 ms</text>", text)
    assert not re.search(r"\$|\\mathdefault|10\^|&#8722;1", text)


def test_needs_no_network_and_escapes_what_it_shows() -> None:
    failure = Failure(BOOT, "rome-redis", True, "<script>alert(1)</script>")
    text = page(Results(CONDITIONS, boots(0), requests(), [failure]))
    assert "<script" not in text
    assert not re.search(r'(src|href)="(?!#)', text)
    assert "settings · rome-redis" in text
    assert '{"' not in text


def test_spread_that_leaves_the_scale_ends_in_an_arrow() -> None:
    figures = [Figure(BULK, LOAD, "rome-redis", True, 0, "rows/s", [100.0, 90.0, 5000.0])]
    assert 'class="beyond"' in page(Results(CONDITIONS, figures))
    assert 'class="beyond"' not in page(Results(CONDITIONS, boots(0)))
