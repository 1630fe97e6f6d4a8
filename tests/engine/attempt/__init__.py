"""One run of a transaction: the commit turn, claims, sqlite_sequence, copies of the whole database."""
