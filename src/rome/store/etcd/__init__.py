"""The store on an etcd cluster: consensus of its members, so that any minority of them may fail.

Its layout of keys is rome.store.ordered's; docs/etcd.md tells both, and how to run a cluster for it.
"""

from rome.store.etcd.store import EtcdStore

__all__ = ["EtcdStore"]
