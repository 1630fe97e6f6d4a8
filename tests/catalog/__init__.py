"""Tables, columns and indexes as catalog rows, and the mirror that answers for the schema."""
