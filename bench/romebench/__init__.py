"""Measure Rome beside MariaDB, PostgreSQL and an SQLite file: the same work on each, in alternation, in one run."""
