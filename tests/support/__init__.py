"""What the tests of several folders share.

- `databases`, `servers`: a fresh database on any store; real Redis and Valkey servers;
- `differential`: the same operations on Rome and on stock SQLite; `random_transactions` makes them;
- `faulty_store`: a store on which a test decides what becomes of reads and commits;
- `cost`, `stored_entries`: what a statement cost, and whether the index entries in a store are those of its rows.
"""
