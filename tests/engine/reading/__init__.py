"""How rows are read: by which index, page by page, without SQLite, as a stream."""
