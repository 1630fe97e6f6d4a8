"""Names and scopes, conditions as predicates, and a statement as a tree of joins and filters."""
