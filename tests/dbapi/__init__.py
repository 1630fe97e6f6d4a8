"""The PEP 249 driver: connections, cursors, URLs, and what users of sqlite3 expect."""
