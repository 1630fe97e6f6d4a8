"""Which versions of etcd Rome works with, and why not with others."""

from __future__ import annotations

import re

CORRUPTING = frozenset({"3.5.0", "3.5.1", "3.5.2"})
"""Their members can lose entries when they are killed under load, and then disagree for good
(https://github.com/etcd-io/etcd/issues/13766)."""

OLDEST = (3, 4)


def fault_of(version: str) -> str:
    """Return what is wrong with a version and what to do, as one sentence; empty if nothing is."""
    if version in CORRUPTING:
        return (
            f"etcd {version} may lose acknowledged commits when a member is killed under load (etcd-io/etcd issue "
            "13766): upgrade to 3.5.3 or later, or to a 3.4"
        )
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is not None and tuple(map(int, numbers.groups())) < OLDEST:
        return f"etcd {version} is older than Rome supports: upgrade to 3.4 or later"
    return ""
