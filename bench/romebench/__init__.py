"""Rome beside MariaDB, PostgreSQL and an SQLite file: the same work on all of them, in turns, in one run."""
