"""Several sites: what is counted between them, what an outage's moments amount to, and the tables."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
from romebench.cases import BOOT_DATABASE, COMMITS_GAP, LOST, ONE_WAY_WRITE, READS_GAP, SITES
from romebench.figures import Figure, Results
from romebench.sites.network import MissingRights, Network, Passage, one_way_trips
from romebench.sites.outage import longest_gap
from romebench.sites.placings import ETCD_NEAR_ELSEWHERE, ETCD_NEAR_HERE, GALERA_HERE, OUTAGES
from romebench.sites.report import by_distance, markdown_table, outages
from romebench.targets import findings, text_table


def passage(sent_s: float, source: int, target: int, *, takes_s: float = 1.0) -> Passage:
    return Passage(sent_s, sent_s + takes_s, source, target, 1000, 2380, 100)


def test_commit_at_a_followers_site_waits_for_four_crossings() -> None:
    """To the leader, to the other members, back to the leader, and the news that it is committed."""
    passages = [
        passage(0, 1, 2),
        passage(1, 2, 1),
        passage(1, 2, 3),
        passage(2, 1, 2),
        passage(2, 3, 2),
        passage(3, 2, 1),
    ]
    assert one_way_trips(passages, 1, 0, 4.1) == 4


def test_commit_at_the_leaders_site_waits_for_two_crossings() -> None:
    passages = [passage(0, 1, 2), passage(0, 1, 3), passage(1, 2, 1), passage(1, 3, 1)]
    assert one_way_trips(passages, 1, 0, 2.1) == 2


def test_what_began_earlier_or_arrived_later_is_not_waited_for() -> None:
    passages = [passage(-0.5, 2, 1), passage(0.5, 1, 2), passage(1.5, 2, 1)]
    assert one_way_trips(passages, 1, 0, 1.0) == 0
    assert one_way_trips([], 1, 0, 1.0) == 0


def test_gap_counts_from_the_cut_and_to_the_end() -> None:
    assert longest_gap([1.0, 2.0, 9.0], 0.0, 3.0) == 1.0
    assert longest_gap([1.0, 2.0, 9.0], 0.0, 7.0) == 5.0
    assert longest_gap([], 2.0, 5.0) == 3.0


ECHO = """
import socket
listener = socket.create_server(("{host}", 4000))
print("listens", flush=True)
connection, _ = listener.accept()
while data := connection.recv(100):
    connection.sendall(data)
"""


@pytest.fixture
def network() -> Iterator[Network]:
    try:
        made = Network(2)
    except MissingRights as error:
        pytest.skip(str(error))
    with made:
        yield made


def test_network_counts_what_crosses_and_loses_what_is_cut_off(network: Network) -> None:
    here, there = network.sites
    network.set_round_trip(0.002)
    command = [*there.prefix, sys.executable, "-c", ECHO.format(host=there.host)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "listens\n"
        here.enter()
        try:
            client = socket.create_connection((there.host, 4000), timeout=10)
        finally:
            network.operator.enter()
        network.trace()
        for _ in range(3):
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        assert network.round_trips(there, 4000) == 3
        assert [(each.source, each.target) for each in network.traced()] == [(1, 2), (2, 1)] * 3

        network.cut_off(there)
        client.settimeout(0.3)
        client.sendall(b"y")
        with pytest.raises(TimeoutError):
            client.recv(1)
        network.cut_off()
        client.settimeout(30)  # TCP sends it again
        assert client.recv(1) == b"y"
        client.close()


def figure(case: str, peer: str, *runs: float, unit: str = "s", round_trip_ms: float = 50) -> Figure:
    return Figure(SITES, case, peer, True, round_trip_ms, unit, list(runs))


@pytest.mark.parametrize(("rome_s", "verdict"), [(1.9, "reached"), (2.1, "missed")])
def test_boot_between_sites_is_compared_with_galera(rome_s: float, verdict: str) -> None:
    results = Results(
        figures=[
            figure(BOOT_DATABASE, ETCD_NEAR_ELSEWHERE.key, rome_s),
            figure(BOOT_DATABASE, GALERA_HERE.key, 2.0),
            figure(BOOT_DATABASE, ETCD_NEAR_ELSEWHERE.key, 9.0, round_trip_ms=100),
        ]
    )
    [found] = [each for each in findings(results) if each.what.startswith("boot at 50 ms") and each.runs]
    assert found.verdict == verdict
    assert "boot at 50 ms" in text_table(findings(results))


def test_targets_of_trips_and_outages() -> None:
    results = Results(
        figures=[
            figure(ONE_WAY_WRITE, ETCD_NEAR_HERE.key, 1.0, unit="trips"),
            figure(ONE_WAY_WRITE, ETCD_NEAR_HERE.key, 7.0, unit="trips", round_trip_ms=0),
            figure(ONE_WAY_WRITE, ETCD_NEAR_ELSEWHERE.key, 2.5, unit="trips"),
            figure(READS_GAP, ETCD_NEAR_ELSEWHERE.key, 0.2),
            figure(COMMITS_GAP, ETCD_NEAR_ELSEWHERE.key, 2.9),
            figure(LOST, ETCD_NEAR_HERE.key, 0.0, unit="commits"),
        ]
    )
    found = {each.what: each.verdict for each in findings(results) if each.runs}
    assert sorted(found.values()) == ["missed", "missed", "reached", "reached", "reached"]
    assert found["acknowledged commits lost on etcd"] == "reached"


def test_tables_have_a_row_for_what_was_measured() -> None:
    results = Results(
        figures=[
            figure(BOOT_DATABASE, GALERA_HERE.key, 0.5, round_trip_ms=0),
            figure(BOOT_DATABASE, GALERA_HERE.key, 2.0),
            figure(READS_GAP, OUTAGES[0].key, 0.05),
        ]
    )
    header, *rows = by_distance(results)
    assert [row[0] for row in rows] == [GALERA_HERE.title]
    assert rows[0][1:3] == ["500 ms", "2.00 s"]
    assert all(len(row) == len(header) for row in rows)
    [_, lost] = outages(results)
    assert lost[:2] == ["the site of etcd's leader lost", "50.0 ms"]
    assert markdown_table(by_distance(Results())) == []
