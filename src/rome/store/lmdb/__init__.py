"""The LMDB store: a database is one file, shared by all processes of one machine.

LMDB is a copy-on-write B-tree with one writer at a time and readers that never wait. Its read transactions are Rome's
snapshots, so superseded versions are not stored separately: LMDB keeps the pages that a snapshot needs until it ends.
To validate what a commit has read, the file also holds a log of changes, ordered by key.

    files.py        opens a file once per process; makes and deletes files
    fork.py         the files that are open, what a fork means for them, and the end of snapshots that are too old
    environment.py  one open file
    pin.py          one connection's snapshot of it
    ordered.py      ordered maps in the file, with keys of any length
    state.py        what the file says about itself: version, floor, retention
    read.py         answers requests in a transaction
    commit.py       validates, applies, trims
    store.py        rome.store.spi.Store, out of these
    diagnosis.py    what `rome doctor` says of a file
"""

from __future__ import annotations

from rome.store.lmdb.store import LmdbStore

__all__ = ["LmdbStore"]
