"""The SQLite in memory that runs statements."""
