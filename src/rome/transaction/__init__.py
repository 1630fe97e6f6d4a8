"""A transaction over a store: what it has read at its snapshot, and what it is going to write.

This package knows only ids and bytes. Invariant: a transaction whose commit returns saw all rows as of one version
(below SERIALIZABLE: one version per statement), and no other commit changed anything in its read set before its own.
docs/commit-protocol.md proves this for each store.
"""
