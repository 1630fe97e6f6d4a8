"""A transaction over a store: what it read at its snapshot, and what it is going to write.

Everything here is ids and bytes. Invariant: a transaction whose commit returns saw all rows as of one version (below
SERIALIZABLE: as of one version per statement), and nothing that its read set names was changed by another commit
before its own. Why this holds on each store: docs/commit-protocol.md.
"""
