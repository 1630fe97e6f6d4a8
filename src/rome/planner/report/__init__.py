"""A plan in words, and why a table is read whole."""
