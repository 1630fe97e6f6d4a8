"""Whether somebody else than Rome keeps keys in a cluster, whose history is then not Rome's to discard."""

from __future__ import annotations

import time

from rome.errors import Error
from rome.store.etcd.client import EtcdClient
from rome.store.etcd.messages import RANGE, RangeRequest
from rome.store.option_values import Address
from rome.store.ordered.layout import ROOT, ROOT_STOP

AGAIN_AFTER_S = 600.0
"""For how long a cluster that was found to be shared is taken for it: to look at a large range takes a while."""

_shared: dict[tuple[Address, ...], float] = {}
"""Members of a cluster -> until when it is taken for shared, by the monotonic clock."""


def is_shared(client: EtcdClient) -> bool:
    """Whether others have keys in the cluster, or the user may not look. One round trip, or none."""
    place = client.settings.addresses
    if _shared.get(place, 0.0) > time.monotonic():
        return True
    try:
        shared = has_keys_of_others(client)
    except Error:
        shared = True
    if shared:
        _shared[place] = time.monotonic() + AGAIN_AFTER_S
    return shared


def has_keys_of_others(client: EtcdClient) -> bool:
    """Look for a key before and after Rome's. One round trip.

    Raises:
        Error: of the store; AuthenticationError if the user may read only some keys.
    """
    before = RangeRequest(key=b"\x00", range_end=ROOT, limit=1, keys_only=True)
    after = RangeRequest(key=ROOT_STOP, range_end=b"\x00", limit=1, keys_only=True)
    return any(answer.kvs for answer in client.call([(RANGE, before), (RANGE, after)]).messages)
