"""What `rome doctor` says of a Redis or Valkey server.

Nothing is written, and no database is created. What the user may not ask is reported as unknown; managed servers forbid
CONFIG.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Final

from rome.errors import DatabaseError
from rome.store.diagnosis import Diagnosis, Finding, Level, Loss, size_text
from rome.store.pins import pins_finding
from rome.store.redis.cluster_diagnosis import diagnose_cluster
from rome.store.redis.facts import META, Facts, ask
from rome.store.redis.health import evicts, is_too_old
from rome.store.redis.near_diagnosis import near_finding
from rome.store.redis.settings import RedisSettings

NOTHING: Final = "nothing"
UNKNOWN: Final = "unknown"
CLOCK_TOLERANCE_S: Final = 10.0
LAG_TOLERANCE_S: Final = 10


def diagnose(settings: RedisSettings, meta_key: bytes, newest_format: int) -> Diagnosis:
    """Examine a server, and one database on it. A server that cannot be asked is a finding, not an error."""
    cluster = diagnose_cluster(settings) if settings.cluster else []
    try:
        facts = ask(settings, meta_key)
    except DatabaseError as error:
        remedy = "see that it runs and can be reached, and that the URL has the right user and password"
        return Diagnosis(settings.server, (), [Finding("connection", Level.PROBLEM, str(error), remedy), *cluster])
    near = [near_finding(settings, meta_key, facts)] if settings.near_reads else []
    return Diagnosis(facts.subject, list(_losses(facts)), [*_findings(facts, newest_format), *near, *cluster])


def _losses(facts: Facts) -> Iterator[Loss]:
    yield Loss("a client ends or is killed", NOTHING)
    yield Loss("the server's process is killed", _lost_when_killed(facts))
    yield Loss("its machine crashes, or a power cut", _lost_in_power_cut(facts))
    yield Loss("its machine is lost, and a replica promoted", _lost_in_failover(facts))
    policy = facts.info.get("maxmemory_policy")
    full = UNKNOWN if policy is None else "any rows, silently" if evicts(policy) else "nothing: writes are refused"
    yield Loss("the server's memory is full", full)


def _lost_when_killed(facts: Facts) -> str:
    if facts.appends is None:
        return UNKNOWN
    if facts.appends:
        # With everysec, Redis delays a write while an fsync is in progress, for at most two seconds.
        put_off = facts.config.get("appendfsync", "everysec") == "everysec"
        return "what came while an fsync was under way: mostly milliseconds, 2 seconds at most" if put_off else NOTHING
    return _lost_without_log(facts)


def _lost_in_power_cut(facts: Facts) -> str:
    if facts.appends is None:
        return UNKNOWN
    if not facts.appends:
        return _lost_without_log(facts)
    match facts.config.get("appendfsync"):
        case "always":
            return NOTHING
        case "everysec":
            return "the last second; 2 seconds if the disk is slow"
        case "no":
            return "what the operating system had not written yet, mostly 30 seconds"
        case _:
            return "unknown: CONFIG GET appendfsync tells"


def _lost_without_log(facts: Facts) -> str:
    return {True: facts.unsaved, False: "everything", None: "everything, as far as can be seen"}[facts.saves]


def _lost_in_failover(facts: Facts) -> str:
    wanted = facts.settings.wait_replicas
    if facts.replicas is None:
        return UNKNOWN
    if facts.replicas == 0:
        return "everything: it has no replica"
    if wanted:
        return f"nothing, if the promoted one is among the {wanted} that acknowledged each commit (wait_replicas)"
    return "what the promoted one had not received yet"


def _findings(facts: Facts, newest_format: int) -> Iterator[Finding]:
    if facts.denied:
        yield Finding(
            "permission",
            Level.UNKNOWN,
            f"some questions were not answered: {'; '.join(facts.denied)}",
            "ask as a user who may run INFO, CONFIG GET and TIME, or look at the server's configuration",
        )
    yield _version(facts)
    yield _role(facts)
    yield _eviction(facts)
    yield _memory(facts)
    yield _persistence(facts)
    if facts.appends:
        yield _fsync(facts)
    yield _last_write(facts)
    yield _replicas(facts)
    if facts.replicas:
        yield _lone_primary(facts)
    yield _clock(facts)
    yield _format(facts, newest_format)
    if facts.database and facts.database.keys() >= {*META}:
        yield _history(facts, facts.database)
        if facts.pins is not None:
            yield pins_finding(facts.pins)
    yield _transport(facts)


def _version(facts: Facts) -> Finding:
    version = facts.info.get("redis_version")
    if version is None:
        return Finding(
            "version", Level.UNKNOWN, "INFO does not tell it", "see that it is Redis 7.0 or newer, or Valkey"
        )
    if is_too_old(version):
        return Finding("version", Level.PROBLEM, f"{version} is too old", "upgrade to Redis 7.0 or newer, or to Valkey")
    return Finding("version", Level.OK, facts.subject.rpartition(": ")[2])


def _role(facts: Facts) -> Finding:
    role = facts.info.get("role")
    if role == "slave":
        return Finding("role", Level.PROBLEM, "a replica: it refuses writes", "name the primary in the URL")
    if facts.info.get("cluster_enabled") == "1" and not facts.settings.cluster:
        reason = "a node of a cluster: when the database's slot moves, or the node fails, its clients are lost"
        return Finding("role", Level.WARNING, reason, "add cluster=on to the URL, and more nodes by host=")
    if role is None:
        return Finding("role", Level.UNKNOWN, "INFO does not tell if it is a primary", "see that it is")
    return Finding("role", Level.OK, "a primary")


def _eviction(facts: Facts) -> Finding:
    policy = facts.info.get("maxmemory_policy")
    if policy is None:
        return Finding("eviction", Level.UNKNOWN, "INFO does not tell the policy", "see that it is noeviction")
    if evicts(policy):
        return Finding(
            "eviction",
            Level.PROBLEM,
            f"maxmemory-policy {policy} throws rows away when memory is short",
            "CONFIG SET maxmemory-policy noeviction",
        )
    return Finding("eviction", Level.OK, f"maxmemory-policy {policy}: no row of Rome's is ever evicted")


def _memory(facts: Facts) -> Finding:
    used, limit, machine = map(facts.number, ("used_memory", "maxmemory", "total_system_memory"))
    if used is None or limit is None:
        return Finding("memory", Level.UNKNOWN, "INFO does not tell what is used, of what", "see to maxmemory")
    if limit == 0:
        share = f", {used / machine:.0%} of the machine's" if machine else ""
        return Finding(
            "memory",
            Level.WARNING,
            f"no limit: {size_text(used)} used{share}; when the machine has no more, the kernel kills the server",
            "CONFIG SET maxmemory to less than the machine has, so that writes are refused instead",
        )
    filled = f"{size_text(used)} of {size_text(limit)} used ({used / limit:.0%})"
    more = "raise maxmemory, or delete data and run `rome trim`"
    if used >= 0.95 * limit:
        return Finding("memory", Level.PROBLEM, f"{filled}: writes are refused, or soon will be", more)
    if used >= 0.8 * limit:
        return Finding("memory", Level.WARNING, filled, more)
    return Finding("memory", Level.OK, filled)


def _persistence(facts: Facts) -> Finding:
    durable = "CONFIG SET appendonly yes, and in the configuration file, too"
    if facts.appends is None:
        return Finding(
            "persistence", Level.UNKNOWN, "INFO does not tell whether anything is written to the disk", durable
        )
    if facts.appends:
        return Finding("persistence", Level.OK, "an append-only file")
    if facts.saves:
        return Finding(
            "persistence", Level.WARNING, "RDB files only: every crash takes what came after the last", durable
        )
    if facts.saves is None:
        return Finding("persistence", Level.WARNING, "no append-only file, and no sign of RDB files", durable)
    return Finding("persistence", Level.PROBLEM, "none: all data is gone when the server ends", durable)


def _fsync(facts: Facts) -> Finding:
    policy = facts.config.get("appendfsync")
    if policy is None:
        return Finding("fsync", Level.UNKNOWN, "CONFIG GET appendfsync is not answered", "see that it is always")
    if policy != "always":
        delayed = facts.number("aof_delayed_fsync")
        slow = f"; the disk was too slow for it {delayed} times" if delayed else ""
        remedy = "CONFIG SET appendfsync always, if a power cut must not take a commit"
        return Finding("fsync", Level.WARNING, f"appendfsync {policy}{slow}", remedy)
    if facts.config.get("no-appendfsync-on-rewrite") == "yes":
        remedy = "CONFIG SET no-appendfsync-on-rewrite no"
        return Finding("fsync", Level.WARNING, "appendfsync always, but not while the file is rewritten", remedy)
    return Finding("fsync", Level.OK, "appendfsync always: a commit is on the disk when it returns")


def _last_write(facts: Facts) -> Finding:
    names = ("rdb_last_bgsave_status", "aof_last_bgrewrite_status", "aof_last_write_status")
    told = {name: facts.info[name] for name in names if name in facts.info}
    failed = [name for name, status in told.items() if status != "ok"]
    if failed:
        reason = f"{' and '.join(failed)}: the server may refuse writes (MISCONF)"
        return Finding("last save", Level.PROBLEM, reason, "look into the server's log: disk full, or no permission?")
    if not told:
        return Finding(
            "last save", Level.UNKNOWN, "INFO does not tell whether it succeeded", "look into the server's log"
        )
    if not facts.appends and facts.saves and facts.config.get("stop-writes-on-bgsave-error") == "no":
        remedy = "CONFIG SET stop-writes-on-bgsave-error yes"
        return Finding("last save", Level.WARNING, "succeeded; but one that fails would go unnoticed", remedy)
    return Finding("last save", Level.OK, "no write to the disk has failed")


def _replicas(facts: Facts) -> Finding:
    count, wanted = facts.replicas, facts.settings.wait_replicas
    if count is None:
        return Finding("replicas", Level.UNKNOWN, "INFO does not tell how many there are", "see that there are some")
    if count < wanted:
        reason = f"{count} connected, and wait_replicas={wanted}: every commit ends with NotReplicatedError"
        return Finding("replicas", Level.PROBLEM, reason, "start replicas, or lower wait_replicas")
    if count == 0:
        remedy = "a replica and wait_replicas=1, if the loss of the machine must not be the loss of the data"
        return Finding("replicas", Level.WARNING, "none: the data is on this machine only", remedy)
    late = [lag for lag in _lags(facts) if lag > LAG_TOLERANCE_S]
    if late:
        reason = f"{count} connected; one was last heard of {max(late)} s ago"
        return Finding("replicas", Level.WARNING, reason, "look at its log and at the network")
    if not wanted:
        remedy = "wait_replicas=1 in the URL, if a failover must not take a commit"
        return Finding("replicas", Level.WARNING, f"{count} connected; commits do not wait for them", remedy)
    return Finding("replicas", Level.OK, f"{count} connected; a commit waits for {wanted}")


def _lags(facts: Facts) -> Iterator[int]:
    """Seconds since each replica was last heard from."""
    for number in range(facts.replicas or 0):
        fields = dict(field.partition("=")[::2] for field in facts.info.get(f"slave{number}", "").split(","))
        if fields.get("lag", "").isdigit():
            yield int(fields["lag"])


def _lone_primary(facts: Facts) -> Finding:
    check, wanted = "min-replicas", facts.config.get("min-replicas-to-write")
    if wanted is None:
        return Finding(
            check, Level.UNKNOWN, "CONFIG GET min-replicas-to-write is not answered", "see that it is 1 or more"
        )
    if wanted == "0" or facts.config.get("min-replicas-max-lag") == "0":
        return Finding(
            check,
            Level.WARNING,
            "cut off from its replicas, this server goes on to acknowledge commits that a failover discards",
            "CONFIG SET min-replicas-to-write 1",
        )
    return Finding(check, Level.OK, f"writes are refused with fewer than {wanted} replicas")


def _clock(facts: Facts) -> Finding:
    ahead = facts.clock_ahead_s
    if ahead is None:
        return Finding("clock", Level.UNKNOWN, "TIME is not answered", "see that NTP sets it")
    if abs(ahead) > CLOCK_TOLERANCE_S:
        reason = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
        remedy = "let NTP set both: when a server's clock jumps, snapshots end early, or history is kept for too long"
        return Finding("clock", Level.WARNING, reason, remedy)
    return Finding("clock", Level.OK, "agrees with this machine's")


def _format(facts: Facts, newest_format: int) -> Finding:
    if facts.database is None:
        return Finding("database", Level.UNKNOWN, "it may not be read", "see that the user may read its keys, ~rome:*")
    stored = facts.database.get("format")
    if stored is None:
        return Finding("database", Level.OK, "there is none of this name yet")
    if stored > newest_format:
        reason = f"format {stored}; this version of Rome knows {newest_format}"
        return Finding("database", Level.PROBLEM, reason, "upgrade Rome")
    return Finding("database", Level.OK, f"format {stored}")


def _history(facts: Facts, database: Mapping[str, int]) -> Finding:
    retention_s, room, kept = database["retention_ms"] / 1000, database["max_bytes"], database["history_bytes"]
    use = f"{size_text(kept)} of {size_text(room)} for superseded versions; retention {retention_s:g} s"
    if kept >= 0.9 * room:
        remedy = "give it more bytes with rome.set_retention, or write less per minute"
        return Finding("history", Level.WARNING, f"{use}: snapshots end before that", remedy)
    now = time.time() + (facts.clock_ahead_s or 0.0)
    age_s = now - facts.oldest_ms / 1000 if facts.oldest_ms is not None else 0.0
    if age_s > 2 * retention_s + 60 and kept > room / 10:
        reason = f"{use}; the oldest are {age_s:.0f} s old, as only commits trim"
        return Finding("history", Level.WARNING, reason, "run `rome trim`")
    return Finding("history", Level.OK, use)


def _transport(facts: Facts) -> Finding:
    settings = facts.settings
    if settings.unix_socket or settings.host in ("localhost", "127.0.0.1", "::1"):
        return Finding("transport", Level.OK, "this machine only")
    if settings.tls is None:
        return Finding(
            "transport", Level.WARNING, "data and password cross the network in the clear", "ssl=true in the URL"
        )
    if settings.tls.get("ssl_cert_reqs", "required") != "required":
        remedy = "leave out ssl_cert_reqs, and name the authority with ssl_ca_certs"
        return Finding("transport", Level.WARNING, "TLS, but the server's certificate is not verified", remedy)
    return Finding("transport", Level.OK, "TLS, with a certificate that was verified")
