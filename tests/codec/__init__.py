"""Keys and records: their bytes and their order."""
