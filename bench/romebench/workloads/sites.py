"""Three sites: what the real Nova's boots and single transactions cost there, and what is seen when a site is lost."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from statistics import median

from romekit.databases import Databases, text

from romebench.cases import (
    BOOT_DATABASE,
    BOOT_TRIPS,
    COMMIT,
    FAR_TRIPS,
    ONE_WAY_READ,
    ONE_WAY_WRITE,
    OUTAGE_CASES,
    READ_ONLY,
    SITES,
    WRITE_SETS,
)
from romebench.packages import MissingProgram, program
from romebench.sites.clusters import (
    WAN_ADVICE,
    Cluster,
    EtcdCluster,
    GaleraCluster,
    RedisSites,
    RemoteMariaDb,
    galera_provider,
)
from romebench.sites.network import MissingRights, Network, Site, one_way_trips
from romebench.sites.outage import close_clients, lose_site, start_clients
from romebench.sites.placings import (
    ETCD,
    GALERA,
    HERE,
    MARIADB,
    OUTAGES,
    PLACINGS,
    REDIS,
    ROME_OPTIONS,
    Outage,
    Placing,
    elsewhere,
    home,
)
from romebench.stage import Stage
from romebench.worker import Worker, WorkerError
from romebench.workloads.boot import NovaSession

_BOOT_LIMIT_S = 180
_TRANSACTIONS = 20
_SITES = 3
_FAR_MS = 50
"""Beyond this distance a boot takes a minute on the slowest, and is repeated less often."""
_WAN_CUT_S = 45.0
"""Longer than the 30 s that Galera's advice for WAN tolerates without doing anything."""
_AFTER_S, _WAN_AFTER_S = 5.0, 15.0
"""What is watched after the lost site came back, besides the time that is watched before."""


def run(stage: Stage) -> None:
    """Boots and transactions at each distance, then the loss of sites."""
    for name, packages in (("mariadbd", ["mariadb-server-core"]), ("ip", ["iproute2"]), ("nsenter", ["util-linux"])):
        try:
            program(name, packages)  # installed while this thread can still reach the world
        except MissingProgram as error:
            stage.fail(SITES, name, error)
    try:
        galera_provider()
    except MissingProgram as error:
        stage.fail(SITES, GALERA, error)
    try:
        with Network(_SITES) as network:
            _Sites(stage, network).run()
    except MissingRights as error:
        stage.fail(SITES, "network", error)


class _Found:
    """Values that repetitions bring."""

    def __init__(self) -> None:
        self._values: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)

    def note(self, case: str, key: str, unit: str, value: float) -> None:
        self._values[case, key, unit].append(value)

    def add(self, stage: Stage, round_trip_ms: float) -> None:
        """Add them to the results."""
        for (case, key, unit), values in self._values.items():
            stage.add(SITES, case, key, unit, values, round_trip_ms=round_trip_ms)


