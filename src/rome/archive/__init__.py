"""Archives: a whole database at one snapshot as a compressed stream, from any store and into any store.

    with open("nova.rome-dump", "wb") as file:
        rome.archive.dump("rome+redis://localhost/nova", file)
    with open("nova.rome-dump", "rb") as file:
        rome.archive.load("rome+lmdb:///nova.rome", file)

docs/archive.md describes the format.
"""

from rome.archive.dumping import dump
from rome.archive.format import VERSION, ArchiveError
from rome.archive.loading import load
from rome.archive.tally import Tally

__all__ = ["VERSION", "ArchiveError", "Tally", "dump", "load"]
