"""What befalls requests and answers between a client and an etcd cluster, or the client itself, amid a commit.

The commit is applied once, or never, and its client learns which. A round goes through all steps of a commit.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from rome.store.ordered.layout import Layout
from rome.testing.proxy import Proxy
from tests.faults import ledger, mortal
from tests.faults.ambush import STEPS, STEPS_TO_DIE_AT, Ambush
from tests.faults.clients import ROUNDS, Clients
from tests.faults.ledger import Told
from tests.support.etcd_cluster import EtcdCluster, url_of

CLIENTS = 3
DATABASE = "ledger"
COMMIT = Layout(DATABASE).commits[0]
"""The prefix of the keys of commits' records: a commit writes one, and no read names them."""

pytestmark = [pytest.mark.timeout(3600), pytest.mark.etcd]


class Paths:
    """A client's own proxies to all members; it begins with another member than the other clients."""

    def __init__(self, cluster: EtcdCluster, first: int, stack: ExitStack) -> None:
        members = [*cluster.members[first:], *cluster.members[:first]]
        self._proxies = [stack.enter_context(Proxy(member.host, member.port)) for member in members]
        self.url = url_of([proxy.port for proxy in self._proxies], DATABASE)

    def lay(self, ambush: Ambush) -> None:
        for proxy in self._proxies:
            proxy.judge = ambush
        ambush.wait()


@contextmanager
def writing(cluster: EtcdCluster, folder: Path) -> Iterator[tuple[Clients, Sequence[Paths]]]:
    with ExitStack() as stack:
        paths = [Paths(cluster, first, stack) for first in range(CLIENTS)]
        clients = Clients(cluster.url(DATABASE), folder, [each.url for each in paths])
        yield stack.enter_context(clients), paths


def test_connection_lost(etcd_cluster: EtcdCluster, tmp_path: Path) -> None:
    with writing(etcd_cluster, tmp_path) as (clients, paths):

        def strike(number: int) -> None:
            for place, step in enumerate(STEPS.values(), number):
                paths[place % CLIENTS].lay(Ambush(COMMIT, *step))
                clients.progress()

        verdict = clients.survive(strike)
    assert not verdict.lost
    assert not verdict.told[Told.UNKNOWN]
    assert not verdict.told[Told.MISSED]


def test_client_killed(etcd_cluster: EtcdCluster, tmp_path: Path) -> None:
    class Kill(Ambush):
        def strike(self) -> None:
            clients.end(victim)

    with writing(etcd_cluster, tmp_path) as (clients, paths):
        clients_at = dict(enumerate(clients.running))
        victim = 0

        def strike(number: int) -> None:
            nonlocal victim
            for turn, step in enumerate(STEPS_TO_DIE_AT, number):
                place = turn % CLIENTS
                victim = clients_at[place]
                paths[place].lay(Kill(COMMIT, *STEPS[step]))
                clients_at[place] = clients.start(paths[place].url)
                clients.progress()

        verdict = clients.survive(strike)
    assert not verdict.lost
    assert not verdict.told[Told.MISSED]


def test_client_paused(etcd_cluster: EtcdCluster, tmp_path: Path) -> None:
    """As on a machine that sleeps: when it goes on, its deadlines are over, and others have changed what it read."""

    class Pause(Ambush):
        def strike(self) -> None:
            os.kill(clients.pid(victim), signal.SIGSTOP)

    with writing(etcd_cluster, tmp_path) as (clients, paths):
        victim = 0

        def strike(number: int) -> None:
            nonlocal victim
            for place, step in enumerate(STEPS.values(), number):
                victim = clients.running[place % CLIENTS]
                paths[place % CLIENTS].lay(Pause(COMMIT, *step))
                clients.progress(of=[each for each in clients.running if each != victim])
                os.kill(clients.pid(victim), signal.SIGCONT)
                clients.progress()

        verdict = clients.survive(strike)
    assert not verdict.lost
    assert not verdict.told[Told.MISSED]


def test_client_killed_at_every_step_of_a_commit(etcd_cluster: EtcdCluster, tmp_path: Path) -> None:
    """With few rounds at one step in seven, since each takes a process of its own."""
    url = etcd_cluster.url(DATABASE)
    ledger.create(url)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    stride = 1 if ROUNDS > 5 else 7
    for step in range(1, 1_000, stride):
        ledger.join(url, step)
        notes = str(tmp_path / f"{step}.notes")
        command = [sys.executable, "-m", "tests.faults.mortal", url, notes, str(step), str(step)]
        status = subprocess.run(command, env=environment, check=False).returncode
        verdict = ledger.judge(url, tmp_path.glob("*.notes"))
        assert not verdict.lost
        assert not verdict.told[Told.MISSED]
        if status != -signal.SIGKILL:
            break
    assert status == mortal.FEWER_STEPS
    assert step > 20
    print(f"\nkilled at every {stride}th step up to {step - 1}: {verdict}")