class _Sites:
    """The workload, with the clusters that run."""

    def __init__(self, stage: Stage, network: Network) -> None:
        self._stage = stage
        self._network = network
        self._home, self._elsewhere = home(network.sites), elsewhere(network.sites)
        self._folder = stage.folder / "sites"

    def run(self) -> None:
        """Measure what could be started; the rest is reported."""
        placings = [placing for placing in PLACINGS if self._is_wanted(placing.key)]
        with ExitStack() as clean_up:
            clusters = self._start(dict.fromkeys(placing.cluster for placing in placings), clean_up)
            self._stage.results.conditions["settings, sites"] = {
                key: {"server": cluster.version(), "settings": cluster.settings} for key, cluster in clusters.items()
            }
            placings = [placing for placing in placings if placing.cluster in clusters]
            self._transactions(clusters, placings)
            self._boots(clusters, placings)
        for outage in OUTAGES:
            too_short = outage.wan_advice and self._stage.sizes.cut_s < _WAN_CUT_S / 4
            if self._is_wanted(outage.key) and not too_short:
                try:
                    self._outage(outage)
                except Exception as error:  # noqa: BLE001 (it is reported, and the others go on)
                    self._stage.fail(SITES, outage.key, error)

    # ------------------------------------------------------------ clusters
    def _make(self, key: str, *, wan_advice: bool = False) -> Cluster:
        home_, elsewhere_, third = self._network.sites
        folder = self._folder / f"{key}{len(list(self._folder.glob('*')))}"
        folder.mkdir(parents=True)
        if key == ETCD:
            return EtcdCluster(self._network.sites, folder)
        if key == REDIS:
            return RedisSites([elsewhere_, home_, third], folder)
        if key == MARIADB:
            return RemoteMariaDb([elsewhere_], folder)
        return GaleraCluster(self._network.sites, folder, WAN_ADVICE if wan_advice else None)

    def _is_wanted(self, key: str) -> bool:
        wanted = self._stage.sizes.placings
        return not wanted or key in wanted

    def _start(self, keys: Iterable[str], clean_up: ExitStack) -> dict[str, Cluster]:
        def started(key: str) -> Cluster:
            cluster = self._make(key)
            clean_up.callback(cluster.stop)
            cluster.start()
            return cluster

        return self._stage.attempt(SITES, keys, started)

    def _url(self, cluster: Cluster, site: Site, options: Mapping[str, str]) -> str:
        """A client's URL with {db}."""
        rome = ROME_OPTIONS if isinstance(cluster, EtcdCluster | RedisSites) else {}
        return cluster.url(site, **rome, **options)

    def _placed_url(self, cluster: Cluster, placing: Placing) -> str:
        return self._url(cluster, self._home if placing.at_home else self._elsewhere, placing.options)

    def _lead(self, clusters: Mapping[str, Cluster], placing: Placing) -> None:
        cluster = clusters[placing.cluster]
        if isinstance(cluster, EtcdCluster):
            cluster.lead(self._home if placing.leader == HERE else self._elsewhere)

    # ------------------------------------------------------------ single transactions
    def _transactions(self, clusters: Mapping[str, Cluster], placings: list[Placing]) -> None:
        """Transactions one by one, while nothing else goes on: their time, and what they wait for between the sites."""
        stage = self._stage
        print("  transactions, one by one", flush=True)
        by_key = {placing.key: placing for placing in placings}
        with ExitStack() as clean_up:

            def start(key: str) -> Worker:
                placing = by_key[key]
                template = self._placed_url(clusters[placing.cluster], placing)
                url = text(Databases(template).create(key))  # it goes with the servers
                [client] = start_clients({self._home: url}).values()
                clean_up.callback(client.close)
                client.call("transactions", _TRANSACTIONS, True)
                return client

            clients = stage.attempt(SITES, by_key, start)
            for round_trip_ms in (0.0, *stage.sizes.site_round_trips_ms):
                found = _Found()
                for _ in range(stage.sizes.site_runs):
                    for key, client in clients.items():
                        self._lead(clusters, by_key[key])
                        self._network.set_round_trip(round_trip_ms / 1e3)
                        try:
                            self._measure_transactions(clusters[by_key[key].cluster], key, client, found)
                        except WorkerError as error:
                            stage.fail(SITES, key, error)
                        finally:
                            self._network.set_round_trip(0)
                found.add(stage, round_trip_ms)

    def _measure_transactions(self, cluster: Cluster, key: str, client: Worker, found: _Found) -> None:
        ports = {cluster.port, *cluster.peer_ports}  # the other clusters are idle, but they do send heartbeats
        for write, case, trips in ((False, READ_ONLY, ONE_WAY_READ), (True, COMMIT, ONE_WAY_WRITE)):
            client.call("transactions", 2, write)
            self._network.trace()
            moments = client.call("transactions", _TRANSACTIONS, write)
            passages = [
                passage
                for passage in self._network.traced()
                if passage.source_port in ports or passage.target_port in ports
            ]
            found.note(case, key, "s", median(moment.ended_s - moment.begun_s for moment in moments))
            counts = [one_way_trips(passages, self._home.number, moment.begun_s, moment.ended_s) for moment in moments]
            found.note(trips, key, "trips", median(counts) / 2)

    # ------------------------------------------------------------ boots
    def _boots(self, clusters: Mapping[str, Cluster], placings: list[Placing]) -> None:
        stage = self._stage
        with ExitStack() as clean_up:
            by_session = {placing.session: placing for placing in placings}
            sessions = self._start_nova(clusters, by_session, clean_up)
            placings = [placing for placing in placings if placing.session in sessions]
            for round_trip_ms in (0.0, *stage.sizes.site_round_trips_ms):
                print(f"  booting, round trip {round_trip_ms:g} ms", flush=True)
                runs = stage.sizes.far_runs if round_trip_ms > _FAR_MS else stage.sizes.site_runs
                self._boots_at(clusters, placings, sessions, round_trip_ms, runs)

    def _start_nova(
        self, clusters: Mapping[str, Cluster], by_session: Mapping[str, Placing], clean_up: ExitStack
    ) -> dict[str, NovaSession]:
        """Start Nova at the home site for each URL, as many at once as there are CPUs; this is not measured."""
        print("  starting Nova for each", flush=True)

        def start(name: str) -> NovaSession:
            self._network.operator.enter()  # a new thread is where its process began, not where its maker is
            placing = by_session[name]
            url = self._placed_url(clusters[placing.cluster], placing)
            log = self._stage.folder / f"nova-{placing.key}.log"
            return NovaSession(url, log, durable=True, within=self._home.prefix)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            starting = {name: pool.submit(start, name) for name in by_session}
            sessions = self._stage.attempt(SITES, by_session, lambda name: starting[name].result())
        for session in sessions.values():
            clean_up.callback(session.close)
        return sessions

    def _boots_at(
        self,
        clusters: Mapping[str, Cluster],
        placings: list[Placing],
        sessions: Mapping[str, NovaSession],
        round_trip_ms: float,
        runs: int,
    ) -> None:
        found = _Found()

        def boot(key: str) -> None:
            placing = by_key[key]
            self._lead(clusters, placing)
            self._network.set_round_trip(round_trip_ms / 1e3)
            try:
                cluster = clusters[placing.cluster]
                before = self._far_trips(cluster)
                write_sets = cluster.replicated(self._home) if isinstance(cluster, GaleraCluster) else 0
                _, asked = sessions[placing.session].boot(1, _BOOT_LIMIT_S)
                crossed = self._far_trips(cluster) - before
                if isinstance(cluster, GaleraCluster):
                    sent = cluster.replicated(self._home) - write_sets
                    found.note(WRITE_SETS, key, "write sets", sent)
            finally:
                self._network.set_round_trip(0)
            found.note(BOOT_DATABASE, key, "s", sum(request.seconds for request in asked))
            found.note(FAR_TRIPS, key, "trips", crossed)
            trips = [1 if request.round_trips is None else request.round_trips for request in asked]
            found.note(BOOT_TRIPS, key, "trips", sum(trips))

        by_key = {placing.key: placing for placing in placings}
        alive = list(by_key)
        for _ in range(runs):
            alive = list(self._stage.attempt(SITES, alive, boot))
        found.add(self._stage, round_trip_ms)

    def _far_trips(self, cluster: Cluster) -> int:
        """Requests between a client at one site and a server at another that were answered so far."""
        return sum(self._network.round_trips(site, cluster.port) for site in cluster.sites)

    # ------------------------------------------------------------ outages
    def _outage(self, outage: Outage) -> None:
        sizes = self._stage.sizes
        print(f"  {outage.case}", flush=True)
        cut_s = _WAN_CUT_S if outage.wan_advice else sizes.cut_s
        with ExitStack() as clean_up:
            cluster = self._make(outage.cluster, wan_advice=outage.wan_advice)
            clean_up.callback(cluster.stop)
            cluster.start()
            urls = self._urls(cluster, outage)
            clients = start_clients(urls)
            clean_up.callback(close_clients, clients)
            if isinstance(cluster, EtcdCluster):
                cluster.lead(self._elsewhere if outage.leads else self._home)
            clean_up.callback(self._network.set_round_trip, 0)
            self._network.set_round_trip(sizes.outage_round_trip_ms / 1e3)
            seen = lose_site(
                self._network,
                self._elsewhere,
                clients,
                quiet_s=sizes.quiet_s,
                cut_s=cut_s,
                after_s=sizes.quiet_s + (_WAN_AFTER_S if outage.wan_advice else _AFTER_S),
            )
        for case, unit, value in OUTAGE_CASES:
            self._stage.add(
                SITES, case, outage.key, unit, [getattr(seen, value)], round_trip_ms=sizes.outage_round_trip_ms
            )
        self._stage.results.conditions.setdefault("errors while a site was lost", {})[outage.key] = seen.errors

    def _urls(self, cluster: Cluster, outage: Outage) -> dict[Site, str]:
        """Where each site's client connects: to its own site's server."""
        databases = Databases(self._url(cluster, self._home, outage.options))
        name = databases.create("outage").database
        return {
            site: self._url(cluster, site, outage.options).replace("{db}", str(name)) for site in self._network.sites
        }
