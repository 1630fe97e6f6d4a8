"""A statement before it runs: its text, parameters, preparation and traits under one schema, guards, PRAGMAs."""
