"""Names and scopes, conditions as predicates, and a statement as a tree of joins and filters.

`predicates` (what a row must satisfy), `scope` (what a name means), `tree` (joins and filters), `conjuncts` (WHERE and
ON as predicates), `query` (sqlglot's tree as ours).
"""
