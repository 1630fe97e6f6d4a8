"""SQL as text: SQLite's tokens, and what is read from them or edited by them, without a schema."""
