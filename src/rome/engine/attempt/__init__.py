"""One run of a transaction on one snapshot.

Its state and log, its place in the commit queue, claims, deferred keys, sqlite_sequence, and copies of the database.
"""
