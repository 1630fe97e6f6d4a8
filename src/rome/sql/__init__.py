"""SQL as text: SQLite's tokens, and what can be parsed or edited with tokens alone, without knowing the schema.

`tokens` (the tokenizer); `create_table`, `create_trigger`, `alter_table`, `vacuum` (one statement each); `index_hints`
(INDEXED BY); `display` (a statement as logs and spans show it).
"""
