"""What `rome doctor` says of a cluster, beside what it says of the database's own server."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from rome.errors import DatabaseError
from rome.store.diagnosis import Finding, Level
from rome.store.redis.cluster_facts import ClusterFacts, ask_cluster
from rome.store.redis.names import meta_key, slot_of
from rome.store.redis.settings import RedisSettings

MOST_NODE_TIMEOUT_MS: Final = 5_000
LEAST_PRIMARIES: Final = 3


def diagnose_cluster(settings: RedisSettings) -> list[Finding]:
    """Examine the cluster that the URL's nodes belong to."""
    try:
        facts = ask_cluster(settings)
    except DatabaseError as error:
        remedy = "see that one of the URL's nodes runs and can be reached, and that cluster=on is right"
        return [Finding("cluster", Level.PROBLEM, str(error), remedy)]
    return list(_findings(facts))


def _findings(facts: ClusterFacts) -> Iterator[Finding]:
    yield _state(facts)
    yield _moves(facts)
    yield from _nodes(facts)
    if facts.nodes:
        yield _majority(facts)
        yield _replicas(facts)
    else:
        remedy = "ask as a user who may run CLUSTER NODES"
        yield Finding("shards", Level.UNKNOWN, "CLUSTER NODES is not answered", remedy)
    yield _node_timeout(facts)
    yield from _settings(facts)
    yield from _databases(facts)


def _state(facts: ClusterFacts) -> Finding:
    state, served = facts.info.get("cluster_state"), facts.info.get("cluster_slots_ok", "?")
    if state is None:
        return Finding("cluster", Level.UNKNOWN, "CLUSTER INFO is not answered", "see that cluster_state is ok")
    told = f"cluster_state {state}; {served} of 16384 slots have a primary that is up"
    if state != "ok" or served != "16384":
        remedy = "start the nodes that are missing, or run `redis-cli --cluster check HOST:PORT`, and then `fix`"
        return Finding("cluster", Level.PROBLEM, f"{told}: databases in the others cannot be used", remedy)
    return Finding("cluster", Level.OK, told)


def _moves(facts: ClusterFacts) -> Finding:
    if not facts.moves:
        if not facts.nodes:
            remedy = "ask as a user who may run CLUSTER NODES, or see that no slot is being moved key by key"
            return Finding("moves", Level.UNKNOWN, "CLUSTER NODES is not answered", remedy)
        return Finding("moves", Level.OK, "no slot is being moved key by key")
    told = "; ".join(f"{node}: slot {', '.join(moves)}" for node, moves in facts.moves.items())
    for node in facts.nodes:
        told = told.replace(node.id, node.name)
    return Finding(
        "moves",
        Level.PROBLEM,
        f"slots are being moved key by key ({told}): every commit to their databases is refused (StoreBusyError)",
        "let it end; if nothing is moving them, `redis-cli --cluster fix HOST:PORT` ends it",
    )


def _nodes(facts: ClusterFacts) -> Iterator[Finding]:
    down = [node for node in facts.nodes if not node.is_up]
    if down:
        names = ", ".join(f"{node.name} ({'primary' if node.is_primary else 'replica'})" for node in down)
        remedy = "start them, or CLUSTER FORGET those that are gone for good"
        yield Finding("nodes", Level.PROBLEM, f"the other nodes do not reach {names}", remedy)
    for node, reason in facts.unreachable.items():
        remedy = "clients are sent to this address: open the network, or set cluster-announce-ip or -hostname"
        yield Finding("nodes", Level.PROBLEM, f"{node} cannot be reached from here: {reason}", remedy)
    if not down and not facts.unreachable:
        if facts.nodes:
            yield Finding("nodes", Level.OK, f"{len(facts.nodes)}, which all can be reached from here")
        else:
            told = "those that serve can be reached from here; CLUSTER NODES, which names the others, is not answered"
            yield Finding("nodes", Level.UNKNOWN, told, "ask as a user who may run CLUSTER NODES")


def _majority(facts: ClusterFacts) -> Finding:
    voters = [node for node in facts.nodes if node.is_primary and node.has_slots]
    if len(voters) < LEAST_PRIMARIES:
        reason = f"{len(voters)} primaries with slots: when one fails, the rest is no majority, and promotes no replica"
        remedy = "give slots to three primaries or more, on machines of their own"
        return Finding("majority", Level.WARNING, reason, remedy)
    return Finding("majority", Level.OK, f"{len(voters)} primaries with slots vote on a failover")


def _replicas(facts: ClusterFacts) -> Finding:
    followers = Counter(node.primary_id for node in facts.nodes if not node.is_primary and node.is_up)
    shards = {node.name: followers[node.id] for node in facts.nodes if node.is_primary and node.has_slots}
    told = ", ".join(f"{name}: {count}" for name, count in sorted(shards.items()))
    lone = [name for name, count in shards.items() if count == 0]
    if lone:
        reason = f"replicas of each primary: {told}; without one, the loss of a machine is the loss of its databases"
        return Finding("shards", Level.WARNING, reason, "two replicas for each primary")
    if min(shards.values(), default=0) == 1:
        reason = f"replicas of each primary: {told}; with one, after a failover no replica acknowledges a commit"
        return Finding("shards", Level.WARNING, reason, "two replicas for each primary, if wait_replicas is used")
    return Finding("shards", Level.OK, f"replicas of each primary: {told}")


def _node_timeout(facts: ClusterFacts) -> Finding:
    timeout = facts.config.get("cluster-node-timeout", "")
    if not timeout.isdigit():
        remedy = "see that it is about 2000"
        return Finding("node timeout", Level.UNKNOWN, "CONFIG GET cluster-node-timeout is not answered", remedy)
    told = f"cluster-node-timeout {timeout} ms: a primary that fails is replaced one to three seconds after that"
    if int(timeout) > MOST_NODE_TIMEOUT_MS:
        return Finding("node timeout", Level.WARNING, told, "CONFIG SET cluster-node-timeout 2000 on every node")
    return Finding("node timeout", Level.OK, told)


def _settings(facts: ClusterFacts) -> Iterator[Finding]:
    if facts.config.get("cluster-require-full-coverage") == "yes":
        yield Finding(
            "coverage",
            Level.WARNING,
            "cluster-require-full-coverage yes: when one shard is lost, the databases of all shards stop",
            "CONFIG SET cluster-require-full-coverage no on every node",
        )
    if facts.config.get("cluster-allow-reads-when-down") == "yes":
        yield Finding(
            "stale reads",
            Level.WARNING,
            "cluster-allow-reads-when-down yes: a node that is cut off goes on to answer reads with what it had",
            "CONFIG SET cluster-allow-reads-when-down no on every node",
        )


def _databases(facts: ClusterFacts) -> Iterator[Finding]:
    slots: defaultdict[str, set[int]] = defaultdict(set)
    for server, databases in sorted(facts.databases.items()):
        told = ", ".join(f"{each.name} (slot {slot_of(meta_key(*each))})" for each in databases)
        yield Finding("databases", Level.OK, f"on {server}: {told or 'none'}")
        for each in databases:
            slots[each.name].add(slot_of(meta_key(*each)))
    for name, places in slots.items():
        if len(places) > 1:
            where = ", ".join(map(str, sorted(places)))
            yield Finding(
                "databases",
                Level.PROBLEM,
                f"{name!r} is in the slots {where}: these are several databases, and URLs that differ in slot use "
                "different ones",
                "find out which is the right one, and `rome drop` the others with their own slot in the URL",
            )
