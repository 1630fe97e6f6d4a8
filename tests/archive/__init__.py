"""rome.archive: a database into a file and back."""
