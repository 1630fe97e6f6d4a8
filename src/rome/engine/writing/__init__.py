"""Statements that change rows or the schema: the guard loop and the short ways past it, ids, harvest at COMMIT, DDL."""
