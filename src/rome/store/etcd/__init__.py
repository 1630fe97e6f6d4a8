"""The store on an etcd cluster, whose members agree by consensus, so that any minority of them may fail.

Its layout of keys is that of rome.store.ordered; docs/ordered-store.md describes both, and docs/etcd.md how to run a
cluster for it.
"""

from rome.store.etcd.store import EtcdStore

__all__ = ["EtcdStore"]
