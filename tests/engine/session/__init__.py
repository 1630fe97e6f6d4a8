"""What the application asks of a connection, and what becomes of it after a conflict or an interruption."""
