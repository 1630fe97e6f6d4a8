"""The working set: an SQLite in memory that holds the stored rows which the current transaction needs.

Invariant: between statements it holds, for every row in `contents`, that row as this transaction sees it, and no other
row; ROLLBACK empties it. It knows nothing of stores, snapshots or plans.
"""
