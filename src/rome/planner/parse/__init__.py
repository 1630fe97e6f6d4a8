"""From text to a syntax tree that means to sqlglot what it means to SQLite; affinities."""
