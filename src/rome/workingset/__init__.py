"""The working set: an in-memory SQLite that holds the stored rows which the current transaction needs.

Invariant: between statements it holds, for every row in `contents`, the row as this transaction sees it, and no
other row; ROLLBACK empties it. It knows nothing of stores, snapshots or plans.
"""
