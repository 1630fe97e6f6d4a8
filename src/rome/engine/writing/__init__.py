"""Statements that change rows or the schema: the guard loop, ids of new rows, harvest at COMMIT, DDL."""
