"""One prepared statement: its syntax, and what the application has defined for it."""
