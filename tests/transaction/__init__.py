"""Snapshot, read set, write set, memory budget and commit."""
