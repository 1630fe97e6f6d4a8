"""Statements that change rows or the schema: guards, ids, indexes, triggers, DDL."""
