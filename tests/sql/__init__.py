"""SQL's tokens, and edits of a statement's text."""
