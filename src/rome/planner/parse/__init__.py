"""Parsing: a statement's kind (`statement`), a text that sqlglot reads as SQLite does (`canonical`), affinities."""
