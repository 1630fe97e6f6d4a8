"""What clients see while a site is cut off from the others, and when it comes back."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from romebench.sites.client import SiteClient, Watched
from romebench.sites.network import Network, Site
from romebench.worker import Worker, WorkerError


@dataclass(frozen=True, slots=True)
class Seen:
    """What one outage did. All are seconds, but for the counts.

    Attributes:
        reads_gap_s: the longest time without an answered read at one of the other sites, from the cut to the end.
        commits_gap_s: the longest time without an acknowledged commit at one of them, while the site was cut off.
        return_gap_s: the same after the site came back.
        back_s: from when the network was whole until the lost site's client had its first commit acknowledged.
        cut_off_reads: the share of reads that the client at the lost site got while it was cut off, of those it got
            in as long a time before.
        quiet_reads_gap_s, quiet_commits_gap_s: the longest gaps before the cut: the noise of the measurement.
        acknowledged, lost: commits, and those of them that are missing at the end.
        errors: {site: {error: how often}}.
    """

    reads_gap_s: float
    commits_gap_s: float
    return_gap_s: float
    back_s: float
    cut_off_reads: float
    quiet_reads_gap_s: float
    quiet_commits_gap_s: float
    acknowledged: int
    lost: int
    errors: dict[str, dict[str, int]] = field(default_factory=dict)


def lose_site(
    network: Network, lost: Site, clients: Mapping[Site, Worker], *, quiet_s: float, cut_s: float, after_s: float
) -> Seen:
    """Let all clients read and write, cut one site off for a while, and see what they saw."""
    for client in clients.values():
        client.call("watch")
    time.sleep(1.0)  # the first connections
    begun = time.perf_counter()
    time.sleep(quiet_s)
    network.cut_off(lost)
    cut = time.perf_counter()
    try:
        time.sleep(cut_s)
    finally:
        healed = time.perf_counter()
        network.cut_off()
    time.sleep(after_s)
    ended = time.perf_counter()
    found: dict[Site, Watched] = {}
    for site, client in clients.items():
        found[site] = client.call("watched", timeout_s=120.0)
    acknowledged = {row for watched in found.values() for row in watched.acknowledged}
    missing = max((acknowledged - _ledger(client) for client in clients.values()), key=len)
    others = [watched for site, watched in found.items() if site != lost]
    its = found[lost]
    before, during = within(its.reads, begun, cut), within(its.reads, cut + network.delay_s, healed)
    return Seen(
        reads_gap_s=max(longest_gap(watched.reads, cut, ended) for watched in others),
        commits_gap_s=max(longest_gap(watched.commits, cut, healed) for watched in others),
        return_gap_s=max(longest_gap(watched.commits, healed, ended) for watched in others),
        back_s=min((moment for moment in its.commits if moment > healed), default=float("inf")) - healed,
        cut_off_reads=len(during) / max(1.0, len(before) * cut_s / quiet_s),
        quiet_reads_gap_s=max(longest_gap(watched.reads, begun, cut) for watched in others),
        quiet_commits_gap_s=max(longest_gap(watched.commits, begun, cut) for watched in others),
        acknowledged=len(acknowledged),
        lost=len(missing),
        errors={f"site {site.number}": watched.errors for site, watched in found.items()},
    )


def _ledger(client: Worker) -> set[int]:
    """The rows that a client finds, once the site has caught up."""
    deadline = time.monotonic() + 60
    before: set[int] | None = None
    while True:
        try:
            rows: set[int] = client.call("ledger")
        except WorkerError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
            continue
        if rows == before:
            return rows
        before = rows
        time.sleep(1)


def within(moments: Sequence[float], start: float, stop: float) -> list[float]:
    """The moments of a half-open interval."""
    return [moment for moment in moments if start <= moment < stop]


def longest_gap(moments: Sequence[float], start: float, stop: float) -> float:
    """The longest time without a moment from `start` to `stop`, which count as moments."""
    inside = [start, *within(moments, start, stop), stop]
    return max(later - earlier for earlier, later in pairwise(inside))


def start_clients(urls: Mapping[Site, str]) -> dict[Site, Worker]:
    """A client at each site; the first one makes the tables."""
    clients: dict[Site, Worker] = {}
    try:
        for site, url in urls.items():
            clients[site] = Worker(SiteClient, site, url)
        first, *others = clients.values()
        first.call("prepare")
        for other in others:
            deadline = time.monotonic() + 30
            while not other.call("sees_tables") and time.monotonic() < deadline:
                time.sleep(0.1)
    except BaseException:
        close_clients(clients)
        raise
    return clients


def close_clients(clients: Mapping[Site, Worker]) -> None:
    """End their processes."""
    for client in clients.values():
        client.close()
