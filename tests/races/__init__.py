"""Several processes on one database at the same time."""
