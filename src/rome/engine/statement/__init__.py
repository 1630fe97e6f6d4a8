"""A statement before it runs: its text, parameters, preparation under one schema, guards, PRAGMAs."""
