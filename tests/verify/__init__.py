"""rome.verify: what does not fit in a database is found."""
