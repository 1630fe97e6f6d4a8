"""Texts of statements: their kind, their literals, and the affinities of what they compare."""
