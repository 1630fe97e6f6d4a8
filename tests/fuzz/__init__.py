"""The search for statements on which Rome and stock SQLite differ: `make fuzz`."""
